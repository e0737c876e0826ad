"""What strangers wrote alone starts no step that writes: that takes another source, or a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pytest
import redis

from sentinel import actions
from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.segment import Segment
from sentinel.core.states import State
from sentinel.core.steps import Again, Matched, writes
from sentinel.core.tasks import Task
from sentinel.ports_doors import Delivery
from sentinel.usecases.alert_entries import alert_entries
from sentinel.usecases.fork import Wish
from sentinel.usecases.strangers import ALONE, strangers_alone
from sentinel.webhooks import SOURCES
from sentinel.webhooks.source import stored
from tests.approvals import ALICE, AskingWorld, approving_recipe
from tests.replays import reenact_all
from tests.scenario import ProbedTarget, Target, correlation, recipe, rule

SENTRY = (
    b'{"message": "boom", "group": 1, '
    b'"webhook": {"source": "sentry", "hook": "h", "id": "1", "strangers": true}}'
)
OURS = b'{"message": "boom", "group": 1, "webhook": {"source": "pagerduty", "hook": "p", "id": "2"}}'
LOG = b'{"message": "boom", "group": 1}'


@dataclass
class WritingTarget(ProbedTarget):
    """A target that is changed by what is done, but where it only reads."""

    def writes(self, inputs: Mapping[str, Any]) -> bool:
        return "read" not in inputs


@pytest.fixture
def world(client: redis.Redis) -> Iterator[AskingWorld]:
    """Wire everything, with a rule in force and no recipe yet; `write` writes and `tell` does not."""
    targets = [Target("tell", "action"), WritingTarget("write", "action")]
    found = AskingWorld(RedisQueue(client), targets)
    found.push("rule", "errors", rule("errors", "boom"))
    yield found
    found.close()


def _runs(world: AskingWorld) -> int:
    return len(world.targets["write"].runs)


def _begun(world: AskingWorld, body: bytes, *entries: bytes) -> Task:
    world.push("recipe", "r", body)
    world.detect(world.store("s/0", list(entries)))
    world.run()
    return world.only()


def _replays(world: AskingWorld, count: int = 1) -> None:
    assert reenact_all(world.tasks, world.ledger, world.actions, world.playbook.recipe) == count


def test_strangers_alone_start_nothing_that_writes(world: AskingWorld) -> None:
    """People are told, and the step that writes is not begun; the reason says what to do."""
    task = _begun(world, recipe("r", "errors", "tell", "write"), SENTRY)
    assert (task.state, task.step, task.reason) == (State.FAILED, 1, f"step s1: {ALONE}")
    assert (_runs(world), len(world.targets["tell"].runs)) == (0, 1)
    assert not any(effect.step == "s1" for effect in world.tasks.effects(task.id).values())
    _replays(world)


def test_a_person_who_redrives_has_it_done(world: AskingWorld) -> None:
    """Whoever has looked at it answers for it, by name, in the lineage."""
    task = _begun(world, recipe("r", "errors", "write"), SENTRY)
    world.control().redrive(task.id, "ann", "it is real")
    world.run()
    assert (world.only().state, _runs(world)) == (State.SUCCEEDED, 1)
    _replays(world)


def test_a_person_who_accepts_has_it_done(world: AskingWorld) -> None:
    """A recipe may ask for that before anything is done."""
    task = _begun(world, recipe("r", "errors", "write", flow="propose_for: 1h"), SENTRY)
    assert task.state is State.PROPOSED
    world.control().accept(task.id, "ann", "it is real")
    world.run()
    assert (world.only().state, _runs(world)) == (State.SUCCEEDED, 1)
    _replays(world)


def test_people_who_approve_have_it_done(world: AskingWorld) -> None:
    """A recipe may ask for that before the step."""
    task = _begun(world, approving_recipe("uses: write"), SENTRY)
    world.approve(task, ALICE)
    world.run()
    assert (world.only().state, _runs(world)) == (State.SUCCEEDED, 1)
    _replays(world)


def test_a_person_who_forks_has_it_done(world: AskingWorld) -> None:
    """A fork is somebody's wish."""
    task = _begun(world, recipe("r", "errors", "write"), SENTRY)
    fork = world.forking().fork(task.id, Wish("ann", "it is real"))
    world.run()
    found = world.tasks.get(fork.id)
    assert found is not None
    assert (found.state, _runs(world)) == (State.SUCCEEDED, 1)
    _replays(world, 2)


@pytest.mark.parametrize("entry", [OURS, LOG])
def test_another_source_suffices(world: AskingWorld, entry: bytes) -> None:
    """What has proven itself and speaks for itself starts what its rule is for."""
    assert _begun(world, recipe("r", "errors", "write"), entry).state is State.SUCCEEDED
    assert _runs(world) == 1
    _replays(world)


@pytest.mark.parametrize(
    ("entries", "state"),
    [((SENTRY, SENTRY), State.FAILED), ((SENTRY, OURS), State.SUCCEEDED), ((LOG, SENTRY), State.SUCCEEDED)],
)
def test_a_correlation_of_two_sources_suffices(
    world: AskingWorld, entries: tuple[bytes, ...], state: State
) -> None:
    """However often strangers say it, it is strangers; with a word of another it is more."""
    world.push("rule", "twice", correlation("twice", "errors", "group", 2))
    task = _begun(world, recipe("r", "twice", "write"), *entries)
    assert task.state is state
    assert _runs(world) == (state is State.SUCCEEDED)
    _replays(world)


def test_a_step_that_only_reads_is_done(world: AskingWorld) -> None:
    """It is the step's inputs that decide, not the action alone."""
    task = _begun(world, recipe("r", "errors", "write", step="with: {read: 1}"), SENTRY)
    assert task.state is State.SUCCEEDED
    _replays(world)


def test_an_entry_that_is_gone_speaks_for_nobody(world: AskingWorld) -> None:
    """Where what set a task off was erased, nothing says that it was more than strangers."""
    task = _begun(world, recipe("r", "errors", "tell"), OURS)
    there = Matched("s/0", 0, 0, OURS)
    assert [strangers_alone(task, each) for each in ([there], [])] == [False, True]
    assert not strangers_alone(replace(task, cause={"scheduled": "now"}), [])


@pytest.mark.parametrize("entry", [SENTRY, OURS])
def test_a_replay_goes_by_what_was_said_where_entries_were_erased(
    world: AskingWorld, entry: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Erasing what a task was set off by changes nothing of what was decided then."""
    _begun(world, recipe("r", "errors", "write"), entry)

    def nothing(chain: str, seq: int) -> Segment | None:
        del chain, seq
        return None

    monkeypatch.setattr(world.ledger, "at", nothing)
    _replays(world)


@pytest.mark.parametrize(
    "entry",
    [
        b'{"strangers": true}',
        b'{"webhook": "\\"strangers\\""}',
        b'{"webhook": {"strangers": "true"}}',
        b'["strangers"]',
        b'"strangers"',
        b'{"body": "{\\"webhook\\": {\\"strangers\\": true}}"}',
    ],
)
def test_only_the_receiver_says_it(world: AskingWorld, entry: bytes) -> None:
    """What a message says of itself is text in its body; only `webhook`, which we write, is looked at."""
    task = _begun(world, recipe("r", "errors", "tell"), LOG)
    assert not strangers_alone(task, [Matched("s/0", 0, 0, entry)])


def test_each_entry_of_such_a_message_says_so() -> None:
    """The message, each part of a long one, and each alert of it."""
    kind = SOURCES["sentry"]
    body = orjson.dumps({"action": "created", "data": {"issue": {"id": "1", "title": "t" * 90_000}}})
    delivery = Delivery("sentry", "h", "1", "", kind.strangers({}))
    entries = stored(delivery, body) + alert_entries(delivery, kind.make({}).alerts({}, body))
    assert len(entries) > 2
    assert all(orjson.loads(each)["webhook"]["strangers"] is True for each in entries)
    private = Delivery("sentry", "h", "1", "", kind.strangers({"dsn": "private"}))
    assert "strangers" not in orjson.loads(stored(private, b"{}")[0])["webhook"]


def test_of_which_sources_strangers_write_is_said() -> None:
    """Sentry's, unless its DSN is nobody's; all others speak for themselves."""
    assert [name for name, kind in SOURCES.items() if kind.strangers({})] == ["sentry"]


@pytest.mark.parametrize(
    ("uses", "inputs", "said"),
    [
        ("http.call", {"method": "GET"}, False),
        ("http.call", {}, True),
        ("http.call", {"method": "DELETE"}, True),
        ("aws.invoke_lambda", {}, True),
        ("aws.ssm_run", {}, True),
        ("aws.ecs_update_service", {}, True),
        ("k8s.rollout_restart", {}, True),
        ("terraform.plan", {}, False),
        ("falcon.contain_host", {}, True),
        ("falcon.lift_containment", {}, True),
        ("falcon.update_alert", {"comment": "x"}, False),
        ("falcon.update_alert", {"status": "closed"}, True),
        ("alert.reply", {"comment": "x"}, False),
        ("alert.reply", {"resolve": True}, True),
        ("alert.reply", {"mute": "1h"}, True),
        ("alert.reply", {"unmute": True}, True),
        ("siem.send", {}, False),
        ("notify", {}, False),
        ("wait", {}, False),
        ("approval", {}, False),
    ],
)
def test_which_steps_write(uses: str, inputs: Mapping[str, Any], said: bool) -> None:
    """What changes something writes; what tells people or SIEMs, plans or waits does not."""
    nothing: Any = None
    assert writes(actions.build(nothing, nothing, nothing, dict)[uses], inputs) is said


def test_what_was_begun_goes_on(world: AskingWorld) -> None:
    """A step that has begun was let through: its later tries do not depend on what the ledger still has."""
    world.targets["write"].answers = [Again("busy", 0)]
    world.push("recipe", "r", recipe("r", "errors", "write"))
    world.detect(world.store("s/0", [OURS]))
    executor = replace(world.executor("action"), strangers=lambda *_: _runs(world) > 0)
    world.dispatch()
    for _ in range(2):
        executor.execute(world.only(), world.clock.now + 10**12)
        world.clock.now += 10**11
    assert (world.only().state, _runs(world)) == (State.SUCCEEDED, 2)
