"""What a person may do to a task, deadlines, and the heartbeat by which both reach a running step."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis

from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.states import NEVER, By, State
from sentinel.core.steps import Again, Done, Failed, Outcome, StepRun
from sentinel.core.tasks import LEASE, SECOND, EffectState, Event, Task, born, moved
from sentinel.errors import Conflict, Malformed, Missing, Unavailable
from sentinel.usecases.execute import Executor
from sentinel.usecases.run import drain
from tests.faults_calls import Killed
from tests.scenario import Target, World, recipe, rule

BOOM = b'{"message": "boom"}'
WHO = ("ann", "it is too late")


@pytest.fixture
def world(client: redis.Redis) -> Iterator[World]:
    """Wire everything, with a rule in force and no recipe yet."""
    found = World(RedisQueue(client), [Target("tell", "siem"), Target("act", "action")])
    found.push("rule", "errors", rule("errors", "boom"))
    yield found
    found.close()


def _begin(world: World, *uses: str, **options: Any) -> Task:
    world.push("recipe", "r", recipe("r", "errors", *uses, **options))
    world.detect(world.store("s/0", [BOOM]))
    world.dispatch()
    return world.only()


def _put(world: World, state: State, **changes: Any) -> Task:
    """Create a task that is in a state, without a way there."""
    task, event = born(replace(_begin(world, "tell"), id="b" * 26, version=0, head=""), world.nonce(), {})
    task = replace(task, state=state, **changes)
    assert world.tasks.create(task, event)
    return task


@pytest.mark.parametrize("state", list(State))
def test_what_has_not_ended_can_be_cancelled(world: World, state: State) -> None:
    """Cancelling ends a task of any state that has not ended, tells who and why, and refuses one that has."""
    task = _put(world, state, reason="no ids", worker="w1" if state is State.RUNNING else "")
    if state.ended:
        with pytest.raises(Conflict, match=f"is {state}"):
            world.control().cancel(task.id, *WHO)
        return
    after = world.control().cancel(task.id, *WHO)
    assert (after.state, after.worker) == (State.CANCELLED, "")
    assert after.reason.startswith("cancelled by ann: it is too late")
    assert ("may have happened" in after.reason) is (state is State.RUNNING)
    assert ("no ids" in after.reason) is (state is State.AMBIGUOUS)
    told = world.bodies(after)[-1]
    assert (told["event"], told["from"], told["who"], told["why"]) == ("cancelled", state.value, *WHO)
    assert world.control().tasks.due(NEVER, 10)[0].id != task.id
    assert world.executor("siem").execute(after, NEVER) is None


@pytest.mark.parametrize(
    ("who", "why"), [("", "x"), ("ann", " "), ("ann", "a\nb"), ("a" * 201, "x"), ("ann", "x" * 501)]
)
def test_nobody_acts_without_name_and_reason(world: World, who: str, why: str) -> None:
    """Who and why are said, in a line of bounded length."""
    task = _begin(world, "tell")
    with pytest.raises(Malformed, match="printable characters"):
        world.control().cancel(task.id, who, why)
    assert world.only() == task


def test_acts_are_refused_where_they_mean_nothing(world: World) -> None:
    """A queued task is neither retried, redriven nor resolved; a task that is not there is missing."""
    task, control = _begin(world, "tell"), world.control()
    for act in (control.retry, control.redrive):
        with pytest.raises(Conflict, match="is queued; only a "):
            act(task.id, *WHO)
        with pytest.raises(Missing):
            act("a" * 26, *WHO)
    with pytest.raises(Conflict, match="only an ambiguous"):
        control.resolve(task.id, "again", *WHO)
    with pytest.raises(Malformed, match="happened, again, failed"):
        control.resolve(task.id, "maybe", *WHO)
    assert world.only() == task


def test_a_waiting_task_is_tried_now(world: World) -> None:
    """`retry` does not wait for the target's wish, and keeps the tries counted."""
    world.targets["tell"].answers = [Again("later", 3600 * SECOND)]
    task = _begin(world, "tell")
    world.drain("siem")
    world.control().retry(task.id, *WHO)
    assert world.only().tries == 1
    world.dispatch()
    assert world.drain("siem").succeeded == 1


def test_a_failed_task_goes_on_from_its_failed_step(world: World) -> None:
    """`redrive` repeats no step that is done, with all tries and the whole time anew."""
    world.targets["act"].answers = [Failed("no such host")]
    task = _begin(world, "tell", "act", timeout="10m")
    world.drain("siem")
    world.dispatch()
    world.drain("action")
    assert world.only().state is State.FAILED
    world.clock.sleep(3600)
    after = world.control().redrive(task.id, *WHO)
    assert (after.state, after.step, after.tries, after.reason) == (State.QUEUED, 1, 0, "")
    assert 0 < after.deadline - world.clock.now <= 600 * SECOND
    world.settle()
    assert world.only().state is State.SUCCEEDED
    assert [len(world.targets[name].runs) for name in ("tell", "act")] == [1, 2]


def test_an_act_that_loses_a_race_is_done_to_what_is_there_then(world: World) -> None:
    """A task that its worker moves meanwhile is cancelled all the same; a lost answer is no lost act."""
    task = _begin(world, "tell")
    real, moves = world.tasks.move, iter(["race", "lost"])

    def move(before: Task, after: Task, event: Event) -> None:
        match next(moves, ""):
            case "race":
                real(task, *moved(task, State.RUNNING, world.clock(), world.nonce(), {}, attempt=1))
                raise Conflict("somebody was faster")
            case "lost":
                real(before, after, event)
                raise Unavailable("the answer was lost")
            case _:
                real(before, after, event)

    world.tasks.move = move  # type: ignore[method-assign]
    assert world.control().cancel(task.id, *WHO).attempt == 1
    assert [body["event"] for body in world.bodies(world.only())] == ["queued", "running", "cancelled"]


def test_a_person_may_only_do_what_is_a_persons(world: World) -> None:
    """The table says who causes what: a worker cancels nothing, a person runs nothing."""
    task = _begin(world, "tell")
    for to, by in ((State.CANCELLED, By.WORKER), (State.RUNNING, By.PERSON), (State.EXPIRED, By.PERSON)):
        with pytest.raises(Conflict, match=r"becomes .* by .* only"):
            moved(task, to, 0, bytes(32), {}, by=by)
    with pytest.raises(Conflict, match="cannot become succeeded"):
        moved(task, State.SUCCEEDED, 0, bytes(32), {})


@pytest.mark.parametrize("state", [state for state in State if not state.ended])
def test_what_has_passed_its_deadline_expires(world: World, state: State) -> None:
    """The sweep ends a task of any state at its deadline, also a running one, and keeps what it was doing."""
    now = world.clock.now
    task = _put(world, state, reason="no ids", deadline=now + 30 * SECOND, due=now + 30 * SECOND)
    world.sweep()
    assert world.tasks.get(task.id) == task
    world.clock.sleep(31)
    assert world.sweep().expired == 1
    after = world.tasks.get(task.id)
    assert after is not None
    assert (after.state, after.reason) == (
        State.EXPIRED,
        f"its deadline passed; it was {state}: no ids",
    )
    assert world.bodies(after)[-1]["event"] == "expired"


def test_a_task_is_due_at_its_deadline_at_the_latest(world: World) -> None:
    """However long it would wait, or be held by a worker, its `due` is not past its deadline."""
    world.targets["tell"].answers = [Again("later", 3600 * SECOND)]
    task = _begin(world, "tell", timeout="10s")
    assert task.deadline == task.created + 10 * SECOND == task.due
    world.drain("siem")
    assert (world.only().state, world.only().due) == (State.WAITING, task.deadline)
    world.clock.sleep(10)
    world.queue.add("siem", [task.id])
    assert world.drain("siem").expired == 1
    assert len(world.targets["tell"].runs) == 1


def test_no_further_step_is_begun_after_the_deadline(world: World) -> None:
    """A worker that finds the deadline passed between two steps ends the task."""

    def slow(_: StepRun) -> Outcome:
        world.clock.sleep(20)
        return Done({})

    world.targets["tell"].answers = [slow]
    _begin(world, "tell", "tell", timeout="10s")
    assert world.drain("siem").expired == 1
    assert (world.only().state, world.only().step) == (State.EXPIRED, 1)
    assert len(world.targets["tell"].runs) == 1


class Slow:
    """A world whose worker runs in a thread with a short lease, and with real time unless told otherwise."""

    def __init__(self, world: World, lease: float, clock: Callable[[], int] = time.time_ns) -> None:
        world.clock = clock  # type: ignore[assignment]
        self._clock = clock
        self._executor = replace(world.executor("siem"), lease=int(lease * SECOND), clock=clock)
        self.found: list[Any] = []

    def __enter__(self) -> Slow:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(60)

    def _run(self) -> None:
        self.found.append(drain(self._executor, self._clock() + 120 * SECOND))


def _until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_lease_goes_on_while_a_step_runs(world: World) -> None:
    """A step of many leases is not taken away from its worker, and its lineage is that of a short one.

    Time passes with each heartbeat, and only then: a machine that is busy may be late with one.
    """
    go, extend, lease = threading.Event(), world.tasks.extend, 0.15
    step = int(lease / 3 * SECOND)

    def later(task: Task, due: int) -> bool:
        world.clock.now += step
        return extend(task, due)

    def wait(_: StepRun) -> Outcome:
        assert go.wait(60)
        return Done({})

    world.tasks.extend = later  # type: ignore[method-assign]
    world.targets["tell"].answers = [wait]
    task = _begin(world, "tell")
    with Slow(world, lease, world.clock) as slow:
        _until(lambda: world.only().state is State.RUNNING)
        first = world.clock.now
        _until(lambda: world.clock.now > first + int(5 * lease * SECOND))
        assert world.sweep().abandoned == 0
        go.set()
    assert slow.found[0].succeeded == 1
    assert [body["event"] for body in world.bodies(world.only())] == ["queued", "running", "succeeded"]
    assert world.only().id == task.id


@pytest.mark.parametrize("finishes", [False, True])
def test_a_cancelled_step_is_stopped(world: World, finishes: bool) -> None:
    """Cancelling reaches a running action at the next heartbeat; what it did all the same is recorded."""

    def wait(run: StepRun) -> Outcome:
        _until(run.stopped)
        return Done({"late": True}) if finishes else Again("stopped", None)

    world.targets["tell"].answers = [wait]
    task = _begin(world, "tell", "tell")
    with Slow(world, lease=0.6) as slow:
        _until(lambda: bool(world.targets["tell"].runs))
        world.control().cancel(task.id, *WHO)
    assert slow.found[0].lost == 1
    assert world.only().state is State.CANCELLED
    assert [body["event"] for body in world.bodies(world.only())] == ["queued", "running", "cancelled"]
    (effect,) = world.tasks.effects(task.id).values()
    assert effect.state is (EffectState.DONE if finishes else EffectState.INTENT)
    assert len(world.targets["tell"].runs) == 1


def test_a_step_over_its_timeout_has_failed_a_try(world: World) -> None:
    """An action that heeds `stopped` ends its try; one that does not loses its task to the sweep."""

    def heeds(run: StepRun) -> Outcome:
        _until(run.stopped)
        return Again("stopped", 0, {"half": 1})

    world.targets["tell"].answers = [heeds]
    _begin(world, "tell", step="timeout: 100ms")
    with Slow(world, lease=60) as slow:
        pass
    assert slow.found[0].waiting == 1
    task = world.only()
    assert (task.tries, task.reason) == (1, "it took longer than its timeout: stopped")
    (effect,) = world.tasks.effects(task.id).values()
    assert effect.result == {"half": 1}


def test_a_hanging_step_is_given_up(world: World) -> None:
    """An action that hangs past its timeout keeps neither its lease nor its task."""
    go = threading.Event()

    def hangs(_: StepRun) -> Outcome:
        assert go.wait(60)
        return Again("at last", 0)

    world.targets["tell"].answers = [hangs]
    _begin(world, "tell", step="timeout: 100ms")
    with Slow(world, lease=60) as slow:
        _until(lambda: world.only().state is State.RUNNING)
        _until(lambda: world.sweep().abandoned == 1)
        go.set()
    assert (slow.found[0].lost, slow.found[0].succeeded) == (1, 1)
    assert [body["event"] for body in world.bodies(world.only())] == [
        *("queued", "running", "waiting", "running", "succeeded"),
    ]
    assert [run.resumed for run in world.targets["tell"].runs] == [False, True]


def test_a_dead_workers_lease_is_not_extended(world: World) -> None:
    """The heartbeat ends with the step, also where the step ends in an error."""

    def die(_: StepRun) -> Outcome:
        raise Killed

    world.targets["tell"].answers = [die]
    _begin(world, "tell")
    executor: Executor = replace(world.executor("siem"), lease=SECOND // 10)
    with pytest.raises(Killed):
        drain(executor, world.clock.now + 60 * SECOND, 0)
    before = world.only()
    time.sleep(0.2)
    assert world.only() == before
    assert not [each for each in threading.enumerate() if each.name.startswith("heartbeat-")]
    assert LEASE > SECOND // 10


def test_beats_that_fail_are_tried_again(world: World) -> None:
    """A store that does not answer a heartbeat costs nothing while the lease lasts."""
    go, extend, failures = threading.Event(), world.tasks.extend, [1]

    def sometimes(task: Task, due: int) -> bool:
        if failures:
            failures.pop()
            raise Unavailable("away")
        go.set()
        return extend(task, due)

    def wait(_: StepRun) -> Outcome:
        assert go.wait(60)
        return Done({})

    world.tasks.extend = sometimes  # type: ignore[method-assign]
    world.targets["tell"].answers = [wait]
    _begin(world, "tell")
    with Slow(world, lease=0.3) as slow:
        pass
    assert slow.found[0].succeeded == 1
