"""Speed and delay of tasks through one running tree: see `benchmarks.tasks`."""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.tasks_tree import Target, running

NO_OP = "id: recipe\non: {rule: boom}\nsteps: [{id: nothing, uses: wait, with: {for: 0s}}]\n"
CALL = """
id: recipe
on: {{rule: boom}}
steps: [{{id: call, uses: http.call, with: {{url: "{url}", body: {{n: "${{entry.n}}"}}}}}}]
"""
BATCH = 100
ROUNDS = 3


def speed(home: Path, tasks: int) -> dict[str, float]:
    """Return the tasks a second, as the median and the worst of the rounds."""
    rates = []
    with running(home, NO_OP) as run:
        run.post(BATCH)
        run.wait(BATCH, 60)
        done = BATCH
        for _ in range(ROUNDS):
            began = time.time_ns()
            for at in range(0, tasks, BATCH):
                run.post(min(BATCH, tasks - at))
            done += tasks
            run.wait(done, 60 + tasks / 20)
            rates.append(tasks / ((run.last_change() - began) / 1e9))
    return {
        "sync_ms": sync_ms(home),
        "tasks_per_second": statistics.median(rates),
        "tasks_per_second_worst": min(rates),
        "load": os.getloadavg()[0],
    }


def sync_ms(folder: Path) -> float:
    """Return the median of what one write of a page with its sync takes, in milliseconds."""
    took = []
    with (folder / "sync").open("wb", buffering=0) as file:
        for _ in range(100):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000


def delay(home: Path, samples: int, seed: int) -> dict[str, float]:
    """Return how long after its receipt a task starts, and its request arrives, in milliseconds."""
    rng = random.Random(seed)
    target = Target()
    with running(home, CALL.format(url=target.url)) as run:
        receipts = [run.post(1)]
        run.wait(1, 60)  # the first one waits until rules and actions are read
        for _ in range(samples):
            time.sleep(rng.uniform(0.05, 0.25))
            receipts.append(run.post(1))
        run.wait(samples + 1, 60)
        started = {}
        for task in run.app.tasks.listing(limit=samples + 1):
            events = run.app.tasks.lineage(task.id)
            entries = task.cause["entries"]
            assert isinstance(entries, list)
            number = run.places[entries[0]["chain"], entries[0]["seq"]]
            started[number] = next(event.t for event in events if event.body["event"] == "running")
    target.close()
    arrived = {number: came[0][1] for number, came in target.arrived.items()}
    found = {"first_arrived_ms": (arrived[0] - receipts[0]) / 1e6}
    for name, times in (("started", started), ("arrived", arrived)):
        waits = [(times[number] - receipts[number]) / 1e6 for number in range(1, samples + 1)]
        found |= {f"{name}_p50_ms": percentile(waits, 50), f"{name}_p99_ms": percentile(waits, 99)}
    return found


def percentile(values: Sequence[float], part: int) -> float:
    """Return the smallest value that `part` per cent of all are not above.

    >>> percentile([3, 1, 2], 50), percentile(range(1, 201), 99)
    (2, 198)
    """
    return sorted(values)[-(-len(values) * part // 100) - 1]
