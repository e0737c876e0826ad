"""Programs that the tests of SQLite run as processes of their own."""

from __future__ import annotations

import sys

from sentinel.adapters.sqlite_counters import SqliteCounters
from sentinel.adapters.sqlite_tasks import SqliteTasks
from sentinel.core.tasks import State
from sentinel.errors import Conflict

from tests.contracts.made_tasks import created, step


def count(path: str, times: int) -> None:
    """Add one to the counter `n`, `times` times, trying again whenever another was faster."""
    counters = SqliteCounters(path)
    for _ in range(times):
        done = False
        while not done:
            state, version = counters.load("n")
            done = counters.store("n", b"%d" % (int(state or b"0") + 1), version, 2_000_000_000)


def contend(path: str, name: str, rounds: int) -> None:
    """Create the tasks t0, t1, ... and take each; print the ids of those that this worker took."""
    tasks = SqliteTasks(path)
    for number in range(rounds):
        task, event = created(f"t{number}", by=name)
        tasks.create(task, event)
        found = tasks.get(task.id)
        assert found is not None
        try:
            tasks.move(found, *step(found, State.RUNNING, by=name, worker=name))
        except Conflict:
            continue
        print(task.id)


def go_on(path: str) -> None:
    """Create tasks and run each to its end, until killed; print every version that was acknowledged."""
    tasks = SqliteTasks(path)
    number = 0
    while True:
        task, event = created(f"t{number}")
        tasks.create(task, event)
        print(task.id, task.version, flush=True)
        for to in (State.RUNNING, State.SUCCEEDED):
            after, event = step(task, to)
            tasks.move(task, after, event)
            task = after
            print(task.id, task.version, flush=True)
        number += 1


if __name__ == "__main__":
    program, path, *rest = sys.argv[1:]
    print("ready", flush=True)
    sys.stdin.readline()
    if program == "count":
        count(path, int(rest[0]))
    elif program == "contend":
        contend(path, rest[0], int(rest[1]))
    else:
        go_on(path)
