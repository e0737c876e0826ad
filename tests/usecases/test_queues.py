"""Pausing, resuming and purging; proposals. Who did it and why stands with each task."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest
import redis

from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.pauses import KEY
from sentinel.core.states import State
from sentinel.core.steps import Again
from sentinel.core.tasks import SECOND
from sentinel.errors import Conflict, Malformed, Missing, Unavailable
from sentinel.usecases.pauses import SECONDS
from tests.faults_calls import Faults, Killed
from tests.scenario import Target, World, recipe, rule

WHO = ("ann", "target is down")


@pytest.fixture
def faults() -> Faults:
    """Break calls on demand."""
    return Faults()


@pytest.fixture
def world(client: redis.Redis, faults: Faults) -> Iterator[World]:
    """Wire everything, with a recipe on each stream."""
    found = World(RedisQueue(client), [Target("tell", "siem"), Target("act", "action")], faults.wrap)
    found.push("rule", "errors", rule("errors", "boom"))
    found.push("recipe", "tell", recipe("tell", "errors", "tell"))
    found.push("recipe", "both", recipe("both", "errors", "tell", "act"))
    yield found
    found.close()


def _log(world: World, chain: str = "shop/0", count: int = 1) -> None:
    world.detect(world.store(chain, [b'{"message": "boom"}'] * count, t=world.clock.now))
    world.dispatch()


def _turn(world: World) -> None:
    for part in (world.dispatch, lambda: world.drain("siem"), world.dispatch, lambda: world.drain("action")):
        part()
    world.sweep()


@pytest.mark.parametrize("target", ["siem", "all", "recipe:tell", "service:shop"])
def test_a_pause_holds_and_a_resume_lets_go(world: World, target: str) -> None:
    """What is paused does not start, tells by whom and why, and goes on at once when it is resumed."""
    told = world.queues().pause(target, *WHO)
    assert orjson.loads(orjson.dumps(told)) == told
    _log(world)
    _turn(world)
    held = [task for task in world.tasks.listing(State.WAITING) if task.recipe == "tell"]
    assert [task.held for task in held] == [f"pause/{target}"]
    assert held[0].reason.startswith("held: ")
    assert held[0].reason.endswith("paused by ann: target is down")
    assert world.bodies(held[0])[-1]["reason"] == held[0].reason
    for _ in range(60):
        world.clock.sleep(30)
        _turn(world)
    (still,) = [task for task in world.tasks.listing(State.WAITING) if task.recipe == "tell"]
    assert still.version == held[0].version
    told = world.queues().resume(target, "bob", "it is up again")
    assert told["woken"] == (1 if target == "recipe:tell" else 2)
    last = world.bodies(still)[-1]
    assert (last["who"], last["why"]) == ("bob", "it is up again")
    world.clock.sleep(SECONDS)
    _turn(world)
    assert {task.state for task in world.tasks.listing()} == {State.SUCCEEDED}


def test_what_is_not_meant_goes_on(world: World) -> None:
    """A pause keeps others from nothing; a task that comes to a stream which is paused stops there."""
    for target in ("action", "recipe:other", "service:desk"):
        world.queues().pause(target, *WHO)
    _log(world)
    _turn(world)
    states = {task.recipe: (task.state, task.step, task.held) for task in world.tasks.listing()}
    assert states == {"tell": (State.SUCCEEDED, 0, ""), "both": (State.WAITING, 1, "pause/action")}


def test_a_pause_holds_between_two_tries(world: World) -> None:
    """A task that waits for its next try does not go on while it is paused; its last reason stays."""
    world.targets["tell"].answers = [Again("busy", 10 * SECOND)] * 2
    _log(world)
    _turn(world)
    world.queues().pause("siem", *WHO)
    world.clock.sleep(11)
    _turn(world)
    _turn(world)
    assert {task.held for task in world.tasks.listing()} == {"pause/siem"}
    assert all("paused by ann" in task.reason and "busy" in task.reason for task in world.tasks.listing())
    assert {task.tries for task in world.tasks.listing()} == {1}


def test_a_pause_ends_by_itself(world: World) -> None:
    """A pause with an end is over then, and nobody has to resume it."""
    world.queues().pause("all", *WHO, until=world.clock.now + 60 * SECOND)
    _log(world)
    _turn(world)
    world.clock.sleep(59)
    _turn(world)
    assert {task.held for task in world.tasks.listing()} == {"pause/all"}
    world.clock.sleep(2)
    for _ in range(3):
        _turn(world)
        world.clock.sleep(1)
    assert {task.state for task in world.tasks.listing()} == {State.SUCCEEDED}
    assert world.queues().overview()["pauses"] == []


def test_a_task_held_by_a_pause_just_ended_is_seen_soon(world: World) -> None:
    """A worker that has not heard of the resume holds a task; the sweep sees it some seconds later."""
    world.queues().pause("all", *WHO)
    stale = world.executor("siem")
    _log(world)
    assert world.pauses._current()  # the worker looked a moment ago
    other = World.queues(world)
    object.__setattr__(other, "pauses", type(world.pauses)(world._counters, world.clock))
    other.resume("all", "bob", "up")
    (task,) = [task for task in world.tasks.listing() if task.recipe == "tell"]
    held = stale.execute(task, world.clock.now + 10**12)
    assert held is not None
    assert held.held == "pause/all"
    world.clock.sleep(6)
    _turn(world)
    _turn(world)
    assert {task.state for task in world.tasks.listing()} == {State.SUCCEEDED}


def test_nothing_starts_while_pauses_cannot_be_known(world: World, faults: Faults) -> None:
    """A record of pauses that does not answer, or is damaged, stops workers rather than being passed over."""
    _log(world)
    faults.calls = 0
    assert world.counters.store(KEY, b"[3]", 0, 2**40)
    with pytest.raises(Unavailable, match="delete it and pause again"):
        world.drain("siem")
    assert {task.state for task in world.tasks.listing()} == {State.QUEUED}


def test_what_is_refused(world: World) -> None:
    """A target that is none, no reason, an end that has passed, and a resume of what is not paused."""
    queues = world.queues()
    for target in ("siems", "recipe:", "service:a b"):
        with pytest.raises(Malformed, match="a target is"):
            queues.pause(target, *WHO)
    with pytest.raises(Malformed, match="printable"):
        queues.pause("siem", "ann", " ")
    with pytest.raises(Malformed, match="in the future"):
        queues.pause("siem", *WHO, until=world.clock.now)
    with pytest.raises(Missing, match="is not paused"):
        queues.resume("siem", *WHO)
    for n in range(200):
        queues.pause(f"recipe:r{n}", *WHO)
    with pytest.raises(Conflict, match="resume some"):
        queues.pause("siem", *WHO)


def test_a_purge_cancels_what_waits_and_nothing_else(world: World) -> None:
    """Queued, waiting and proposed tasks of the target end, with who and why; it can be repeated."""
    world.targets["tell"].answers = [Again("busy", 3600 * SECOND)] * 2
    _log(world, "shop/0", 1)
    world.drain("siem")
    world.push("recipe", "asks", recipe("asks", "errors", "tell", flow="propose_for: 8h"))
    world.clock.sleep(31)
    _log(world, "shop/1", 2)
    _log(world, "desk/0", 1)
    assert len(world.tasks.listing()) == 2 + 6 + 3
    dry = world.queues().purge("service:shop", *WHO, dry_run=True)
    assert (dry["cancelled"], dry["by_state"]) == (8, {"waiting": 2, "proposed": 2, "queued": 4})
    assert not world.tasks.listing(State.CANCELLED)
    part = world.queues().purge("service:shop", *WHO, most=3)
    assert (part["cancelled"], part["more"]) == (3, True)
    rest = world.queues().purge("service:shop", *WHO)
    assert (rest["cancelled"], rest["more"]) == (5, False)
    assert world.queues().purge("service:shop", *WHO)["cancelled"] == 0
    ended = world.tasks.listing(State.CANCELLED)
    assert len(ended) == 8
    for task in ended:
        last = world.bodies(task)[-1]
        assert (last["who"], last["why"]) == WHO
    assert orjson.loads(orjson.dumps(rest)) == rest
    world.dispatch()
    world.drain("siem")
    assert {task.recipe for task in world.tasks.listing(State.SUCCEEDED)} == {"tell"}


def test_a_purge_leaves_what_has_begun_to_run(world: World) -> None:
    """A task that a worker has taken meanwhile runs on; with all states it is cancelled too."""
    _log(world)
    (task,) = [task for task in world.tasks.listing() if task.recipe == "tell"]
    world.executor("siem")._take(task, world.clock())
    assert world.queues().purge("recipe:tell", *WHO)["cancelled"] == 0
    with pytest.raises(Conflict, match="left as it is"):
        world.control().cancel(task.id, *WHO, states=[State.QUEUED])
    told = world.queues().purge("recipe:tell", *WHO, all_states=True)
    assert told["by_state"] == {"running": 1}


def test_a_purge_of_what_a_limit_holds_lets_none_slip_through(world: World) -> None:
    """Places that the purge sets free start no task of its target."""
    world.push("recipe", "tell", recipe("tell", "errors", "tell", flow="concurrency: [{most: 1}]"))
    world.targets["tell"].answers = [Again("busy", 3600 * SECOND)] * 2
    _log(world, "shop/0", 20)
    world.drain("siem")
    assert world.queues().purge("recipe:tell", *WHO)["cancelled"] == 20
    world.dispatch()
    assert world.drain("siem").succeeded == 0


def test_the_overview_tells_all(world: World) -> None:
    """Tasks are counted by stream, recipe and state; pauses are told with who, why and until when."""
    world.queues().pause("recipe:both", *WHO, until=world.clock.now + 3600 * SECOND)
    _log(world, count=3)
    _turn(world)
    _log(world, "shop/1")
    told = world.queues().overview()
    assert told["recipes"] == {"both": {"queued": 1, "waiting": 3}, "tell": {"queued": 1}}
    assert told["streams"] == {"siem": {"queued": 2, "waiting": 3}}
    assert told["pauses"][0]["who"] == "ann"  # type: ignore[index]
    assert (told["dead_letters"], told["more"]) == (0, False)
    assert world.queues().overview(most=1)["more"] is True
    assert orjson.loads(orjson.dumps(told)) == told


@pytest.mark.parametrize("act", ["resume", "purge"])
@pytest.mark.parametrize("error", [Killed, Unavailable])
def test_an_act_that_breaks_off_is_done_again(
    world: World, faults: Faults, act: str, error: type[BaseException]
) -> None:
    """Whichever call fails on the way, doing it again finishes it; each task is told once."""
    world.queues().pause("all", *WHO)
    _log(world, count=3)
    _turn(world)
    k = 0
    while True:
        k += 1
        faults.calls, faults.error, faults.applied, faults.fails = 0, error, k % 2 == 0, {k}.__contains__
        try:
            getattr(world.queues(), act)("all", *WHO)
        except (Killed, Unavailable):
            continue
        except Missing:
            pass  # all was done before
        finally:
            faults.fails = lambda _: False
        if faults.calls < k:
            break
    wanted = State.QUEUED if act == "resume" else State.CANCELLED
    assert {task.state for task in world.tasks.listing()} == {wanted}
    assert {len(world.bodies(task)) for task in world.tasks.listing()} == {3}


def test_a_proposed_task_waits_for_a_person(world: World) -> None:
    """A recipe that asks first makes proposals; an accepted one runs, with its whole time from then on."""
    flow = "propose_for: 8h"
    world.push("recipe", "tell", recipe("tell", "errors", "tell", flow=flow, timeout="30m"))
    _log(world, count=2)
    _turn(world)
    one, two = [task for task in world.tasks.listing(State.PROPOSED) if task.recipe == "tell"]
    assert one.reason == "its recipe asks that a person accepts it first"
    assert one.due == one.created + 8 * 3600 * SECOND
    world.clock.sleep(7 * 3600)
    world.sweep()
    after = world.control().accept(one.id, "ann", "it is right")
    assert after.state is State.QUEUED
    assert 0 < after.deadline - world.clock.now <= 1800 * SECOND
    assert world.bodies(after)[-1]["who"] == "ann"
    with pytest.raises(Conflict, match="only a proposed task"):
        world.control().accept(one.id, "ann", "again")
    _turn(world)
    assert world.tasks.get(one.id).state is State.SUCCEEDED  # type: ignore[union-attr]
    world.clock.sleep(3601)
    with pytest.raises(Conflict, match="expires"):
        world.control().accept(two.id, "ann", "late")
    world.sweep()
    expired = world.tasks.get(two.id)
    assert expired is not None
    assert expired.state is State.EXPIRED
    assert "it was proposed" in expired.reason


def test_a_proposal_is_refused_by_cancelling_it(world: World) -> None:
    """What is refused ends, and says by whom."""
    world.push("recipe", "tell", recipe("tell", "errors", "tell", flow="propose_for: 8h"))
    _log(world)
    (task,) = world.tasks.listing(State.PROPOSED)
    world.control().cancel(task.id, "ann", "not this one")
    assert world.tasks.get(task.id).reason == "cancelled by ann: not this one"  # type: ignore[union-attr]
