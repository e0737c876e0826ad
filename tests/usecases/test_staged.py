"""A step in stages: each is done by the worker that may, whoever dies between, and the whole is replayed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis

from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.states import State
from sentinel.core.step_inputs import Form
from sentinel.core.steps import Again, Done, Outcome, StepRun
from sentinel.errors import Unavailable
from tests.faults_calls import Killed
from tests.scenario import Target, World, recipe, rule
from tests.usecases.test_recall import replayed

STAGES = ("action", "siem", "siem", "action")  # the streams of the stages, in order


@dataclass
class Relay:
    """A step of four stages, of which each tells in `did` on which stream it was done."""

    name: str = "relay"
    stream: str = STAGES[0]
    asks: bool = True
    forms: Mapping[str, Form] = field(default_factory=dict)
    dies_at: int = -1
    away_at: int = -1
    did: list[int] = field(default_factory=list)

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Take everything."""

    def plan(self, run: StepRun) -> Mapping[str, object]:
        """Plan nothing."""
        return {}

    def stage_stream(self, done: Mapping[str, object]) -> str:
        """Say whose the next stage is."""
        return STAGES[_stage(done)]

    def perform(self, run: StepRun) -> Outcome:
        """Do one stage."""
        stage = _stage(run.done)
        said = json.loads(run.recorded(f"stage {stage}", lambda: self._do(stage)))
        if stage + 1 == len(STAGES):
            return Done(said)
        return Again(f"stage {stage} is done", 0, {"stage": stage + 1, **said}, onward=True)

    def _do(self, stage: int) -> str:
        self.did.append(stage)
        if len(self.did) == self.dies_at:
            raise Killed
        if len(self.did) == self.away_at:
            raise Unavailable("it is busy")
        return json.dumps({f"of {stage}": len(self.did)})


def _stage(done: Mapping[str, object]) -> int:
    found = done.get("stage", 0)
    assert isinstance(found, int)
    return found


@pytest.fixture
def world(client: redis.Redis) -> Iterator[World]:
    """Give a world with one task, whose first step has stages."""
    client.flushall()
    made = World(RedisQueue(client), [Target("tell", "siem")])
    made.actions = {**made.targets, "relay": Relay()}
    made.push("rule", "errors", rule("errors", "boom"))
    made.push("recipe", "r", recipe("r", "errors", "relay", "tell"))
    made.new_detector().detect(made.store("s/0", [b'{"message": "boom"}']))
    yield made
    made.close()


def _relay(world: World) -> Relay:
    found = world.actions["relay"]
    assert isinstance(found, Relay)
    return found


def _run(world: World, rounds: int) -> None:
    for _ in range(rounds):
        for part in (world.dispatch, lambda: world.drain("action"), lambda: world.drain("siem"), world.sweep):
            try:
                part()
            except (Killed, Unavailable):
                continue
        world.clock.sleep(61)


def test_each_stage_is_done_once_by_its_own_worker(world: World) -> None:
    """A worker does no stage of another one, and what a stage got done is handed to the next."""
    for stage, stream in enumerate(STAGES):
        world.dispatch()
        world.drain("siem" if stream == "action" else "action")
        assert _relay(world).did == list(range(stage))
        world.drain(stream)
        assert _relay(world).did == list(range(stage + 1))
    world.dispatch()
    world.drain("siem")
    task = world.only()
    assert task.state is State.SUCCEEDED
    assert task.results["s0"] == {"of 3": 4}
    assert task.tries == 0
    handed = [body["stream"] for body in world.bodies(task) if body.get("answer") == "again"]
    assert handed == list(STAGES[1:])
    assert replayed(world, task) == []


@pytest.mark.parametrize("at", range(1, 5))
@pytest.mark.parametrize("how", ["dies_at", "away_at"])
def test_a_stage_that_is_cut_off_is_done_again_and_none_before_it(world: World, how: str, at: int) -> None:
    """What was handed on stays done, also where the next worker dies or its target is away."""
    setattr(_relay(world), how, at)
    _run(world, 7)
    task = world.only()
    assert task.state is State.SUCCEEDED
    assert _relay(world).did == sorted([*range(4), at - 1])
    assert replayed(world, task) == []
