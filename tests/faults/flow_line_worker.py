"""A worker of tasks with places and approvals that dies between two lines: see `tests.faults.line_worker`.

    python -m tests.faults.flow_line_worker HOME REDIS_URL

It gets two tasks that want one place: the first is turned away by its target and keeps the place, the second
is held, the first goes on, asks people and hands its place on; somebody approves it, and it waits for its
place until the second one asks people, too.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sentinel import actions
from sentinel.actions.approval import Approval
from sentinel.adapters.append_files import AppendFiles
from sentinel.adapters.hosts import Hosts
from sentinel.adapters.http import HttpClient
from sentinel.adapters.redis_streams import RedisQueue, connect
from sentinel.adapters.secrets_file import FileSecrets
from sentinel.adapters.sqlite_catalog import SqliteCatalog
from sentinel.adapters.sqlite_counters import SqliteCounters
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.adapters.sqlite_tasks import SqliteTasks
from sentinel.core.approvals import Verdict
from sentinel.core.states import State
from sentinel.core.tasks import SECOND
from sentinel.siem import load
from sentinel.usecases import approve, asking, flow, places, transition
from sentinel.usecases.approve import Approving, Decision
from sentinel.usecases.execute import Executor
from sentinel.usecases.flow import Flow
from sentinel.usecases.pauses import Pauses
from sentinel.usecases.playbook import Playbook
from sentinel.usecases.run import drain
from tests.approvals import ALICE, approver
from tests.faults.line_worker import Passed, Point, main

TRACED: Mapping[str | None, str] = {
    module.__file__: module.__name__ for module in (approve, asking, flow, places, transition)
}
STREAM = "action"


def nonce() -> bytes:
    """Return 32 random bytes."""
    return os.urandom(32)


@dataclass(frozen=True)
class Parts:
    """What one worker and one approver have."""

    tasks: SqliteTasks
    executor: Executor
    gates: Flow
    counters: SqliteCounters
    approving: Approving
    http: HttpClient

    def approve(self, task_id: str) -> None:
        """Say yes to what a task asks."""
        seen = str(self.approving.look(task_id)["digest"])
        self.approving.decide(task_id, Decision(approver(ALICE), Verdict.APPROVE, seen))


def parts(home: Path, url: str, worker: str, clock: Callable[[], int]) -> Parts:
    """Return what a process of its own has, with the real actions and gates."""
    http = HttpClient(Hosts(["127.0.0.1"], private=True))
    sinks = load("sinks", b"sinks: {events: {kind: file, path: events.jsonl}}")
    secrets = FileSecrets(home / "secrets")
    made = actions.build(http, AppendFiles(home / "out"), secrets, lambda: sinks, clock=clock)
    made = {**made, "approval": Approval()}
    tasks, ledger = SqliteTasks(home / "tasks"), SqliteLedger(home / "ledger")
    counters, playbook = SqliteCounters(home / "counters"), Playbook(SqliteCatalog(home / "catalog"), clock)
    gates = flow.gates(counters, tasks, Pauses(counters, clock), playbook.recipe, clock, nonce)
    queue = RedisQueue(connect(url))
    executor = Executor(
        worker=worker,
        stream=STREAM,
        tasks=tasks,
        ledger=ledger,
        queue=queue,
        playbook=playbook,
        actions=made,
        clock=clock,
        nonce=nonce,
        rng=random.Random(1).random,
        gates=gates,
    )
    approving = Approving(tasks, ledger, playbook, made, clock, nonce, queue, gates=gates)
    return Parts(tasks, executor, gates, counters, approving, http)


def work(home: Path, url: str, pair: list[str], point: Point | None) -> list[Point]:
    """Run two tasks as the module says."""
    passed = Passed(point, TRACED)
    made = parts(home, url, f"w-{os.getpid()}", time.time_ns)
    first, second = pair

    def run(*ids: str) -> None:
        made.executor.queue.add(STREAM, ids)
        drain(made.executor, time.time_ns() + 100 * SECOND)

    sys.settrace(passed.trace)
    try:
        run(*pair)
        time.sleep(0.002)
        run(*pair)
        made.approve(first)
        run(first)
        time.sleep(0.002)
        run(second)
        run(first)
    finally:
        sys.settrace(None)
    if point is None:
        stored = made.tasks.get(first)
        assert stored is not None
        assert stored.state is State.SUCCEEDED, stored
    return passed.points


if __name__ == "__main__":
    main(work)
