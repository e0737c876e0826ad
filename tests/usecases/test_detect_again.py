"""Detecting again what the feed gave up: everything that was asked for, and nothing twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import redis

from sentinel.adapters.redis_streams import RedisQueue
from sentinel.adapters.sqlite_alerts import SqliteAlerts
from sentinel.core.alert_history import decode
from sentinel.core.segment import Segment
from sentinel.core.tasks import SECOND
from sentinel.errors import Tampered, Unavailable
from sentinel.ports_feeds import GivenUp
from sentinel.usecases.detect_again import BEFORE, DetectAgain
from sentinel.usecases.fold_alerts import AlertFolder
from sentinel.usecases.replay import Replay
from tests.alert_chains import alert, sealed
from tests.scenario import START, Target, World, correlation, recipe, rule

BOOM = b'{"message": "boom", "user": "ann"}'
HOUR = 3600 * SECOND


@pytest.fixture
def world(client: redis.Redis) -> Iterator[World]:
    """Wire everything, with a rule, a correlation and a recipe for each."""
    made = World(RedisQueue(client), [Target("tell", "siem")])
    made.push("rule", "errors", rule("errors", "boom"))
    made.push(
        "rule", "counted", rule("counted", "boom")
    )  # one that a correlation has sets nothing off itself
    made.push("rule", "many", correlation("many", "counted", "user", 3))
    made.push("recipe", "each", recipe("each", "errors", "tell"))
    made.push("recipe", "burst", recipe("burst", "many", "tell"))
    made.clock.sleep(600)
    yield made
    made.close()


def again(world: World) -> DetectAgain:
    """Return the use case, as a process of its own has it."""
    replay = Replay(world.ledger, world.catalog, world.tasks, world.clock)
    return DetectAgain(replay, world.new_detector(), "ledger")


def lost(world: World, count: int = 4, chain: str = "shop/0") -> list[Segment]:
    """Store entries that detection never sees; time goes on."""
    segments = world.store(chain, [BOOM] * count, t=world.clock.now)
    world.clock.sleep(3 * 3600)
    return segments


def ids(world: World) -> list[str]:
    """Return the ids of all tasks."""
    return sorted(task.id for task in world.tasks.listing())


def test_what_detection_never_saw_is_made(world: World) -> None:
    """The tasks of entries and of correlations are made with the ids and causes that detection gives them."""
    segments = lost(world)
    found = again(world).over(START, world.clock.now)
    made = {task.id: task.cause for task in world.tasks.listing()}
    assert sorted(found.made) == sorted(made)
    assert (found.entries, len(found.made), found.waiting, found.doubtful) == (4, 5, 0, 0)
    other = World(world.queue, [Target("tell", "siem")])
    for document in [*world.catalog.active("rule"), *world.catalog.active("recipe")]:
        other.push(document.kind, document.id, document.body)
    other.new_detector().detect(segments)
    assert {task.id: task.cause for task in other.tasks.listing()} == made
    other.close()
    world.settle()
    assert sum(world.targets["tell"].effects.values()) == 5


def test_doing_it_again_makes_nothing(world: World) -> None:
    """A second run, and the feed that comes to it after all, find everything there."""
    segments = lost(world)
    again(world).over(START, world.clock.now)
    before = ids(world)
    assert again(world).over(START, world.clock.now).made == ()
    assert world.new_detector().detect(segments).tasks == []
    assert ids(world) == before


def test_what_detection_made_is_left_alone(world: World) -> None:
    """Of a time of which detection saw a part, the rest is made; what ran is not run again."""
    seen = world.store("shop/0", [BOOM], [BOOM], t=world.clock.now)
    world.new_detector().detect(seen[:1])
    world.settle()
    world.clock.sleep(3600)
    assert len(again(world).over(START, world.clock.now).made) == 1
    world.settle()
    assert sorted(world.targets["tell"].effects.values()) == [1, 1]


def test_a_new_version_of_a_recipe_does_nothing_once_more(world: World) -> None:
    """What counts is what was in force when the entries were sealed, not what is now."""
    segments = world.store("shop/0", [BOOM], t=world.clock.now)
    world.new_detector().detect(segments)
    world.clock.sleep(3600)
    world.push("recipe", "each", recipe("each", "errors", "tell", attempts=9))
    world.push("recipe", "new", recipe("new", "errors", "tell"))
    world.clock.sleep(3600)
    assert again(world).over(START, world.clock.now).made == ()


def test_what_the_feed_may_still_come_to_is_left_to_it(world: World) -> None:
    """Entries that were sealed just now wait for detection; later they are made."""
    world.store("shop/0", [BOOM], t=world.clock.now)
    world.clock.sleep(5)
    found = again(world).over(START, world.clock.now)
    assert (found.made, found.waiting) == ((), 1)
    world.clock.sleep(600)
    assert len(again(world).over(START, world.clock.now).made) == 1


def test_only_the_named_time_is_looked_at(world: World) -> None:
    """What was sealed before or after is left alone."""
    lost(world, 1)
    middle = world.clock.now
    lost(world, 2, "shop/1")
    end = world.clock.now
    lost(world, 2, "shop/2")
    assert len(again(world).over(middle, end).made) == 2
    assert len(again(world).over(START, middle).made) == 1


def test_a_task_that_was_taken_away_keeps_no_other_from_being_made(world: World) -> None:
    """A task whose lineage stands without it is said to be tampered with, once the others are made."""
    lost(world, 2)
    again(world).over(START, world.clock.now)
    with world.tasks._database.transaction() as connection:
        connection.execute("DELETE FROM tasks")
        connection.execute("DELETE FROM events WHERE task = (SELECT max(task) FROM events)")
    with pytest.raises(Tampered):
        again(world).over(START, world.clock.now)
    assert len(ids(world)) == 1


@dataclass
class Failures:
    """A queue of failures that keeps what is not done."""

    left: list[GivenUp] = field(default_factory=list)

    def waiting(self) -> Iterator[GivenUp]:
        yield from list(self.left)

    def done(self, given_up: GivenUp) -> None:
        self.left.remove(given_up)


def given_up(segment: Segment, table: str = "ledger", late: int = 2 * SECOND) -> GivenUp:
    """Return what a feed says of a segment that it gave up, which came to it `late` after it was sealed."""
    at = (segment.t + late) // SECOND * SECOND
    return GivenUp(f"r{segment.first}", table, at, at, 1)


@pytest.mark.parametrize("late", [0, 2 * SECOND, BEFORE - SECOND])
def test_what_a_feed_gave_up_is_made_and_forgotten(world: World, late: int) -> None:
    """The entries of each pointer are looked at again, however late they came to the feed."""
    (segment,) = lost(world, 2)
    queue = Failures([given_up(segment, late=late)])
    ((_, found),) = again(world).given_up(queue)
    assert found is not None
    assert len(found.made) == 2
    assert queue.left == []
    assert again(world).given_up(queue) == []


def test_what_another_feed_gave_up_stays(world: World) -> None:
    """Pointers into another table's feed are no entries: they are told of and left where they are."""
    (segment,) = lost(world, 2)
    queue = Failures([given_up(segment, table="tasks")])
    assert again(world).given_up(queue) == [(queue.left[0], None)]
    assert (len(queue.left), ids(world)) == (1, [])


def test_a_pointer_stays_until_its_entries_are_through(world: World) -> None:
    """Where the feed may still come to entries, or a store goes away, the pointer is there the next time."""
    (segment,) = world.store("shop/0", [BOOM], t=world.clock.now)
    world.clock.sleep(5)
    queue = Failures([given_up(segment)])
    again(world).given_up(queue)
    assert len(queue.left) == 1
    world.clock.sleep(3600)
    use = again(world)
    real, calls = world.tasks.create_all, [1]

    def away(births: Any) -> list[bool]:
        if calls:
            calls.pop()
            raise Unavailable("away")
        return real(births)

    world.tasks.create_all = away  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        use.given_up(queue)
    assert len(queue.left) == 1
    use.given_up(queue)
    assert (queue.left, len(ids(world))) == ([], 1)


def test_alerts_that_the_feed_gave_up_are_folded(world: World) -> None:
    """Those of the time alone; what the feed had folded, and a second time, changes nothing."""
    store = SqliteAlerts(":memory:")
    segments = sealed([[alert()], [alert("resolved")], [alert()]], at=(0, 3600, 7200))
    for segment in segments:
        world.ledger.append(segment)
    world.clock.now = segments[-1].t + 24 * HOUR
    folder = AlertFolder(store)
    folder.fold(segments[2:])
    use = replace(again(world), folder=folder)
    assert use.over(segments[1].t, segments[2].t).alerts == 1
    assert use.over(segments[0].t, world.clock.now).alerts == 1
    assert use.over(segments[0].t, world.clock.now).alerts == 0
    (found,) = store.newest("shop", "firing")
    assert decode(found.body).notices == 3
    assert again(world).over(segments[0].t, world.clock.now).alerts == 0
    store.close()
