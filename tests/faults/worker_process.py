"""Workers to be killed: a process that has everything imported and forks a worker for each line it reads.

    python -m tests.faults.worker_process HOME REDIS_URL TARGET_FILE

It answers each line with the process id of a new worker, which drains the stream that the line names until
it is killed. Forking makes a worker start within milliseconds, so that many can be killed in little time.
"""

from __future__ import annotations

import fcntl
import os
import random
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sentinel.adapters.redis_streams import RedisQueue, connect
from sentinel.adapters.sqlite_catalog import SqliteCatalog
from sentinel.adapters.sqlite_counters import SqliteCounters
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.adapters.sqlite_tasks import SqliteTasks
from sentinel.core.step_inputs import Form
from sentinel.core.steps import Done, Outcome, StepRun
from sentinel.core.tasks import SECOND
from sentinel.errors import Unavailable
from sentinel.usecases.execute import Executor
from sentinel.usecases.flow import Flow, gates
from sentinel.usecases.pauses import Pauses
from sentinel.usecases.playbook import Playbook
from sentinel.usecases.run import drain

LEASE = SECOND * 3 // 2
GRACE = SECOND // 2


class Note:
    """Appends a line with its effect key to a file, unless the file has it: a target that knows its keys."""

    def __init__(self, name: str, stream: str, path: Path) -> None:
        self.name = name
        self.stream = stream
        self._path = path
        self.forms: Mapping[str, Form] = {}

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Take any inputs."""

    def plan(self, run: StepRun) -> Mapping[str, object]:
        """Tell the key."""
        return {"key": run.key}

    def perform(self, run: StepRun) -> Outcome:
        time.sleep(0.005)
        with self._path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            known = run.key.encode() in file.read()
            if not known:
                file.write(run.key.encode() + b"\n")
        time.sleep(0.005)
        return Done({"known": known, "entries": len(run.entries)})


def actions(target: Path) -> dict[str, Note]:
    """Return the actions of this test by name."""
    found = [Note("note.siem", "siem", target), Note("note.action", "action", target)]
    return {action.name: action for action in found}


def gates_of(counters: SqliteCounters, tasks: SqliteTasks, playbook: Playbook) -> Flow:
    """Return the gates of one process."""
    pauses = Pauses(counters, time.time_ns)
    return gates(counters, tasks, pauses, playbook.recipe, time.time_ns, lambda: os.urandom(32))


def work(home: Path, url: str, target: Path, stream: str) -> None:
    """Drain a stream for ever. What is not available now is tried again."""
    rng = random.Random(os.getpid())
    tasks, counters = SqliteTasks(home / "tasks"), SqliteCounters(home / "counters")
    playbook = Playbook(SqliteCatalog(home / "catalog"), time.time_ns)
    executor = Executor(
        worker=f"{stream}-{os.getpid()}",
        stream=stream,
        tasks=tasks,
        ledger=SqliteLedger(home / "ledger"),
        queue=RedisQueue(connect(url)),
        playbook=playbook,
        actions=actions(target),
        clock=time.time_ns,
        nonce=lambda: os.urandom(32),
        rng=rng.random,
        lease=LEASE,
        grace=GRACE,
        gates=gates_of(counters, tasks, playbook),
    )
    while True:
        try:
            drain(executor, time.time_ns() + 60 * SECOND, block_ms=200)
        except Unavailable:
            time.sleep(0.02)


def main() -> None:
    """Fork a worker for each line of standard input; see the module."""
    # Imports what the workers would import one by one: they are to be killed at work, not at start.
    connect(sys.argv[2]).close()
    home, url, target = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the killed are reaped by the kernel
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            work(home, url, target, line.strip())
            os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
