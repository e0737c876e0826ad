"""Many writers on few lanes: entries/s, write requests a batch and latency, on a simulated DynamoDB.

Each writer is the product's own `Appender`, as a process has one, that stores one batch of real lines after
the other. *Own*: each writer's batches go to one lane, spread evenly: servers or agents that stay. *Any*:
each batch goes to some lane: what Lambda makes of requests. The model is that of
`benchmarks.simulated_dynamodb`, all in virtual time, so a busy machine changes nothing; processor time is
added as measured once (`ENTRY_CPU`, `BATCH_CPU`, `PLACE_CPU`).

The limit that a run is held against is the smallest of three: what the partitions take, were each batch one
write; what as many writers write who never meet; and what lanes take where each batch has to know the one
before, a round trip each. See docs/contention.md.

    python -m benchmarks.contention [--json] [--seconds 6]
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
from dataclasses import dataclass, field

from benchmarks.lines import entries
from benchmarks.report import report
from benchmarks.simulated_dynamodb import MEDIAN, SIGMA, WRITE_UNITS, SimulatedLedger, item_bytes, units
from benchmarks.timeline import Timeline
from sentinel.core.segment import Batch
from sentinel.core.verify import Verifier
from sentinel.errors import Unavailable
from sentinel.usecases.append import SECOND, Appender

WRITERS = (1, 4, 16, 64)
LANES = (1, 4, 16)
SIZES = (500, 10)
COLUMNS: tuple[str, ...] = (
    "lanes are",
    "batch",
    "writers",
    "lanes",
    "entries/s",
    "bound by",
    "of that",
    "writes a batch",
)
COLUMNS += ("reads", "throttled", "503", "p50 ms", "p99 ms")
TARGETS = {
    "own_16w_16l_500e_of_limit": {"at_least": 0.85},
    "own_16w_16l_500e_writes": {"at_most": 1.01},  # one that is under way at the beginning or end counts half
    "own_16w_16l_10e_writes": {"at_most": 1.01},
}
EPOCH = 1_764_000_000 * SECOND
WARM = 2.0  # seconds that are not measured

# Processor time, seconds, by `benchmarks.ingest` on the machine of docs/contention.md: all that the handler
# does for a batch but linking it, and linking, which each attempt at a slot does anew.
ENTRY_CPU = 3.4e-6
BATCH_CPU = 0.4e-3
PLACE_CPU = 1.6e-6


@dataclass(slots=True)
class Measured:
    """What a run came to. `limit` is entries/s, `bound` what sets it; latencies in seconds.

    `writes` are those that DynamoDB carried out or refused for their condition, and those it throttled.
    """

    writers: int
    lanes: int
    size: int
    any_lane: bool
    seconds: float
    batches: int = 0
    writes: int = 0
    reads: int = 0
    throttled: int = 0
    refused: int = 0
    limit: float = 0.0
    bound: str = ""
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Entries a second."""
        return self.batches * self.size / self.seconds

    @property
    def requests(self) -> float:
        """Write requests a batch, without those that were throttled and written again."""
        return (self.writes - self.throttled) / max(self.batches, 1)

    def quantile(self, q: float) -> float:
        """Return a quantile of the latencies."""
        return sorted(self.latencies)[int(q * (len(self.latencies) - 1))] if self.latencies else math.inf

    @property
    def name(self) -> str:
        """How it is called in the figures."""
        return f"{'any' if self.any_lane else 'own'}_{self.writers}w_{self.lanes}l_{self.size}e"


class _Run:
    """Writers on one simulated table."""

    def __init__(self, made: Measured, lines: list[bytes], seed: int) -> None:
        self.made, self._lines, self._seed = made, lines, seed
        self._timeline = Timeline()
        self.ledger = SimulatedLedger(self._timeline, seed, PLACE_CPU)

    def run(self) -> None:
        """Run it, and check that what was acknowledged is there once."""
        made = self.made
        with self._timeline as timeline:
            for writer in range(made.writers):
                timeline.spawn(lambda writer=writer: self._write(writer))  # type: ignore[misc]
            timeline.run(WARM)
            before = self.ledger.counts.writes, self.ledger.counts.reads, self.ledger.counts.throttled
            made.batches, made.refused, made.latencies = 0, 0, []
            timeline.run(WARM + made.seconds)
            counts = self.ledger.counts
            made.writes, made.reads = counts.writes - before[0], counts.reads - before[1]
            made.throttled = counts.throttled - before[2]
            bounds = self._bounds()
            made.bound = min(bounds, key=lambda name: bounds[name])
            made.limit = bounds[made.bound] * made.size

    def _write(self, writer: int) -> None:
        """Store one batch after the other for ever, as a sender that waits for each receipt."""
        made, timeline = self.made, self._timeline
        rng = random.Random(self._seed * 1_000 + writer)
        timeline.sleep(rng.random() * MEDIAN)
        appender = Appender(self.ledger, self._clock, rng.randbytes, rng.random, timeline.sleep)
        while True:
            lane = rng.randrange(made.lanes) if made.any_lane else writer % made.lanes
            at = rng.randrange(len(self._lines) // made.size) * made.size
            batch = Batch(rng.randbytes(16), self._lines[at : at + made.size], {"service": "checkout"})
            began = timeline.now
            timeline.sleep(BATCH_CPU + ENTRY_CPU * made.size)
            self._store(appender, f"checkout/{lane}", batch)
            made.batches += 1
            made.latencies.append(timeline.now - began)

    def _store(self, appender: Appender, chain: str, batch: Batch) -> None:
        while True:
            try:
                appender.append(chain, batch)
            except Unavailable as error:  # the answer is 503, and the sender comes back as it is told
                self.made.refused += 1
                self._timeline.sleep(error.retry_after)
            else:
                return

    def _clock(self) -> int:
        return EPOCH + int(self._timeline.now * SECOND)

    def _bounds(self) -> dict[str, float]:
        """Return what bounds a run, batches a second, from the sizes stored and the model alone."""
        made, stored, cost = self.made, 0, 0
        for chain in self.ledger.chains():
            for segment in self.ledger.read(chain):
                stored, cost = stored + 1, cost + units(item_bytes(segment), 1024)
        lanes = made.lanes if made.any_lane else min(made.lanes, made.writers)
        trip = PLACE_CPU * made.size + MEDIAN * math.exp(SIGMA**2 / 2)
        return {
            "partitions": lanes * WRITE_UNITS / (cost / stored),
            "writers": made.writers / (BATCH_CPU + ENTRY_CPU * made.size + trip),
            "round trips": lanes / trip,
        }


def measure(
    writers: int, lanes: int, size: int, *, any_lane: bool = False, seconds: float = 6.0, seed: int = 1
) -> tuple[Measured, SimulatedLedger]:
    """Run so many writers on so many lanes; return the figures and the ledger as it is then."""
    made = Measured(writers, lanes, size, any_lane, seconds)
    lines, _ = entries(size * 16)
    run = _Run(made, lines, seed)
    run.run()
    return made, run.ledger


def whole(ledger: SimulatedLedger) -> int:
    """Verify all chains; return how many entries they have, each segment's batch being there once."""
    total, seen = 0, set[bytes]()
    for chain in ledger.chains():
        checked = Verifier(chain)
        for segment in ledger.read(chain):
            checked.check(segment)
            name = segment.parts[-1][0].batch_id
            assert name not in seen, "a batch is there twice"
            seen.add(name)
        total += checked.next
    return total


def main() -> int:
    """Run the benchmark; return 0 where its targets are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the result as the last line")
    parser.add_argument("--seconds", type=float, default=6.0, help="virtual seconds of each run")
    options = parser.parse_args()
    print(f"entries: {entries(1)[1]}")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    figures: dict[str, float] = {}
    for any_lane, size, writers, lanes in itertools.product((False, True), SIZES, WRITERS, LANES):
        made, _ = measure(writers, lanes, size, any_lane=any_lane, seconds=options.seconds)
        _tell(made)
        figures |= _figures(made)
    return 0 if report("contention", figures, TARGETS, as_json=options.json) else 1


def _tell(made: Measured) -> None:
    batches = max(made.batches, 1)
    cells: list[object] = ["any" if made.any_lane else "own", made.size, made.writers, made.lanes]
    cells += [f"{made.rate:,.0f}", made.bound, f"{made.rate / made.limit:.2f}"]
    cells += [f"{made.requests:.2f}", f"{made.reads / batches:.2f}"]
    cells += [f"{made.throttled / batches:.2f}", made.refused]
    cells += [f"{made.quantile(0.5) * 1e3:,.1f}", f"{made.quantile(0.99) * 1e3:,.0f}"]
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def _figures(made: Measured) -> dict[str, float]:
    return {
        f"{made.name}_entries_per_s": round(made.rate),
        f"{made.name}_of_limit": round(made.rate / made.limit, 3),
        f"{made.name}_writes": round(made.requests, 3),
        f"{made.name}_p99_ms": round(made.quantile(0.99) * 1e3, 1),
    }


if __name__ == "__main__":
    raise SystemExit(main())
