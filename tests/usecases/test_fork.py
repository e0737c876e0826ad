"""Forks: a task once more with other inputs, made once for each wish, and found from the task it is of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from operator import le
from typing import Any

import pytest
import redis

from sentinel.adapters.redis_streams import RedisQueue
from sentinel.adapters.sqlite_tasks import SqliteTasks
from sentinel.core.recipes import Recipe
from sentinel.core.states import NEVER, State
from sentinel.core.step_inputs import MAX_INPUTS, Form
from sentinel.core.steps import Failed
from sentinel.core.tasks import SECOND, Event, Task, digest_of, event_after
from sentinel.errors import Conflict, Malformed, Missing, Tampered, Unavailable
from sentinel.usecases.control import MAX_WHO
from sentinel.usecases.fork import Wish
from sentinel.usecases.forks import MOST, fork_id, forks_of
from sentinel.usecases.inspect import Inspect
from sentinel.usecases.playbook import Playbook
from sentinel.usecases.resolve import inputs_of
from tests.faults_calls import Faults
from tests.scenario import Target, World, rule

WHO = ("ann", "with the new address")
RECIPE = b"""\
id: r
on: {rule: errors}
timeout: 10m
steps:
  - {id: s0, uses: tell, with: {to: ops, note: "${entry.message}"}}
  - {id: s1, uses: act, with: {after: "${steps.s0.result.n}", url: old}}
  - {id: s2, uses: tell, with: {to: all}}
"""


def targets() -> list[Target]:
    """Return two actions whose inputs take expressions."""
    forms = dict.fromkeys(("note", "after", "url"), Form.JSON)
    return [Target("tell", "siem", forms=forms), Target("act", "action", forms=forms)]


@pytest.fixture
def world(client: redis.Redis) -> Iterator[World]:
    """Wire everything, with a rule and a recipe of three steps in force."""
    found = World(RedisQueue(client), targets())
    found.push("rule", "errors", rule("errors", "boom"))
    found.push("recipe", "r", RECIPE)
    yield found
    found.close()


def begin(world: World) -> Task:
    """Return the task of an entry, before anything was done to it."""
    world.detect(world.store("s/0", [b'{"message": "boom"}']))
    return world.only()


def failed(world: World, why: str = "no such url") -> Task:
    """Return a task whose second step has failed."""
    task = begin(world)
    world.targets["act"].answers = [Failed(why)]
    world.settle()
    found = world.tasks.get(task.id)
    assert found is not None
    assert (found.state, found.step) == (State.FAILED, 1)
    return found


def born_as(world: World, task: Task) -> Event:
    """Return an event with which a task can be stored as it is."""
    return event_after(replace(task, version=0, head=""), "queued", task.created, world.nonce(), {})


def stored(world: World, task: Task) -> Task:
    """Return a task as it is now."""
    found = world.tasks.get(task.id)
    assert found is not None
    return found


def test_a_fork_does_it_all_again_with_other_inputs(world: World) -> None:
    """The changed inputs stand in the place of the recipe's, with expressions too; effects are new ones."""
    parent = failed(world)
    inputs = {"s1": {"url": "new", "after": "${cause.rule}"}, "s0": {"note": "again: ${entry.message}"}}
    fork = world.forking().fork(parent.id, Wish(*WHO, inputs))
    assert (fork.id, fork.state, fork.step, fork.results) == (fork_id(parent, 1), State.QUEUED, 0, {})
    assert fork.deadline == fork.created + 600 * SECOND
    world.settle()
    assert stored(world, fork).state is State.SUCCEEDED
    assert stored(world, parent) == parent
    runs = [run for target in world.targets.values() for run in target.runs if run.task.id == fork.id]
    given = {run.step.id: dict(run.step.with_) for run in runs}
    assert given == {
        "s0": {"to": "ops", "note": "again: boom"},
        "s1": {"after": parent.cause["rule"], "url": "new"},
        "s2": {"to": "all"},
    }
    assert not set(world.tasks.effects(fork.id)) & set(world.tasks.effects(parent.id))
    recipe = world.playbook.recipe("r", 1)
    replayed = inputs_of(world.actions, world.ledger)(stored(world, fork), recipe.steps[1])
    assert replayed == given["s1"]


def test_a_fork_goes_on_from_a_step(world: World) -> None:
    """What the steps before it gave is the parent's, and they are not done again."""
    parent = failed(world)
    fork = world.forking().fork(parent.id, Wish(*WHO, {"s1": {"url": "new"}}, "s1"))
    assert (fork.step, fork.results, fork.stream) == (1, {"s0": {"n": 1}}, "action")
    world.settle()
    assert stored(world, fork).state is State.SUCCEEDED
    assert [run.step.id for run in world.targets["tell"].runs] == ["s0", "s2"]
    assert dict(world.targets["act"].runs[-1].step.with_) == {"after": 1, "url": "new"}


def test_the_lineage_of_a_fork_tells_of_it(world: World) -> None:
    """Its first event has who, why, of what, and which inputs; a digest commits to their values."""
    parent = failed(world)
    fork = world.forking().fork(parent.id, Wish(*WHO, {"s1": {"url": "hush-hush"}}, "s1", "wish-1"))
    first = world.bodies(fork)[0]
    assert (first["event"], first["who"], first["why"]) == ("queued", *WHO)
    assert (first["fork_of"], first["fork"], first["request"]) == (parent.id, 1, "wish-1")
    assert (first["step"], first["changed"]) == ("s1", ["s1.url"])
    assert first["inputs"] == digest_of({"s1": {"url": "hush-hush"}})
    assert first["entries"] == parent.cause["entries"]
    assert not any(b"hush-hush" in event.entry for event in world.tasks.lineage(fork.id))
    assert fork.cause == {**parent.cause, "fork_of": parent.id, "fork": 1, "request": "wish-1"}


def test_task_and_forks_tell_of_each_other(world: World) -> None:
    """A task shows its forks, a fork what it is of; a fork of a fork has the inputs of both."""
    parent = begin(world)
    control = world.forking()
    first = control.fork(parent.id, Wish(*WHO, {"s0": {"to": "a"}, "s1": {"url": "b"}}))
    second = control.fork(parent.id, Wish(*WHO))
    child = control.fork(first.id, Wish(*WHO, {"s1": {"after": "c"}}))
    assert child.inputs == {"s0": {"to": "a"}, "s1": {"url": "b", "after": "c"}}
    assert child.cause["fork_of"] == first.id
    inspect = Inspect(world.ledger, lambda: world.tasks)
    shown = inspect.task("s", parent.id)
    assert shown["forks"] == [first.id, second.id]
    assert "fork_of" not in shown
    told = inspect.task("s", first.id)
    assert (told["fork_of"], told["forks"]) == (parent.id, [child.id])
    assert told["inputs"] == {"s0": {"to": "a"}, "s1": {"url": "b"}}
    assert [fork.id for fork in forks_of(world.tasks, parent)] == shown["forks"]


@pytest.mark.parametrize("state", list(State))
def test_a_task_of_any_state_is_forked(world: World, state: State) -> None:
    """What became of the parent does not matter, and does not change."""
    task = begin(world)
    odd = replace(task, state=state, version=2, attempt=4, tries=3, held="pause", ticket=9, asked={"a": 1})
    odd = replace(odd, id="b" * 26, settled=4, worker="w", reason="whatever", due=NEVER)
    assert world.tasks.create(odd, born_as(world, odd))
    fork = world.forking().fork(odd.id, Wish(*WHO))
    assert world.tasks.get(odd.id) == odd
    assert fork == replace(
        task, id=fork.id, head=fork.head, created=fork.created, due=fork.due, deadline=fork.deadline,
        cause=fork.cause,
    )  # fmt: skip


def test_a_recipe_that_asks_first_asks_for_a_fork_too(world: World) -> None:
    """A fork of a recipe with `propose_for` is a proposal, with that time to be accepted in."""
    world.push("recipe", "r", RECIPE + b"propose_for: 8h\n")
    world.detect(world.store("s/1", [b'{"message": "boom"}']))
    parent = world.only()
    fork = world.forking().fork(parent.id, Wish(*WHO))
    assert fork.state is State.PROPOSED
    assert fork.reason
    assert fork.due == min(fork.created + 8 * 3600 * SECOND, fork.deadline)
    assert world.bodies(fork)[0]["event"] == "proposed"
    assert world.control().accept(fork.id, *WHO).state is State.QUEUED


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ({"inputs": {"s9": {"to": "x"}}}, "the steps that the fork does are s0, s1, s2"),
        ({"inputs": {"s0": {"to": "x"}}, "step": "s1"}, "the steps that the fork does are s1, s2"),
        ({"inputs": {"s0": {"wrong": 1}}}, "inputs: step s0: with: wrong is not a field"),
        ({"inputs": {"s0": {"to": "${entry.message}"}}}, "takes no expression"),
        ({"inputs": {"s0": {"note": "${steps.s1.result.n}"}}}, "names a step before"),
        ({"inputs": {"s0": {"note": "${nothing}"}}}, "is no expression"),
        ({"inputs": {"s0": {"note": "x" * MAX_INPUTS}}}, "over 131,072 bytes"),
        ({"step": "s9"}, "from: the recipe's steps are s0, s1, s2"),
        ({"step": "s2"}, "has no result of step s1"),
    ],
)
def test_a_wish_that_cannot_be_is_refused(world: World, wish: dict[str, Any], why: str) -> None:
    """It is told at once what is wrong, and nothing is made."""
    parent = failed(world)
    with pytest.raises(Malformed, match=why):
        world.forking().fork(parent.id, Wish(*WHO, **wish))
    assert list(forks_of(world.tasks, parent)) == []


def test_nobody_forks_without_name_and_reason(world: World) -> None:
    """Who and why are said; a request is one line; there is no fork of no task, and none of another's."""
    for about in (("", "x"), ("ann", " "), ("a" * (MAX_WHO + 1), "x")):
        with pytest.raises(Malformed, match="printable"):
            Wish(*about)
    for request in ("a\nb", "x" * 129):
        with pytest.raises(Malformed, match="request is at most"):
            Wish(*WHO, request=request)
    with pytest.raises(Missing, match="no such task"):
        world.forking().fork("a" * 26, Wish(*WHO))

    def check(_: Task) -> None:
        raise Missing("there is no such task")

    with pytest.raises(Missing):
        replace(world.forking(), check=check).fork(begin(world).id, Wish(*WHO))


def test_a_signed_recipe_takes_no_other_inputs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an author signed is done as it was signed: a fork changes nothing of it, however it was made."""
    parent = begin(world)
    changed = world.forking().fork(parent.id, Wish(*WHO, {"s0": {"to": "x"}}))
    real = Playbook.recipe

    def signed(self: Playbook, *about: Any) -> Recipe:
        return real(self, *about).model_copy(update={"author": "ann"})

    monkeypatch.setattr(Playbook, "recipe", signed)
    for task in (parent, changed):
        with pytest.raises(Malformed, match="signed"):
            world.forking().fork(task.id, Wish(*WHO, {"s0": {"to": "y"}}))
    with pytest.raises(Malformed, match="signed"):
        world.forking().fork(changed.id, Wish(*WHO))
    plain = world.forking().fork(parent.id, Wish(*WHO))
    world.settle()
    assert stored(world, plain).state is State.SUCCEEDED
    after = stored(world, changed)
    assert (after.state, after.reason) == (
        State.FAILED,
        "it has inputs that the recipe's author did not sign",
    )


def test_a_fork_does_not_go_on_behind_an_approval(world: World) -> None:
    """People approved what the parent would do: a fork asks them again."""
    document = RECIPE.replace(b"{id: s0, uses: tell", b"{id: s0, uses: approval")
    world.push("recipe", "r", document)
    parent = begin(world)
    odd = replace(parent, id="b" * 26, results={"s0": {"approved": True}, "s1": {}})
    assert world.tasks.create(odd, born_as(world, odd))
    for step in ("s1", "s2"):
        with pytest.raises(Malformed, match="asks people"):
            world.forking().fork(odd.id, Wish(*WHO, step=step))
    assert world.forking().fork(odd.id, Wish(*WHO)).results == {}


def test_a_request_makes_one_fork(world: World) -> None:
    """The same request gives the same fork, however far it is; another wish by its name is refused."""
    parent = failed(world)
    wish = Wish(*WHO, {"s1": {"url": "new"}}, "s1", "wish-1")
    fork = world.forking().fork(parent.id, wish)
    other = world.forking().fork(parent.id, replace(wish, request="wish-2"))
    world.settle()
    assert world.forking().fork(parent.id, wish) == stored(world, fork)
    assert stored(world, fork).state is State.SUCCEEDED
    for another in (replace(wish, inputs={"s1": {"url": "newer"}}), replace(wish, step="", inputs={})):
        with pytest.raises(Conflict, match="has made another fork"):
            world.forking().fork(parent.id, another)
    theirs = world.forking().fork(parent.id, replace(wish, who="bob", inputs={}))
    assert len({fork.id, other.id, theirs.id}) == len(list(forks_of(world.tasks, parent))) == 3


def test_forks_are_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task has a bounded number of forks, so that finding them is bounded too."""
    monkeypatch.setattr("sentinel.usecases.fork.MOST", 3)
    assert MOST == 100
    parent = begin(world)
    last = [world.forking().fork(parent.id, Wish(*WHO)) for _ in range(3)][-1]
    with pytest.raises(Conflict, match="has 3 forks already"):
        world.forking().fork(parent.id, Wish(*WHO))
    assert world.forking().fork(last.id, Wish(*WHO)).cause["fork_of"] == last.id


def test_two_at_once_make_two(world: World) -> None:
    """Of two forks that are made at the same time each has a number of its own; one request makes one."""
    parent = begin(world)
    for request, count in (("", 2), ("r", 3)):
        real, inside = world.tasks.create, [True]

        def create(task: Task, event: Event) -> bool:
            if inside:  # noqa: B023 - used within the loop only
                inside.clear()  # noqa: B023
                world.forking().fork(parent.id, Wish(*WHO, request=request))  # noqa: B023
            return real(task, event)  # noqa: B023

        world.tasks.create = create  # type: ignore[method-assign]
        world.forking().fork(parent.id, Wish(*WHO, request=request))
        world.tasks.create = real  # type: ignore[method-assign]
        assert len(list(forks_of(world.tasks, parent))) == count


@pytest.mark.parametrize("request_name", ["", "wish-1"])
@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("for_ever", [False, True])
def test_whatever_fails_one_fork_is_made(
    client: redis.Redis, request_name: str, applied: bool, for_ever: bool
) -> None:
    """With each call of a port failing in turn, once or until it is asked again, a wish makes one fork.

    Without a request a caller who saw an error cannot know: asking again then makes at most one more.
    """
    reached = 0
    for fails in range(1, 12):
        client.flushall()
        faults = Faults()
        world = World(RedisQueue(client), targets(), faults.wrap)
        world.push("rule", "errors", rule("errors", "boom"))
        world.push("recipe", "r", RECIPE)
        parent = begin(world)
        faults.calls, faults.applied = 0, applied
        faults.fails = partial(le, fails) if for_ever else fails.__eq__
        wish, errors = Wish(*WHO, {"s0": {"to": "x"}}, request=request_name), 0
        try:
            world.forking().fork(parent.id, wish)
        except Unavailable:
            errors = 1
        reached = max(reached, fails if faults.calls >= fails else 0)
        faults.fails = lambda _: False
        if errors:
            world.forking().fork(parent.id, wish)
        forks = list(forks_of(world.tasks, parent))
        assert len(forks) == 1 if request_name or not errors else len(forks) <= 2
        for fork in forks:
            world.bodies(fork)
        world.close()
    assert reached >= 4


def test_a_lost_reply_makes_no_second_fork(world: World) -> None:
    """A fork that was written, though its answer was lost, and that a worker has taken since, is the one."""
    parent = failed(world)
    real, lost = world.tasks.create, [True]

    def create(task: Task, event: Event) -> bool:
        made = real(task, event)
        if lost:
            lost.clear()
            world.settle()  # a worker was fast
            raise Unavailable("the answer was lost")
        return made

    world.tasks.create = create  # type: ignore[method-assign]
    fork = world.forking().fork(parent.id, Wish(*WHO, {"s1": {"url": "new"}}))
    assert [each.id for each in forks_of(world.tasks, parent)] == [fork.id]


@pytest.mark.parametrize(
    ("named", "change"),
    [
        ("inputs", {"inputs": {"s1": {"url": "evil"}}}),
        ("inputs", {"inputs": {}}),
        ("fork_of", {"cause": {}}),
    ],
)
def test_a_fork_must_agree_with_its_lineage(world: World, named: str, change: dict[str, Any]) -> None:
    """The row of a task is not hashed: inputs that were put into it, or taken away, show."""
    parent = begin(world)
    fork = world.forking().fork(parent.id, Wish(*WHO, {"s1": {"url": "new"}}))
    (event,) = world.tasks.lineage(fork.id)
    if "cause" in change:
        change = {"cause": {key: value for key, value in fork.cause.items() if key != "fork_of"}}
    forged = SqliteTasks(":memory:")
    assert forged.create(replace(fork, **change), event)
    with pytest.raises(Tampered, match=f"do not agree on {named}$"):
        Inspect(world.ledger, lambda: forged).task(None, fork.id)
