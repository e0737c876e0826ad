"""Lines from end to end: entries of services become tasks, and workers take them by priority and share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.lines import share_of
from sentinel.core.steps import Done, StepRun
from sentinel.core.tasks import State
from sentinel.usecases.dispatch import Change, dispatch
from tests.scenario import Target, World, recipe, rule

BOOM = b'{"message": "boom"}'
URGENT = b'{"message": "urgent"}'
IDLE = b'{"message": "idle"}'


@pytest.fixture
def world(client: redis.Redis) -> Iterator[World]:
    """Wire everything, with a rule and a recipe of each priority."""
    found = World(RedisQueue(client, turn=0), [Target("tell", "siem")])
    for word, priority in (("boom", "normal"), ("urgent", "high"), ("idle", "low")):
        found.push("rule", word, rule(word, word))
        found.push("recipe", word, recipe(word, word, "tell") + f"priority: {priority}\n".encode())
    yield found
    found.close()


def _begin(world: World, service: str, body: bytes, count: int) -> None:
    world.detect(world.store(f"{service}/0", [body] * count))
    world.dispatch()


def _order(world: World) -> list[tuple[str, str]]:
    """Return the service and the recipe of each run, in order."""
    runs = world.targets["tell"].runs
    return [(run.entries[0].chain.partition("/")[0], run.task.recipe) for run in runs]


def test_a_service_that_floods_keeps_no_other_waiting(world: World) -> None:
    """A task that a second service sets off behind a thousand of the first is run in the first batch."""
    assert share_of("checkout") != share_of("billing")
    _begin(world, "checkout", BOOM, 1000)
    _begin(world, "billing", BOOM, 1)
    world.drain("siem", seconds=51)
    assert ("billing", "boom") in _order(world)[:8]


def test_priorities_order_what_waits(world: World) -> None:
    """Of what waits, tasks of a recipe with a high priority are run first, those with a low one last."""
    for body in (IDLE, BOOM, URGENT):
        _begin(world, {IDLE: "a", BOOM: "b", URGENT: "c"}[body], body, 8)
    assert world.drain("siem").succeeded == 24
    assert [name for _, name in _order(world)] == ["urgent"] * 8 + ["boom"] * 8 + ["idle"] * 8


def test_a_low_priority_does_not_starve(world: World) -> None:
    """Behind any number of tasks with a high priority, one with a low one is run within eight batches."""
    _begin(world, "checkout", URGENT, 300)
    _begin(world, "billing", IDLE, 1)
    world.drain("siem")
    assert ("billing", "idle") in _order(world)[:64]


def test_what_there_is_no_time_for_stays_in_its_line(world: World, client: redis.Redis) -> None:
    """A hint that a drain gives back stands in the line it came from, and nothing is left of it elsewhere."""
    _begin(world, "checkout", URGENT, 3)

    def slow(_: StepRun) -> Done:
        world.clock.sleep(400)
        return Done({})

    world.targets["tell"].answers = [slow]
    assert world.drain("siem").succeeded == 1
    keys: Any = client.keys("sentinel:{siem}:*")
    place = f"high.{share_of('checkout')}"
    assert {key.decode() for key in keys if client.xlen(key)} == {f"sentinel:{{siem}}:{place}"}
    assert client.xlen(f"sentinel:{{siem}}:{place}") == 2


def test_the_sweep_hints_in_the_tasks_line(world: World, client: redis.Redis) -> None:
    """After the loss of everything in Redis, a task is hinted again where it stood."""
    _begin(world, "checkout", URGENT, 1)
    client.flushall()
    world.clock.sleep(20)
    assert world.sweep().again == 1
    (hint,) = world.queue.take("siem", "w", 5, 0)
    assert hint.line == world.only().line == f"siem:high.{share_of('checkout')}"


def test_tasks_of_an_earlier_version_are_run(world: World, client: redis.Redis) -> None:
    """A change that names a plain stream is hinted in the stream's normal line, and its bell is rung once."""
    rung: list[str] = []

    class Bell:
        def ring(self, worker: str) -> None:
            rung.append(worker)

    _begin(world, "checkout", BOOM, 2)
    client.flushall()
    first, second = world.tasks.listing()
    changes = [Change(first.id, State.QUEUED, "siem"), Change(second.id, State.QUEUED, second.line)]
    assert dispatch(changes, world.queue, Bell()) == 2
    assert rung == ["siem"]
    assert world.drain("siem").succeeded == 2


@pytest.mark.parametrize("place", ["high.0", "normal.9", "low.15"])
def test_poison_in_any_line_blocks_nothing(world: World, client: redis.Redis, place: str) -> None:
    """Garbage, ids of no task and tasks of another stream are dropped from whatever line they stand in."""
    _begin(world, "checkout", BOOM, 1)
    key = f"sentinel:{{siem}}:{place}"
    client.xadd(key, {"other": "x"})
    client.xadd(key, {"task": "x" * 5000})
    client.xadd(key, {"task": "a" * 26})
    client.xadd(f"sentinel:{{action}}:{place}", {"task": world.only().id})
    assert world.drain("action").skipped == 1
    drained = world.drain("siem")
    assert (drained.poison, drained.succeeded) == (3, 1)
    assert client.xlen(key) == 0
