"""Replay of schedules, and of documents whose authors came and went: what was in force when counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from sentinel.adapters.sqlite_catalog import SqliteCatalog
from sentinel.adapters.sqlite_counters import SqliteCounters
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.adapters.sqlite_registry import SqliteRegistry
from sentinel.adapters.sqlite_tasks import SqliteTasks
from sentinel.core import dsse
from sentinel.core.access import Author, encode
from sentinel.core.signing import PAYLOAD_TYPES, Opener, Unsigned
from sentinel.core.tasks import SECOND
from sentinel.ports_doors import Record
from sentinel.usecases.authors import Authors, Past, Signed
from sentinel.usecases.detect import Detector
from sentinel.usecases.playbook import Playbook
from sentinel.usecases.replay import Replay
from sentinel.usecases.replayed import Replayed
from sentinel.usecases.schedule import Scheduler, Timetable
from tests.chains import grow
from tests.core.test_dsse import KEYS, SEEDS
from tests.scenario import START, Clock, Target, recipe, rule

HOUR = 3600 * SECOND
BEGIN = START - START % (24 * HOUR) + 24 * HOUR
TELL = {"tell": Target("tell", "siem")}


class Day:
    """A deployment that only schedules and detects."""

    def __init__(self) -> None:
        self.clock = Clock(BEGIN)
        self.catalog = SqliteCatalog(":memory:", self.clock)
        self.tasks = SqliteTasks(":memory:")
        self.counters = SqliteCounters(":memory:")
        self.ledger = SqliteLedger(":memory:")
        self.authors = Authors(SqliteRegistry(":memory:"), self.clock)
        self.opener: Opener = Unsigned()
        self.scheduler = self.new_scheduler()

    def close(self) -> None:
        """Close all stores."""
        for store in (self.catalog, self.tasks, self.counters):
            store.close()
        self.ledger._db.close()
        self.authors.registry._database.close()  # type: ignore[attr-defined]

    def nonce(self) -> bytes:
        """Return something that is not used twice."""
        return self.clock().to_bytes(32)

    def new_scheduler(self) -> Scheduler:
        """Return a scheduler that remembers nothing."""
        timetable = Timetable(self.catalog, self.opener, self.clock, 30)
        return Scheduler(timetable, self.tasks, self.counters, TELL, self.clock, self.nonce)

    def push(self, cron: str = "0 * * * *", catch_up: int = 1) -> None:
        """Put a schedule in force."""
        on = f'schedule: {{cron: "{cron}", catch_up: {catch_up}}}'
        self.catalog.push("recipe", "r", f"id: r\non: {{{on}}}\nsteps: [{{id: a, uses: tell}}]\n".encode())

    def pass_hours(self, hours: float, *, up: bool = True) -> None:
        """Let time pass, and the scheduler look each minute unless it is not up."""
        end = self.clock.now + int(hours * HOUR)
        while self.clock.now < end:
            self.clock.sleep(60)
            if up:
                self.scheduler.fire()

    def detect(self, *words: str) -> None:
        """Store entries and have them detected."""
        self.clock.sleep(1)
        batch = [f'{{"message": "{word}"}}'.encode() for word in words]
        playbook = Playbook(self.catalog, self.clock, 0, self.opener)
        detector = Detector(playbook, self.tasks, self.counters, TELL, self.clock, self.nonce)
        for segment in grow(f"s/{self.clock.now}", [batch], t=self.clock.now):
            self.ledger.append(segment)
            detector.detect([segment])

    def replay(self) -> Replay:
        """Return the use case."""
        signed = None if isinstance(self.opener, Unsigned) else self.authors.everyone
        return Replay(self.ledger, self.catalog, self.tasks, self.clock, actions=TELL, everyone=signed)

    def compared(self) -> Replayed:
        """Compare the whole day."""
        return self.replay().compare(BEGIN, BEGIN + 24 * HOUR)


@pytest.fixture
def day() -> Iterator[Day]:
    """Give a day that has just begun."""
    made = Day()
    made.scheduler.fire()
    yield made
    made.close()


def forget(day: Day, hour: int) -> str:
    """Take the task of an hour out of the store, as nothing of ours does; return its id."""
    told = f"T{hour:02d}:00:00Z"
    (gone,) = [each.id for each in day.tasks.listing() if str(each.cause["scheduled"]).endswith(told)]
    with day.tasks._database.transaction() as connection:
        connection.execute("DELETE FROM tasks WHERE id = ?", (gone,))
    return gone


def test_a_schedule_that_ran_has_no_differences(day: Day) -> None:
    """Each time has its task, and each task is re-enacted; one that is gone is missing, with its time."""
    day.push()
    day.pass_hours(6)
    found = day.compared()
    assert (found.differences, found.recorded, found.doubtful) == ([], 6, 0)
    assert found.reenacted == found.asked == 6
    gone = forget(day, 3)
    (difference,) = day.compared().differences
    assert (difference.what, difference.task) == ("missing", gone)
    assert difference.why == ("scheduled for 2023-11-15T03:00:00Z",)


@pytest.mark.parametrize("catch_up", [0, 1, 2])
def test_what_was_missed_is_made_up_for_as_the_recipe_says(day: Day, catch_up: int) -> None:
    """Times of an outage need no task, but for the newest `catch_up` of them."""
    day.push(catch_up=catch_up)
    day.pass_hours(2.5)
    day.pass_hours(4, up=False)
    day.pass_hours(2)
    found = day.compared()
    assert (found.differences, found.recorded, found.doubtful) == ([], 4 + catch_up, 4 - catch_up)
    if catch_up:
        gone = forget(day, 6)
        assert [(each.what, each.task) for each in day.compared().differences] == [
            *(("missing", task) for task in _skipped(day, catch_up)),
            ("missing", gone),
        ]


def _skipped(day: Day, catch_up: int) -> list[str]:
    """Return the ids of the times that were skipped: with one made-up task fewer each is missed wrongly."""
    from sentinel.usecases.schedule import scheduled

    read = day.replay().catalog.active("recipe")[0]
    made = Playbook(day.catalog, day.clock).recipe(read.id, read.version)
    return [scheduled(made, BEGIN + hour * HOUR, 0, "").id for hour in range(3, 7 - catch_up)]


def test_a_task_that_no_schedule_asks_for_shows(day: Day) -> None:
    """A time that is not on the timetable is unexpected."""
    day.push()
    day.pass_hours(2)
    made = Playbook(day.catalog, day.clock).recipe("r", 1)
    day.scheduler.create(made, BEGIN + HOUR + 60 * SECOND)
    assert [each.what for each in day.compared().differences] == ["unexpected"]


def test_a_changed_schedule_counts_from_its_time_on(day: Day) -> None:
    """A new version's times are its own, and those around the change may be of either."""
    day.push()
    day.pass_hours(2.5)
    day.push("*/30 * * * *")
    day.pass_hours(2)
    found = day.compared()
    assert (found.differences, found.doubtful) == ([], 0)
    assert found.recorded == 2 + 5  # the new one fires what was just before it, too
    day.catalog.retire("recipe", "r")
    day.pass_hours(2)
    assert day.compared().differences == []


def test_another_schedule_shows_which_tasks_would_differ(day: Day) -> None:
    """Tasks are those of the version, so a changed one has all of its own, each with its time."""
    day.push()
    day.pass_hours(3)
    other = b'id: r\non: {schedule: {cron: "30 * * * *"}}\nsteps: [{id: a, uses: tell}]\n'
    found = day.replay().instead(BEGIN + 1800 * SECOND, BEGIN + 3 * HOUR, [("recipe", "r", other)])
    whats = [each.what for each in found.differences]
    assert (whats.count("gone"), whats.count("added")) == (2, 3)
    assert {each.why[0][-7:] for each in found.differences if each.what == "added"} == {":30:00Z"}


def signed(kind: str, text: bytes, key: str) -> bytes:
    """Return a document as an author signs it."""
    return dsse.dump(dsse.sign(SEEDS[key], PAYLOAD_TYPES[kind], text))


def test_documents_count_while_their_author_does(day: Day) -> None:
    """An author who was removed or has ended counts for the time before, and for nothing after it."""
    day.opener = Signed(day.authors, day.clock, 0)
    day.authors.add(Author("ann", ""), KEYS["A"])
    day.clock.sleep(1000)
    day.catalog.push("rule", "errors", signed("rule", rule("errors", "boom"), "A"))
    day.catalog.push("recipe", "r", signed("recipe", recipe("r", "errors", "tell"), "A"))
    for removed in (False, True, False):
        day.clock.sleep(1000)
        if removed:
            day.authors.remove("ann")
        else:
            day.authors.add(Author("ann", ""), KEYS["A"])
        day.clock.sleep(1000)
        day.detect("boom")
    until = day.clock.now // SECOND + 1000
    day.authors.add(Author("ann", "", until=until), KEYS["A"])
    day.clock.sleep(500)
    day.detect("boom")
    day.clock.sleep(1500)
    day.detect("boom")
    day.clock.sleep(1000)
    found = day.compared()
    assert (found.differences, found.recorded, found.doubtful) == ([], 3, 0)
    (ann,) = day.authors.everyone()
    assert [until for _, until in ann.trust] == [0, Author.REMOVED, 0, until]
    assert found.reenacted == 3  # though nobody would run them now
    unsigned = replace(day.replay(), everyone=None).compare(BEGIN, BEGIN + 24 * HOUR)
    assert [each.what for each in unsigned.differences] == ["missing", "missing"]


def test_who_was_removed_stays_known_and_is_trusted_by_nobody(day: Day) -> None:
    """The record stays for its history; code that knows no history takes it as ended long ago."""
    day.authors.add(Author("ann", ""), KEYS["A"])
    day.authors.remove("ann")
    (record,) = day.authors.registry.listing("author")
    assert b'"until":1,' in record.body
    assert day.authors.listing() == []
    assert Signed(day.authors, day.clock, 0)._keys() == {}


def test_an_author_of_an_earlier_version_always_counted(day: Day) -> None:
    """A record without a history counts from the start, and gets one with its next change."""
    old = encode(Author("bob", "", until=0)).replace(b',"trust":[]', b"")
    assert b"trust" not in old
    day.authors.registry.put(Record("author", "bob", old.replace(b'"key":""', b'"key":"AAAA"')))
    past = Past(day.authors.everyone())
    assert set(past.at(5).keys) == {"bob"}
    assert past.times() == []
    day.authors.remove("bob")
    assert day.authors.everyone()[0].trust[0] == (0, 0)
    assert set(Past(day.authors.everyone()).at(5).keys) == {"bob"}
    assert set(Past(day.authors.everyone()).at(day.clock.now).keys) == set()
