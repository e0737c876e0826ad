"""Places, rates and pauses on the stores they are kept in: SQLite and DynamoDB, with many at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest

from sentinel.adapters.dynamodb_counters import DynamoCounters
from sentinel.adapters.dynamodb_tasks import DynamoTasks
from sentinel.adapters.sqlite_counters import SqliteCounters
from sentinel.adapters.sqlite_tasks import SqliteTasks
from sentinel.core.flow import Bound
from sentinel.core.pauses import Pause
from sentinel.core.places import unpacked
from sentinel.core.rates import interval_of
from sentinel.core.states import NEVER, State
from sentinel.core.tasks import SECOND, Task
from sentinel.errors import Unavailable
from sentinel.ports import Counters, Tasks
from sentinel.usecases.pauses import SECONDS, Pauses
from sentinel.usecases.places import Places
from sentinel.usecases.rates import Rates
from tests.contracts.lost_requests import BrokenDisk, BrokenWire, Fault
from tests.contracts.made_tasks import T, created, nonce, step
from tests.contracts.tables import dynamodb

BOUND = Bound("place/recipe/r", 2, "recipe r")
Stores = tuple[Counters, Tasks, BrokenDisk | BrokenWire]


@pytest.fixture(params=["sqlite", "dynamodb"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    """Give both stores, and what breaks the counters' on demand."""
    if request.param == "sqlite":
        counters, tasks = SqliteCounters(tmp_path / "counters.db"), SqliteTasks(tmp_path / "tasks.db")
        yield counters, tasks, BrokenDisk(counters._database)
        counters.close()
        tasks.close()
        return
    with dynamodb("counters", "tasks") as client:
        yield DynamoCounters(client, "counters"), DynamoTasks(client, "tasks"), BrokenWire(client)


def _places(stores: Stores, clock: Callable[[], int] = lambda: T) -> Places:
    return Places(stores[0], stores[1], clock, lambda: nonce(time.monotonic_ns()))


def _begun(tasks: Tasks, count: int) -> list[Task]:
    made = [created(f"t{n}", now=T + n) for n in range(count)]
    assert all(tasks.create(task, event) for task, event in made)
    return [task for task, _ in made]


def _moved(tasks: Tasks, task: Task, to: State, **changes: object) -> Task:
    after, event = step(task, to, **changes)  # type: ignore[arg-type]
    tasks.move(task, after, event)
    return after


def test_places_are_taken_kept_and_handed_on(stores: Stores) -> None:
    """As many as may have places; asking twice changes nothing; who leaves hands its place to the next."""
    places = _places(stores)
    one, two, three = _begun(stores[1], 3)
    assert places.take(BOUND, one, T) == (0, 1)
    assert places.take(BOUND, one, T) == (0, 1)
    assert places.take(BOUND, two, T) == (0, 2)
    due, taken = places.take(BOUND, three, T)
    assert (due > T, taken) == (True, 2)
    held = _moved(stores[1], three, State.WAITING, held=BOUND.key, due=due)
    running = _moved(stores[1], one, State.RUNNING, attempt=1)
    ended = _moved(stores[1], running, State.SUCCEEDED)
    places.leave(BOUND.key, ended)
    told = stores[1].get(held.id)
    assert told is not None
    assert (told.state, told.held) == (State.QUEUED, "")
    gate = unpacked(stores[0].load(BOUND.key)[0])
    assert set(gate.holders) == {two.id, three.id}
    assert not gate.line


@pytest.mark.parametrize("fault", ["unsent", "lost"])
def test_a_lost_answer_takes_one_place(stores: Stores, fault: Fault) -> None:
    """A place whose answer was lost is the same place when it is asked for again."""
    places = _places(stores)
    (one,) = _begun(stores[1], 1)
    stores[2].fault, stores[2].left = fault, 1
    with pytest.raises(Unavailable):
        places.take(BOUND, one, T)
    assert places.take(BOUND, one, T) == (0, 1)


def test_many_threads_never_exceed_a_limit(stores: Stores) -> None:
    """However many ask and leave at once, no more than may have places, and each has had one in the end."""
    places = _places(stores, time.time_ns)
    lock = threading.Lock()
    going: set[str] = set()
    highest: list[int] = []
    together = threading.Event()

    def run(task: Task) -> None:
        while places.take(BOUND, task, time.time_ns())[0]:
            time.sleep(0.002)
            found = stores[1].get(task.id)
            assert found is not None
            task = found
        task = _moved(stores[1], task, State.RUNNING, attempt=1)
        with lock:
            going.add(task.id)
            highest.append(len(going))
            if len(going) > 1:
                together.set()
        together.wait(60)  # the first keeps its place until a second has one, too
        time.sleep(0.001)
        with lock:
            going.discard(task.id)
        places.leave(BOUND.key, _moved(stores[1], task, State.SUCCEEDED))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(run, _begun(stores[1], 16)))
    assert max(highest) == 2
    assert not unpacked(stores[0].load(BOUND.key)[0]).holders


def test_reserved_times_are_nobody_elses(stores: Stores) -> None:
    """Of many threads that reserve at once each gets a time of its own, one interval apart."""
    rates = Rates(stores[0])
    with ThreadPoolExecutor(6) as pool:
        found = sorted(pool.map(lambda _: rates.reserve("rate/r", T, SECOND, 3, NEVER), range(40)))
    assert found == [T] * 3 + [T + n * SECOND for n in range(1, 38)]
    for at in found[3:]:
        rates.give_back("rate/r", at, T, SECOND, 3)
    assert rates.reserve("rate/r", T, SECOND, 3, NEVER) == T + SECOND


def test_a_damaged_gate_starts_anew(stores: Stores) -> None:
    """What cannot be read keeps nobody waiting for ever."""
    (one,) = _begun(stores[1], 1)
    for key in (BOUND.key, "rate/r"):
        assert stores[0].store(key, b"\x01damaged", 0, 2**40)
    assert _places(stores).take(BOUND, one, T) == (0, 1)
    assert Rates(stores[0]).reserve("rate/r", T, SECOND, 1, NEVER) == T


def test_pauses_are_seen_within_their_time(stores: Stores) -> None:
    """A pause that one process makes is heeded by another after `SECONDS` at most; so is its end."""
    now = [T]
    here, there = Pauses(stores[0], lambda: now[0]), Pauses(stores[0], lambda: now[0])
    task = created("t")[0]
    assert there.holding(task, now[0]) is None
    pause = Pause("siem", "ann", "why", T)
    here.add(pause)
    now[0] += int(SECONDS * SECOND)
    assert there.holding(task, now[0]) == pause
    assert there.holding(replace(task, stream="action"), now[0]) is None
    assert here.remove("siem")
    assert not here.remove("siem")
    now[0] += int(SECONDS * SECOND)
    assert there.holding(task, now[0]) is None


MOST, EVERY, BURST, STARTS = 50, SECOND, 5, 40


def _start(path: str) -> list[tuple[int, int]]:
    """Be one of several processes that start tasks as a rate lets them.

    Return for which time each start was let, and how long it was told to wait.
    """
    rates = Rates(SqliteCounters(path))
    interval = interval_of(MOST, EVERY)
    found = []
    for _ in range(STARTS):
        asked = time.time_ns()
        at = rates.reserve("rate/r", asked, interval, BURST, NEVER)
        time.sleep(max(at - time.time_ns(), 0) / SECOND)
        found.append((at, max(at - asked, 0)))
    return found


def test_a_rate_is_kept_by_four_processes(tmp_path: Path) -> None:
    """Four processes that start what they may keep the rate: never too many in a second, hardly fewer.

    A busy machine may start them later than they are let, so what counts is for when they are, and how long
    they are told to wait: together that is never longer than the rate needs.
    """
    path = str(tmp_path / "counters.db")
    SqliteCounters(path).close()
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(_start, [path] * 4))
    starts = sorted(at for those in found for at, _ in those)
    assert len(starts) == 4 * STARTS
    for n, begin in enumerate(starts):
        assert sum(each < begin + EVERY for each in starts[n:]) <= MOST + BURST
    ideal = (4 * STARTS - BURST) * EVERY // MOST
    assert ideal <= starts[-1] - starts[0]
    assert max(sum(waited for _, waited in those) for those in found) <= ideal * 1.05
