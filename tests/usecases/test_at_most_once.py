"""Effects of at-most-once steps: asked about where their outcome is unknown, else left to a person."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis

from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.states import NEVER, State
from sentinel.core.steps import Again, Done, Failed, Nothing, Outcome, StepRun, Unknown
from sentinel.core.tasks import LEASE, SECOND, EffectState, Task
from sentinel.errors import Conflict, Unavailable
from tests.faults_calls import Killed
from tests.scenario import ProbedTarget, Target, World, recipe, rule

BOOM = b'{"message": "boom"}'
WHO = ("ann", "looked at the target")


@pytest.fixture
def world(client: redis.Redis) -> Iterator[World]:
    """Wire everything, with a target that can be asked and one that cannot."""
    targets = [Target("blind", "siem"), ProbedTarget("seen", "siem"), Target("act", "action")]
    found = World(RedisQueue(client), targets)
    found.push("rule", "errors", rule("errors", "boom"))
    yield found
    found.close()


def _begin(world: World, *uses: str, effect: str = "at-most-once", **options: Any) -> None:
    world.push("recipe", "r", recipe("r", "errors", *uses, step=f"effect: {effect}", **options))
    world.detect(world.store("s/0", [BOOM]))
    world.dispatch()


def _seen(world: World) -> ProbedTarget:
    found = world.targets["seen"]
    assert isinstance(found, ProbedTarget)
    return found


def _die_before(_: StepRun) -> Outcome:
    raise Killed


def _die_after(target: Target) -> Any:
    def act(run: StepRun) -> Outcome:
        target.effects[run.key] += 1
        raise Killed

    return act


def _crash(world: World, name: str, *, acted: bool) -> None:
    """Let the worker die in the first try of a target, before or after it has acted."""
    target = world.targets[name]
    target.answers = [_die_after(target) if acted else _die_before]
    with pytest.raises(Killed):
        world.drain("siem")


def _later(world: World) -> Task:
    """Let the lease run out and another worker look."""
    world.clock.sleep(LEASE / SECOND)
    world.sweep()
    world.drain("siem", worker="w2")
    return world.only()


def _events(world: World) -> list[object]:
    return [body["event"] for body in world.bodies(world.only())]


@pytest.mark.parametrize("acted", [False, True])
def test_what_cannot_be_asked_becomes_ambiguous(world: World, acted: bool) -> None:
    """After a crash between intent and result the step is not done again, and the task says why it waits."""
    _begin(world, "blind", "act")
    _crash(world, "blind", acted=acted)
    task = _later(world)
    assert (task.state, task.due, task.worker) == (State.AMBIGUOUS, NEVER, "")
    assert task.reason == "the outcome of an earlier try is not known, and blind cannot ask its target"
    assert len(world.targets["blind"].runs) == 1
    assert world.sweep().expired == 0
    assert world.drain("siem").skipped == 0
    told = world.bodies(task)[-1]
    assert (told["step"], told["last"], told["reason"]) == ("s0", False, task.reason)
    assert next(iter(world.tasks.effects(task.id).values())).state is EffectState.INTENT


@pytest.mark.parametrize("acted", [False, True])
def test_what_can_be_asked_is_asked(world: World, acted: bool) -> None:
    """A target that can be asked has the effect once in the end, whether the worker died before or after."""
    _begin(world, "seen", "act")
    _crash(world, "seen", acted=acted)
    _later(world)
    world.settle()
    task = world.only()
    assert task.state is State.SUCCEEDED
    assert _seen(world).asked == 1
    assert len(_seen(world).runs) == (1 if acted else 2)
    assert sum(_seen(world).effects.values()) == 1
    outcomes = [body.get("outcome") for body in world.bodies(task)]
    assert ("was found done" in outcomes) is acted


def test_at_least_once_is_done_again_unasked(world: World) -> None:
    """Without the choice a step is done again under the same key, as before."""
    _begin(world, "seen", effect="at-least-once")
    _crash(world, "seen", acted=True)
    assert _later(world).state is State.SUCCEEDED
    assert _seen(world).asked == 0
    assert list(_seen(world).effects.values()) == [2]


def test_a_target_that_cannot_tell_leaves_it_to_a_person(world: World) -> None:
    """`Unknown` makes the task ambiguous for the reason that the action gives."""
    _begin(world, "seen")
    _crash(world, "seen", acted=True)
    _seen(world).probes = [Unknown("it keeps no ids")]
    task = _later(world)
    assert (task.state, task.reason) == (State.AMBIGUOUS, "it keeps no ids")


def test_a_target_that_does_not_answer_is_asked_again(world: World) -> None:
    """Asking is tried as often as the step may be, then the task is ambiguous, not failed."""
    _begin(world, "seen", attempts=4)
    _crash(world, "seen", acted=True)
    _seen(world).probes = [Unavailable("away"), Unavailable("away"), Unavailable("away")]
    task = _later(world)
    assert (task.state, task.tries, task.reason) == (
        State.WAITING,
        2,
        "its target could not be asked: away",
    )
    world.settle()
    assert (world.only().state, world.only().reason) == (
        State.AMBIGUOUS,
        "its target could not be asked: away",
    )
    assert _seen(world).asked == 3


@pytest.mark.parametrize("raised", [True, False])
def test_a_lost_reply_is_an_unknown_outcome(world: World, raised: bool) -> None:
    """`Unavailable`, or `Again` that is unsure, is not repeated by an at-most-once step that cannot ask."""
    lost = Unavailable("no answer") if raised else Again("no answer", None, unsure=True)
    world.targets["blind"].answers = [lost]
    _begin(world, "blind")
    world.drain("siem")
    task = world.only()
    assert task.state is State.AMBIGUOUS
    assert task.reason.startswith("no answer; ")
    assert len(world.targets["blind"].runs) == 1


def test_a_lost_reply_is_asked_about(world: World) -> None:
    """A target that can be asked is asked at the next try, also when tries are used up."""
    target = _seen(world)

    def lost(run: StepRun) -> Outcome:
        target.effects[run.key] += 1
        return Again("no answer", None, unsure=True)

    target.answers = [lost]
    _begin(world, "seen", attempts=1)
    world.drain("siem")
    assert world.only().state is State.WAITING
    world.settle()
    assert (world.only().state, list(target.effects.values())) == (State.SUCCEEDED, [1])


def test_a_sure_answer_is_tried_again(world: World) -> None:
    """`Again` that is sure leaves nothing behind: the step is tried again, and fails when tries run out."""
    world.targets["blind"].answers = [Again("busy", 0)] * 3
    _begin(world, "blind", attempts=3)
    for _ in range(3):
        world.clock.sleep(1)
        world.sweep()
        world.drain("siem")
    assert (world.only().state, world.only().tries) == (State.FAILED, 2)
    assert len(world.targets["blind"].runs) == 3


def test_a_crash_after_a_sure_answer_is_unknown_again(world: World) -> None:
    """Each try records its own intent: what an earlier one was sure of does not cover a later one."""
    target = world.targets["blind"]
    target.answers = [Again("busy", 0)]
    _begin(world, "blind")
    world.drain("siem")
    assert world.only().settled == 1
    target.answers = [_die_after(target)]
    world.clock.sleep(1)
    world.sweep()
    with pytest.raises(Killed):
        world.drain("siem")
    assert _later(world).state is State.AMBIGUOUS
    assert list(target.effects.values()) == [1]


def test_a_step_that_could_not_begin_leaves_nothing_behind(world: World) -> None:
    """A store that does not answer before the step acts makes no task ambiguous."""
    _begin(world, "blind")
    record, failures = world.tasks.record, [1]

    def lost(effect: Any, known: int = 0) -> bool:
        written = record(effect, known)
        if failures:
            failures.pop()
            raise Unavailable("the answer was lost", 0)
        return written

    world.tasks.record = lost  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        world.drain("siem")
    assert (world.only().state, world.only().tries) == (State.WAITING, 0)
    world.settle()
    assert (world.only().state, list(world.targets["blind"].effects.values())) == (State.SUCCEEDED, [1])


def _ambiguous(world: World, *uses: str) -> Task:
    _begin(world, *uses)
    _crash(world, uses[0], acted=True)
    task = _later(world)
    assert task.state is State.AMBIGUOUS
    return task


def test_what_happened_is_not_done_again(world: World) -> None:
    """`happened` goes on after the step, on whatever stream that is; the result names who said so."""
    task = _ambiguous(world, "blind", "act")
    assert world.control().resolve(task.id, "happened", *WHO).state is State.QUEUED
    world.settle()
    found = world.only()
    assert found.state is State.SUCCEEDED
    assert found.results == {"s0": {"resolved": "happened", "who": "ann"}, "s1": {"n": 1}}
    assert (len(world.targets["blind"].runs), len(world.targets["act"].runs)) == (1, 1)
    told = next(body for body in world.bodies(found) if "who" in body)
    assert (told["event"], told["from"], told["who"], told["why"], told["verdict"]) == (
        *("queued", "ambiguous", *WHO, "happened"),
    )


def test_when_the_last_step_happened_the_task_has_succeeded(world: World) -> None:
    """`happened` of the last step ends the task."""
    task = _ambiguous(world, "blind")
    assert world.control().resolve(task.id, "happened", *WHO).state is State.SUCCEEDED
    assert world.only().reason == ""
    assert _events(world)[-2:] == ["ambiguous", "succeeded"]


def test_again_does_it_again_once(world: World) -> None:
    """`again` allows one more try; when that one's outcome is unknown too, a person is asked again."""
    task = _ambiguous(world, "blind")
    world.control().resolve(task.id, "again", *WHO)
    world.dispatch()
    _crash(world, "blind", acted=True)
    assert _later(world).state is State.AMBIGUOUS
    world.control().resolve(task.id, "again", *WHO)
    world.settle()
    assert (world.only().state, len(world.targets["blind"].runs)) == (State.SUCCEEDED, 3)


def test_a_task_that_is_said_to_have_failed_can_be_redriven(world: World) -> None:
    """`failed` buries the task; redriving it asks again, since nobody said that the effect did not happen."""
    task = _ambiguous(world, "blind")
    failed = world.control().resolve(task.id, "failed", *WHO)
    assert (failed.state, failed.reason) == (State.FAILED, "given up by ann: looked at the target")
    world.control().redrive(task.id, *WHO)
    world.settle()
    assert world.only().state is State.AMBIGUOUS
    assert len(world.targets["blind"].runs) == 1


def test_a_step_that_failed_for_good_can_be_redriven(world: World) -> None:
    """A definite refusal left nothing behind, so redriving does the step."""
    world.targets["blind"].answers = [Failed("no such index")]
    _begin(world, "blind")
    world.drain("siem")
    world.control().redrive(world.only().id, *WHO)
    world.settle()
    assert (world.only().state, len(world.targets["blind"].runs)) == (State.SUCCEEDED, 2)


def test_done_is_believed_when_it_comes_from_asking(world: World) -> None:
    """What the target says is the step's result."""
    _begin(world, "seen")
    _crash(world, "seen", acted=False)
    _seen(world).probes = [Done({"id": 7})]
    task = _later(world)
    assert (task.state, task.results) == (State.SUCCEEDED, {"s0": {"id": 7}})
    assert next(iter(world.tasks.effects(task.id).values())).state is EffectState.DONE


def test_a_lost_reply_after_asking_is_asked_about_again(world: World) -> None:
    """That an earlier try left nothing says nothing of the next one, whose reply was lost."""
    _begin(world, "seen")
    _crash(world, "seen", acted=False)
    seen = _seen(world)

    def lost(run: StepRun) -> Outcome:
        seen.effects[run.key] += 1
        return Again("the answer was lost", 0, unsure=True)

    seen.answers = [lost]
    _later(world)
    world.settle()
    assert (seen.asked, len(seen.runs), list(seen.effects.values())) == (2, 2, [1])
    assert world.only().state is State.SUCCEEDED


def test_a_task_that_is_cancelled_while_its_target_is_asked_does_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The target says that it has nothing; by then a person does not want it any more."""
    _begin(world, "seen")
    _crash(world, "seen", acted=False)
    seen = _seen(world)
    beats = threading.Event()

    def probe(run: StepRun) -> Nothing:
        world.control().cancel(run.task.id, *WHO)
        until(run.stopped)
        beats.set()
        return Nothing()

    def until(stopped: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not stopped():
            assert time.monotonic() < end
            time.sleep(0.01)

    monkeypatch.setattr(seen, "probe", probe)
    world.clock.sleep(LEASE / SECOND)
    world.sweep()
    task = world.only()
    with pytest.raises(Conflict):
        replace(world.executor("siem", "w2"), lease=SECOND // 10).execute(task, world.clock.now + LEASE)
    assert beats.is_set()
    assert len(seen.runs) == 1
    assert world.only().state is State.CANCELLED


def test_a_task_that_is_overdue_is_not_taken(world: World) -> None:
    """A worker that finds a deadline passed ends the task, and takes no lease for it."""
    _begin(world, "blind", timeout="1m")
    world.clock.sleep(61)
    assert world.drain("siem").expired == 1
    assert (world.only().state, world.only().attempt) == (State.EXPIRED, 0)
