"""Debounce: a task waits until the same has not matched for a while, by the ledger's time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import redis

from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.segment import Segment
from sentinel.core.states import State
from sentinel.core.tasks import SECOND
from tests.faults_calls import Faults, Killed
from tests.scenario import START, Target, World, recipe, rule

QUIET = "debounce: {quiet: 30s, most: 2m}"
ANN = b'{"message": "boom", "user": "ann"}'


@pytest.fixture
def faults() -> Faults:
    """Break calls on demand."""
    return Faults()


@pytest.fixture
def world(client: redis.Redis, faults: Faults) -> Iterator[World]:
    """Wire everything, with one recipe that waits for quiet."""
    found = World(RedisQueue(client), [Target("tell", "siem")], faults.wrap)
    found.push("rule", "errors", rule("errors", "boom"))
    found.push("recipe", "r", recipe("r", "errors", "tell", by=["user"], flow=QUIET))
    yield found
    found.close()


def _match(world: World, chain: str, at: float) -> list[Segment]:
    """Let the same match `at` seconds after the start, and the feed tell of it at once."""
    world.clock.now = max(world.clock.now, START + int(at * SECOND))
    segments = world.store(chain, [ANN], t=START + int(at * SECOND))
    world.detect(segments)
    return segments


def _due(world: World) -> float:
    return round((world.only().due - START) / SECOND, 3)


def test_a_task_waits_for_quiet(world: World) -> None:
    """Each match puts the start off; after `quiet` without one the task starts, once, for all of them."""
    for n, at in enumerate((0, 10, 35)):
        _match(world, f"s/{n}", at)
    task = world.only()
    assert (task.state, task.held, _due(world)) == (State.WAITING, "debounce", 65)
    assert task.reason == "held: more matches of the same are waited for"
    bodies = world.bodies(task)
    assert [body["event"] for body in bodies] == ["waiting"] * 3
    assert [body["entries"][0]["chain"] for body in bodies] == ["s/0", "s/1", "s/2"]
    world.clock.now = START + 64 * SECOND
    assert world.sweep().woken == 0
    world.clock.now = START + 65 * SECOND
    assert world.sweep().woken == 1
    assert world.drain("siem").succeeded == 1
    _match(world, "s/9", 70)
    assert world.only().state is State.SUCCEEDED


def test_no_flood_puts_it_off_for_ever(world: World) -> None:
    """However often the same matches, the task starts `most` after it was made."""
    for at in range(0, 119, 5):
        _match(world, f"s/{at}", at)
        world.sweep()
    assert _due(world) == pytest.approx(120, abs=0.01)
    assert world.only().state is State.WAITING


def test_a_small_step_writes_nothing(world: World) -> None:
    """A match that would move the time by a tenth of `quiet` or less is not worth a write."""
    for n, at in enumerate((0, 1, 2, 3)):
        _match(world, f"s/{n}", at)
    assert (world.only().version, _due(world)) == (1, 30)
    _match(world, "s/4", 3.5)
    assert (world.only().version, _due(world)) == (2, 33.5)


def test_what_is_delivered_again_puts_nothing_off(world: World) -> None:
    """A feed that repeats itself, to this process or a new one, whenever, changes nothing."""
    segments = _match(world, "s/0", 0) + _match(world, "s/1", 20)
    before = world.only()
    for _ in range(5):
        world.clock.sleep(2)
        world.detect(segments)
        world.new_detector().detect(segments)
        world.new_detector().detect(segments[:1])
    assert world.only() == before


def test_once_begun_it_is_the_same_task(world: World) -> None:
    """A match after the start, while it runs or waits for a try, neither holds nor moves it."""
    _match(world, "s/0", 0)
    world.clock.now = START + 30 * SECOND
    world.sweep()
    queued = world.only()
    _match(world, "s/1", 31)
    assert world.only() == queued


def test_the_clock_of_a_late_feed_does_not_matter(world: World) -> None:
    """Where the feed comes late, the task waits no longer than had it been in time."""
    segments = world.store("s/0", [ANN], t=START)
    world.clock.now = START + 3600 * SECOND
    world.detect(segments)
    assert _due(world) == 30
    world.sweep()
    assert world.drain("siem").succeeded == 1


@pytest.mark.parametrize("applied", [False, True], ids=["unsent", "answer lost"])
def test_a_lost_match_is_told_again(world: World, faults: Faults, applied: bool) -> None:
    """Whichever call dies while a match is told, the feed tells it again and the start is put off once."""
    _match(world, "s/0", 0)
    segments = world.store("s/1", [ANN], t=START + 20 * SECOND)
    for k in range(1, 8):
        faults.calls, faults.error, faults.applied, faults.fails = 0, Killed, applied, {k}.__contains__
        with contextlib.suppress(Killed):
            world.new_detector().detect(segments)
        faults.fails = lambda _: False
    world.new_detector().detect(segments)
    assert (_due(world), len(world.bodies(world.only()))) == (50, 2)
