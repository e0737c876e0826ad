"""wait: a task waits, not a worker, and its end stays where it was whatever is restarted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from sentinel.actions.wait import Wait
from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.recipes import load
from sentinel.core.steps import Again, Done, Failed, Outcome
from sentinel.core.tasks import SECOND, State
from sentinel.errors import Malformed
from tests.action_targets import Clock, drive
from tests.scenario import Target, World, rule
from tests.steps import step_run

BOOM = b'{"message": "boom"}'
DAY = 86_400 * SECOND


@pytest.fixture
def world(client: redis.Redis) -> Iterator[World]:
    """Wire everything, with the real action and a rule in force."""
    found = World(RedisQueue(client), [Target("act", "action")])
    found.actions = {**found.targets, "wait": Wait(clock=found.clock)}
    found.detector = found.new_detector()
    found.push("rule", "errors", rule("errors", "boom"))
    yield found
    found.close()


def _begin(world: World, wait: str) -> None:
    steps = f"steps: [{{id: w, uses: wait, with: {wait}}}, {{id: a, uses: act}}]\n"
    world.push("recipe", "r", f"id: r\non: {{rule: errors}}\nretry: {{attempts: 1}}\n{steps}".encode())
    world.detect(world.store("s/0", [BOOM]))
    world.dispatch()


def test_a_task_waits_and_no_worker_does(world: World) -> None:
    """The task waits until the very instant; restarts and sweeps in between change nothing, nor count."""
    _begin(world, "{for: 3h}")
    began = world.clock.now
    assert world.drain("action").waiting == 1
    task = world.only()
    due = task.due
    assert abs(due - began - 3 * 3600 * SECOND) < SECOND
    for hour in range(1, 3):
        world.clock.now = began + hour * 3600 * SECOND
        world.sweep()
        world.dispatch()
        world.drain("action", worker=f"restarted-{hour}")
        assert world.only().due == due
    world.clock.now = due + 1
    world.sweep()
    world.dispatch()
    world.drain("action", worker="another")
    task = world.only()
    assert (task.state, task.tries) == (State.SUCCEEDED, 0)
    assert task.results["w"] == {"waited_until": "2023-11-15T01:13:20Z"}
    assert len(world.targets["act"].runs) == 1


def test_a_wait_of_weeks_is_looked_at_daily(world: World) -> None:
    """A task is put off by a day at most, and looks are no failed tries, even where one is all there is."""
    _begin(world, "{for: 20d}")
    began = world.clock.now
    for _ in range(30):
        world.sweep()
        world.dispatch()
        world.drain("action")
        if world.only().state.ended:
            break
        world.clock.now = world.only().due + 1
    assert world.only().state is State.SUCCEEDED
    assert 0 <= world.clock.now - began - 20 * DAY < 60 * SECOND


@pytest.mark.parametrize(
    ("inputs", "seconds"),
    [
        ({"for": "10m"}, 600),
        ({"for": "0s"}, 0),
        ({"until": "2026-09-21T14:23:20Z"}, 600),
        ({"until": "2026-09-21T16:23:20+02:00"}, 600),
        ({"until": "2026-09-21T14:13:20Z"}, 0),
        ({"until": "2020-01-01T00:00:00Z"}, 0),
    ],
)
def test_it_ends_at_the_instant(inputs: dict[str, Any], seconds: int) -> None:
    """Not a nanosecond early; an instant that has passed is no wait."""
    clock = Clock()
    began = clock.now
    found, told = drive(Wait(clock=clock), inputs, clock)
    assert isinstance(found, Done)
    assert clock.now - began == seconds * SECOND
    assert len(told) == (1 if seconds else 0)


def test_a_clock_that_is_behind_waits_on() -> None:
    """Another worker's clock may be behind: the step is not done before its own says so, and not failed."""
    clock = Clock()
    action = Wait(clock=clock)
    first = action.perform(step_run("wait", {"for": "10m"}))
    assert isinstance(first, Again)
    clock.now += 599 * SECOND
    second = action.perform(step_run("wait", {"for": "10m"}, resumed=True, done=first.done))
    assert isinstance(second, Again)
    assert second.after == SECOND
    assert second.done != first.done


def test_yaml_times_are_taken() -> None:
    """YAML reads a time by itself: it means the same."""
    body = b"id: r\non: {rule: x}\nsteps: [{id: w, uses: wait, with: {until: 2026-09-21T14:23:20Z}}]"
    inputs = load("r", body).steps[0].with_
    assert Wait(clock=Clock()).plan(step_run("wait", inputs)) == {"wait_until": "2026-09-21T14:23:20Z"}


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "either for or until"),
        ({"for": "1m", "until": "2026-09-21T14:23:20Z"}, "either for or until"),
        ({"for": "367d"}, "for: "),
        ({"for": "soon"}, "a number with a unit"),
        ({"until": "2026-09-21T14:23:20"}, "needs its offset"),
        ({"until": "tomorrow"}, "a time is written"),
        ({"until": "99999-01-01T00:00:00Z"}, "a time is written"),
    ],
)
def test_waits_that_make_no_sense_are_refused(inputs: dict[str, Any], words: str) -> None:
    """`check` says how a wait is written; a step that got past it fails."""
    action = Wait(clock=Clock())
    with pytest.raises(Malformed, match=r"wait: ") as told:
        action.check(inputs)
    assert words in str(told.value)
    found: Outcome = action.perform(step_run("wait", inputs))
    assert isinstance(found, Failed)
