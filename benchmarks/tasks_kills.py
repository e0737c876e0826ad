"""Whether a task is lost or doubled when its processes are killed: see `benchmarks.tasks`.

The tree is the real one, and its own supervisor starts again what was killed; only its pauses between
repeated deaths of one process are left out, with which a thousand kills would take a day. A process is killed
a random moment after it is ready: it has its store open, or answers.

Each entry has a number, which its task writes into a file and sends to an HTTP server. *Lost* are numbers
whose task is not there, has not succeeded, or whose effect is missing at a target. *Doubled* are numbers with
two tasks, two lines in the file, or that came to the server under two keys; the same key again is what the
key is for, and is told as `repeated`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.tasks_tree import Running, Target, running
from sentinel.core.states import State
from sentinel.core.tasks import LEASE_OVER, Task, verify_lineage
from sentinel.local import valkey

RECIPE = """
id: recipe
on: {{rule: boom}}
retry: {{attempts: 100, backoff: 10ms..200ms}}
steps:
  - {{id: write, uses: siem.send, with: {{to: [file]}}}}
  - {{id: call, uses: http.call, with: {{url: "{url}", body: {{n: "${{entry.n}}"}}}}}}
"""
SINKS = "sinks: {file: {kind: file, path: lines.ndjson}}"
VICTIMS = ("feeds", "work_siem", "work_action", "valkey")
SETTLE_SECONDS = 60.0
ALIVE_SECONDS = 2.0  # at most, before a process that is ready may be killed; the sweep runs each second
LOAD = 40  # entries at most before a kill
BACKLOG = 400  # tasks that have not succeeded, above which none are added before a kill
SLOW = 0.1  # seconds that the HTTP server takes at most, so that many die while they wait for it
WAITING = frozenset({State.WAITING, State.PROPOSED, State.AWAITING_APPROVAL, State.AMBIGUOUS})


@dataclass
class Killer:
    """Kills processes of a tree, each some moments after it was ready."""

    run: Running
    rng: random.Random
    killed: Counter[str] = field(default_factory=Counter)
    _ready: dict[int, float] = field(default_factory=dict)

    def kill(self) -> None:
        """Kill one that is ready for long enough; wait until there is one."""
        alive = self.rng.uniform(0, ALIVE_SECONDS)
        while not (found := list(self._ready_ones(alive))):
            time.sleep(0.01)
        name, pid = self.rng.choice(found)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.killed[name] += 1
            self._ready.pop(pid, None)

    def _ready_ones(self, seconds: float) -> Iterable[tuple[str, int]]:
        now = time.monotonic()
        for child in self.run.tree._children:
            process = child.process
            if child.name not in VICTIMS or process is None or process.poll() is not None:
                continue
            if self._is_ready(child.name, process.pid):
                since = self._ready.setdefault(process.pid, now)
                if now - since >= seconds:
                    yield child.name, process.pid

    def _is_ready(self, name: str, pid: int) -> bool:
        if name == "valkey":
            return valkey.answers(valkey.socket_path(self.run.tree.home))
        return pid in self._ready or has_open(pid, "tasks.db")


def has_open(pid: int, name: str) -> bool:
    """Whether a process has a file of this name open."""
    try:
        return any(each.readlink().name == name for each in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def kills(home: Path, count: int, seed: int) -> dict[str, float]:
    """Kill `count` processes under load, let what is left settle, and return what became of the tasks."""
    rng = random.Random(seed)
    target = Target(SLOW)
    began = time.monotonic()
    with running(home, RECIPE.format(url=target.url), SINKS, pauses=(0.0,)) as run:
        run.post(1)
        run.wait(1, 60)
        killer = Killer(run, rng)
        while killer.killed.total() < count:
            if len(run.places) - run.states().get("succeeded", 0) < BACKLOG:
                run.post(rng.randint(1, LOAD))
            time.sleep(rng.uniform(0, 0.12))
            killer.kill()
            if killer.killed.total() % 100 == 0:
                print(f"{killer.killed.total()} killed: {run.states()}", file=sys.stderr, flush=True)
        faults = time.monotonic()
        settled_after = settle(run)
        tasks = run.app.tasks.listing(limit=10 * len(run.places))
        lineages = {task.id: [event.body for event in run.app.tasks.lineage(task.id)] for task in tasks}
        for task in tasks:
            verify_lineage(task.id, run.app.tasks.lineage(task.id), task.head)
        lines = numbers_of(home / "files" / "lines.ndjson")
    target.close()
    keys = {number: [key for key, _ in came] for number, came in target.arrived.items()}
    print(f"killed: {dict(killer.killed)} in {faults - began:.0f} s; {len(tasks)} tasks: {run_states(tasks)}")
    return {
        "kills": killer.killed.total(),
        "kills_per_minute": 60 * count / (faults - began),
        "tasks": len(tasks),
        "leases_lost": sum(
            event.get("reason") == LEASE_OVER for events in lineages.values() for event in events
        ),
        "hinted_again": sum(
            (event.get("from"), event["event"]) == ("queued", "queued")
            for events in lineages.values()
            for event in events
        ),
        **judged(run.places, tasks, lines, keys),
        "settled_percent": 100 * settled(tasks),
        "settled_seconds": settled_after,
    }


def settle(run: Running) -> float:
    """Wait until all tasks have succeeded, a minute at most; return the seconds."""
    began = time.monotonic()
    while (took := time.monotonic() - began) < SETTLE_SECONDS:
        if run.states() == {"succeeded": len(run.places)}:
            break
        time.sleep(0.1)
    return took


def settled(tasks: Sequence[Task]) -> float:
    """Return the part of the tasks that have ended or wait for a reason that they state."""
    fine = sum(task.state.ended or (task.state in WAITING and bool(task.reason)) for task in tasks)
    return fine / len(tasks)


def numbers_of(path: Path) -> Counter[int]:
    """Return how often each number is in the file."""
    return Counter(json.loads(line)["entry"]["n"] for line in path.read_bytes().splitlines())


def run_states(tasks: Iterable[Task]) -> dict[str, int]:
    """Count tasks by state."""
    return dict(Counter(task.state.value for task in tasks))


def judged(
    places: Mapping[tuple[str, int], int],
    tasks: Iterable[Task],
    lines: Mapping[int, int],
    keys: Mapping[int, Sequence[str]],
) -> dict[str, float]:
    """Return how many numbers were lost or doubled, and how often a key came again.

    `places` are the numbers of the entries by their place, `lines` how often each is in the file, `keys`
    those under which each came to the server.
    """
    made: Counter[int] = Counter()
    succeeded: Counter[int] = Counter()
    for task in tasks:
        entries: Any = task.cause["entries"]
        for entry in entries:
            number = places.get((entry["chain"], entry["seq"]), -1)
            made[number] += 1
            succeeded[number] += task.state is State.SUCCEEDED
    numbers = set(places.values())
    lost = {n for n in numbers if not (succeeded[n] and lines.get(n) and keys.get(n))}
    doubled = {
        n
        for n in numbers | set(made) | set(lines) | set(keys)
        if n not in numbers or made[n] > 1 or lines.get(n, 0) > 1 or len(set(keys.get(n, ()))) > 1
    }
    repeated = sum(len(came) - len(set(came)) for came in keys.values())
    return {"lost": len(lost), "doubled": len(doubled), "repeated": repeated}
