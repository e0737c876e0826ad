"""A task of which something was erased does nothing that nobody asked for, and nothing twice."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from sentinel.cli.tasks import _facts
from sentinel.core.states import State
from sentinel.core.steps import Again, Done, Failed
from sentinel.core.tasks import SECOND, Task, digest_of, erased
from sentinel.errors import Conflict, Malformed
from sentinel.usecases.erase_from import Target as Erased
from sentinel.usecases.erase_lineage import InLineage, LogNotes
from sentinel.usecases.erase_tasks import InTasks
from sentinel.usecases.fork import Wish
from sentinel.usecases.inspect import Inspect
from sentinel.usecases.story import read
from tests.scenario import World, recipe
from tests.traced import entry, new_world, settled, store
from tests.usecases.test_erased_lineage import SIGNER, TEXT, erase, everything, key_of, traced, world

__all__ = ["world"]  # the fixture


def of(world: World, task: Task) -> Task:
    """Return a task as it is now."""
    found = world.tasks.get(task.id)
    assert found is not None
    return found


def test_given_inputs_that_are_gone_are_not_those_of_the_recipe(world: World) -> None:
    """Neither a redrive nor a fork of it goes on without them; its parent can be forked."""
    parent = world.only()
    world.targets["tell"].answers = [Failed("no")]
    fork = world.forking().fork(parent.id, Wish("bob", "for him", inputs={"s0": {"text": TEXT}}))
    settled(world)
    assert of(world, fork).state is State.FAILED
    erase(world)
    ran = len(world.targets["tell"].runs)
    with pytest.raises(Conflict, match="was erased"):
        world.control().redrive(fork.id, "ann", "again")
    with pytest.raises(Conflict, match="was erased"):
        world.forking().fork(fork.id, Wish("bob", "again"))
    settled(world)
    assert len(world.targets["tell"].runs) == ran
    assert world.forking().fork(parent.id, Wish("bob", "again")).inputs == {}


def test_a_task_whose_inputs_are_gone_is_shown_and_traced(world: World) -> None:
    """Their digest is told in their place; no effect is called another recipe's because of that."""
    world.targets["tell"].answers = [Done({})]
    fork = world.forking().fork(world.only().id, Wish("bob", "for him", inputs={"s0": {"text": TEXT}}))
    settled(world)
    before = of(world, fork)
    assert before.state is State.SUCCEEDED
    erase(world)
    told: Any = Inspect(world.ledger, lambda: world.tasks, keys=key_of).task(None, fork.id)
    assert told["inputs"] == {"sentinel": "erased", "digest": digest_of(before.inputs)}
    assert ("input", "erased") in list(_facts(told))
    found = traced_task(world, fork)
    assert found["whole"], found["damage"]


def traced_task(world: World, task: Task) -> dict[str, Any]:
    """Return a trace of a task as JSON."""
    from sentinel.usecases.proofs import Wish as Proofs
    from tests.traced import tracing

    use = replace(tracing(world), keys=key_of)
    found: dict[str, Any] = json.loads(json.dumps(use.of_task(task.id, Proofs()), default=dict))
    return found


def test_nothing_given_is_not_taken_for_something_erased(world: World) -> None:
    """Who writes the table hides no foreign effect behind inputs that a task never had."""
    task = world.only()
    assert world.tasks.rewrite(replace(task, inputs=erased({})), [])  # type: ignore[arg-type]
    story = read(world.tasks, task.id, key_of)
    assert story is not None
    assert [each.kind for each in story.damage] == ["state"]
    assert not traced(world)["whole"]


def test_what_was_got_done_and_is_gone_is_not_done_twice(client: Any) -> None:
    """Which of two targets was told nobody knows, so it is not redriven; a fork does all of it."""
    world = new_world(client)
    try:
        part = Again("the other is busy", 3 * SECOND, {"delivered": [TEXT]})
        world.targets["tell"].answers = [part, Failed("no")]
        world.push("recipe", "respond", recipe("respond", "errors", "tell", "act"))
        world.detect(store(world, "shop/0", [entry("fine")], [entry("boom", said=TEXT)]))
        settled(world)
        erase(world)
        assert TEXT.encode() not in everything(world)
        task = world.only()
        with pytest.raises(Conflict, match="was erased"):
            world.control().redrive(task.id, "ann", "again")
        fork = world.forking().fork(task.id, Wish("ann", "all of it"))
        settled(world)
        assert of(world, fork).state is State.SUCCEEDED
        assert world.targets["tell"].runs[-1].done == {}
    finally:
        world.close()


def test_no_step_takes_a_result_that_is_gone(client: Any) -> None:
    """Neither a redrive nor a fork that begins behind it: a value would be missing, or a choice unmade."""
    world = new_world(client)
    try:
        world.targets["tell"].answers = [Done({"chosen": TEXT})]
        world.targets["act"].answers = [Failed("no")]
        world.push("recipe", "respond", recipe("respond", "errors", "tell", "act"))
        world.detect(store(world, "shop/0", [entry("fine")], [entry("boom", said=TEXT)]))
        settled(world)
        task = world.only()
        assert (task.state, task.step) == (State.FAILED, 1)
        erase(world)
        with pytest.raises(Conflict, match="was erased"):
            world.control().redrive(task.id, "ann", "again")
        with pytest.raises(Malformed, match="s0 was erased"):
            world.forking().fork(task.id, Wish("ann", "from there", step="s1"))
        assert world.forking().fork(task.id, Wish("ann", "all of it")).results == {}
    finally:
        world.close()


def test_who_goes_on_meanwhile_is_told_of(world: World) -> None:
    """A redrive that read the task before it was rewritten puts back what it kept: not finished."""
    task = world.only()
    results = {"s0": {"said": TEXT}}
    assert world.tasks.rewrite(replace(task, results=results), [])
    tasks: Any = _Late(world)
    (segment,) = (each for each in world.ledger.read("shop/0") if each.first == 1)
    target = Erased("shop/0", 1, 1, {1: (segment, segment.opened.entries[0])}, record=2)
    place = InTasks(tasks, InLineage(tasks, LogNotes(key_of, SIGNER, world.clock), key_of))
    found = place.forget(target)
    assert TEXT.encode() in everything(world)
    assert any("goes on meanwhile" in each for each in found.unfinished)


def test_who_forks_meanwhile_is_told_of(world: World) -> None:
    """A fork takes over what its parent keeps, and was not there when all tasks were looked through."""
    task = world.only()
    assert world.tasks.rewrite(replace(task, results={"s0": {"said": TEXT}}, step=1), [])
    made: list[Task] = []

    class Forking(_Late):
        def rewrite(self, task: Task, effects: Any) -> bool:
            if not made:
                made.append(world.forking().fork(task.id, Wish("bob", "meanwhile", step="s1")))
            return bool(self._tasks.rewrite(task, effects))

    tasks: Any = Forking(world)
    (segment,) = (each for each in world.ledger.read("shop/0") if each.first == 1)
    target = Erased("shop/0", 1, 1, {1: (segment, segment.opened.entries[0])}, record=2)
    place = InTasks(tasks, InLineage(tasks, LogNotes(key_of, SIGNER, world.clock), key_of))
    found = place.forget(target)
    assert [each for each in found.unfinished if made[0].id in each and "meanwhile" in each]
    settled(world)
    assert place.forget(target).unfinished == []
    assert TEXT.encode() not in everything(world)


class _Late:
    """Tasks of a world; whoever redrives has read the one before it is rewritten, and writes after that."""

    def __init__(self, world: World) -> None:
        self._world, self._tasks = world, world.tasks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tasks, name)

    def rewrite(self, task: Task, effects: Any) -> bool:
        control = self._world.control()
        read_before = self._tasks.get(task.id)
        done = self._tasks.rewrite(task, effects)
        world_tasks: Any = _Stale(self._tasks, read_before)
        replace(control, tasks=world_tasks).redrive(task.id, "ann", "again")
        return done


class _Stale:
    """Tasks of which one was read some time ago."""

    def __init__(self, tasks: Any, then: Task | None) -> None:
        self._tasks, self._then = tasks, then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tasks, name)

    def get(self, task_id: str) -> Task | None:
        return self._then

    def effects(self, task_id: str) -> dict[str, Any]:
        return {}
