"""A worker is killed with -9 between any two lines of its code; no effect is lost, doubled or untold.

The recipe has three steps: one whose target can be asked, a file, and two whose target cannot, an HTTP server
on this machine, the first of them at most once. At each line that a whole run passes a worker of its own is
killed with a task of its own. Another worker then finishes the task, an hour later by its clock.

Death leaves what the worker did outside itself, so two lines with nothing done in between leave the same. The
lines of `WRITERS`, in which things are done, are died at each time that they are passed, and the others the
first time; of these places at every second. With `SENTINEL_THOROUGH` in the environment all are died at each
time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sentinel.actions import http_call
from sentinel.adapters import append_files, sqlite_tasks
from sentinel.adapters.lambda_doorbell import NoDoorbell
from sentinel.adapters.redis_streams import RedisQueue, connect
from sentinel.adapters.sqlite_catalog import SqliteCatalog
from sentinel.adapters.sqlite_counters import SqliteCounters
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.adapters.sqlite_tasks import SqliteTasks
from sentinel.core.states import NEVER, State
from sentinel.core.tasks import LEASE_OVER, SECOND, Task, effect_key, verify_lineage
from sentinel.usecases.control import Control
from sentinel.usecases.detect import Detector
from sentinel.usecases.playbook import Playbook
from sentinel.usecases.run import drain
from sentinel.usecases.sweep import sweep
from tests.chains import grow
from tests.faults.line_worker import Point, executors
from tests.replays import reenact_all
from tests.sampling import taken, thorough
from tests.scenario import rule
from tests.valkey import running

WRITERS = {module.__name__ for module in (append_files, http_call, sqlite_tasks)}
RECIPE = """
id: r
on: {{rule: errors}}
retry: {{attempts: 5, backoff: 1ms..1ms}}
steps:
  - {{id: file, uses: siem.send, effect: at-most-once, with: {{to: [events]}}}}
  - {{id: once, uses: http.call, effect: at-most-once, with: {{url: "{url}/once"}}}}
  - {{id: often, uses: http.call, with: {{url: "{url}/often"}}}}
"""


class Target(ThreadingHTTPServer):
    """Counts requests by path and idempotency key; the first of each key at `/busy` is turned away."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.arrived: Counter[tuple[str, str]] = Counter()
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Target)
        self.rfile.read(int(self.headers["Content-Length"]))
        with server.lock:
            at = self.path, self.headers["Idempotency-Key"].strip('"')
            server.arrived[at] += 1
            busy = self.path == "/busy" and server.arrived[at] == 1
        self.send_response(503 if busy else 204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@contextmanager
def driver_of(module: str, home: Path, url: str) -> Iterator[subprocess.Popen[str]]:
    """Run the process that forks workers."""
    with subprocess.Popen(
        [sys.executable, "-m", module, str(home), url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        cwd=Path(__file__).resolve().parents[2],
    ) as driver:
        yield driver
        assert driver.stdin is not None
        driver.stdin.close()
        driver.wait(60)


def run(driver: subprocess.Popen[str], about: object, point: Point | None) -> tuple[bool, list[Point]]:
    """Let a worker run up to a point, or all; return whether it was killed, and what it passed."""
    assert driver.stdin is not None
    assert driver.stdout is not None
    driver.stdin.write(json.dumps([about, point]) + "\n")
    driver.stdin.flush()
    killed, points = json.loads(driver.stdout.readline())
    return killed, [(module, line, count) for module, line, count in points]


class Made:
    """The stores, with as many tasks as there are to be runs."""

    def __init__(self, home: Path, target: str, url: str) -> None:
        self._later = 0
        self._finishers = executors(home, url, "finisher", self._clock)
        self._queue = RedisQueue(connect(url))
        self._counters = SqliteCounters(home / "counters")
        self.tasks = SqliteTasks(home / "tasks")
        self._ledger = SqliteLedger(home / "ledger")
        catalog = SqliteCatalog(home / "catalog")
        catalog.push("rule", "errors", rule("errors", "boom"))
        catalog.push("recipe", "r", RECIPE.format(url=target).encode())
        self._playbook = Playbook(catalog, time.time_ns)
        self._steps = self._playbook.recipe("r", 1).steps
        self._chains = 0

    def create(self, count: int) -> list[str]:
        """Store entries that each set off a task; return the tasks' ids."""
        self._chains += 1
        detector = Detector(
            *(self._playbook, self.tasks, self._counters, self._finishers["siem"].actions),
            *(time.time_ns, lambda: os.urandom(32)),
        )
        found: list[str] = []
        for segment in grow(f"s{self._chains}/0", [[b'{"message": "boom"}'] * count], t=time.time_ns()):
            self._ledger.append(segment)
            found += detector.detect([segment]).tasks
        return found

    def keys(self, task: Task) -> dict[str, str]:
        """Return the effect keys of a task by step."""
        return {step.id: effect_key(task.id, task.recipe_digest, step.id, step.with_) for step in self._steps}

    def _clock(self) -> int:
        return time.time_ns() + self._later

    def finish(self) -> None:
        """Let other workers finish everything, an hour later, until what is left is a person's."""
        self._later += 3600 * SECOND
        while any(task.due < NEVER for task in self.tasks.due(NEVER, 10_000)):
            sweep(self.tasks, self._queue, NoDoorbell(), self._clock, lambda: os.urandom(32), 10_000)
            for executor in self._finishers.values():
                drain(executor, self._clock() + 1000 * SECOND)
            self._later += 3600 * SECOND

    def replay(self, count: int) -> None:
        """Re-enact all tasks: each death left records of which the same code makes the same."""
        actions = self._finishers["siem"].actions
        assert reenact_all(self.tasks, self._ledger, actions, self._playbook.recipe) == count

    def close(self) -> None:
        """Close connections."""
        for executor in self._finishers.values():
            executor.actions["http.call"]._http.close()  # type: ignore[attr-defined]


def _to_die_at(points: list[Point]) -> list[Point]:
    """Return where to die: see the module. What was done last is followed by the last line."""
    if thorough():
        return points
    some = [each for each in points if each[2] == 1 or each[0] in WRITERS]
    return [*taken(some, 2), points[-1]]


def batch_key(made: Made, task: Task) -> str:
    """Return the key of a task's one batch, which stands in its lines of the file."""
    key = made.keys(task)["file"]
    entries: Any = task.cause["entries"]
    (place,) = entries
    event = sha256(f"{key}\n{place['chain']}\n{place['seq']}".encode()).hexdigest()
    return sha256(f"{key}\n{event}".encode()).hexdigest()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_worker_may_die_between_any_two_lines(tmp_path: Path) -> None:
    """Each effect arrives once, or its task says that it may not have; at least once where that is chosen."""
    home = tmp_path / "home"
    (home / "secrets").mkdir(parents=True)
    (tmp_path / "valkey").mkdir()
    target = Target()
    with (
        running(tmp_path / "valkey") as server,
        driver_of("tests.faults.line_worker", home, server.url) as driver,
    ):
        client = connect(server.url)
        made = Made(home, f"http://127.0.0.1:{target.server_port}", server.url)
        (whole,) = made.create(1)
        killed, points = run(driver, whole, None)
        assert not killed
        points = _to_die_at(points)
        assert len(points) > 250
        killed_at = dict(zip(made.create(len(points)), points, strict=True))
        for task_id, point in killed_at.items():
            client.flushall()  # the hints of the dead are lost, too
            assert run(driver, task_id, point)[0], f"not killed at {point}"
        client.flushall()
        made.finish()
        lost = _check(made, target, home, killed_at)
        assert lost > len(points) // 2
        _resolve(made, target)
        made.replay(len(points) + 1)
        made.close()
        client.close()
    target.shutdown()
    target.server_close()


def _check(made: Made, target: Target, home: Path, killed_at: dict[str, Point]) -> int:
    """Compare what the tasks say with what arrived; return how many leases were lost."""
    written = (home / "out" / "events.jsonl").read_text().splitlines()
    lines = Counter(json.loads(line)["key"] for line in written)
    found: Counter[tuple[str, int]] = Counter()
    lost = 0
    for task in made.tasks.listing(limit=10_000):
        at = killed_at.get(task.id)
        events = made.tasks.lineage(task.id)
        assert verify_lineage(task.id, events, task.head) == task.version
        lost += sum(event.body.get("reason") == LEASE_OVER for event in events)
        keys = made.keys(task)
        once = target.arrived["/once", keys["once"]]
        found[task.state.value, once] += 1
        assert lines.pop(batch_key(made, task)) == 1, at
        if task.state is State.AMBIGUOUS:
            assert (task.step, target.arrived["/often", keys["often"]]) == (1, 0), at
            assert once <= 1, at
            continue
        assert (task.state, once) == (State.SUCCEEDED, 1), at
        assert target.arrived["/often", keys["often"]] in {1, 2}, at
    assert not lines
    # Both kinds of not knowing were met: the effect had happened, and it had not.
    assert set(found) == {("succeeded", 1), ("ambiguous", 0), ("ambiguous", 1)}
    assert found["ambiguous", 0] + found["ambiguous", 1] < len(killed_at) // 5
    assert sum(count == 2 for (path, _), count in target.arrived.items() if path == "/often") > 0
    return lost


def _resolve(made: Made, target: Target) -> None:
    """Tell what happened at the target, as a person who looks there would; then all is done once."""
    control = Control(made.tasks, time.time_ns, lambda: os.urandom(32))
    for task in made.tasks.listing(State.AMBIGUOUS, 10_000):
        there = target.arrived["/once", made.keys(task)["once"]]
        control.resolve(task.id, "happened" if there else "again", "ann", "looked at the target")
    made.finish()
    for task in made.tasks.listing(limit=10_000):
        assert task.state is State.SUCCEEDED
        assert target.arrived["/once", made.keys(task)["once"]] == 1
