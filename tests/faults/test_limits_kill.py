"""Workers are killed with -9 at random moments: no limit is ever exceeded, and nobody waits for ever.

What is on its way is read off the store's own log of changes, which is in the order of the commits: a task
counts from its first lease until it has ended. So nothing depends on clocks or on when something was seen.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sentinel.adapters.lambda_doorbell import NoDoorbell
from sentinel.adapters.redis_streams import RedisQueue, connect
from sentinel.adapters.sqlite_catalog import SqliteCatalog
from sentinel.adapters.sqlite_counters import SqliteCounters
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.adapters.sqlite_tasks import SqliteTasks
from sentinel.core.places import unpacked
from sentinel.core.selection import services_of
from sentinel.core.states import State
from sentinel.core.tasks import LEASE_OVER, Task, verify_lineage
from sentinel.errors import Unavailable
from sentinel.usecases.detect import Detector
from sentinel.usecases.dispatch import Change, dispatch
from sentinel.usecases.playbook import Playbook
from sentinel.usecases.sweep import sweep
from tests.chains import grow
from tests.faults.worker_process import GRACE, actions, gates_of
from tests.scenario import recipe, rule
from tests.valkey import Valkey, running

SECONDS = 20.0
WORKERS = 6
ROUND = 12  # entries; each sets off one task of each recipe
# Recipe, its limits, and what each counts: how many of which recipes may be on their way at once.
RECIPES = {
    "one": "concurrency: [{most: 1}]",
    "three": "concurrency: [{most: 3}, {most: 4, group: all}]\npriority: low",
    "grouped": "concurrency: [{most: 2, per: service}, {most: 4, group: all}]\npriority: high",
}
MOST = {("one",): 1, ("three",): 3, ("three", "grouped"): 4}


def _pid(task: Task) -> int:
    """Return the process that has a task."""
    return int(task.worker.partition("-")[2])


class Pool:
    """Workers of one stream, each replaced when it is killed."""

    def __init__(self, driver: subprocess.Popen[str]) -> None:
        self._driver = driver
        self.pids = [self._fork() for _ in range(WORKERS)]

    def at_work(self, tasks: SqliteTasks) -> set[int]:
        """Return the processes of this pool that have a task: places of the dead count no more."""
        return set(map(_pid, tasks.listing(State.RUNNING))) & set(self.pids)

    def kill(self, numbers: list[int], tasks: SqliteTasks) -> bool:
        """Kill the first of these workers that has a task, else the last, and start another in its place.

        Return whether it had one.
        """
        *others, last = numbers
        chosen, struck = last, False
        for number in (*others, last):
            os.kill(self.pids[number], signal.SIGSTOP)  # so that it ends none while we look
            struck = self.pids[number] in self.at_work(tasks)
            if struck:
                chosen = number
                break
            os.kill(self.pids[number], signal.SIGCONT)
        os.kill(self.pids[chosen], signal.SIGKILL)
        self.pids[chosen] = self._fork()
        return struck

    def _fork(self) -> int:
        assert self._driver.stdin is not None
        assert self._driver.stdout is not None
        self._driver.stdin.write("siem\n")
        self._driver.stdin.flush()
        return int(self._driver.stdout.readline())


@contextmanager
def _pool(home: Path, url: str, target: Path) -> Iterator[Pool]:
    command = [sys.executable, "-m", "tests.faults.worker_process", str(home), url, str(target)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=root
    ) as driver:
        pool = Pool(driver)
        try:
            yield pool
        finally:
            for pid in pool.pids:
                os.kill(pid, signal.SIGKILL)
            assert driver.stdin is not None
            driver.stdin.close()
            driver.wait(60)


class Middle:
    """Detection, dispatch and the sweep, which live on."""

    def __init__(self, home: Path, url: str, target: Path) -> None:
        self.tasks = SqliteTasks(home / "tasks")
        self.counters = SqliteCounters(home / "counters")
        self.ledger = SqliteLedger(home / "ledger")
        catalog = SqliteCatalog(home / "catalog")
        catalog.push("rule", "errors", rule("errors", "boom"))
        for name, flow in RECIPES.items():
            document = recipe(name, "errors", "note.siem", "note.siem", attempts=100, flow=flow)
            catalog.push("recipe", name, document)
        playbook = Playbook(catalog, time.time_ns)
        self._gates = gates_of(self.counters, self.tasks, playbook)
        self._queue = RedisQueue(connect(url))
        made = actions(target)
        self._detector = Detector(playbook, self.tasks, self.counters, made, time.time_ns, self._nonce, GRACE)
        self._cursor = 0
        self.created = 0

    def _nonce(self) -> bytes:
        return os.urandom(32)

    def log(self, chain: str) -> None:
        for segment in grow(chain, [[b'{"message": "boom"}'] * ROUND], t=time.time_ns()):
            self.ledger.append(segment)
            self.created += len(self._detector.detect([segment]).tasks)

    def turn(self) -> None:
        try:
            found = self.tasks.changes(self._cursor, 1000)
            changes = [Change(c.task_id, c.state, c.line) for c in found if c.state]
            dispatch(changes, self._queue, NoDoorbell())
            self._cursor = found[-1].seq if found else self._cursor
            sweep(
                self.tasks,
                self._queue,
                NoDoorbell(),
                time.time_ns,
                self._nonce,
                grace=GRACE,
                gates=self._gates,
            )
        except Unavailable:
            time.sleep(0.01)

    def ended(self) -> int:
        return len(self.tasks.listing(State.SUCCEEDED, 100_000))


def _most_at_once(tasks: SqliteTasks) -> tuple[dict[tuple[str, ...], int], int]:
    """Return how many were on their way at once, by what counts them, and by recipe and service."""
    recipes = {task.id: task.recipe for task in tasks.listing(limit=100_000)}
    services = {task.id: min(services_of(task)) for task in tasks.listing(limit=100_000)}
    going: defaultdict[str, set[str]] = defaultdict(set)
    highest: Counter[tuple[str, ...]] = Counter()
    by_service = 0
    for change in tasks.changes(0, 10**9):
        name = recipes[change.task_id]
        if change.state is State.RUNNING:
            going[name].add(change.task_id)
        elif change.state is not None and change.state.ended:
            going[name].discard(change.task_id)
        for those in MOST:
            highest[those] = max(highest[those], sum(len(going[each]) for each in those))
        by_service = max([by_service, *Counter(services[each] for each in going["grouped"]).values()])
    return dict(highest), by_service


def _run(middle: Middle, pool: Pool, server: Valkey, rng: random.Random) -> int:
    """Kill for a while; return how many tasks were with workers when those died."""
    kills = struck = 0
    begun = time.monotonic()
    while (spent := time.monotonic() - begun) < SECONDS:
        if middle.created - middle.ended() < 60:
            middle.log(f"{'abc'[kills % 3]}/{kills}")
        # Mostly one that has a task: the others wait for their turn, and nothing is tried by killing those.
        # Places of the dead are taken until their leases run out, so for a while nobody may have any.
        aimed = rng.random() < 0.7
        until = time.monotonic() + rng.uniform(0, 0.1)
        patience = until + 2 * aimed
        while (now := time.monotonic()) < until or (now < patience and not pool.at_work(middle.tasks)):
            middle.turn()
            time.sleep(0.002)
        some = rng.sample(range(WORKERS), WORKERS)
        struck += pool.kill(some if aimed else some[:1], middle.tasks)
        kills += 1
        if rng.random() < 0.1:
            server.flush()
        assert spent < SECONDS * 3
    assert struck > kills // 8  # else hardly a worker died while it had a task
    return struck


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_killed_workers_never_exceed_a_limit(tmp_path: Path) -> None:
    """Through hundreds of kills each limit holds at every commit, and then every task has succeeded."""
    home, target = tmp_path / "home", tmp_path / "target"
    target.touch()
    for folder in (home, tmp_path / "valkey"):
        folder.mkdir()
    rng = random.Random(11)
    with running(tmp_path / "valkey") as server:
        middle = Middle(home, server.url, target)
        with _pool(home, server.url, target) as pool:
            struck = _run(middle, pool, server, rng)
            deadline = time.monotonic() + 60
            while middle.ended() < middle.created:
                assert time.monotonic() < deadline, Counter(
                    (task.state, task.held, task.reason) for task in middle.tasks.listing(limit=100_000)
                )
                middle.turn()
                time.sleep(0.005)
    highest, by_service = _most_at_once(middle.tasks)
    assert all(highest[those] <= most for those, most in MOST.items()), highest
    assert by_service <= 2
    assert highest[("one",)] == 1
    assert highest["three", "grouped"] >= 3  # several were on their way at once
    lost = 0
    for task in middle.tasks.listing(limit=100_000):
        events = middle.tasks.lineage(task.id)
        assert verify_lineage(task.id, events, task.head) == task.version
        lost += sum(event.body.get("reason") == LEASE_OVER for event in events)
    assert lost >= struck  # each of these leases ran out, and the lineage says so
    for key in ("place/recipe/one", "place/recipe/three", "place/group/all"):
        gate = unpacked(middle.counters.load(key)[0])
        assert not gate.line
