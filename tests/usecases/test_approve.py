"""Approvals: what is asked, who may answer, when it is enough, and what voids it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis

from sentinel.adapters.redis_streams import RedisQueue
from sentinel.adapters.task_json import task_to_json
from sentinel.core.access import Author
from sentinel.core.approvals import Approver, Asked, How, Verdict
from sentinel.core.recipes import load
from sentinel.core.states import State
from sentinel.core.step_inputs import Form
from sentinel.core.steps import Again, Failed, StepRun
from sentinel.core.tasks import SECOND, Task
from sentinel.errors import Conflict, Forbidden, Malformed, Missing, Unauthenticated
from sentinel.usecases.approve import Decision
from sentinel.usecases.approvers import service, unreachable
from sentinel.usecases.check_recipe import problems
from sentinel.usecases.fork import Fork, Wish
from tests.approvals import ALICE, BOB, AskingWorld, approver, approving_recipe
from tests.scenario import ProbedTarget, Target, rule

KEYS_C = bytes(31) + b"\x01"


def _world(client: redis.Redis, *, required: bool = False) -> AskingWorld:
    targets = [Target("tell", "siem", forms={"body": Form.JSON}), Target("act", "action")]
    return AskingWorld(RedisQueue(client), targets, required=required)


@pytest.fixture
def world(client: redis.Redis) -> Iterator[AskingWorld]:
    """Wire everything, with a rule in force and no recipe yet."""
    found = _world(client)
    found.push("rule", "errors", rule("errors", "boom"))
    yield found
    found.close()


@pytest.fixture
def signing_world(client: redis.Redis) -> Iterator[AskingWorld]:
    """Wire everything where signatures are required; alice has signed the rule."""
    found = _world(client, required=True)
    found.push_signed("rule", "errors", rule("errors", "boom"))
    yield found
    found.close()


def _told(world: AskingWorld, task: Task) -> dict[str, Any]:
    return world.bodies(task)[-1]


def _shown(world: AskingWorld, task: Task) -> dict[str, Any]:
    return _shown_of(world, task.id)


def test_a_task_asks_and_goes_on_when_it_is_approved(world: AskingWorld) -> None:
    """Nothing is done before it is approved; then the rest is, once, and the result tells who approved."""
    task = world.begin(approving_recipe("uses: act", "uses: tell", more=", within: 2h"))
    assert (task.state, task.step) == (State.AWAITING_APPROVAL, 0)
    assert task.due == Asked.of(task.asked).until  # type: ignore[union-attr]
    assert not world.targets["act"].runs
    told = _told(world, task)
    assert told["digest"] == world.digest(task)
    assert (told["by"], told["needs"], told["covers"]) == ([ALICE, BOB], 1, ["s0", "s1"])
    after = world.approve(task, ALICE)
    assert (after.state, after.step, after.stream) == (State.QUEUED, 1, "action")
    told = _told(world, after)
    assert (told["who"], told["how"], told["verdict"]) == (ALICE, "link", "approve")
    world.run()
    done = world.only()
    assert done.state is State.SUCCEEDED
    assert done.results["ask"] == {"approved_by": [ALICE], "digest": told["digest"]}
    assert [sum(world.targets[name].effects.values()) for name in ("act", "tell")] == [1, 1]


def test_the_digest_can_be_computed_by_anybody(world: AskingWorld) -> None:
    """SHA-256 of what is shown, as JSON with sorted keys and no spaces: `hashlib` and `json` suffice."""
    task = world.begin(
        approving_recipe(
            "uses: tell, with: {body: 'für ${entry.user.id}', at: 2026-05-01, x: [1.5, 1.0e+20]}"
        )
    )
    told = json.loads(json.dumps(world.approving().look(task.id)))
    form = json.dumps(told["shown"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(form.encode()).hexdigest() == told["digest"] == told["asked"]
    (step,) = told["shown"]["steps"]
    assert step["inputs"] == {"body": "für u-1", "at": "2026-05-01", "x": [1.5, 1.0e20]}
    assert step["plan"] == {"with": step["inputs"]}


def test_what_is_asked_says_all_that_decides_what_is_done(world: AskingWorld) -> None:
    """Task, recipe, cause, results so far, whom is asked, and each step up to the next approval."""
    before = "  - {id: first, uses: act}\n"
    second = "uses: approval, with: {by: [bob]}"
    task = world.begin(approving_recipe("uses: act, timeout: 5s", second, "uses: tell", before=before))
    shown = _shown(world, task)
    assert set(shown) == {
        *("v", "task", "lineage", "recipe", "cause", "results", "approval", "makers", "steps"),
    }
    assert shown["recipe"]["digest"] == task.recipe_digest
    assert shown["cause"]["entries"] == [{"chain": "s/0", "seq": 0}]
    assert shown["results"] == {"first": {"n": 1}}
    assert shown["lineage"] == world.tasks.lineage(task.id)[-2].head.hex()
    assert [(each["id"], each["timeout"]) for each in shown["steps"]] == [("s0", "5s")]


def test_a_step_that_needs_later_results_is_covered_as_it_is_written(world: AskingWorld) -> None:
    """What a step takes from one that has not run is approved as its template, and holds when it has."""
    second = "uses: tell, with: {body: 'n is ${steps.s0.result.n}'}"
    task = world.begin(approving_recipe("uses: act", second))
    steps = _shown(world, task)["steps"]
    assert steps[1]["as_written"] == {"body": "n is ${steps.s0.result.n}"}
    world.approve(task, ALICE)
    world.run()
    assert world.only().state is State.SUCCEEDED
    assert world.targets["tell"].runs[0].step.with_ == {"body": "n is 1"}


def test_long_inputs_are_shown_by_their_digest(world: AskingWorld) -> None:
    """A page of thousands of lines hides more than it shows: the size and SHA-256 stand for it."""
    task = world.begin(approving_recipe(f"uses: act, with: {{x: '{'a' * 40_000}'}}"))
    steps = _shown(world, task)["steps"]
    form = json.dumps({"x": "a" * 40_000}, separators=(",", ":")).encode()
    assert steps[0]["inputs"] == {"bytes": len(form), "sha256": hashlib.sha256(form).hexdigest()}
    world.approve(task, ALICE)
    world.run()
    assert world.only().state is State.SUCCEEDED


def test_as_many_as_are_needed_approve_each_once(world: AskingWorld) -> None:
    """The first of two moves nothing on; again by the same counts once and writes nothing."""
    task = world.begin(approving_recipe("uses: act", by=[ALICE, BOB, "service:ops"], more=", needs: 2"))
    first = world.approve(task, ALICE)
    assert (first.state, first.reason) == (
        State.AWAITING_APPROVAL,
        "waits for the approval of 1 more of alice, bob, service:ops",
    )
    assert world.approve(task, ALICE) == first
    with pytest.raises(Forbidden, match="carol is not asked"):
        world.approve(task, "carol")
    after = world.approve(task, "service:ops")
    assert after.state is State.QUEUED
    assert after.results["ask"]["approved_by"] == [ALICE, "service:ops"]  # type: ignore[index]
    assert [each["event"] for each in world.bodies(after)][-3:] == [
        *("awaiting-approval", "awaiting-approval", "queued"),
    ]
    assert world.approve(task, ALICE).state is State.QUEUED  # it has said so: the answer may have been lost
    with pytest.raises(Conflict, match="nothing is to be approved"):
        world.approve(task, BOB)


def test_an_approval_that_is_the_last_step_ends_the_task(world: AskingWorld) -> None:
    """A recipe that only asks has succeeded when it is approved."""
    task = world.begin(approving_recipe())
    assert world.approve(task, ALICE).state is State.SUCCEEDED


def test_one_refusal_fails_the_task(world: AskingWorld) -> None:
    """Whoever is asked may refuse, also having approved; it is told, and on the dead-letter stream."""
    task = world.begin(approving_recipe("uses: act", more=", needs: 2"))
    world.approve(task, ALICE)
    after = world.refuse(task, ALICE, "not on a Friday")
    assert (after.state, after.reason) == (State.FAILED, "refused by alice: not on a Friday")
    assert _told(world, after)["why"] == "not on a Friday"
    assert world.refuse(task, ALICE) == after
    with pytest.raises(Conflict, match="is failed"):
        world.approve(task, BOB)
    world.run()
    assert not world.targets["act"].runs


def test_a_refused_task_that_is_redriven_asks_anew(world: AskingWorld) -> None:
    """What was said before counts no more, also where exactly the same is asked again."""
    task = world.begin(approving_recipe("uses: act", more=", needs: 2"))
    old = world.signed(task, "A")
    world.approving().decide(task.id, old)
    world.refuse(task, BOB)
    world.control().redrive(task.id, "ann", "they talked")
    world.run()
    again = world.only()
    assert again.state is State.AWAITING_APPROVAL
    assert Asked.of(again.asked).approvals == ()  # type: ignore[union-attr]
    with pytest.raises(Conflict, match="what you saw is not what it is now"):
        world.approving().decide(task.id, old)


def test_an_approval_expires(world: AskingWorld) -> None:
    """After its time nobody approves any more, whether the sweep has been there or not."""
    task = world.begin(approving_recipe("uses: act", more=", within: 1m"))
    digest = world.digest(task)
    world.clock.sleep(61)
    with pytest.raises(Conflict, match="its time is over"):
        world.approve(task, ALICE, digest)
    assert world.sweep().expired == 1
    with pytest.raises(Conflict, match="is expired"):
        world.approve(task, ALICE, digest)


@pytest.mark.parametrize("digest", ["", "0" * 64, "f" * 63])
def test_an_approval_of_something_else_is_refused(world: AskingWorld, digest: str) -> None:
    """Only the digest of what would be done now is approved, and refused."""
    task = world.begin(approving_recipe("uses: act"))
    for verdict in Verdict:
        with pytest.raises(Conflict, match="what you saw is not what it is now"):
            world.approving().decide(task.id, Decision(approver(ALICE), verdict, digest, "x"))
    assert world.only() == task


def test_tasks_that_ask_nothing_are_not_approved(world: AskingWorld) -> None:
    """A task that never asked says so; one that is not there is missing."""
    world.targets["act"].answers = [Failed("no")]
    task = world.begin(approving_recipe("uses: act", before="  - {id: first, uses: act}\n"))
    for act in (lambda: world.approving().look(task.id), lambda: world.approve(task, ALICE, "0" * 64)):
        with pytest.raises(Conflict, match="asks for no approval"):
            act()
    with pytest.raises(Missing):
        world.approving().look("a" * 26)


def _plans(world: AskingWorld, name: str, address: str) -> None:
    """Let a target say where it would send."""
    target = world.targets[name]
    target.plan = lambda run: {"to": address, "with": dict(run.step.with_)}  # type: ignore[method-assign]


def test_what_changed_before_it_was_begun_is_asked_again(world: AskingWorld) -> None:
    """Steps that were done stay done; the approvals are void; the new question is about what is left."""
    _plans(world, "tell", "https://siem.example.com")
    task = world.begin(approving_recipe("uses: act", "uses: tell", more=", needs: 2"))
    first = world.digest(task)
    world.approve(task, ALICE)
    world.approve(task, BOB)
    world.dispatch()
    _plans(world, "tell", "https://evil.example.com")
    world.run()
    task = world.only()
    assert (task.state, task.step) == (State.AWAITING_APPROVAL, 0)
    assert "what was approved is not what would be done now" in task.reason
    told = _told(world, task)
    assert (told["changed"], told["void"], told["covers"]) == (["s1"], [ALICE, BOB], ["s1"])
    assert told["digest"] == world.digest(task) != first
    assert not world.targets["tell"].runs
    for name in (ALICE, BOB):
        with pytest.raises(Conflict, match="what you saw"):
            world.approve(task, name, first)
    world.approve(task, ALICE)
    world.approve(task, BOB)
    world.run()
    assert world.only().state is State.SUCCEEDED
    assert [sum(world.targets[name].effects.values()) for name in ("act", "tell")] == [1, 1]


def test_what_changed_while_it_was_asked_is_approved_anew(world: AskingWorld) -> None:
    """Who approves what would be done now voids the approvals of what would have been."""
    _plans(world, "act", "one")
    task = world.begin(approving_recipe("uses: act", more=", needs: 2"))
    first = world.digest(task)
    world.approve(task, ALICE)
    _plans(world, "act", "two")
    look = world.approving().look(task.id)
    assert (look["asked"], look["changed"]) == (first, ["s0"])
    with pytest.raises(Conflict, match="what you saw"):
        world.approve(task, BOB, first)
    after = world.approve(task, BOB)
    assert (after.state, Asked.of(after.asked).approvers) == (  # type: ignore[union-attr]
        State.AWAITING_APPROVAL,
        (BOB,),
    )
    told = _told(world, after)
    assert (told["changed"], told["void"]) == (["s0"], [ALICE])
    assert world.approve(task, ALICE).state is State.QUEUED
    world.run()
    assert world.only().state is State.SUCCEEDED


def test_an_entry_that_was_erased_voids_an_approval(world: AskingWorld) -> None:
    """A step that would tell of an entry which is gone is not what was approved."""
    target = world.targets["tell"]
    target.plan = lambda run: {"entries": len(run.entries)}  # type: ignore[method-assign]
    task = world.begin(approving_recipe("uses: tell"))
    world.approve(task, ALICE)
    world._ledger = _Erased()
    world.run()
    assert world.only().state is State.AWAITING_APPROVAL
    assert _told(world, task)["changed"] == ["s0"]
    assert not target.runs


class _Erased:
    """A ledger that has no entries any more."""

    def at(self, chain: str, seq: int) -> None:
        """There is nothing."""


def test_inputs_that_were_put_in_from_outside_void_an_approval(world: AskingWorld) -> None:
    """Inputs that were written into the row after it was approved are not done."""
    task = world.begin(approving_recipe("uses: act, with: {n: 1}"))
    _overwrite(world, replace(world.approve(task, ALICE), inputs={"s0": {"n": 2}}))
    world.run()
    assert world.only().state is State.AWAITING_APPROVAL
    assert _told(world, task)["changed"] == ["s0"]
    assert not world.targets["act"].runs


@pytest.mark.parametrize("results", [{}, {"ask": {"approved_by": [ALICE], "digest": "0" * 64}}])
def test_no_step_behind_an_approval_is_begun_without_one(
    world: AskingWorld, results: dict[str, object]
) -> None:
    """However a task came to a step behind an approval, it asks first."""
    task = world.begin(approving_recipe("uses: act", "uses: tell"))
    queued = world.approve(task, ALICE)
    _overwrite(world, replace(queued, step=2, results=results, asked={} if not results else queued.asked))
    world.run()
    after = world.only()
    assert (after.state, after.step) == (State.AWAITING_APPROVAL, 0)
    assert (_told(world, after)["changed"], _told(world, after)["covers"]) == (
        ["nobody has approved it"],
        ["s1"],
    )
    assert not world.targets["tell"].runs
    world.approve(after, BOB)
    world.run()
    assert world.only().state is State.SUCCEEDED


def _overwrite(world: AskingWorld, row: Task) -> None:
    """Change a task's row from outside."""
    with world.tasks._database.transaction() as connection:
        connection.execute("UPDATE tasks SET body = ? WHERE id = ?", (task_to_json(row), row.id))


def test_each_question_of_a_recipe_is_its_own(world: AskingWorld) -> None:
    """The approval of the first steps covers none of those behind the next approval."""
    second = "uses: approval, with: {by: [bob]}"
    task = world.begin(approving_recipe("uses: act", second, "uses: tell"))
    world.approve(task, ALICE)
    world.run()
    task = world.only()
    assert (task.state, task.step, Asked.of(task.asked).step) == (  # type: ignore[union-attr]
        State.AWAITING_APPROVAL,
        2,
        "s1",
    )
    assert _told(world, task)["covers"] == ["s2"]
    world.approve(task, BOB)
    world.run()
    assert world.only().state is State.SUCCEEDED


def test_a_step_that_is_tried_again_is_compared_again(world: AskingWorld) -> None:
    """A target that changed between two tries of a step is asked about, and the tries begin anew."""
    _plans(world, "act", "one")
    world.targets["act"].answers = [Again("busy", SECOND)]
    task = world.begin(approving_recipe("uses: act"))
    world.approve(task, ALICE)
    world.run()
    assert world.only().state is State.WAITING
    _plans(world, "act", "two")
    world.clock.sleep(2)
    world.sweep()
    world.run()
    task = world.only()
    assert (task.state, task.tries) == (State.AWAITING_APPROVAL, 0)
    world.approve(task, ALICE)
    world.run()
    assert world.only().state is State.SUCCEEDED
    assert sum(world.targets["act"].effects.values()) == 1


def test_an_effect_that_may_have_happened_is_asked_about_before_people_are(client: redis.Redis) -> None:
    """An at-most-once step whose outcome is unknown is probed first: what happened needs no approval."""
    world = AskingWorld(RedisQueue(client), [ProbedTarget("act", "action")])
    world.push("rule", "errors", rule("errors", "boom"))
    target = world.targets["act"]

    def lost(run: StepRun) -> Again:
        target.effects[run.key] += 1
        return Again("no answer", SECOND, unsure=True)

    _plans(world, "act", "one")
    target.answers = [lost]
    task = world.begin(approving_recipe("uses: act, effect: at-most-once"))
    world.approve(task, ALICE)
    world.run()
    _plans(world, "act", "two")
    world.clock.sleep(2)
    world.sweep()
    world.run()
    assert world.only().state is State.SUCCEEDED
    assert sum(target.effects.values()) == 1
    world.close()


def test_a_signed_approval_is_kept_and_says_who(world: AskingWorld) -> None:
    """The envelope is in the lineage as it came, and groups let their members approve."""
    task = world.begin(approving_recipe("uses: act", by=["team"]))
    with pytest.raises(Forbidden, match="alice is not asked"):
        world.approving().decide(task.id, world.signed(task, "A"))
    said = world.signed(task, "B")
    after = world.approving().decide(task.id, said)
    told = _told(world, after)
    assert (told["who"], told["how"], told["envelope"]) == (BOB, "signed", said.envelope)
    assert after.state is State.QUEUED


def test_only_authors_whose_time_is_not_over_sign(world: AskingWorld) -> None:
    """A stranger's signature, a changed envelope, and an author that was removed count for nothing."""
    task = world.begin(approving_recipe("uses: act"))
    good = world.signed(task, "A").envelope
    bad: object
    for bad in ({}, [], {**good, "payloadType": "application/vnd.sentinel.recipe+yaml"}, {**good, "x": 1}):
        with pytest.raises(Malformed):
            world.approvers.signed(bad)
    with pytest.raises(Unauthenticated):
        world.approvers.signed({**good, "payload": world.signed(task, "B").envelope["payload"][:-4] + "QUE="})
    world.authors.remove(ALICE)
    with pytest.raises(Unauthenticated):
        world.approvers.signed(good)
    with pytest.raises(Unauthenticated, match="there is no author alice"):
        world.approvers.linked(ALICE)


def test_a_word_counts_where_nothing_better_can_be_had(world: AskingWorld) -> None:
    """An operator's word stands for who has no key, and never for an author, a group or a service."""
    assert world.approvers.operator("carol") == Approver("carol", How.OPERATOR)
    for name in (ALICE, "team", "service:ops"):
        with pytest.raises(Forbidden):
            world.approvers.operator(name)
    with pytest.raises(Forbidden, match="requires signatures"):
        replace(world.approvers, required=True).operator("carol")


def test_the_author_does_not_approve_alone(signing_world: AskingWorld) -> None:
    """Whoever signed the recipe counts among those who approve, and does not suffice."""
    world = signing_world
    world.push_signed("recipe", "r", approving_recipe("uses: act"))
    world.detect(world.store("s/0", [b'{"message": "boom"}']))
    world.run()
    task = world.only()
    shown = _shown(world, task)
    assert (shown["recipe"]["author"], shown["makers"]) == (ALICE, [ALICE])
    first = world.approving().decide(task.id, world.signed(task, "A"))
    assert (first.state, first.reason) == (
        State.AWAITING_APPROVAL,
        "waits for the approval of somebody else than alice, who made what is asked",
    )
    after = world.approving().decide(task.id, world.signed(first, "B"))
    assert (after.state, after.results["ask"]["approved_by"]) == (  # type: ignore[index]
        State.QUEUED,
        [ALICE, BOB],
    )
    world.run()
    assert world.only().state is State.SUCCEEDED


def test_who_forked_a_task_does_not_approve_it_alone(world: AskingWorld) -> None:
    """Whoever chose its inputs made what is asked, as its author did."""
    parent = world.begin(approving_recipe("uses: act", by=[ALICE, "service:ops"]))
    fork = Fork(world._tasks, world.playbook, world.actions, world.clock, world.nonce)
    for who in ("service/ops", "service/ops (oidc subject)"):
        made = fork.fork(parent.id, Wish(who, "another try", {"s0": {"n": 2}}))
        world.run()
        assert _shown_of(world, made.id)["makers"] == ["service:ops"]
        task = world.tasks.get(made.id)
        assert task is not None
        after = world.approve(task, "service:ops")
        assert (after.state, "somebody else than service:ops" in after.reason) == (
            State.AWAITING_APPROVAL,
            True,
        )
        assert world.approve(task, ALICE).state is State.QUEUED


def _shown_of(world: AskingWorld, task_id: str) -> dict[str, Any]:
    shown: Any = world.approving().look(task_id)["shown"]
    found: dict[str, Any] = shown
    return found


def test_services_see_what_is_theirs_to_decide(world: AskingWorld) -> None:
    """A service sees the tasks of its entries, and those that ask it; it decides on the latter alone."""
    task = world.begin(approving_recipe("uses: act", by=[ALICE, "service:ops"]))
    for name in ("ops", "s"):
        assert world.approving().look(task.id, service(name))["digest"] == world.digest(task)
    with pytest.raises(Missing):
        world.approving().look(task.id, service("else"))
    with pytest.raises(Missing):
        world.approving().sees(task.id, service("alice"))
    with pytest.raises(Forbidden):
        world.approving().decide(task.id, Decision(service("s"), Verdict.APPROVE, world.digest(task)))


@pytest.mark.parametrize(
    ("inputs", "why"),
    [
        ("by: []", "by"),
        ("by: [alice], needs: 0", "needs"),
        ("by: [alice], needs: 21", "needs"),
        ("by: [alice], within: 59s", "within"),
        ("by: [alice], within: 31d", "within"),
        ("by: [alice, alice]", "named twice"),
        ("by: ['service:a', 'service:b'], needs: 3", "never be reached"),
        ("by: ['a b']", "by"),
        ("by: [alice], tell: x", "tell"),
        ("by: [alice], message: '${entry.x}'", "takes no expression"),
    ],
)
def test_a_bad_approval_is_refused_at_the_push(world: AskingWorld, inputs: str, why: str) -> None:
    """Inputs that can never work are told when they are pushed."""
    text = f"id: r\non: {{rule: x}}\nsteps:\n  - {{id: a, uses: approval, with: {{{inputs}}}}}\n"
    ((index, problem),) = problems(load("r", text.encode()), world.actions)
    assert (index, why in problem) == (0, True), problem


@pytest.mark.parametrize(
    ("inputs", "author", "required", "why"),
    [
        ("by: [alice, team]", "", True, ""),
        ("by: [alice, team], needs: 2", "", False, ""),
        ("by: [bob, team], needs: 2", "", False, "2 of 1 approvers"),
        ("by: [bob, carol], needs: 2", "", False, ""),
        ("by: [bob, carol], needs: 2", "", True, "there is no author or group carol"),
        ("by: [alice]", "alice", True, "does not approve it alone"),
        ("by: [alice, 'service:x']", "alice", True, ""),
    ],
)
def test_what_can_never_be_reached_is_told(
    world: AskingWorld, inputs: str, author: str, required: bool, why: str
) -> None:
    """Against the authors that are known: groups count by their members, and nobody twice."""
    text = f"id: r\non: {{rule: x}}\nsteps:\n  - {{id: a, uses: approval, with: {{{inputs}}}}}\n"
    recipe = load("r", text.encode(), author=author)
    found = list(unreachable(recipe, world.authors.listing(), required=required))
    assert [index for index, _ in found] == ([0] if why else [])
    assert all(why in problem for _, problem in found)


def test_groups_are_not_called_as_authors_are(world: AskingWorld) -> None:
    """What `by` says is one of both: neither can be added under the other's name."""
    for author in (Author("team", ""), Author("carol", "", groups=(ALICE,))):
        with pytest.raises(Conflict, match="a group is not called as an author is"):
            world.authors.add(author, KEYS_C)
    with pytest.raises(Malformed, match="at most 50 groups"):
        world.authors.add(Author("carol", "", groups=("a b",)), KEYS_C)
