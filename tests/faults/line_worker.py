"""A worker that dies between two lines of its code, at the very line it is told.

    python -m tests.faults.line_worker HOME REDIS_URL

It has everything imported. For each line of standard input, a task's id and the line to die before, it forks
a worker that runs the task and kills itself with SIGKILL there. It answers whether the worker was killed and,
where there was no line to die before, with all the lines that it passed, in order. What is counted are line
events of the interpreter in the worker's own thread, in the files of `TRACED`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from sentinel import actions
from sentinel.adapters import append_files, sqlite_tasks, task_json
from sentinel.adapters.append_files import AppendFiles
from sentinel.adapters.hosts import Hosts
from sentinel.adapters.http import HttpClient
from sentinel.adapters.redis_streams import RedisQueue, connect
from sentinel.adapters.secrets_file import FileSecrets
from sentinel.adapters.sqlite_catalog import SqliteCatalog
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.adapters.sqlite_tasks import SqliteTasks
from sentinel.core import tasks as core_tasks
from sentinel.core.steps import Action
from sentinel.core.tasks import SECOND
from sentinel.siem import load
from sentinel.usecases import execute, heartbeat, lease, run, transition
from sentinel.usecases.execute import Executor
from sentinel.usecases.playbook import Playbook
from sentinel.usecases.run import drain

STREAMS = ("siem", "action")
TRACED: dict[str | None, str] = {
    module.__file__: module.__name__
    for module in (
        *(run, execute, lease, heartbeat, transition, core_tasks),
        *(sqlite_tasks, task_json, append_files, actions.siem_send, actions.http_call),
    )
}
Point = tuple[str, int, int]  # module, line, and the how manieth time it is reached


class Passed:
    """Counts the lines that are passed, and calls `at` when it comes to one."""

    def __init__(self, point: Point | None, traced: Mapping[str | None, str] = TRACED) -> None:
        self.points: list[Point] = []
        self._traced = traced
        self._counts: Counter[tuple[str, int]] = Counter()
        self._point = point

    def trace(self, frame: FrameType, event: str, _: object) -> Any:
        """Be the trace function of frames; those of other files are not traced."""
        module = self._traced.get(frame.f_code.co_filename)
        if module is None:
            return None
        if event == "line":
            self._counts[module, frame.f_lineno] += 1
            at = (module, frame.f_lineno, self._counts[module, frame.f_lineno])
            if at == self._point:
                os.kill(os.getpid(), signal.SIGKILL)
            if self._point is None:
                self.points.append(at)
        return self.trace


def executors(home: Path, url: str, worker: str, clock: Callable[[], int]) -> dict[str, Executor]:
    """Return the executor of each stream, with the real actions."""
    sinks = load("sinks", b"sinks: {events: {kind: file, path: events.jsonl}}")
    http = HttpClient(Hosts(["127.0.0.1"], private=True))
    made: dict[str, Action] = actions.build(
        http, AppendFiles(home / "out"), FileSecrets(home / "secrets"), lambda: sinks, clock=clock
    )
    tasks, ledger, catalog = (
        SqliteTasks(home / "tasks"),
        SqliteLedger(home / "ledger"),
        SqliteCatalog(home / "catalog"),
    )
    return {
        stream: Executor(
            worker=worker,
            stream=stream,
            tasks=tasks,
            ledger=ledger,
            queue=RedisQueue(connect(url)),
            playbook=Playbook(catalog, clock),
            actions=made,
            clock=clock,
            nonce=lambda: os.urandom(32),
            rng=random.Random(1).random,
        )
        for stream in STREAMS
    }


def work(home: Path, url: str, task_id: str, point: Point | None) -> list[Point]:
    """Run one task as the workers of both streams do, one after the other."""
    passed = Passed(point)
    made = executors(home, url, f"w-{os.getpid()}", time.time_ns)
    for stream in STREAMS:
        made[stream].queue.add(stream, [task_id])
        sys.settrace(passed.trace)
        try:
            drain(made[stream], time.time_ns() + 100 * SECOND)
        finally:
            sys.settrace(None)
    return passed.points


def main(work: Callable[[Path, str, Any, Point | None], list[Point]] = work) -> None:
    """Fork a worker for each line of standard input; see the module."""
    connect(sys.argv[2]).close()
    home, url = Path(sys.argv[1]), sys.argv[2]
    for line in sys.stdin:
        task_id, point = json.loads(line)
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            points = work(home, url, task_id, (point[0], point[1], point[2]) if point else None)
            with os.fdopen(write, "w") as pipe:
                json.dump(points, pipe)
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as pipe:
            told = pipe.read()
        _, status = os.waitpid(pid, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print(json.dumps([killed, json.loads(told or "[]")]), flush=True)


if __name__ == "__main__":
    main()
