"""Attacks on approvals: by those who made what is asked, by those who are trusted no more, and by readers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.access import Author
from sentinel.core.approvals import Asked
from sentinel.core.ring import Key
from sentinel.core.states import State
from sentinel.core.step_inputs import Form
from sentinel.core.steps import Failed
from sentinel.core.tasks import Task
from sentinel.errors import Forbidden, Missing, Unauthenticated
from sentinel.usecases.approval_links import LinkMaker
from sentinel.usecases.approvers import service
from sentinel.usecases.fork import Fork, Wish
from sentinel.usecases.replay import Replay
from tests.approvals import ALICE, BOB, AskingWorld, approving_recipe
from tests.core.test_dsse import KEYS
from tests.scenario import START, Target, rule

NO_KEY: Any = None  # nothing is signed where a link is refused


@pytest.fixture
def world(client: redis.Redis) -> Iterator[AskingWorld]:
    """Wire everything, with a rule in force and no recipe yet."""
    targets = [Target("tell", "siem", forms={"body": Form.JSON}), Target("act", "action")]
    found = AskingWorld(RedisQueue(client), targets)
    found.push("rule", "errors", rule("errors", "boom"))
    yield found
    found.close()


def _fork(world: AskingWorld, parent: Task, who: str, **inputs: Any) -> Task:
    """Fork a task, let the fork ask, and return it."""
    fork = Fork(world._tasks, world.playbook, world.actions, world.clock, world.nonce)
    made = fork.fork(parent.id, Wish(who, "another try", {"s0": inputs} if inputs else {}))
    world.run()
    found = world.tasks.get(made.id)
    assert found is not None
    return found


def _makers(world: AskingWorld, task: Task) -> list[str]:
    shown: Any = world.approving().look(task.id)["shown"]
    found: list[str] = shown["makers"]
    return found


def test_who_chose_inputs_does_not_approve_a_fork_of_the_fork(world: AskingWorld) -> None:
    """Inputs go on to the forks of a fork, and so do their makers: another name in between hides nobody."""
    parent = world.begin(approving_recipe("uses: act", by=["service:ops", ALICE]))
    evil = _fork(world, parent, "service/ops", n=666)
    again = _fork(world, evil, "service/helper")
    third = _fork(world, again, "service/ops")
    assert [again.inputs, third.inputs] == [{"s0": {"n": 666}}] * 2
    assert _makers(world, again) == ["service:ops", "service:helper"]
    assert _makers(world, third) == ["service:ops", "service:helper"]
    assert world.approve(again, "service:ops").state is State.AWAITING_APPROVAL
    assert world.approve(again, ALICE).state is State.QUEUED
    replay = Replay(world.ledger, world.catalog, world.tasks, world.clock, actions=world.actions)
    found = replay.compare(START, world.clock.now)
    assert [each for each in found.differences if each.what == "different"] == []
