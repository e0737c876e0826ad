"""Places are given back and handed on at once, and not only when somebody looks: no time passes here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis

from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.places import Gate, unpacked
from sentinel.core.states import State
from sentinel.core.steps import Again
from sentinel.core.tasks import LEASE, SECOND, Event, Task
from tests.scenario import Target, World, recipe, rule

FLOWS = {
    "alpha": "concurrency: [{most: 1, group: a}]",
    "beta": "concurrency: [{most: 1, group: '0'}, {most: 1, group: a}]",
}


@pytest.fixture
def world(client: redis.Redis) -> Iterator[World]:
    """Wire everything; a task of alpha has the place of group a, and waits long at its target."""
    found = World(RedisQueue(client), [Target("tell", "siem")])
    for name, flow in FLOWS.items():
        found.push("rule", name, rule(name, name))
        found.push("recipe", name, recipe(name, name, "tell", flow=flow))
    found.targets["tell"].answers = [Again("busy", 3600 * SECOND)]
    _log(found, "alpha")
    assert found.drain("siem").waiting == 1
    yield found
    found.close()


def _log(world: World, word: str) -> Task:
    (name,) = world.detect(world.store(f"{word}/0", [b'{"message": "%s"}' % word.encode()])).tasks
    world.dispatch()
    found = world.tasks.get(name)
    assert found is not None
    return found


def _gate(world: World, group: str) -> Gate:
    return unpacked(world.counters.load(f"place/group/{group}")[0])


def test_who_is_held_gives_back_what_it_took_before(world: World) -> None:
    """A task that has its first place and is held for its second has no place when it is held."""
    beta = _log(world, "beta")
    assert world.drain("siem").waiting == 1
    assert _gate(world, "0").empty
    assert [waiter.id for waiter in _gate(world, "a").line] == [beta.id]


def test_who_is_cancelled_leaves_the_line(world: World) -> None:
    """A task that ends while it waits for a place stands in no line any more."""
    beta = _log(world, "beta")
    world.drain("siem")
    world.control().cancel(beta.id, "ann", "as agreed")
    assert _gate(world, "a").line == ()


def test_a_place_that_comes_free_while_a_task_is_being_held_is_told_of(world: World) -> None:
    """Between a task's look at a gate and its hold the holder ends: the task goes on at once."""
    holder = world.only()
    beta = _log(world, "beta")
    moves: list[str] = []

    class Between:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.tasks, name)

        def move(self, before: Task, after: Task, event: Event) -> None:
            if not moves:
                moves.append(after.state)
                world.control().cancel(holder.id, "ann", "as agreed")
            world.tasks.move(before, after, event)

    executor = replace(world.executor("siem"), tasks=Between())
    executor.execute(beta, world.clock.now + LEASE)
    assert moves == [State.WAITING]
    stored = world.tasks.get(beta.id)
    assert stored is not None
    assert (stored.state, stored.held) == (State.QUEUED, "")
    assert list(_gate(world, "a").holders) == [beta.id]
