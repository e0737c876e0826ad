"""Schedules: each time once, whoever fires and whatever fails, on SQLite in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from sentinel.adapters.sqlite_catalog import SqliteCatalog
from sentinel.adapters.sqlite_counters import SqliteCounters
from sentinel.adapters.sqlite_tasks import SqliteTasks
from sentinel.core.signing import Unsigned
from sentinel.core.tasks import SECOND, State, verify_lineage
from sentinel.errors import Tampered, Unavailable
from sentinel.usecases.inspect import Inspect
from sentinel.usecases.schedule import Scheduler, Timetable
from tests.scenario import Clock, Target

BEGIN = int(datetime(2026, 11, 27, 2, 50, tzinfo=UTC).timestamp()) * SECOND  # a Friday
HOUR = 3600


class Night:
    """A scheduler with all that it needs, and another one beside it at will."""

    def __init__(self) -> None:
        self.clock = Clock(BEGIN)
        self.catalog = SqliteCatalog(":memory:")
        self.tasks = SqliteTasks(":memory:")
        self.counters = SqliteCounters(":memory:")

    def push(self, on: str = 'cron: "0 3 * * *"', name: str = "night") -> None:
        text = f"id: {name}\non: {{schedule: {{{on}}}}}\nsteps: [{{id: a, uses: tell}}]\n"
        self.catalog.push("recipe", name, text.encode())

    def scheduler(self, tasks: Any = None, counters: Any = None) -> Scheduler:
        """Return a scheduler that remembers nothing, as a new process does."""
        timetable = Timetable(self.catalog, Unsigned(), self.clock, 0)
        actions = {"tell": Target("tell", "siem")}
        parts = tasks or self.tasks, counters or self.counters, actions
        return Scheduler(timetable, *parts, self.clock, lambda: b"\0" * 32)

    def times(self) -> list[str]:
        """Return the times of all tasks there are, in order."""
        return sorted(str(task.cause["scheduled"]) for task in self.tasks.listing(limit=1000))


@dataclass
class Fault:
    """Which call of all ports fails: before it takes effect, or with its answer `lost`."""

    lost: bool
    calls: int = 0
    at: int = -1


@dataclass
class Failing:
    """A port of which one call fails."""

    port: Any
    fault: Fault

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            self.fault.calls += 1
            failing = self.fault.calls == self.fault.at
            found = None if failing and not self.fault.lost else getattr(self.port, name)(*arguments)
            if failing:
                raise Unavailable("it does not answer")
            return found

        return call


@pytest.fixture
def night() -> Iterator[Night]:
    """Give a night, ten minutes before three o'clock."""
    made = Night()
    yield made
    for store in (made.catalog, made.tasks, made.counters):
        store.close()


def test_a_time_that_comes_makes_one_task(night: Night) -> None:
    """The task is queued for its step's worker, its lineage verifies, and it is shown without a rule."""
    night.push()
    scheduler = night.scheduler()
    assert scheduler.fire().tasks == ()
    night.clock.sleep(660)
    (made,) = scheduler.fire().tasks
    assert scheduler.fire().tasks == ()
    task = night.tasks.get(made)
    assert task is not None
    assert (task.state, task.stream, task.cause["schedule"]) == (State.QUEUED, "siem", "0 3 * * * UTC")
    assert task.cause["scheduled"] == "2026-11-27T03:00:00Z"
    assert verify_lineage(task.id, night.tasks.lineage(task.id), task.head) == 1
    shown = Inspect(None, lambda: night.tasks).task(None, task.id)  # type: ignore[arg-type] # no ledger
    assert (shown["rule"], shown["recipe"]) == ("", "night")


def test_several_sweeps_fire_once(night: Night) -> None:
    """Processes that fire at the same time, and one that starts anew each time, make the same task."""
    night.push()
    schedulers = [night.scheduler() for _ in range(3)]
    for _ in range(90):
        for scheduler in (*schedulers, night.scheduler()):
            scheduler.fire()
        night.clock.sleep(30)
    assert night.times() == ["2026-11-27T03:00:00Z"]


@pytest.mark.parametrize("lost", [True, False])
def test_whatever_call_fails_each_time_is_fired_once(night: Night, lost: bool) -> None:
    """Every call of a store fails once, before or after it took effect: no time is lost, none doubled."""
    night.push("every: 15m")
    night.scheduler().fire()
    fault = Fault(lost)
    for at in range(1, 13):
        fault.at = fault.calls + 1 + at % 4
        night.clock.sleep(900)
        for _ in range(3):
            try:
                night.scheduler(Failing(night.tasks, fault), Failing(night.counters, fault)).fire()
            except Unavailable:
                continue
    assert len(night.times()) == len(set(night.times())) == 12


@pytest.mark.parametrize(("catch_up", "made", "missed"), [(0, 0, 3), (1, 1, 2), (2, 2, 1), (10, 3, 0)])
def test_missed_times_are_made_up_for(night: Night, catch_up: int, made: int, missed: int) -> None:
    """After three nights without a sweep the newest `catch_up` are made up for, and the others counted."""
    night.push(f'cron: "0 3 * * *", catch_up: {catch_up}')
    night.scheduler().fire()
    night.clock.sleep(2 * 24 * HOUR + 2 * HOUR)
    fired = night.scheduler().fire()
    assert (len(fired.tasks), fired.missed) == (made, missed)
    nights = [f"2026-11-{day}T03:00:00Z" for day in (27, 28, 29)]
    assert night.times() == nights[3 - made :]
    assert night.scheduler().fire().tasks == ()


def test_what_is_a_little_late_was_not_missed(night: Night) -> None:
    """A sweep that comes four minutes late makes the task also where nothing is made up for."""
    night.push('cron: "0 3 * * *", catch_up: 0')
    night.scheduler().fire()
    night.clock.sleep(14 * 60)
    assert len(night.scheduler().fire().tasks) == 1


def test_a_recipe_fires_from_when_it_is_seen(night: Night) -> None:
    """A time before the recipe was pushed is none of its times, as long as nothing was missed."""
    night.clock.sleep(660)
    night.push()
    assert night.scheduler().fire() == night.scheduler().fire()
    assert night.times() == []


def test_a_new_version_has_its_own_times(night: Night) -> None:
    """Times of today that only the new version has are not made up for, and no time is fired by both."""
    night.push()
    night.scheduler().fire()
    night.clock.sleep(660)
    night.scheduler().fire()
    night.clock.sleep(HOUR)
    night.push('cron: "0 1-3,5 * * *"')
    night.scheduler().fire()
    assert night.times() == ["2026-11-27T03:00:00Z"]
    night.clock.sleep(HOUR)
    night.scheduler().fire()
    assert night.times() == ["2026-11-27T03:00:00Z", "2026-11-27T05:00:00Z"]


def test_a_push_at_the_very_time_loses_nothing(night: Night) -> None:
    """A version that is loaded half a minute after its time still fires it, and once."""
    night.push()
    scheduler = night.scheduler()
    scheduler.fire()
    night.clock.sleep(595)
    night.push('cron: "0 3 * * 1-5"')
    night.clock.sleep(30)
    assert len(scheduler.fire().tasks) == 1
    assert night.times() == ["2026-11-27T03:00:00Z"]


def test_a_retired_recipe_fires_no_more(night: Night) -> None:
    """Out of force, a recipe has no times; one that does not load keeps no other from firing."""
    night.push()
    night.push(name="other")
    night.catalog.push("recipe", "bad", b"id: bad")
    scheduler = night.scheduler()
    scheduler.fire()
    night.catalog.retire("recipe", "night")
    night.clock.sleep(660)
    (made,) = scheduler.fire().tasks
    task = night.tasks.get(made)
    assert task is not None
    assert task.recipe == "other"


def test_nothing_is_read_between_times(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that knows the next time reads no counter until then: the sweep may come each second."""
    night.push()
    scheduler = night.scheduler()
    scheduler.fire()
    monkeypatch.setattr(night.counters, "load", lambda _: pytest.fail("read for nothing"))
    for _ in range(5):
        night.clock.sleep(100)
        assert scheduler.fire().tasks == ()


@pytest.mark.parametrize("damaged", [b"{", b"[]", b"{}", b'{"t": "x", "version": 1}', b"7"])
def test_a_damaged_record_keeps_no_schedule_from_firing(damaged: bytes) -> None:
    """A record that cannot be read is as none: the schedule fires from then on, and so do the others."""
    night = Night()
    night.push()
    night.push(name="other")
    scheduler = night.scheduler()
    scheduler.fire()
    _, version = night.counters.load("schedule/night")
    assert night.counters.store("schedule/night", damaged, version, night.clock.now // SECOND + 1000)
    night.clock.sleep(60)
    night.scheduler().fire()
    night.clock.sleep(600)
    assert len(night.scheduler().fire().tasks) == 2


def test_a_damaged_task_keeps_no_schedule_from_firing() -> None:
    """A time whose task has a lineage and is not there is told of once; the other recipes fire."""
    night = Night()
    night.push()
    night.push(name="other")
    night.scheduler().fire()
    night.clock.sleep(660)
    night.scheduler().fire()
    with night.tasks._database.transaction() as connection:
        connection.execute("DELETE FROM tasks")
        connection.execute("DELETE FROM events WHERE task NOT IN (SELECT min(task) FROM events)")
    night.counters = SqliteCounters(":memory:")
    night.clock.now = BEGIN
    night.scheduler().fire()
    night.clock.sleep(660)
    with pytest.raises(Tampered):
        night.scheduler().fire()
    assert len(night.tasks.listing()) == 1
    assert night.scheduler().fire().tasks == ()
