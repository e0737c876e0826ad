"""A ledger that behaves as one on DynamoDB would in some respects, in virtual time (docs/contention.md).

The model, and nothing else of DynamoDB:

- A request takes a round trip: log-normal, `MEDIAN` seconds and `SIGMA`, half of it on the way there.
- Each chain is alone on a partition, which gives 1,000 write units (1 KB of the item, names included) and
  3,000 read units (4 KB, consistent) a second. What it does not use is kept for `BURST` seconds, and none is
  there at the beginning. A request is let in while the partition owes nothing, and then takes its units.
  Adaptive capacity is off: a partition is neither split nor lent anything.
- A condition that fails takes the units of the larger of both items, and brings the one that is there.
- A throttled request is `Unavailable`: a write at once, as the SDK sends it once (`Wiring.dynamodb_once`), a
  read after the SDK's second attempt (mode `standard`: up to a second later).

Nothing is lost and nothing comes twice here: that is for the tests of faults.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks.timeline import Timeline
from sentinel.adapters.dynamodb_ledger import to_item
from sentinel.core.segment import Segment
from sentinel.errors import Unavailable
from sentinel.ports import SlotTaken

MEDIAN = 0.005
SIGMA = 0.25
WRITE_UNITS = 1_000
READ_UNITS = 3_000
BURST = 300.0
WRITE_ATTEMPTS = 1
READ_ATTEMPTS = 2
THROTTLED = 1.0  # seconds: what the SDK waits between attempts is up to this


def item_bytes(segment: Segment) -> int:
    """Return an item's size as DynamoDB counts it: names and values; a number half a byte a digit and one."""
    size = 0
    for name, value in to_item(segment).items():
        [(kind, held)] = value.items()
        size += len(name) + ((len(held) + 1) // 2 + 1 if kind == "N" else len(_raw(held)))
    return size


def _raw(held: Any) -> bytes:
    return held.encode() if isinstance(held, str) else held


def units(size: int, unit: int) -> int:
    """Return the units of a request on an item of `size` bytes: whole ones, one at least.

    >>> units(0, 1024), units(1024, 1024), units(1025, 1024)
    (1, 1, 2)
    """
    return max(1, -(-size // unit))


class Bucket:
    """A partition's units: `rate` a second come in, up to `burst` seconds of them are kept."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._most = rate, rate * burst
        self._level, self._at = 0.0, 0.0

    def take(self, wanted: float, now: float) -> bool:
        """Take units if none are owed; say whether they were taken."""
        self._level = min(self._most, self._level + (now - self._at) * self._rate)
        self._at = now
        if self._level < 0:
            return False
        self._level -= wanted
        return True


@dataclass(slots=True)
class Counts:
    """What was asked for, each attempt of the SDK's counted. `units` are those of writes."""

    writes: int = 0
    reads: int = 0
    lost: int = 0
    throttled: int = 0
    units: int = 0


@dataclass(slots=True)
class _Partition:
    writes: Bucket
    reads: Bucket
    slots: dict[int, tuple[Segment, int]] = field(default_factory=dict)
    newest: Segment | None = None


class SimulatedLedger:
    """`ports.Ledger` on a timeline; deterministic by its seed. For threads of the timeline."""

    def __init__(self, timeline: Timeline, seed: int = 1, place_cpu: float = 0.0) -> None:
        """`place_cpu` is what linking an entry to a head takes, seconds: each attempt at a slot does it."""
        self._timeline, self._rng, self._place_cpu = timeline, random.Random(seed), place_cpu
        self._partitions: dict[str, _Partition] = {}
        self.counts = Counts()

    def append(self, segment: Segment) -> None:
        """See `ports.Ledger`."""
        self._timeline.sleep(self._place_cpu * segment.count)
        size = units(item_bytes(segment), 1024)
        partition = self._partition(segment.chain)
        for attempt in range(WRITE_ATTEMPTS):
            back = self._there()
            self.counts.writes += 1
            taken = partition.slots.get(segment.first)
            cost = max(size, taken[1]) if taken else size
            if partition.writes.take(cost, self._timeline.now):
                self.counts.units += cost
                if taken is None:
                    partition.slots[segment.first] = segment, size
                    partition.newest = segment
                self._timeline.sleep(back)
                if taken is not None:
                    self.counts.lost += 1
                    raise SlotTaken(taken[0])
                return
            self._throttled(back, attempt == WRITE_ATTEMPTS - 1)

    def head(self, chain: str) -> Segment | None:
        """See `ports.Ledger`: a Query of one item."""
        return self._query(chain, lambda partition: partition.newest)

    def at(self, chain: str, seq: int) -> Segment | None:
        """See `ports.Ledger`: a Query of one item."""

        def find(partition: _Partition) -> Segment | None:
            first = max((each for each in partition.slots if each <= seq), default=None)
            found = partition.slots[first][0] if first is not None else None
            return found if found and seq < found.next else None

        return self._query(chain, find)

    def read(self, chain: str, first: int = 0, limit: int | None = None) -> Iterator[Segment]:
        """See `ports.Ledger`; takes no time and no units: it is for whoever checks a run."""
        slots = self._partition(chain).slots
        yield from (slots[at][0] for at in sorted(slots)[:limit] if at >= first)

    def chains(self) -> Iterator[str]:
        """See `ports.Ledger`; takes no time."""
        return (chain for chain, partition in self._partitions.items() if partition.newest)

    def _partition(self, chain: str) -> _Partition:
        found = self._partitions.get(chain)
        if found is None:
            found = _Partition(Bucket(WRITE_UNITS, BURST), Bucket(READ_UNITS, BURST))
            self._partitions[chain] = found
        return found

    def _query(self, chain: str, find: Any) -> Segment | None:
        partition = self._partition(chain)
        for attempt in range(READ_ATTEMPTS):
            back = self._there()
            self.counts.reads += 1
            found: Segment | None = find(partition)
            cost = units(item_bytes(found) if found else 0, 4096)
            if partition.reads.take(cost, self._timeline.now):
                self._timeline.sleep(back)
                return found
            self._throttled(back, attempt == READ_ATTEMPTS - 1)
        return None

    def _there(self) -> float:
        """Let the way there pass; return how long the way back takes."""
        half = MEDIAN / 2 * self._rng.lognormvariate(0, SIGMA)
        self._timeline.sleep(half)
        return half

    def _throttled(self, back: float, last: bool) -> None:
        self.counts.throttled += 1
        self._timeline.sleep(back)
        if last:
            raise Unavailable("throttled", 1.0)
        self._timeline.sleep(self._rng.random() * THROTTLED)
