"""Fences: two workers believe that they have one task, since their clocks differ or one stood still."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis

from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.states import State
from sentinel.core.steps import Again, Done, StepRun
from sentinel.core.tasks import LEASE, SECOND, EffectState, Event, Task
from sentinel.errors import Conflict, Unavailable
from sentinel.usecases.execute import Executor
from sentinel.usecases.flow import Open
from tests.scenario import ProbedTarget, Target, World, recipe, rule


@pytest.fixture
def world(client: redis.Redis) -> Iterator[World]:
    """Wire everything, with a target that can be asked and one that cannot."""
    found = World(RedisQueue(client), [Target("blind", "siem"), ProbedTarget("seen", "siem")])
    found.push("rule", "errors", rule("errors", "boom"))
    yield found
    found.close()


def _begin(world: World, uses: str) -> Task:
    world.push("recipe", "r", recipe("r", "errors", uses, step="effect: at-most-once"))
    world.detect(world.store("s/0", [b'{"message": "boom"}']))
    return world.only()


class _Between:
    """Tasks that let something happen before or after the first call of a method."""

    def __init__(self, inner: Any, method: str, *, before: Callable[[], object] = lambda: None) -> None:
        self._inner, self._method, self._before = inner, method, before

    def __getattr__(self, name: str) -> Any:
        if name == self._method:
            act, self._before = self._before, lambda: None
            act()
        return getattr(self._inner, name)


def _slow(world: World, method: str, meanwhile: Callable[[], object]) -> Executor:
    """Return a worker that is stopped before its first call of a method of the store, while others go on."""
    tasks: Any = _Between(world.tasks, method, before=meanwhile)
    return replace(world.executor("siem", "slow"), tasks=tasks)


def _ahead(world: World, act: Callable[[], object]) -> None:
    """Do something in a process whose clock is an hour ahead; then the first one's clock counts again."""
    now = world.clock.now
    world.clock.sleep(3600)
    act()
    world.clock.now = now


@pytest.mark.parametrize("uses", ["blind", "seen"])
def test_a_sweep_whose_clock_is_ahead_doubles_no_effect(world: World, uses: str) -> None:
    """A worker whose task was taken from it before its intent was there does not act: another has acted."""
    task = _begin(world, uses)

    def others() -> None:
        world.sweep()
        stored = world.tasks.get(task.id)
        assert stored is not None
        assert stored.state is not State.RUNNING
        other = world.executor("siem", "fast").execute(stored, world.clock.now + LEASE)
        assert other is not None
        assert other.state is State.SUCCEEDED

    slow = _slow(world, "record", lambda: _ahead(world, others))
    with pytest.raises(Conflict):
        slow.execute(task, world.clock.now + LEASE)
    assert len(world.targets[uses].runs) == 1
    assert world.only().state is State.SUCCEEDED


@pytest.mark.parametrize("uses", ["blind", "seen"])
def test_an_intent_that_came_while_another_began_is_asked_about(world: World, uses: str) -> None:
    """Two workers read no effect; whoever records its intent second does not act on what it read."""
    task = _begin(world, uses)
    target = world.targets[uses]

    def others() -> None:
        """The slow worker is about to act: its intent stands there, and the task is another's."""
        world.sweep()
        stored = world.tasks.get(task.id)
        assert stored is not None
        fast = _slow_reader(world)
        with pytest.raises(Conflict):
            fast.execute(stored, world.clock.now + LEASE)

    def _slow_reader(world: World) -> Executor:
        """It has read that there are no effects before the slow one's intent came."""
        inner: Any = world.tasks

        class Blind:
            def __getattr__(self, name: str) -> Any:
                return (lambda _: {}) if name == "effects" else getattr(inner, name)

        return replace(world.executor("siem", "fast"), tasks=Blind())

    def acting(run: StepRun) -> Done:
        _ahead(world, others)
        return Done({"by": "slow"})

    target.answers = [acting]
    slow = world.executor("siem", "slow")
    with pytest.raises(Conflict):
        slow.execute(task, world.clock.now + LEASE)
    assert len(target.runs) == 1
    (effect,) = world.tasks.effects(task.id).values()
    assert (effect.state, effect.attempt) == (EffectState.DONE, 1)
    world.clock.sleep(3600 + 2 * LEASE / SECOND)
    world.settle()
    assert world.only().state is State.SUCCEEDED
    assert len(target.runs) == 1


@pytest.mark.parametrize("lost", [False, True])
def test_a_store_that_is_away_for_a_moment_leaves_no_task_leased(world: World, lost: bool) -> None:
    """A worker whose last write of a task fails once, or whose answer is lost, ends the task all the same."""
    task = _begin(world, "blind")
    failures = [Unavailable("away", 0)]

    class Away:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.tasks, name)

        def move(self, before: Task, after: Task, event: Event) -> None:
            if after.state is State.SUCCEEDED and failures:
                if lost:
                    world.tasks.move(before, after, event)
                raise failures.pop()
            world.tasks.move(before, after, event)

    executor = replace(world.executor("siem"), tasks=Away())
    found = executor.execute(task, world.clock.now + LEASE)
    assert found is not None
    assert found.state is State.SUCCEEDED
    assert world.only() == found
    assert len(world.bodies(found)) == 3


@pytest.mark.parametrize("method", ["record", "at"])
def test_nothing_is_begun_after_the_lease(world: World, method: str) -> None:
    """A worker whose lease ran out while it read the entries, or recorded its intent, does not act."""
    task = _begin(world, "blind")
    slow: Any = _Between(
        world.tasks if method == "record" else world.ledger, method, before=lambda: world.clock.sleep(61)
    )
    executor = world.executor("siem", "slow")
    executor = replace(executor, tasks=slow) if method == "record" else replace(executor, ledger=slow)
    with pytest.raises(Conflict):
        executor.execute(task, world.clock.now + 10 * LEASE)
    assert not world.targets["blind"].runs


def test_a_heartbeat_puts_no_deadline_off(world: World) -> None:
    """While an action performs its lease goes on, and the task still expires at its deadline."""
    world.push("recipe", "r", recipe("r", "errors", "blind", timeout="1m"))
    world.detect(world.store("s/0", [b'{"message": "boom"}']))
    task = world.only()
    beats: list[int] = []
    extend = world.tasks.extend

    def counted(task: Task, due: int) -> bool:
        beats.append(due)
        return extend(task, due)

    def slow(run: StepRun) -> Done:
        while len(beats) < 3:
            time.sleep(0.01)
        return Done({})

    world.tasks.extend = counted  # type: ignore[method-assign]
    world.targets["blind"].answers = [slow]
    world.clock.sleep(59.95)
    replace(world.executor("siem"), lease=SECOND // 10).execute(task, world.clock.now + LEASE)
    assert set(beats) == {task.deadline}


def test_a_clock_that_was_ahead_keeps_no_place(world: World) -> None:
    """A process whose clock was an hour ahead noted that it looked at a gate; others look, too."""
    world.push("recipe", "r", recipe("r", "errors", "blind", flow="concurrency: [{most: 1}]"))
    world.detect(world.store("s/0", [b'{"message": "boom"}'] * 3))
    world.targets["blind"].answers = [Again("busy", 7200 * SECOND)]
    world.dispatch()
    _ahead(world, lambda: world.drain("siem"))
    _ahead(world, world.sweep)
    holder = next(task for task in world.tasks.listing() if task.attempt)
    # Its end tells nobody: whoever ended it died before it gave the place back.
    replace(world.control(), gates=Open()).cancel(holder.id, "ann", "as agreed")
    world.detect(world.store("s/1", [b'{"message": "boom"}'], t=world.clock.now))
    world.dispatch()
    for _ in range(10):
        world.clock.sleep(60)
        world.sweep()
        world.drain("siem")
        if {task.state for task in world.tasks.listing()} == {State.CANCELLED, State.SUCCEEDED}:
            return
    raise AssertionError([(task.state, task.due, task.reason) for task in world.tasks.listing()])
