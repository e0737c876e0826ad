"""A choice of a recipe's own steps: the one that was chosen is done, the others are passed over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis

from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.states import State
from sentinel.core.step_inputs import Form
from sentinel.core.steps import Done, Outcome, StepRun
from tests.scenario import Target, World, rule
from tests.usecases.test_recall import replayed

RECIPE = b"""id: r
on: {rule: errors}
steps:
  - {id: which, uses: ai.choose, with: {among: {restart: {}, scale: {}}}}
  - {id: restart, uses: restart}
  - {id: scale, uses: scale}
  - {id: tell, uses: tell}
"""


@dataclass
class Chooser:
    """Chooses what it is told to; stands for the model, of which this is not about."""

    chosen: str
    name: str = "ai.choose"
    stream: str = "action"
    asks: bool = True
    forms: Mapping[str, Form] = field(default_factory=dict)

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Take everything."""

    def plan(self, run: StepRun) -> Mapping[str, object]:
        """Plan nothing."""
        return {}

    def perform(self, run: StepRun) -> Outcome:
        """Choose."""
        return Done({"chosen": run.recorded("which", lambda: self.chosen), "parameters": {}})


@pytest.fixture
def world(client: redis.Redis) -> Iterator[World]:
    """Give a world with a recipe that chooses between two steps."""
    client.flushall()
    targets = [Target("restart", "action"), Target("scale", "siem"), Target("tell", "siem")]
    made = World(RedisQueue(client), targets)
    made.actions = {**made.targets, "ai.choose": Chooser("restart")}
    made.push("rule", "errors", rule("errors", "boom"))
    made.push("recipe", "r", RECIPE)
    yield made
    made.close()


@pytest.mark.parametrize("chosen", ["restart", "scale"])
def test_what_was_not_chosen_is_passed_over(world: World, chosen: str) -> None:
    """Its target hears nothing, its result says so, and the steps that no choice lists are done."""
    world.actions = {**world.targets, "ai.choose": Chooser(chosen)}
    world.new_detector().detect(world.store("s/0", [b'{"message": "boom"}']))
    for _ in range(4):
        world.dispatch()
        world.drain("action")
        world.drain("siem")
    task = world.only()
    other = {"restart": "scale", "scale": "restart"}[chosen]
    assert task.state is State.SUCCEEDED
    assert task.results[other] == {"passed_over": True}
    runs = {name: len(target.runs) for name, target in world.targets.items()}
    assert runs == {chosen: 1, other: 0, "tell": 1}
    passed = [body for body in world.bodies(task) if body.get("outcome") == "was passed over"]
    assert [body["step"] for body in passed] == [other]
    assert replayed(world, task) == []
