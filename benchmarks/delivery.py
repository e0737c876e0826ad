"""Deliveries: how fast they are on one core, and what ten minutes of trouble lose, double or disorder.

**Trouble** (`delivery_trouble`). A sink that is down, flaps or throttles for ten simulated minutes, at an
event collector and at `_bulk`. Every sealed entry has to arrive, in the order of its chain (an item that
`_bulk` itself puts off comes before whatever is later); at Elasticsearch no entry may be there twice, at the
event collector each one that is has to be among those that the delivery counts as maybe twice; and the plan's
rate is never passed.

**Speed** (`delivery_speed`). Real log lines over HTTP to both, from a process that is pinned to one core.

    python -m benchmarks.delivery [--json] [--only trouble,speed] [--events N] [--seconds S]
"""

from __future__ import annotations

import argparse
import logging
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import delivery_speed, delivery_trouble
from benchmarks.report import Targets, report

ROOT = Path(__file__).resolve().parents[1]
TARGETS: dict[str, dict[str, float]] = {
    "lost": {"at_most": 0},
    "disorder": {"at_most": 0},
    "doubled_at_elastic": {"at_most": 0},
    "doubled_uncounted": {"at_most": 0},
    "peak_of_allowed": {"at_most": 1.001},
    "splunk_events_per_second": {"at_least": 20_000},
    "elastic_events_per_second": {"at_least": 20_000},
}
PARTS = ("trouble", "speed")


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.delivery", description="Deliveries: trouble and speed.")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, last")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, comma separated")
    parser.add_argument(
        "--events", type=int, default=100_000, help="entries that are delivered for the speed"
    )
    parser.add_argument("--seconds", type=float, default=delivery_trouble.MINUTES, help="of each trouble")
    return parser.parse_args(arguments)


def measured(folder: Path, asked: argparse.Namespace) -> dict[str, float]:
    """Run the parts that are asked for in a folder."""
    parts: dict[str, Callable[[], dict[str, float]]] = {
        "trouble": lambda: delivery_trouble.measured(folder / "trouble", asked.seconds),
        "speed": lambda: delivery_speed.measured(folder / "speed", asked.events),
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
    log = logging.getLogger("sentinel.deliveries")
    level = log.level
    log.setLevel(logging.CRITICAL)  # breakers open, as they should
    folder = Path(tempfile.mkdtemp(prefix=".bench-", dir=ROOT))
    try:
        figures = measured(folder, asked)
    finally:
        log.setLevel(level)
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if report("delivery", figures, targets_of(figures), as_json=asked.json) else 1


if __name__ == "__main__":
    raise SystemExit(main())
