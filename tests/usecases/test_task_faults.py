"""The fault loop: every call of every port fails once, unsent or with its answer lost, or for good, or kills.

After each fault everything runs on, as feeds and schedules make it; then every task has ended exactly once,
every effect is recorded and reached its target under one key, and every lineage verifies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis

from sentinel.adapters.redis_streams import RedisQueue, connect
from sentinel.core.segment import Segment
from sentinel.core.steps import Again
from sentinel.core.tasks import SECOND, EffectState, State
from sentinel.errors import Unavailable
from tests.faults_calls import Faults, Killed
from tests.sampling import taken
from tests.scenario import START, Target, World, correlation, recipe, rule
from tests.valkey import running

ANN = b'{"message": "boom", "user": "ann"}'
BOB = b'{"message": "boom", "user": "bob"}'


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    """Run one server for all of these tests."""
    with running(tmp_path_factory.mktemp("valkey")) as server:
        made = connect(server.url)
        yield made
        made.close()


def _world(client: redis.Redis, faults: Faults) -> tuple[World, list[Segment]]:
    client.flushall()
    world = World(
        RedisQueue(client),
        [Target("tell", "siem", [Again("busy", SECOND, {"told": "one"})]), Target("act", "action")],
        faults.wrap,
    )
    world.push("rule", "errors", rule("errors", "boom"))
    world.push("rule", "slow", rule("slow", "boom"))
    world.push("rule", "many", correlation("many", "errors", "user", 3))
    world.push("recipe", "each", recipe("each", "slow", "tell", "act", by=["user"], within="1h", attempts=50))
    world.push("recipe", "burst", recipe("burst", "many", "act", "act", attempts=50))
    segments = world.store("s/0", [ANN, BOB], [ANN], t=START) + world.store("s/1", [ANN], t=START + SECOND)
    return world, segments


def _scenario(world: World, segments: list[Segment], heal: Callable[[], None]) -> None:
    """Run detection, dispatch, workers and sweep as their triggers do: each is called again if it fails."""
    waiting = [segments[:2], segments[2:]]
    for turn in range(3):
        for run in list(waiting):
            try:
                world.new_detector().detect(run)
                waiting.remove(run)
            except (Unavailable, Killed):
                pass
        for part in (world.dispatch, lambda: world.drain("siem"), lambda: world.drain("action"), world.sweep):
            try:
                part()
            except (Unavailable, Killed):
                continue
        world.clock.sleep(16 if turn else 2)
    heal()
    for run in waiting:
        world.new_detector().detect(run)
    world.settle()


def _check(world: World) -> None:
    tasks = world.tasks.listing()
    assert sorted(task.recipe for task in tasks) == ["burst", "each", "each"]
    done = set()
    for task in tasks:
        assert task.state is State.SUCCEEDED
        assert set(task.results) == {"s0", "s1"}
        ends = [body for body in world.bodies(task) if body["event"] in ("succeeded", "failed")]
        assert len(ends) == 1
        effects = world.tasks.effects(task.id)
        assert {effect.state for effect in effects.values()} == {EffectState.DONE}
        assert sorted(effect.step for effect in effects.values()) == ["s0", "s1"]
        done |= set(effects)
    runs = [run for target in world.targets.values() for run in target.runs]
    assert {run.key for run in runs} == done
    assert set().union(*(target.effects for target in world.targets.values())) == done
    for key in done:
        # A step that runs again is told that it may have happened.
        assert all([run.resumed for run in runs if run.key == key][1:])


def _calls(client: redis.Redis) -> int:
    faults = Faults()
    world, segments = _world(client, faults)
    _scenario(world, segments, lambda: None)
    _check(world)
    assert {name.partition(".")[0] for name in faults.log} == {
        *("tasks", "ledger", "catalog", "counters", "queue", "doorbell"),
    }
    world.close()
    return faults.calls


@pytest.mark.parametrize("applied", [False, True], ids=["unsent", "answer lost"])
@pytest.mark.parametrize("how", ["once", "until healed", "killed"])
def test_no_fault_loses_or_doubles_a_task(client: redis.Redis, applied: bool, how: str) -> None:
    """Whichever call fails: all tasks end exactly once, their effects are recorded, their lineages verify."""
    total = _calls(client)
    assert total > 60
    # Each call fails in three of the six ways here.
    for k in taken(range(1, total + 1), 4, ("once", "until healed", "killed").index(how) + applied):
        until = total * 10 if how == "until healed" else k + 1
        error = Killed if how == "killed" else Unavailable
        faults = Faults(error, range(k, until).__contains__, applied)
        world, segments = _world(client, faults)

        def heal(faults: Faults = faults) -> None:
            faults.fails = lambda _: False

        _scenario(world, segments, heal)
        _check(world)
        world.close()
