"""Webhooks: whether real bodies tell their alerts, whether attacks are stopped, and how soon is answered.

**Bodies** (`webhooks_bodies`). Every file of `../shared/data/webhooks` that is a webhook is signed as its
sender would, taken in by the real receiver over SQLite, and read back from the chain. Files that are none are
printed, each with its reason.

**Attacks** (`webhooks_attacks`, `webhooks_ways`, `webhooks_sns`). All sources, with every option of proof;
the table has, for each source and attack, how many tries were stopped of how many. Who shows a secret does
not cover the body: there an altered body is another message, and the table says so with `+`. A chain
remembers the messages of its last 64 segments: where no time is signed, a replay after more than that is
stored again, which is counted apart (`sources_that_forget_a_replay`).

**Answers** (`webhooks_load`). A tree of `sentinel up` on this repository's disk, with its doors, over TLS.

    python -m benchmarks.webhooks [--json] [--only bodies,attacks,answers] [--seconds S]
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import webhooks_bodies, webhooks_load, webhooks_sns
from benchmarks.report import Targets, report
from benchmarks.webhooks_attacks import ATTACKS, Tally, remembered, tallied
from benchmarks.webhooks_ways import ways
from benchmarks.webhooks_world import World
from sentinel.core.window import WINDOW

ROOT = Path(__file__).resolve().parents[1]
TARGETS: dict[str, dict[str, float]] = {
    "correct_percent": {"at_least": 100},
    "stopped_percent": {"at_least": 100},
    "answer_p99_ms": {"at_most": 100},
    "answer_failures": {"at_most": 0},
    "answered_and_not_stored": {"at_most": 0},
}
PARTS = ("bodies", "attacks", "answers")
Table = dict[str, dict[str, Tally]]


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.webhooks", description="Bodies, attacks and answers.")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, last")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, comma separated")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each round of answers")
    return parser.parse_args(arguments)


def attacks(folder: Path) -> dict[str, float]:
    """Try everything everywhere; print the table."""
    world = World(folder)
    table: Table = {}
    count = 0
    for way in ways():
        count += 1
        _add(table, way.source, tallied(world, way))
    for version in ("2", "1"):
        count += 1
        _add(table, "sns", webhooks_sns.tallied(world, version))
    show(table)
    usual = {way.source: way for way in reversed(list(ways()))}
    forgotten = [source for source, way in usual.items() if not remembered(world, way)]
    print(f"replayed after {WINDOW} further messages, stored again: {', '.join(forgotten) or 'nowhere'}")
    figures = {"sources": len(table), "ways": count, **figures_of(table)}
    return {**figures, "sources_that_forget_a_replay": len(forgotten)}


def _add(table: Table, source: str, found: dict[str, Tally]) -> None:
    row = table.setdefault(source, {name: Tally() for name in ATTACKS})
    for name, tally in found.items():
        row[name].add(tally)


def show(table: Table) -> None:
    """Print the table: stopped of tried, and with `+` other messages whose bodies nobody signs."""
    width = max(map(len, (*ATTACKS, *table))) + 2
    print("".join(name.ljust(width) for name in ("stopped of tried", *ATTACKS)))
    for source, row in table.items():
        cells = (_cell(row[name]) for name in ATTACKS)
        print("".join(text.ljust(width) for text in (source, *cells)))


def _cell(tally: Tally) -> str:
    if not tally.tries:
        return "-"
    return f"{tally.stopped} of {tally.tries - tally.other}" + (f" +{tally.other}" if tally.other else "")


def figures_of(table: Table) -> dict[str, float]:
    """Return the sums. What counts are the tries but those whose body nobody signs."""
    every = Tally()
    for row in table.values():
        for tally in row.values():
            every.add(tally)
    return {
        "tries": every.tries,
        "refused": every.refused,
        "recognised": every.recognised,
        "unsigned_bodies_altered": every.other,
        "stopped_percent": 100 * every.stopped / (every.tries - every.other),
    }


def measured(folder: Path, asked: argparse.Namespace) -> dict[str, float]:
    """Run the parts that are asked for in a folder."""
    parts: dict[str, Callable[[], dict[str, float]]] = {
        "bodies": lambda: webhooks_bodies.measured(folder / "bodies"),
        "attacks": lambda: attacks(folder / "attacks"),
        "answers": lambda: webhooks_load.measured(folder / "answers", asked.seconds),
    }
    figures: dict[str, float] = {}
    for name in asked.only.split(","):
        figures |= parts[name]()
    return figures


def targets_of(figures: dict[str, float]) -> Targets:
    """Return the targets of what was measured."""
    return {name: bounds for name, bounds in TARGETS.items() if name in figures}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return 0 when the targets are met."""
    asked = options(arguments)
    folder = Path(tempfile.mkdtemp(prefix=".bench-", dir=ROOT))
    try:
        figures = measured(folder, asked)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if report("webhooks", figures, targets_of(figures), as_json=asked.json) else 1


if __name__ == "__main__":
    raise SystemExit(main())
