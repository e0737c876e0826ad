"""Effects that came to a bad end outside: a redrive begins them anew, and nothing else does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import redis

from sentinel.actions.aws_ssm_run import SsmRun
from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.states import State
from sentinel.core.steps import Again, Done, Failed
from sentinel.core.tasks import LEASE, SECOND, EffectState
from sentinel.ports_aws import AssumedRole
from sentinel.usecases.replay import Replay
from tests.action_targets import GRANTS
from tests.scenario import START, ProbedTarget, Target, World, recipe, rule

BOOM = b'{"message": "boom"}'
WHO = ("ann", "mended")
OVER = Failed("it ended badly", unsure=True, over=True)
EFFECTS = ("at-least-once", "at-most-once")


@pytest.fixture
def world(client: redis.Redis) -> Iterator[World]:
    """Wire everything, with a target that can be asked and one that cannot."""
    targets = [Target("blind", "action"), ProbedTarget("seen", "action"), Target("tell", "siem")]
    found = World(RedisQueue(client), targets)
    found.push("rule", "errors", rule("errors", "boom"))
    yield found
    found.close()


def begin(world: World, *uses: str, effect: str = "at-least-once") -> None:
    """Have an entry set a task off."""
    world.push("recipe", "r", recipe("r", "errors", *uses, step=f"effect: {effect}"))
    world.detect(world.store("s/0", [BOOM]))
    world.dispatch()


def redriven(world: World) -> None:
    """Redrive the one task and run it."""
    world.control().redrive(world.only().id, *WHO)
    world.dispatch()
    world.drain("action")


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("uses", ["blind", "seen"])
def test_a_redrive_begins_anew_what_ended_badly(world: World, uses: str, effect: str) -> None:
    """The step is handed another key and nothing of what was known, and the target is not asked first."""
    target = world.targets[uses]
    target.answers = [Again("running", 0, {"id": "first"}), OVER, OVER]
    begin(world, uses, effect=effect)
    world.settle()
    assert world.only().state is State.FAILED
    redriven(world)
    assert (world.only().state, world.only().reason) == (State.FAILED, "step s0: it ended badly")
    redriven(world)
    assert world.only().state is State.SUCCEEDED
    assert [(run.done, run.resumed) for run in target.runs[2:]] == [({}, False)] * 2
    first, second, third = dict.fromkeys(run.key for run in target.runs)
    assert len({first, second, third}) == 3
    effects = world.tasks.effects(world.only().id)
    assert {key: effects[key].state for key in (first, third)} == {
        first: EffectState.INTENT,
        third: EffectState.DONE,
    }
    told = [body["effect"] for body in world.bodies(world.only()) if body.get("over")]
    assert told == [first, second]


def test_what_was_done_before_stays_done(world: World) -> None:
    """Steps before the one that ended badly keep their keys and are not done again."""
    world.targets["blind"].answers = [OVER]
    begin(world, "tell", "blind")
    world.settle()
    redriven(world)
    assert world.only().state is State.SUCCEEDED
    assert len(world.targets["tell"].runs) == 1
    replay = Replay(world.ledger, world.catalog, world.tasks, world.clock)
    found = replay.compare(START, world.clock.now).differences
    assert [each for each in found if each.what == "different"] == []  # its effects are those of its recipe


@pytest.mark.parametrize("effect", EFFECTS)
def test_a_worker_that_dies_with_the_news_begins_nothing(world: World, effect: str) -> None:
    """The bad end is written with the failure: until that stands, the same effect is looked at again."""
    target = world.targets["seen"]
    target.answers = [Again("running", 0, {"id": "first"})]
    begin(world, "seen", effect=effect)
    world.drain("action")
    real = world.tasks.move

    def dies(before: Any, after: Any, event: Any) -> None:
        if after.state is State.FAILED:
            raise SystemExit
        real(before, after, event)

    target.answers = [OVER, OVER]
    world.tasks.move = dies  # type: ignore[method-assign]
    world.sweep()
    with pytest.raises(SystemExit):
        world.drain("action")
    world.tasks.move = real  # type: ignore[method-assign]
    world.clock.sleep(LEASE / SECOND + 1)
    world.settle()
    assert world.only().state is State.FAILED
    assert len({run.key for run in target.runs}) == 1


def test_a_failure_that_is_not_over_keeps_its_key(world: World) -> None:
    """A step that failed otherwise is done again under its key, with what was known of it."""
    target = world.targets["blind"]
    target.answers = [Again("part", 0, {"parts": 1}), Failed("no"), Done({})]
    begin(world, "blind")
    world.settle()
    redriven(world)
    assert world.only().state is State.SUCCEEDED
    assert len({run.key for run in target.runs}) == 1
    assert target.runs[-1].done == {"parts": 1}


@pytest.mark.parametrize("effect", EFFECTS)
def test_what_a_failure_leaves_is_what_a_redrive_knows(world: World, effect: str) -> None:
    """`Failed.done` replaces what was known, as where a step gave up following: it has its time again."""
    target = world.targets["seen"]
    left = Failed("gave up", unsure=True, done={"id": "first"})
    target.answers = [Again("running", 0, {"id": "first", "until": 7}), left]
    begin(world, "seen", effect=effect)
    world.settle()
    redriven(world)
    assert world.only().state is State.SUCCEEDED
    assert target.runs[-1].done == {"id": "first"}
    assert len({run.key for run in target.runs}) == 1


class Fleet:
    """Systems Manager with one machine: each command runs for two looks, then ends as told."""

    def __init__(self, *ends: str) -> None:
        self.ends = list(ends)
        self.commands: list[dict[str, Any]] = []
        self.looks = 0

    def call(
        self, service: str, operation: str, params: Mapping[str, Any], role: AssumedRole, timeout: float = 10
    ) -> Mapping[str, Any]:
        if operation == "SendCommand":
            self.commands.append({"CommandId": f"{len(self.commands):036}", "Comment": params["Comment"]})
            self.looks = 0
            return {"Command": self.commands[-1]}
        self.looks += 1
        over = self.looks > 2
        status = self.ends[len(self.commands) - 1] if over else "InProgress"
        return {"Commands": [{**each, "Status": status} for each in self.commands[-1:]]}


@pytest.mark.parametrize("effect", EFFECTS)
def test_a_command_that_failed_is_run_again_by_a_redrive(world: World, effect: str) -> None:
    """A person who has mended the machine and redrives gets a new command, followed to its end; one each."""
    fleet = Fleet("Failed", "Success")
    world.actions = {**world.actions, "aws.ssm_run": SsmRun(lambda: fleet, GRANTS, clock=world.clock)}
    given = "with: {document: Shop-Restart, instances: [i-0123456789abcdef0]}"
    text = (
        f"id: r\non: {{rule: errors}}\nsteps:\n  - {{id: s0, uses: aws.ssm_run, effect: {effect}, {given}}}\n"
    )
    world.push("recipe", "r", text.encode())
    world.detector = world.new_detector()
    world.detect(world.store("s/0", [BOOM]))
    world.settle()
    assert (world.only().state, len(fleet.commands)) == (State.FAILED, 1)
    world.control().redrive(world.only().id, *WHO)
    world.settle()
    assert (world.only().state, len(fleet.commands)) == (State.SUCCEEDED, 2)
    assert len({command["Comment"] for command in fleet.commands}) == 2


@pytest.mark.parametrize("effect", EFFECTS)
def test_a_command_that_takes_too_long_is_followed_again(world: World, effect: str) -> None:
    """Where the step gave up and the command still runs, a redrive looks at that one, for as long again."""
    fleet = Fleet("InProgress")
    world.actions = {**world.actions, "aws.ssm_run": SsmRun(lambda: fleet, GRANTS, clock=world.clock)}
    given = "with: {document: Shop-Restart, instances: [i-0123456789abcdef0], within: 2m}"
    text = (
        f"id: r\non: {{rule: errors}}\nsteps:\n  - {{id: s0, uses: aws.ssm_run, effect: {effect}, {given}}}\n"
    )
    world.push("recipe", "r", text.encode())
    world.detector = world.new_detector()
    world.detect(world.store("s/0", [BOOM]))
    world.settle()
    assert "gave up" in world.only().reason
    fleet.ends = ["Success"]
    fleet.looks = 0
    world.control().redrive(world.only().id, *WHO)
    world.settle()
    assert (world.only().state, len(fleet.commands)) == (State.SUCCEEDED, 1)
