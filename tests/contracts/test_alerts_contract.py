"""The contract of `ports_alerts.Alerts`, on SQLite and on DynamoDB."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sentinel.adapters.dynamodb_alerts import DynamoAlerts
from sentinel.adapters.sqlite_alerts import SqliteAlerts
from sentinel.core.states import NEVER
from sentinel.errors import Unavailable
from sentinel.ports_alerts import Alerts, StoredAlert
from tests.contracts.lost_requests import BrokenDisk, BrokenWire, Fault
from tests.contracts.tables import dynamodb

Broken = BrokenDisk | BrokenWire


@pytest.fixture(params=["sqlite", "dynamodb"])
def broken(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Alerts, Broken]]:
    """Give a store, and what breaks it on demand."""
    if request.param == "sqlite":
        store = SqliteAlerts(tmp_path / "alerts.db")
        yield store, BrokenDisk(store._database)
        store.close()
        return
    with dynamodb("alerts") as client:
        yield DynamoAlerts(client, "alerts"), BrokenWire(client)


@pytest.fixture
def alerts(broken: tuple[Alerts, Broken]) -> Alerts:
    """Give a store that works."""
    return broken[0]


def made(
    name: str, seen: int = 5, status: str = "firing", service: str = "shop", version: int = 0
) -> StoredAlert:
    """Return an alert."""
    return StoredAlert(name, service, status, seen, name.encode(), version)


def names(found: Iterator[StoredAlert]) -> list[str]:
    """Return the ids."""
    return [each.id for each in found]


def test_an_empty_store(alerts: Alerts) -> None:
    """Nothing is there, and storing nothing is fine."""
    assert alerts.load([]) == {}
    assert alerts.load(["a"]) == {}
    assert alerts.store([]) == set()
    assert names(alerts.newest("shop", "firing")) == []


def test_an_alert_comes_back_as_it_was_stored(alerts: Alerts) -> None:
    """Bodies are bytes, services any id, times up to the last nanosecond; the version counts from 1."""
    for number, body in enumerate((b"{}", b"\x00\xff", b"x" * 20_000)):
        alert = StoredAlert("a" * 26, "決済.@x", "resolved", NEVER - number, body, number)
        assert alerts.store([alert]) == set()
        stored = replace(alert, version=number + 1)
        assert alerts.load(["b" * 26, "a" * 26]) == {"a" * 26: stored}
        assert list(alerts.newest("決済.@x", "resolved")) == [stored]


def test_many_are_stored_each_by_its_own_version(alerts: Alerts) -> None:
    """Those that somebody else was faster with are named and left as they are; the others are stored."""
    assert alerts.store([made("a"), made("b")]) == set()
    changes = [made("a", 7, version=1), made("b", 7), made("c", 7), made("d", 7, version=3)]
    assert alerts.store(changes) == {"b", "d"}
    found = alerts.load(["a", "b", "c", "d"])
    assert {name: (each.seen, each.version) for name, each in found.items()} == {
        "a": (7, 2),
        "b": (5, 1),
        "c": (7, 1),
    }
    assert alerts.store([made("a", 8, version=1)]) == {"a"}


def test_of_two_that_loaded_the_same_version_one_wins(alerts: Alerts) -> None:
    """Of any number of threads that store at one version, exactly one is not told that it lost."""
    assert alerts.store([made("a")]) == set()
    lost: list[set[str]] = []

    def store(number: int) -> None:
        lost.append(alerts.store([made("a", number, version=1)]))

    threads = [threading.Thread(target=store, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, lost)) == [0, 1, 1, 1, 1, 1]
    assert alerts.load(["a"])["a"].version == 2


def test_the_newest_come_first(alerts: Alerts) -> None:
    """By when they were last heard, of the same time by id from the highest; one service, one status."""
    alerts.store([made("a", 5), made("b", 9), made("c", 5), made("d", 100), made("e", 7, "resolved")])
    alerts.store([made("f", 6, service="other"), made("g", 6, service="shop#firing")])
    assert names(alerts.newest("shop", "firing")) == ["d", "b", "c", "a"]
    assert names(alerts.newest("shop", "resolved")) == ["e"]
    assert names(alerts.newest("other", "firing")) == ["f"]
    assert names(alerts.newest("shop", "acknowledged")) == []


def test_a_list_goes_on_behind_a_place(alerts: Alerts) -> None:
    """Exactly behind it, also among those of the same time, and whether that one is still there or not."""
    alerts.store([made(name, 5 if name in "bcd" else ord(name)) for name in "abcde"])
    whole = [(each.seen, each.id) for each in alerts.newest("shop", "firing")]
    assert [name for _, name in whole] == ["e", "a", "d", "c", "b"]
    for number, place in enumerate(whole):
        behind = [(each.seen, each.id) for each in alerts.newest("shop", "firing", place)]
        assert behind == whole[number + 1 :]
    assert names(alerts.newest("shop", "firing", (5, "cc"))) == ["c", "b"]
    assert names(alerts.newest("shop", "firing", (NEVER, "z"))) == ["e", "a", "d", "c", "b"]


def test_an_alert_is_listed_as_it_is_now(alerts: Alerts) -> None:
    """One that changed its status or was heard again is at its new place alone."""
    alerts.store([made("a", 5), made("b", 6)])
    alerts.store([made("a", 7, version=1)])
    assert names(alerts.newest("shop", "firing")) == ["a", "b"]
    alerts.store([made("a", 8, "resolved", version=2)])
    assert names(alerts.newest("shop", "firing")) == ["b"]
    assert names(alerts.newest("shop", "resolved")) == ["a"]


def test_many_pages_are_one_list(alerts: Alerts) -> None:
    """A list has no end but its own, wherever the pages of a store end."""
    alerts.store([made(f"{number:04}", number // 7) for number in range(230)])
    found = [(each.seen, each.id) for each in alerts.newest("shop", "firing")]
    assert found == sorted(found, reverse=True)
    assert len(found) == 230


@pytest.mark.parametrize("fault", ["unsent", "lost"])
def test_after_unavailable_loading_tells(broken: tuple[Alerts, Broken], fault: Fault) -> None:
    """A store whose answer did not come is decided by loading again: the version says what is there."""
    alerts, wire = broken
    assert alerts.store([made("a")]) == set()
    wire.fault, wire.left = fault, 1
    with pytest.raises(Unavailable):
        alerts.store([made("a", 6, version=1), made("b")])
    found = alerts.load(["a", "b"])
    assert found["a"].seen == (6 if fault == "lost" else 5)
    lost = alerts.store([made("a", 6, version=1), made("b")])
    assert lost >= ({"a"} if fault == "lost" else set())
    assert {name: each.seen for name, each in alerts.load(["a", "b"]).items()} == {"a": 6, "b": 5}
