"""Approvals while stores fail and approvers race: none is lost, none counts twice, effects happen once."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.approvals import Asked
from sentinel.core.states import State
from sentinel.core.tasks import Task
from sentinel.errors import Conflict, Unavailable
from tests.approvals import ALICE, BOB, AskingWorld, approving_recipe
from tests.faults_calls import Faults, Killed
from tests.sampling import taken
from tests.scenario import Target, rule

BY = [ALICE, BOB, "service:ops"]


def _world(client: redis.Redis, faults: Faults) -> AskingWorld:
    client.flushall()
    world = AskingWorld(RedisQueue(client), [Target("tell", "siem"), Target("act", "action")], faults.wrap)
    world.push("rule", "errors", rule("errors", "boom"))
    return world


def _again(act: Callable[[], Any]) -> Any:
    """Do what a person does: the same again, while there is no answer."""
    for _ in range(3):
        try:
            return act()
        except (Unavailable, Killed):
            continue
    return None


def _scenario(world: AskingWorld, heal: Callable[[], None]) -> None:
    """Ask, let all three approve, and let everything run on."""
    world.push("recipe", "r", approving_recipe("uses: act", "uses: tell", by=BY, more=", needs: 3"))
    segments = world.store("s/0", [b'{"message": "boom"}'])
    _again(lambda: world.detect(segments))
    for turn in range(5):
        if turn == 4:
            heal()
            world.detect(segments)
        for part in (world.dispatch, lambda: world.drain("action"), lambda: world.drain("siem"), world.sweep):
            _again(part)
        for name in BY:
            _again(functools.partial(_approve, world, name))
        world.clock.sleep(90)
    world.settle()
    for name in BY:
        _approve(world, name)
    world.settle()


def _approve(world: AskingWorld, name: str) -> None:
    for task in world.tasks.listing(State.AWAITING_APPROVAL):
        world.approve(task, name)


def _check(world: AskingWorld) -> None:
    task = world.only()
    assert task.state is State.SUCCEEDED, task.reason
    result: Any = task.results["ask"]
    assert sorted(result["approved_by"]) == sorted(BY)
    told = [body["who"] for body in world.bodies(task) if body.get("verdict") == "approve"]
    assert sorted(told) == sorted(BY)  # each approval is in the lineage once
    # A step that runs again, as an at-least-once step may, has the same key.
    assert [len(target.effects) for target in world.targets.values()] == [1, 1]


@pytest.mark.parametrize("applied", [False, True], ids=["unsent", "answer lost"])
@pytest.mark.parametrize("how", ["once", "until healed", "killed"])
def test_no_fault_loses_or_doubles_an_approval(client: redis.Redis, applied: bool, how: str) -> None:
    """Whichever call fails: all three approve once, what they approved is done once, the lineage verifies."""
    faults = Faults()
    world = _world(client, faults)
    _scenario(world, lambda: None)
    _check(world)
    world.close()
    total = faults.calls
    assert total > 60
    # Each call fails in three of the six ways here.
    for k in taken(range(1, total + 1), 4, ("once", "until healed", "killed").index(how) + applied):
        until = total * 10 if how == "until healed" else k + 1
        faults = Faults(Killed if how == "killed" else Unavailable, range(k, until).__contains__, applied)
        world = _world(client, faults)

        def heal(faults: Faults = faults) -> None:
            faults.fails = lambda _: False

        _scenario(world, heal)
        _check(world)
        world.close()


@pytest.fixture
def world(client: redis.Redis) -> Iterator[AskingWorld]:
    """Wire everything without faults."""
    found = _world(client, Faults())
    yield found
    found.close()


def test_an_approval_that_loses_a_race_is_said_again(world: AskingWorld) -> None:
    """Who is overtaken between reading and writing approves the task as it then is."""
    task = world.begin(approving_recipe("uses: act", by=BY, more=", needs: 3"))
    move, left = world.tasks.move, [BOB, "service:ops"]

    def overtaken(before: Task, after: Task, event: Any) -> None:
        if left:
            world.approve(task, left.pop())
        move(before, after, event)

    world.tasks.move = overtaken  # type: ignore[method-assign]
    after = world.approve(task, ALICE)
    assert after.state is State.QUEUED
    assert sorted(Asked.of(after.asked).approvers) == sorted(BY)  # type: ignore[union-attr]


def test_a_refusal_beats_the_approvals_that_come_after_it(world: AskingWorld) -> None:
    """Of an approval and a refusal at once one is first; what comes later is told so."""
    task = world.begin(approving_recipe("uses: act", by=BY, more=", needs: 2"))
    digest = world.digest(task)
    move, once = world.tasks.move, [1]

    def overtaken(before: Task, after: Task, event: Any) -> None:
        if once:
            once.pop()
            world.refuse(task, BOB)
        move(before, after, event)

    world.tasks.move = overtaken  # type: ignore[method-assign]
    with pytest.raises(Conflict, match="is failed"):
        world.approve(task, ALICE, digest)
    assert not world.targets["act"].runs


def test_twenty_approve_at_once(world: AskingWorld) -> None:
    """However many threads contend, each approval is there once and the last one lets the task go on."""
    names = [f"service:s{number}" for number in range(20)]
    quoted = [f"'{name}'" for name in names]
    task = world.begin(approving_recipe("uses: act", by=quoted, more=", needs: 20"))
    digest = world.digest(task)
    errors: list[BaseException] = []
    begin = threading.Barrier(20)

    def approve(name: str) -> None:
        begin.wait()
        try:
            world.approve(task, name, digest)
        except BaseException as error:  # noqa: BLE001 - it is told below
            errors.append(error)

    threads = [threading.Thread(target=approve, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    world.run()
    done = world.only()
    assert done.state is State.SUCCEEDED
    told = [body["who"] for body in world.bodies(done) if "who" in body]
    assert sorted(told) == sorted(names)
