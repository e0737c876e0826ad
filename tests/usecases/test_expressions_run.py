"""Expressions in steps that run: resolved before the effect is named, the same in every attempt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.step_inputs import Form
from sentinel.core.steps import Again, Done
from sentinel.core.tasks import EffectState, State, effect_key
from tests.scenario import Target, World, rule

STEPS = """
  - {id: a, uses: tell, with: {to: "${entry.user}", n: "${entry.n}"}}
  - {id: b, uses: act, with: {seen: "${steps.a.result.ticket}", why: "${cause.title}", task: "${task.id}"}}
"""


@pytest.fixture
def world(client: redis.Redis) -> Iterator[World]:
    """Wire everything, with a recipe whose steps take values."""
    forms = {"to": Form.JSON, "n": Form.JSON, "seen": Form.JSON, "why": Form.JSON, "task": Form.JSON}
    targets = [Target(name, stream, forms=forms) for name, stream in (("tell", "siem"), ("act", "action"))]
    found = World(RedisQueue(client), targets)
    found.push("rule", "errors", rule("errors", "boom"))
    text = f"id: r\non: {{rule: errors}}\ndedup: {{by: [g]}}\nsteps:{STEPS}"
    found.push("recipe", "r", text.encode())
    yield found
    found.close()


def _entry(user: str, n: int = 1) -> bytes:
    return b'{"message": "boom", "user": "%s", "n": %d, "g": 1}' % (user.encode(), n)


def test_steps_get_the_values_of_the_first_entry(world: World) -> None:
    """Of several entries that set a task off, the first one's fields are put in, with their types."""
    world.targets["tell"].answers = [Done({"ticket": 12})]
    world.detect(world.store("s/0", [_entry("ann", 7), _entry("bob", 8)]))
    world.settle()
    task = world.only()
    assert task.state is State.SUCCEEDED
    assert dict(world.targets["tell"].runs[0].step.with_) == {"to": "ann", "n": 7}
    expected = {"seen": 12, "why": "Rule errors", "task": task.id}
    assert dict(world.targets["act"].runs[0].step.with_) == expected


def test_the_effect_is_named_by_the_resolved_inputs(world: World) -> None:
    """Each attempt has the same inputs and so the same key: task, recipe's digest, step, values."""
    world.targets["tell"].answers = [Again("busy", None), Again("busy", None), Done({"ticket": 1})]
    world.detect(world.store("s/0", [_entry("ann")]))
    world.settle()
    task = world.only()
    key = effect_key(task.id, task.recipe_digest, "a", {"to": "ann", "n": 1})
    assert [run.key for run in world.targets["tell"].runs] == [key] * 3
    assert world.tasks.effects(task.id)[key].state is EffectState.DONE


def test_a_missing_value_fails_the_step_and_acts_nowhere(world: World) -> None:
    """A step that wants what an entry has not fails for good, names the expression, and has no intent."""
    world.detect(world.store("s/0", [b'{"message": "boom", "g": 1, "user": "ann"}']))
    world.settle()
    task = world.only()
    assert task.state is State.FAILED
    assert task.reason.startswith("step a: ${entry.n}: there is no such value")
    assert world.tasks.effects(task.id) == {}
    assert world.targets["tell"].runs == []


def test_an_erased_entry_fails_the_step(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first entry is gone no other stands in for it, since the effect would get another name."""
    world.detect(world.store("s/0", [_entry("ann"), _entry("bob")]))
    real = world.ledger.at
    monkeypatch.setattr(world.ledger, "at", lambda chain, seq: None if seq == 0 else real(chain, seq))
    world.settle()
    task = world.only()
    assert task.state is State.FAILED
    assert "was erased" in task.reason


def test_a_value_that_spells_an_expression_is_text(world: World) -> None:
    """What a stranger writes is put in once, and never read for expressions."""
    world.detect(world.store("s/0", [_entry("${task.id}")]))
    world.settle()
    found: Any = world.targets["tell"].runs[0].step.with_["to"]
    assert found == "${task.id}"
