"""Tasks: how many a second, how soon, whether any is lost or doubled by kills, and what they cost.

**Speed** (`tasks_speed`). A tree of `sentinel up --insecure` on this repository's disk. Entries are posted
over HTTP, each sets off one task of a recipe with one step, and a task counts when it has succeeded: rule,
task, change feed, Valkey, worker, lease, intent, result, end. Everything is as durable as it is shipped
(SQLite in WAL mode, synchronous FULL; Valkey's append-only file). The step is `wait: {for: 0s}`, which does
nothing outside; but nothing of what surrounds a step is left out for it. `sync_ms` is what one sync of this
disk takes.

**Delay**. One entry at a time, with random pauses. From the receipt, at its client, to the task's event
`running`, and to the arrival of the step's request at an HTTP server on this machine.

**Kills** (`tasks_kills`). The same tree under load, in which a worker, the feeds' process (detection,
dispatch and sweep) or Valkey is killed with -9 at random moments, a thousand times. What arrived at the two
targets, a file and an HTTP server, is counted. Then nothing is killed any more, and after 60 s every task has
to have ended or to wait for a reason that it states.

**Cost** (`tasks_cost`). The requests of one task to DynamoDB, counted as botocore sends them, against moto.

    python -m benchmarks.tasks [--json] [--only speed,delay,kills,cost] [--tasks N] [--kills N] [--seed N]
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import tasks_cost, tasks_kills, tasks_speed
from benchmarks.report import Targets, report

ROOT = Path(__file__).resolve().parents[1]
TARGETS: dict[str, dict[str, float]] = {
    "tasks_per_second": {"at_least": 300},
    "started_p99_ms": {"at_most": 150},
    "arrived_p99_ms": {"at_most": 150},
    "lost": {"at_most": 0},
    "doubled": {"at_most": 0},
    "settled_percent": {"at_least": 100},
    "write_requests": {"at_most": 8},
}
PARTS = ("speed", "delay", "kills", "cost")


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.tasks", description="Tasks: speed, kills and cost.")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, last")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, comma separated")
    parser.add_argument("--tasks", type=int, default=6000, help="tasks of a round of speed")
    parser.add_argument("--samples", type=int, default=250, help="samples of the delay")
    parser.add_argument("--kills", type=int, default=1000, help="how many processes are killed")
    parser.add_argument("--seed", type=int, default=4, help="seed of all that is random")
    return parser.parse_args(arguments)


def measured(folder: Path, asked: argparse.Namespace) -> dict[str, float]:
    """Run the parts that are asked for in a folder."""
    parts: dict[str, Callable[[], dict[str, float]]] = {
        "speed": lambda: tasks_speed.speed(folder / "speed", asked.tasks),
        "delay": lambda: tasks_speed.delay(folder / "delay", asked.samples, asked.seed),
        "kills": lambda: tasks_kills.kills(folder / "kills", asked.kills, asked.seed),
        "cost": lambda: tasks_cost.cost(folder / "cost"),
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
    return 0 if report("tasks", figures, targets_of(figures), as_json=asked.json) else 1


if __name__ == "__main__":
    raise SystemExit(main())
