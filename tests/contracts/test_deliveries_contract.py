"""The records of deliveries on SQLite and on DynamoDB: one holder, one cursor, whatever is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sentinel.actions.deliver_store import LEASE, Cursor, DeliveryStore, LeaseLost
from sentinel.adapters.dynamodb_counters import DynamoCounters
from sentinel.adapters.sqlite_counters import SqliteCounters
from sentinel.core.delivered import Dead, Record
from sentinel.core.delivery_track import Move
from sentinel.core.tasks import SECOND
from sentinel.errors import Tampered, Unavailable
from sentinel.ports import Counters
from tests.contracts.tables import dynamodb
from tests.faults_calls import Faults

T = 1_790_000_000 * SECOND


class Clock:
    """A time that is set."""

    now = T

    def __call__(self) -> int:
        """Tell it."""
        return self.now


@pytest.fixture(params=["sqlite", "dynamodb"])
def counters(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Counters]:
    """Give a store."""
    if request.param == "sqlite":
        store = SqliteCounters(tmp_path / "counters.db")
        yield store
        store.close()
        return
    with dynamodb("counters") as client:
        yield DynamoCounters(client, "counters")


def go_on(_: Unavailable) -> None:
    """Wait for nothing."""


def test_one_holder_at_a_time(counters: Counters) -> None:
    """A lease is its holder's until it is released or runs out, and then says whether it was left clean."""
    clock = Clock()
    store = DeliveryStore(counters, clock)
    taken = store.take("d", "one")
    assert taken is not None
    assert (taken.clean, taken.since) == (True, T)
    assert store.take("d", "two") is None
    clock.now += LEASE - 1
    store.keep("d", "one", 40)
    assert store.take("d", "two") is None
    clock.now += LEASE
    taken = store.take("d", "two")
    assert taken is not None
    assert (taken.clean, taken.since, taken.limit) == (False, T, 40)
    with pytest.raises(LeaseLost):
        store.keep("d", "one")
    store.release("d", "one", clean=True)  # not its own any more: nothing happens
    assert store.take("d", "three") is None
    store.release("d", "two", clean=True)
    taken = store.take("d", "three")
    assert taken is not None
    assert taken.clean


def test_a_cursor_is_moved_by_one(counters: Counters) -> None:
    """Of two that hold the same record the second one to move finds that it has lost."""
    store = DeliveryStore(counters, Clock())
    one, two = (Cursor(store, "d", "s/0", go_on) for _ in range(2))
    assert not one.load()
    assert not two.load()
    one.move(Move(5, 5))
    with pytest.raises(LeaseLost):
        two.move(Move(7, 7))
    assert store.load("d", "s/0")[0] == Record(5, delivered=5)
    assert store.load("d", "s/1")[0] is None


def test_a_redrive_and_a_move_both_count(counters: Counters) -> None:
    """Who has dead entries sent again changes a record that its holder moves: neither is lost."""
    store = DeliveryStore(counters, Clock())
    holder = Cursor(store, "d", "s/0", go_on)
    holder.load()
    holder.move(Move(5, 4, (Dead(2, 2, "odd", 1),)))
    assert store.redrive("d", "s/0") == 1
    store.nudge("d")
    holder.move(Move(9, 4))
    assert holder.record == Record(9, (), ((2, 2),), 8, 1)
    assert store.load("d", "s/0")[0] == holder.record
    assert store.lease("d")[0].redriven == 1


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("first", range(1, 6))
@pytest.mark.parametrize("lasting", [1, 3])
def test_a_move_is_made_once_whatever_is_lost(
    counters: Counters, applied: bool, first: int, lasting: int
) -> None:
    """A call whose answer is lost is looked up before it is made again: nothing counts twice."""
    faults = Faults(applied=applied)
    store = DeliveryStore(faults.wrap("counters", counters), Clock())
    cursor = Cursor(store, "d", "s/0", go_on)
    cursor.load()
    faults.calls = 0
    faults.fails = lambda call: first <= call < first + lasting
    cursor.move(Move(5, 5, twice=1))
    cursor.move(Move(9, 3, (Dead(6, 6, "odd", 1),)))
    found, _ = DeliveryStore(counters, Clock()).load("d", "s/0")
    assert found == Record(9, (Dead(6, 6, "odd", 1),), (), 8, 1, 1)
    assert cursor.record.next == 9


def test_a_record_that_cannot_be_read_is_damage(counters: Counters) -> None:
    """A record that is none is never taken for the beginning of a chain."""
    assert counters.store("delivery/d/s/0", b"{}", 0, 2_000_000_000)
    with pytest.raises(Tampered, match="the record of delivery d"):
        DeliveryStore(counters, Clock()).load("d", "s/0")
