"""The fault loop of flow: every call of every port fails once, unsent or with its answer lost, or kills.

After each fault everything runs on; then every task has succeeded once, no limit was exceeded at any commit,
and every gate is empty again.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial

import pytest
import redis

from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.places import unpacked
from sentinel.core.segment import Segment
from sentinel.core.states import State
from sentinel.core.steps import Again
from sentinel.core.tasks import SECOND
from sentinel.errors import Missing, Unavailable
from tests.faults_calls import Faults, Killed
from tests.sampling import taken
from tests.scenario import START, Target, World, recipe, rule

BOOM = b'{"message": "boom"}'
BOTH = "concurrency: [{most: 1, group: a}, {most: 2, group: b}]"
FLOWS = {
    "first": BOTH,
    "second": f"{BOTH}\nrate: {{most: 30, every: 1m}}",
    "third": "concurrency: [{most: 1, group: b}]\npriority: high",
}
GATES = {"place/group/a": (("first", "second"), 1), "place/group/b": (("first", "second", "third"), 2)}


def _world(client: redis.Redis, faults: Faults) -> tuple[World, list[Segment]]:
    client.flushall()
    world = World(RedisQueue(client), [Target("tell", "siem", [Again("busy", 40 * SECOND)] * 2)], faults.wrap)
    world.push("rule", "errors", rule("errors", "boom"))
    for name, flow in FLOWS.items():
        world.push("recipe", name, recipe(name, "errors", "tell", attempts=50, flow=flow))
    return world, world.store("s/0", [BOOM], t=START)


def _scenario(world: World, segments: list[Segment], faults: Faults) -> None:
    """Detect, work, pause, resume and work on, as triggers and people do; who fails is called again later."""
    detected = False
    for turn in range(4):
        try:
            if not detected:
                world.new_detector().detect(segments)
                detected = True
        except (Unavailable, Killed):
            pass
        for part in (world.dispatch, lambda: world.drain("siem"), world.sweep, partial(_people, world, turn)):
            try:
                part()
            except (Unavailable, Killed, Missing):
                continue
        world.clock.sleep(16 if turn else 3)
    faults.fails = lambda _: False
    world.new_detector().detect(segments)
    for pause in world.queues().pauses.all():
        world.queues().resume(pause.target, "ann", "that is all")
    world.settle(120)


def _people(world: World, turn: int) -> None:
    if turn == 0:
        world.queues().pause("recipe:first", "ann", "a moment")
    if turn == 2:
        world.queues().resume("recipe:first", "ann", "go on")


def _check(world: World) -> None:
    tasks = {task.id: task for task in world.tasks.listing()}
    assert len(tasks) == 3
    assert {task.state for task in tasks.values()} == {State.SUCCEEDED}
    assert all(
        len([b for b in world.bodies(task) if b["event"] == "succeeded"]) == 1 for task in tasks.values()
    )
    going: defaultdict[str, set[str]] = defaultdict(set)
    for change in world.tasks.changes(0, 10_000):
        if change.state is State.RUNNING:
            going[tasks[change.task_id].recipe].add(change.task_id)
        elif change.state is State.SUCCEEDED:
            going[tasks[change.task_id].recipe].discard(change.task_id)
        for recipes, most in GATES.values():
            assert sum(len(going[name]) for name in recipes) <= most
    for key in GATES:
        gate = unpacked(world.counters.load(key)[0])
        # What a killed worker left is mended by the next that asks, and nobody does any more.
        assert all(tasks[held].state.ended for held in gate.holders)
        assert not gate.line or all(tasks[waiter.id].state.ended for waiter in gate.line)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("applied", [False, True], ids=["unsent", "answer lost"])
@pytest.mark.parametrize("error", [Unavailable, Killed])
def test_no_fault_exceeds_a_limit_or_holds_for_ever(
    client: redis.Redis, error: type[BaseException], applied: bool
) -> None:
    """Whichever call fails: limits hold, every task succeeds once, and no place is kept by the living."""
    faults = Faults()
    world, segments = _world(client, faults)
    _scenario(world, segments, faults)
    _check(world)
    world.close()
    total = faults.calls
    assert {"counters.store", "counters.load", "tasks.extend", "tasks.move"} <= set(faults.log)
    # Each call fails in two of the four ways here.
    for k in taken(range(1, total + 1), 3, applied + (error is Killed)):
        faults = Faults(error, {k}.__contains__, applied)
        world, segments = _world(client, faults)
        _scenario(world, segments, faults)
        _check(world)
        world.close()
