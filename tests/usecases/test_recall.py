"""What a step asks of a model is kept: not asked twice after a crash, and replayed byte for byte."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import redis

from sentinel.adapters.dynamodb_tasks import DynamoTasks
from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.states import State
from sentinel.core.step_inputs import Form
from sentinel.core.steps import Again, Done, Outcome, StepRun
from sentinel.core.tasks import Task
from sentinel.errors import Unavailable
from sentinel.usecases.recall import MOST, is_question
from sentinel.usecases.recorded import wrong_effects
from sentinel.usecases.reenact import Reenact
from tests.contracts.tables import dynamodb
from tests.faults_calls import Faults, Killed
from tests.scenario import Target, World, recipe, rule
from tests.usecases.test_effect_faults import DynamoWorld


@dataclass
class Agent:
    """Behaves as a step with a model does: each question follows from the answer before.

    The model answers at random, so that whoever asks it again gets another answer.
    """

    name: str = "agent"
    stream: str = "action"
    asks: bool = True
    forms: Mapping[str, Form] = field(default_factory=dict)
    rounds: int = 3
    dies_at: int = -1
    away_at: int = -1
    words: str = "answer"
    asked: list[str] = field(default_factory=list)
    chance: random.Random = field(default_factory=random.Random)

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Take everything."""

    def plan(self, run: StepRun) -> Mapping[str, object]:
        """Plan nothing."""
        return {}

    def perform(self, run: StepRun) -> Outcome:
        """Ask some questions, and tell the last answer."""
        said = ""
        for number in range(self.rounds):
            question = json.dumps({"prompt": f"{run.task.recipe} {number}", "before": said})
            said = run.recorded(question, lambda question=question: self._model(question))  # type: ignore[misc]
        again = run.recorded("the same", lambda: self._model("the same"))
        if run.recorded("the same", lambda: self._model("the same")) == again:
            return Again("it repeats itself", 0)
        return Done({"said": said})

    def _model(self, question: str) -> str:
        self.asked.append(question)
        if len(self.asked) == self.dies_at:
            raise Killed
        if len(self.asked) == self.away_at:
            raise Unavailable("the model is busy")
        return f"{self.words} {self.chance.random()} ☃"


@pytest.fixture(params=["sqlite", "dynamodb"])
def world(request: pytest.FixtureRequest, client: redis.Redis) -> Iterator[World]:
    """Give a world on each kind of store, with one task whose step asks a model, and one that comes after."""
    client.flushall()
    with dynamodb("tasks") as dynamo:
        made = (World if request.param == "sqlite" else DynamoWorld)(
            RedisQueue(client), [Target("tell", "siem")]
        )
        if isinstance(made, DynamoWorld):
            made.use(DynamoTasks(dynamo, "tasks"), Faults())
        made.actions = {**made.targets, "agent": Agent()}
        made.push("rule", "errors", rule("errors", "boom"))
        made.push("recipe", "r", recipe("r", "errors", "agent", "tell"))
        made.new_detector().detect(made.store("s/0", [b'{"message": "boom"}']))
        yield made
        made.close()


def agent(world: World) -> Agent:
    """Return the world's action that asks."""
    found = world.actions["agent"]
    assert isinstance(found, Agent)
    return found


def replayed(world: World, task: Task, effects: Any = None) -> list[str]:
    """Return what differs when a task lives once more."""
    by = Reenact(world.ledger, world.actions, world.playbook.recipe)
    there = world.tasks.effects(task.id) if effects is None else effects
    return list(by.differences(task, world.tasks.lineage(task.id), there, []))


def settled(world: World) -> Task:
    """Let everything run to its end, whoever dies."""
    for _ in range(6):
        for part in (world.dispatch, lambda: world.drain("action"), lambda: world.drain("siem"), world.sweep):
            try:
                part()
            except (Killed, Unavailable):
                continue
        world.clock.sleep(61)
    return world.only()


def test_a_run_with_a_model_is_replayed_byte_for_byte(world: World) -> None:
    """The step's own code comes to the same result by the answers that are kept; nobody is asked."""
    task = settled(world)
    assert (task.state, len(agent(world).asked)) == (State.SUCCEEDED, 5)
    before = list(agent(world).asked)
    assert replayed(world, task) == []
    assert agent(world).asked == before
    effects = world.tasks.effects(task.id)
    assert sum(map(is_question, effects)) == 5
    assert list(wrong_effects(effects, task, world.playbook.recipe)) == []
    told = "".join(str(body) for body in world.bodies(task))
    assert "answer 0" not in told and "prompt" not in told  # noqa: PT018 - content is in no lineage


@pytest.mark.parametrize("at", range(1, 6))
def test_nothing_is_asked_twice_after_a_crash(world: World, at: int) -> None:
    """A worker that dies while it waits for an answer leaves those that it had to the next one."""
    agent(world).dies_at = at
    task = settled(world)
    assert task.state is State.SUCCEEDED
    asked = agent(world).asked
    assert len(asked) == 6
    assert asked[at - 1] == asked[at]
    assert replayed(world, task) == []


@pytest.mark.parametrize("at", range(1, 6))
def test_a_model_that_is_away_is_asked_later(world: World, at: int) -> None:
    """It goes on at the question that had no answer, and the try that failed is replayed too."""
    agent(world).away_at = at
    task = settled(world)
    assert (task.state, len(agent(world).asked)) == (State.SUCCEEDED, 6)
    assert [body["answer"] for body in world.bodies(task) if "answer" in body] == ["again"]
    assert replayed(world, task) == []


def test_an_answer_that_was_changed_shows(world: World) -> None:
    """Questions and answers are bound by the lineage: another answer is another hash."""
    task = settled(world)
    effects = world.tasks.effects(task.id)
    for key, effect in effects.items():
        if not is_question(key):
            continue
        other = replace(effect, result={**effect.result, "answer": "forged"})
        assert replayed(world, task, {**effects, key: other})
        assert replayed(world, task, {each: value for each, value in effects.items() if each != key})


def test_another_prompt_shows(world: World) -> None:
    """Code that asks something else now is told of, with the event and the step."""
    task = settled(world)
    agent(world).rounds = 4
    (why,) = replayed(world, task)
    assert why == "event 2: step s0 would ask what it did not ask"


def test_what_is_too_large_to_be_kept_fails_the_step(world: World) -> None:
    """An answer over the bound is no surprise of the store: the step says so."""
    agent(world).words = "x" * MOST
    task = settled(world)
    assert task.state is State.FAILED
    assert "ask for less" in task.reason
