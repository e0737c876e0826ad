"""Actions that need approval: no recipe without one is taken, and none that is there all the same acts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest
import redis

from sentinel import actions
from sentinel.adapters.hosts import Hosts
from sentinel.adapters.http import HttpClient
from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.approvals import Approval, Asked
from sentinel.core.recipes import load
from sentinel.core.states import State
from sentinel.core.step_inputs import Form
from sentinel.core.steps import Failed, Outcome, StepRun, needs_approval
from sentinel.core.tasks import SECOND, Task
from sentinel.usecases.asking import NOBODY
from sentinel.usecases.check_recipe import problems
from sentinel.usecases.fork import Wish
from tests.action_targets import Killed
from tests.approvals import ALICE, BOB, AskingWorld, approving_recipe
from tests.falcon_target import HOST, OTHER, Falcon
from tests.replays import reenact_all
from tests.scenario import ProbedTarget, Target, rule
from tests.usecases.test_falcon import Credentials


@dataclass
class GraveTarget(ProbedTarget):
    """A target whose effect people decide on."""

    needs_approval: bool = True


@pytest.fixture
def world(client: redis.Redis) -> Iterator[AskingWorld]:
    """Wire everything, with a rule in force and no recipe yet; `cut` needs approval."""
    targets = [Target("act", "action"), GraveTarget("cut", "action", forms={"what": Form.JSON})]
    found = AskingWorld(RedisQueue(client), targets)
    found.push("rule", "errors", rule("errors", "boom"))
    yield found
    found.close()


def _plain(*steps: str) -> bytes:
    told = "".join(f"  - {{id: s{number}, {each}}}\n" for number, each in enumerate(steps))
    return f"id: r\non: {{rule: errors}}\nsteps:\n{told}".encode()


def _problems(world: AskingWorld, body: bytes) -> list[tuple[int, str]]:
    return list(problems(load("r", body), world.actions))


def _replays(world: AskingWorld, count: int = 1) -> None:
    assert reenact_all(world.tasks, world.ledger, world.actions, world.playbook.recipe) == count


def test_some_actions_need_approval(world: AskingWorld) -> None:
    """It is the action that says so, and no recipe can say otherwise."""
    assert {name: needs_approval(each) for name, each in world.actions.items()} == {
        "act": False,
        "cut": True,
        "approval": False,
    }


def test_a_recipe_without_an_approval_before_it_is_refused(world: AskingWorld) -> None:
    """Of a step that needs approval one has to stand before it: behind it is too late."""
    ask = "uses: approval, with: {by: [alice]}"
    assert _problems(world, _plain("uses: act", "uses: cut")) == [
        (1, "cut needs approval: a step that uses approval stands before it")
    ]
    assert [index for index, _ in _problems(world, _plain("uses: cut", ask, "uses: cut"))] == [0]
    assert _problems(world, approving_recipe("uses: act", "uses: cut")) == []


def test_a_recipe_that_hides_what_it_does_is_refused(world: AskingWorld) -> None:
    """People approve what they see: no value that a step gives after they were asked, nor their answer's."""
    late = approving_recipe("uses: act", "uses: cut, with: {what: '${steps.s0.result.n}'}")
    own = approving_recipe("uses: cut, with: {what: '${steps.ask.result.digest}'}")
    assert ["takes the result of step s0" in why for _, why in _problems(world, late)] == [True]
    assert ["takes the result of step ask" in why for _, why in _problems(world, own)] == [True]
    early = "  - {id: first, uses: act}\n"
    good = approving_recipe("uses: cut, with: {what: '${steps.first.result.n}'}", before=early)
    assert _problems(world, good) == []


def test_a_recipe_that_came_around_the_check_does_nothing(world: AskingWorld) -> None:
    """Written into the catalog as it is: the step is not begun, however often it is tried."""
    task = world.begin(_plain("uses: act", "uses: cut"))
    for _ in range(2):
        task = world.only()
        assert (task.state, task.step) == (State.FAILED, 1)
        assert task.reason == (
            "step s1: cut needs approval, and no step before it asks: put one that uses approval before it"
        )
        world.control().redrive(task.id, "ann", "again")
        world.run()
    assert world.targets["cut"].runs == []
    assert len(world.targets["act"].runs) == 1
    assert not any(effect.step == "s1" for effect in world.tasks.effects(task.id).values())
    _replays(world)


def test_what_nobody_saw_is_not_done(world: AskingWorld) -> None:
    """A recipe from around the check whose step takes a later result fails, approved as it is."""
    body = approving_recipe("uses: act", "uses: cut, with: {what: '${steps.s0.result.n}'}")
    task = world.begin(body)
    world.approve(task, ALICE)
    world.run()
    done = world.only()
    assert done.state is State.FAILED
    assert "nobody could see what it would do" in done.reason
    assert world.targets["cut"].runs == []
    _replays(world)


def test_what_was_approved_is_done_once(world: AskingWorld) -> None:
    """The approval before it, of people, of exactly this step: then it is done."""
    task = world.begin(approving_recipe("uses: cut, with: {what: '${entry.user.id}'}", more=", needs: 2"))
    world.approve(task, ALICE)
    world.run()
    assert world.targets["cut"].runs == []
    world.approve(task, BOB)
    world.run()
    assert world.only().state is State.SUCCEEDED
    assert [run.step.with_["what"] for run in world.targets["cut"].runs] == ["u-1"]
    _replays(world)


def _forged(world: AskingWorld, task: Task, *names: str) -> Task:
    """Return a task as it would be if somebody had written approvals into its state."""
    asked = Asked.of(task.asked)
    assert asked is not None
    for name in names:
        asked = asked.with_approval(Approval(name, "signed", world.clock.now))
    results = {**task.results, asked.step: asked.result()}
    return replace(
        task,
        state=State.QUEUED,
        step=1,
        stream="action",
        due=world.clock.now,
        asked=asked.json(),
        results=results,
    )


@pytest.mark.parametrize("names", [(), (ALICE,), (ALICE, BOB)])
def test_an_approval_that_the_lineage_does_not_tell_is_none(
    world: AskingWorld, names: tuple[str, ...]
) -> None:
    """Whoever can write a task's state, and not its lineage, approves nothing: people are asked again."""
    task = world.begin(approving_recipe("uses: cut", more=", needs: 2"))
    forged = _forged(world, task, *names)
    until = world.clock.now + 60 * SECOND
    after = world.executor("action").execute(forged, until)
    assert after is not None
    assert after.state is State.AWAITING_APPROVAL
    assert world.bodies(after)[-1]["changed"] == [NOBODY]
    assert world.targets["cut"].runs == []


def test_a_redrive_asks_before_it_acts_again(world: AskingWorld) -> None:
    """What people approved was one effect: another, after one that ended badly, is theirs to decide again."""
    cut = world.targets["cut"]
    cut.answers = [Failed("it broke", over=True)]
    task = world.begin(approving_recipe("uses: cut"))
    world.approve(task, ALICE)
    world.run()
    assert world.only().state is State.FAILED
    world.control().redrive(task.id, "ann", "again")
    world.run()
    assert (world.only().state, len(cut.runs)) == (State.AWAITING_APPROVAL, 1)
    world.approve(task, BOB)
    world.run()
    assert (world.only().state, len(cut.runs)) == (State.SUCCEEDED, 2)
    _replays(world)


def test_a_fork_asks_for_itself(world: AskingWorld) -> None:
    """What was approved of a task is not approved of its forks."""
    task = world.begin(approving_recipe("uses: cut"))
    world.approve(task, ALICE)
    world.run()
    fork = world.forking().fork(task.id, Wish("ann", "another try"))
    world.run()
    found = world.tasks.get(fork.id)
    assert found is not None
    assert (found.state, len(world.targets["cut"].runs)) == (State.AWAITING_APPROVAL, 1)
    _replays(world, 2)


class Containing:
    """A world whose tasks contain a host of a Falcon API of this machine."""

    def __init__(self, world: AskingWorld) -> None:
        self.falcon = Falcon()
        self.falcon.delay = 3
        self.hosts: list[str] = [HOST]
        self.http = HttpClient(Hosts(["127.0.0.1"], private=True))
        self.world = world
        nothing: Any = None
        built = actions.build(
            self.http,
            nothing,
            Credentials(),
            dict,
            accounts=lambda: {"prod": self.falcon.account(hosts=self.hosts)},
            clock=world.clock,
        )
        world.actions = {**world.actions, "falcon.contain_host": built["falcon.contain_host"]}
        world.detector = world.new_detector()

    def begin(self) -> Task:
        """Let an alert set the recipe off, to its question."""
        step = "uses: falcon.contain_host, with: {account: prod, host: '${entry.device.id}'}"
        body = approving_recipe(step)
        assert _problems(self.world, body) == []
        self.world.push("recipe", "r", body)
        entry = b'{"message": "boom", "device": {"id": "%s"}}' % HOST.encode()
        self.world.detect(self.world.store("s/0", [entry]))
        self.world.run()
        return self.world.only()

    def close(self) -> None:
        self.http.close()
        self.falcon.server.stop()


@pytest.fixture
def containing(world: AskingWorld) -> Iterator[Containing]:
    """Put the real action, before a Falcon API, into the world."""
    found = Containing(world)
    yield found
    found.close()


def test_a_host_is_contained_when_people_have_said_so(containing: Containing) -> None:
    """From an alert's agent id, by people who see it, to the host; in replay Falcon is asked nothing."""
    world = containing.world
    task = containing.begin()
    shown: Any = world.approving().look(task.id)["shown"]
    assert shown["steps"][0]["plan"]["contain"] == HOST
    assert containing.falcon.server.asked == []
    world.approve(task, ALICE)
    world.settle()
    done = world.only()
    assert (done.state, done.results["s0"]) == (State.SUCCEEDED, {"host": HOST, "status": "contained"})
    assert containing.falcon.wishes == [f"contain {HOST}"]
    before = len(containing.falcon.server.asked)
    _replays(world)
    assert len(containing.falcon.server.asked) == before


def test_an_account_that_changed_since_is_asked_about_again(containing: Containing) -> None:
    """People approved what they saw: where the account leads, and what it allows."""
    world = containing.world
    task = containing.begin()
    world.approve(task, ALICE)
    containing.hosts = [OTHER]
    world.run()
    assert world.only().state is State.AWAITING_APPROVAL
    assert world.bodies(world.only())[-1]["changed"] == ["s0"]
    assert containing.falcon.server.asked == []


def test_a_worker_that_dies_behind_its_wish_leaves_one(
    containing: Containing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Falcon has taken the wish and nothing says so here: the next worker follows it, approved as it is."""
    world = containing.world
    task = containing.begin()
    world.approve(task, ALICE)
    real = world.actions["falcon.contain_host"]
    perform = real.perform

    def dies(run: StepRun) -> Outcome:
        perform(run)
        monkeypatch.setattr(real, "perform", perform)
        raise Killed

    monkeypatch.setattr(real, "perform", dies)
    with suppress(Killed):
        world.run()
    assert (world.only().state, len(containing.falcon.wishes)) == (State.RUNNING, 1)
    world.settle()
    assert world.only().state is State.SUCCEEDED
    assert world.only().attempt > 1
    assert containing.falcon.wishes == [f"contain {HOST}"]
    _replays(world)
