"""What a process knows of records of erasures: where it looked for them, what it found, what that may cost.

Whoever can write the ledger's table can make it look for records that are not there. So what was looked
through is not looked through again for some minutes, and all looks together have an allowance.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from sentinel.core.erasure import Record
from sentinel.core.stretches import Stretches, joined, missing, outside

SECOND = 1_000_000_000
FRESH = 600 * SECOND  # for how long it counts that something was not found
ALLOWANCE = 512_000_000  # bytes that all looks of `FRESH` may read: less than a minute of a shard
LEAST = 2_000_000  # bytes that each of them may
CHAINS, RECORDS, STRETCHES, CHECKS = 256, 4_000, 64, 8  # what is kept; the last three of each chain


@dataclass(frozen=True, slots=True)
class Named:
    """Which entries a record is about, from `first` to `last`, and the digest of their leaves."""

    first: int
    last: int
    leaves: bytes

    @staticmethod
    def of(record: Record) -> Named:
        """Return what a record names."""
        return Named(record.first, record.last, record.statement.leaves)


@dataclass(slots=True)
class Budget:
    """What a look may cost, in bytes that are read, or what takes as long; `used` of it is gone."""

    whole: float
    used: float = 0
    keys: set[str] = field(default_factory=set)

    @property
    def spent(self) -> bool:
        """Whether nothing is left."""
        return self.used >= self.whole

    def use(self, cost: int) -> None:
        """Take some of it, or more than there is."""
        self.used += cost

    def allow(self, least: int) -> None:
        """See to it that so much is left."""
        self.whole = max(self.whole, self.used + least)


@dataclass(slots=True)
class Check:
    """How far the leaves that a record names were hashed: all below entry `at`."""

    at: int
    hash: Any  # hashlib's object


@dataclass(slots=True)
class _Chain:
    covered: Stretches = ()  # entries that records were found to be true about
    looked: Stretches = ()  # every record that stands here is in `records`, or is one of those
    records: dict[Named, int] = field(default_factory=dict)  # with the place of each
    untrue: set[Named] = field(default_factory=set)
    checks: OrderedDict[Named, Check] = field(default_factory=OrderedDict)
    since: int = 0


class Memory:
    """That of one process, for any number of threads. `clock` is in epoch nanoseconds."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._chains: OrderedDict[str, _Chain] = OrderedDict()
        self._used: float = 0
        self._since = 0
        self._lock = threading.Lock()

    def budget(self) -> Budget:
        """Return what a look may cost now."""
        with self._lock:
            if not 0 <= self._clock() - self._since < FRESH:
                self._used, self._since = 0, self._clock()
            return Budget(max(ALLOWANCE - self._used, LEAST))

    def spend(self, budget: Budget) -> None:
        """Take what a look has cost from the allowance."""
        with self._lock:
            self._used += budget.used

    def uncovered(self, chain: str, entries: list[int]) -> list[int]:
        """Return those of some entries, in order, that no record was found to be true about."""
        with self._lock:
            return outside(entries, self._of(chain).covered)

    def records(self, chain: str) -> list[Named]:
        """Return what was found in a chain and is not known to be untrue, the newest first."""
        with self._lock:
            found = self._of(chain)
            newest = sorted(found.records, key=found.records.__getitem__, reverse=True)
            return [each for each in newest if each not in found.untrue]

    def gaps(self, chain: str, begin: int, end: int) -> Stretches:
        """Return what was not looked through of a chain between two entries."""
        with self._lock:
            return tuple(missing(self._of(chain).looked, begin, end))

    def looked(self, chain: str, begin: int, end: int, found: Iterable[tuple[int, Named]]) -> None:
        """Keep that every record from entry `begin` on below `end` was found, with the places of these."""
        with self._lock:
            known = self._of(chain)
            for seq, record in found:
                known.records[record] = max(seq, known.records.get(record, 0))
            known.looked = joined(known.looked, begin, end)[-STRETCHES:]
            if len(known.records) > RECORDS:
                newest = sorted(known.records.items(), key=lambda each: each[1])[-RECORDS // 2 :]
                known.records = dict(newest)
                low = newest[0][1]
                known.looked = tuple((max(low, at), to) for at, to in known.looked if to > low)

    def judged(self, chain: str, record: Named, *, true: bool) -> None:
        """Keep whether a record is true of what stands in the chain: that it is for good."""
        with self._lock:
            known = self._of(chain)
            if true:
                known.covered = joined(known.covered, record.first, record.last + 1)[-RECORDS:]
            else:
                known.untrue.add(record)

    def begun(self, chain: str, record: Named) -> Check | None:
        """Take the check of a record that was begun."""
        with self._lock:
            return self._of(chain).checks.pop(record, None)

    def stopped(self, chain: str, record: Named, check: Check) -> None:
        """Keep a check for the next look."""
        with self._lock:
            checks = self._of(chain).checks
            checks[record] = check
            while len(checks) > CHECKS:
                checks.popitem(last=False)

    def _of(self, chain: str) -> _Chain:
        found = self._chains.setdefault(chain, _Chain(since=self._clock()))
        self._chains.move_to_end(chain)
        while len(self._chains) > CHAINS:
            self._chains.popitem(last=False)
        if not 0 <= self._clock() - found.since < FRESH:
            found.looked, found.records, found.untrue = (), {}, set()
            found.since = self._clock()
        return found
