"""Attacks on approvals: by those who made what is asked, by those who are trusted no more, and by readers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis

from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.access import Author
from sentinel.core.approvals import Asked
from sentinel.core.states import State
from sentinel.core.step_inputs import Form
from sentinel.core.steps import Again, Failed
from sentinel.core.tasks import Task
from sentinel.errors import Conflict, Forbidden, Missing
from sentinel.usecases.approval_links import LinkMaker
from sentinel.usecases.approvers import service
from sentinel.usecases.fork import Fork, Wish
from sentinel.usecases.proofs import Wish as ProofWish
from sentinel.usecases.replay import Replay
from tests.approvals import ALICE, BOB, AskingWorld, approving_recipe
from tests.core.test_dsse import KEYS
from tests.replays import reenact_all
from tests.scenario import START, Target, rule
from tests.traced import eventful, forked, new_world, tracing


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


def test_what_was_approved_once_is_not_done_again_by_somebodys_word(world: AskingWorld) -> None:
    """Whoever says "again" of an effect that nobody knows of has people asked: one effect was approved."""
    act = world.targets["act"]
    task = world.begin(approving_recipe("uses: act, effect: at-most-once"))
    world.approve(task, ALICE)
    act.answers = [Again("no answer came", None, unsure=True)]
    world.run()
    world.control().resolve(task.id, "again", "mallory", "looks undone")
    world.run()
    asks = world.tasks.get(task.id)
    assert asks is not None
    assert (asks.state, len(act.runs)) == (State.AWAITING_APPROVAL, 1)
    world.approve(asks, BOB)
    world.run()
    done = world.tasks.get(task.id)
    assert done is not None
    assert (done.state, len(act.runs)) == (State.SUCCEEDED, 2)
    assert reenact_all(world.tasks, world.ledger, world.actions, world.playbook.recipe) == 1


def _links(world: AskingWorld) -> LinkMaker:
    def never(_: int) -> Any:
        raise AssertionError("nothing is to be signed")

    approvers, url = world.approvers, "https://hooks.example.com"
    return LinkMaker(world._tasks, approvers, never, "https://sentinel.example.com", url, world.clock)


def test_who_made_what_is_asked_makes_no_link_to_approve_it(world: AskingWorld) -> None:
    """A link is as good as its bearer, and who makes one has it: the maker would be somebody else by it."""
    parent = world.begin(approving_recipe("uses: act", by=[ALICE]))
    task = _fork(world, parent, "service/ops", n=666)
    with pytest.raises(Forbidden, match="service:ops made what is asked"):
        _links(world).make(task.id, ALICE, "service:ops")
    with pytest.raises(AssertionError, match="nothing is to be signed"):
        _links(world).make(task.id, ALICE, "service:other")


def test_whoever_is_not_asked_does_not_see_entries_of_others(world: AskingWorld) -> None:
    """What would be done tells the entries of all services that set a task off: one of them sees its own."""
    task = world.begin(approving_recipe("uses: tell, with: {body: '${entry.user.id}'}", by=["service:ops"]))
    entries = [*task.cause["entries"], {"chain": "other/0", "seq": 0}]  # type: ignore[misc]
    world.store("other/0", [b'{"message": "boom", "user": {"id": "u-2"}}'])
    cause = {**task.cause, "entries": entries}
    _rewritten(world, task, cause)
    for name in ("s", "other"):
        with pytest.raises(Forbidden, match="entries of other services"):
            world.approving().look(task.id, service(name))
        world.approving().sees(task.id, service(name))  # it may bring what a person signed
    assert world.approving().look(task.id, service("ops"))["shown"]["cause"]["entries"] == entries  # type: ignore[index]
    with pytest.raises(Missing):
        world.approving().look(task.id, service("stranger"))


def _rewritten(world: AskingWorld, task: Task, cause: dict[str, Any]) -> None:
    """Let a task be one that entries of two services set off, as a correlation has it."""
    real = world._tasks.get
    world._tasks.get = lambda task_id: replace(real(task_id), cause=cause)


def test_no_word_stands_for_an_author_who_was_removed(world: AskingWorld) -> None:
    """Whose key is trusted no more is not let in by a mere word instead; nor is a group of theirs."""
    for name in (ALICE, BOB):
        world.authors.remove(name)
    for name in (ALICE, BOB, "team"):
        with pytest.raises(Forbidden, match="have keys"):
            world.approvers.operator(name)


def test_an_approval_of_an_author_who_was_removed_counts_no_more(world: AskingWorld) -> None:
    """Who is trusted no more, for what they signed before neither, is not one of those who approved."""
    world.authors.add(Author("carol", ""), bytes(31) + b"\x01")
    task = world.begin(approving_recipe("uses: act", by=[ALICE, BOB, "carol"], more=", needs: 2"))
    task = world.approving().decide(task.id, world.signed(task, "A"))
    assert Asked.of(task.asked).approvers == (ALICE,)  # type: ignore[union-attr]
    world.authors.remove(ALICE)
    look = world.approving().look(task.id)
    assert (look["approvals"], str(look["missing"])[:6]) == ([], "2 more")
    after = world.approve(task, BOB)
    assert after.state is State.AWAITING_APPROVAL
    told = world.bodies(after)[-1]
    assert (told["void"], told["approved_by"]) == ([ALICE], [BOB])
    assert world.approve(task, "carol").state is State.QUEUED
    world.run()
    assert world.only().state is State.SUCCEEDED


def test_an_approved_step_that_ended_badly_is_not_begun_anew_without_people(world: AskingWorld) -> None:
    """What was approved is one effect: a redrive that begins another asks, whatever its plan says."""
    world.targets["act"].answers = [Failed("it ended badly", unsure=True, over=True)]
    task = world.begin(approving_recipe("uses: act"))
    world.approve(task, ALICE)
    world.run()
    assert world.only().state is State.FAILED
    world.control().redrive(task.id, "service/ops", "again")
    world.run()
    again = world.only()
    assert (again.state, len(world.targets["act"].runs)) == (State.AWAITING_APPROVAL, 1)
    assert "s0" in world.bodies(again)[-1]["changed"]
    world.approve(again, ALICE)
    world.run()
    assert (world.only().state, len(world.targets["act"].runs)) == (State.SUCCEEDED, 2)


def test_a_name_in_other_letters_is_nobody_else(world: AskingWorld) -> None:
    """Nobody is added, and no word counts, under a name that differs from another's in its case alone."""
    for author in (Author("Alice", ""), Author("TEAM", ""), Author("carol", "", groups=("BOB",))):
        with pytest.raises(Conflict):
            world.authors.add(author, bytes(31) + b"\x01")
    for name in ("Alice", "TEAM"):
        with pytest.raises(Forbidden, match="have keys"):
            world.approvers.operator(name)
    world.authors.add(Author(ALICE, "", groups=("team",)), KEYS["A"])  # the same person, and group, still may


def test_a_link_counts_once_however_many_use_it_at_once(world: AskingWorld) -> None:
    """Of those who use one link at the same time one is first; the others find it used."""
    task = world.begin(approving_recipe("uses: act", by=[ALICE, BOB], more=", needs: 2"))
    digest, link = world.digest(task), {"link": "l" * 22, "maker": "service:ops"}
    real, left = world._tasks.move, [3]

    def raced(before: Any, after: Any, event: Any) -> None:
        if left[0]:
            left[0] -= 1
            if left[0] == 0:  # somebody with the same link is written first
                world.approve(task, ALICE, digest, **link)
        real(before, after, event)

    world._tasks.move = raced
    left[0] = 1
    with pytest.raises(Conflict, match="used already"):
        world.approve(task, ALICE, digest, **link)
    found = world.tasks.get(task.id)
    assert found is not None
    asked = Asked.of(found.asked)
    assert asked is not None
    assert (asked.approvers, asked.used) == ((ALICE,), ("l" * 22,))
    assert found.state is State.AWAITING_APPROVAL


def test_a_family_of_forks_costs_a_bounded_number_of_reads(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever forks forks makes no trace cost thousands of reads: it says that there may be more."""
    monkeypatch.setattr("sentinel.usecases.trace.FORKS", 20)
    world = new_world(client)
    parent = eventful(world)
    for number in range(1, 11):
        child = forked(world, parent, number)
        for below in range(1, 11):
            forked(world, child, below)
    reads: list[str] = []
    real = world.tasks.lineage

    def counted(task_id: str) -> Any:
        reads.append(task_id)
        return real(task_id)

    monkeypatch.setattr(world.tasks, "lineage", counted)
    found = tracing(world).of_task(parent.id, ProofWish())
    assert len(found["tasks"]) == 1 + 10 + 9  # ten, a look for the eleventh, then what is left of the twenty
    assert any("only 20 forks were looked for" in note for note in found["notes"])
    assert len(reads) <= 20 + len(found["tasks"]) + 1  # that of what was asked for is read twice
    world.close()


@pytest.mark.parametrize("key", ["A", "B"])
def test_what_a_removed_author_approved_is_not_begun(world: AskingWorld, key: str) -> None:
    """Between the approval and the step somebody's key was found to be another's: people are asked again."""
    task = world.begin(approving_recipe("uses: act", "uses: tell", more=", needs: 2"))
    for signer in ("A", "B"):
        task = world.approving().decide(task.id, world.signed(task, signer))
    world.authors.remove({"A": ALICE, "B": BOB}[key])
    world.run()
    again = world.only()
    assert (again.state, world.targets["act"].runs) == (State.AWAITING_APPROVAL, [])
    told = world.bodies(again)[-1]
    assert (told["changed"], told["void"]) == (["an approver"], [ALICE, BOB])
    assert reenact_all(world.tasks, world.ledger, world.actions, world.playbook.recipe) == 1


def test_what_was_done_before_an_author_was_removed_stays(world: AskingWorld) -> None:
    """A step that is done is done; only what follows is asked about again."""
    task = world.begin(approving_recipe("uses: act", "uses: tell"))
    task = world.approving().decide(task.id, world.signed(task, "A"))
    world.dispatch()
    world.drain("action")
    world.authors.remove(ALICE)
    world.run()
    again = world.only()
    assert (again.state, len(world.targets["act"].runs)) == (State.AWAITING_APPROVAL, 1)
    assert world.bodies(again)[-1]["covers"] == ["s1"]
    world.approve(again, BOB)
    world.run()
    assert world.only().state is State.SUCCEEDED
    assert len(world.targets["act"].runs) == 1
    assert reenact_all(world.tasks, world.ledger, world.actions, world.playbook.recipe) == 1
