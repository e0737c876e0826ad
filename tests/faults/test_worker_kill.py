"""Workers and Valkey are killed with -9 at random moments; no task is lost and none is done twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sentinel.adapters.lambda_doorbell import NoDoorbell
from sentinel.adapters.redis_streams import RedisQueue, connect
from sentinel.adapters.sqlite_catalog import SqliteCatalog
from sentinel.adapters.sqlite_counters import SqliteCounters
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.adapters.sqlite_tasks import SqliteTasks
from sentinel.core.tasks import LEASE_OVER, EffectState, State, verify_lineage
from sentinel.errors import Unavailable
from sentinel.usecases.detect import Detector
from sentinel.usecases.dispatch import Change, dispatch
from sentinel.usecases.playbook import Playbook
from sentinel.usecases.sweep import sweep
from tests.chains import grow
from tests.faults.worker_process import GRACE, actions
from tests.scenario import recipe, rule
from tests.valkey import Valkey, running

KILLS = 60
TASKS_A_KILL = 4


class Workers:
    """Two workers, siem and action, each replaced when it is killed."""

    def __init__(self, driver: subprocess.Popen[str]) -> None:
        self._driver = driver
        self._pids = {stream: self._fork(stream) for stream in ("siem", "action")}

    def kill(self, stream: str) -> None:
        """Kill -9 the worker of a stream and start another."""
        os.kill(self._pids[stream], signal.SIGKILL)
        self._pids[stream] = self._fork(stream)

    def end(self) -> None:
        for pid in self._pids.values():
            os.kill(pid, signal.SIGKILL)

    def _fork(self, stream: str) -> int:
        assert self._driver.stdin is not None
        assert self._driver.stdout is not None
        self._driver.stdin.write(stream + "\n")
        self._driver.stdin.flush()
        return int(self._driver.stdout.readline())


@contextmanager
def _workers(home: Path, url: str, target: Path) -> Iterator[Workers]:
    command = [sys.executable, "-m", "tests.faults.worker_process", str(home), url, str(target)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        cwd=Path(__file__).resolve().parents[2],
    ) as driver:
        workers = Workers(driver)
        try:
            yield workers
        finally:
            workers.end()
            assert driver.stdin is not None
            driver.stdin.close()
            driver.wait(60)


class Middle:
    """Detection, dispatch and sweep, which live on: the workers and Valkey are what dies here."""

    def __init__(self, home: Path, url: str, target: Path) -> None:
        self.tasks = SqliteTasks(home / "tasks")
        self.ledger = SqliteLedger(home / "ledger")
        catalog = SqliteCatalog(home / "catalog")
        catalog.push("rule", "errors", rule("errors", "boom"))
        catalog.push(
            "recipe", "r", recipe("r", "errors", "note.siem", "note.siem", "note.action", attempts=100)
        )
        self._queue = RedisQueue(connect(url))
        self._detector = Detector(
            Playbook(catalog, time.time_ns),
            self.tasks,
            SqliteCounters(home / "counters"),
            actions(target),
            time.time_ns,
            self._nonce,
            GRACE,
        )
        self._cursor = 0
        self.created = 0

    def _nonce(self) -> bytes:
        return os.urandom(32)

    def log(self, chain: str, entries: int) -> None:
        """Store entries that each set off a task, as a chain of its own."""
        for segment in grow(chain, [[b'{"message": "boom"}'] * entries], t=time.time_ns()):
            self.ledger.append(segment)
            self.created += len(self._detector.detect([segment]).tasks)

    def turn(self) -> None:
        """Run dispatch and sweep once; while Valkey is away they are called again."""
        try:
            found = self.tasks.changes(self._cursor, 1000)
            changes = [Change(c.task_id, c.state, c.line) for c in found if c.state]
            dispatch(changes, self._queue, NoDoorbell())
            self._cursor = found[-1].seq if found else self._cursor
            sweep(self.tasks, self._queue, NoDoorbell(), time.time_ns, self._nonce, grace=GRACE)
        except Unavailable:
            time.sleep(0.01)


def _break_something(server: Valkey, rng: random.Random) -> str:
    chance = rng.random()
    if chance < 0.06:
        server.kill()
        server.start()
        return "valkey killed"
    if chance < 0.2:
        server.flush()
        return "flushed"
    return "nothing"


def _wait(done: Callable[[], bool], turn: Callable[[], None], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        turn()
        time.sleep(0.01)


def test_killed_workers_lose_and_double_nothing(tmp_path: Path) -> None:
    """After many kills of workers, and some of Valkey and its memory, every task has succeeded once."""
    rng = random.Random(7)
    target = tmp_path / "target"
    target.touch()
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "valkey").mkdir()
    broken: Counter[str] = Counter()
    with running(tmp_path / "valkey") as server:
        middle = Middle(home, server.url, target)
        with _workers(home, server.url, target) as workers:
            for number in range(KILLS):
                middle.log(f"s{number}/0", TASKS_A_KILL)
                until = time.monotonic() + rng.uniform(0, 0.12)
                while time.monotonic() < until:
                    middle.turn()
                    time.sleep(0.002)
                workers.kill(rng.choice(["siem", "action"]))
                broken[_break_something(server, rng)] += 1
            assert broken["valkey killed"] > 0
            assert broken["flushed"] > 0
            total = KILLS * TASKS_A_KILL
            assert middle.created == total
            _wait(lambda: _ended(middle) == total, middle.turn, 100)
    _check(middle, target, total)


def _ended(middle: Middle) -> int:
    return sum(len(middle.tasks.listing(state, 10_000)) for state in (State.SUCCEEDED, State.FAILED))


def _check(middle: Middle, target: Path, total: int) -> None:
    tasks = middle.tasks.listing(limit=10_000)
    assert Counter(task.state for task in tasks) == {State.SUCCEEDED: total}
    keys: list[str] = []
    lost_leases: Counter[str] = Counter()
    for task in tasks:
        events = middle.tasks.lineage(task.id)
        assert verify_lineage(task.id, events, task.head) == task.version
        assert [event.body["event"] for event in events].count("succeeded") == 1
        lost_leases[task.id] = sum(event.body.get("reason") == LEASE_OVER for event in events)
        effects = middle.tasks.effects(task.id)
        assert sorted(effect.step for effect in effects.values()) == ["s0", "s1", "s2"]
        assert {effect.state for effect in effects.values()} == {EffectState.DONE}
        keys += effects
    written = target.read_text().split()
    assert sorted(written) == sorted(keys)
    # Otherwise hardly a worker died while it had a task, and nothing was tested.
    assert sum(lost_leases.values()) > KILLS // 4
