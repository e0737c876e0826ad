"""The contract of `ports_doors.Registry`, on SQLite and on DynamoDB."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sentinel.adapters.dynamodb_registry import DynamoRegistry
from sentinel.adapters.registry_keys import MAX_BODY_BYTES, MAX_KEY_BYTES
from sentinel.adapters.sqlite_registry import SqliteRegistry
from sentinel.errors import Malformed, TooLarge, Unavailable
from sentinel.ports_doors import Record, Registry
from tests.contracts.lost_requests import BrokenDisk, BrokenWire, Fault
from tests.contracts.tables import dynamodb


@pytest.fixture(params=["sqlite", "dynamodb"])
def broken(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[Registry, BrokenDisk | BrokenWire]]:
    """Give a store, and what breaks it on demand."""
    if request.param == "sqlite":
        store = SqliteRegistry(tmp_path / "registry.db")
        yield store, BrokenDisk(store._database)
        store.close()
        return
    with dynamodb("registry") as client:
        yield DynamoRegistry(client, "registry"), BrokenWire(client)


@pytest.fixture
def registry(broken: tuple[Registry, BrokenDisk | BrokenWire]) -> Registry:
    """Give a store that works."""
    return broken[0]


def test_an_empty_registry(registry: Registry) -> None:
    """Nothing is there, and taking away what is not there changes nothing."""
    assert registry.get("service", "a") is None
    assert registry.listing("service") == []
    registry.drop("service", "a")
    assert registry.listing("service", "a") == []


def test_a_record_comes_back_as_it_was_put(registry: Registry) -> None:
    """Bodies are bytes, ids are any text; the stored version counts from 1."""
    for number, body in enumerate((b"{}", b"\x00\xff", b"")):
        made = Record("service", "決済-💥/a#b", body, number, service="決済", expires=2_000_000_000 + number)
        assert registry.put(made)
        assert registry.get("service", "決済-💥/a#b") == replace(made, version=number + 1)


def test_never_expiring(registry: Registry) -> None:
    """A record without an end has none, also where it had one before."""
    assert registry.put(Record("revoked", "a", b"", expires=5_000_000_000))
    assert registry.put(Record("revoked", "a", b"", 1))
    assert registry.get("revoked", "a") == Record("revoked", "a", b"", 2)


def test_only_the_version_that_was_read_is_replaced(registry: Registry) -> None:
    """A put on another version than the stored one changes nothing and says so."""
    assert registry.put(Record("key", "a", b"1"))
    for wrong in (0, 2, 7):
        assert not registry.put(Record("key", "a", b"no", wrong))
    assert not registry.put(Record("key", "b", b"no", 1))
    assert registry.get("key", "a") == Record("key", "a", b"1", 1)
    assert registry.get("key", "b") is None


def test_a_dropped_record_is_gone(registry: Registry) -> None:
    """After `drop` there is none; it may be made anew, and its old version may not be replaced."""
    assert registry.put(Record("hook", "a", b"1"))
    assert registry.put(Record("hook", "a", b"2", 1))
    registry.drop("hook", "a")
    registry.drop("hook", "a")
    assert registry.get("hook", "a") is None
    assert not registry.put(Record("hook", "a", b"3", 2))
    assert registry.put(Record("hook", "a", b"4"))
    assert registry.get("hook", "a") == Record("hook", "a", b"4", 1)


def test_listing_is_by_id_of_one_kind_and_service(registry: Registry) -> None:
    """`listing` gives one kind's records in the order of their ids, or those of one service."""
    for number, record_id in enumerate(("b", "a#1", "a", "ä", "B")):
        assert registry.put(Record("key", record_id, b"", service=("one", "two")[number % 2]))
    assert registry.put(Record("service", "one", b"", service="one"))
    assert [found.id for found in registry.listing("key")] == ["B", "a", "a#1", "b", "ä"]
    assert [found.id for found in registry.listing("key", "one")] == ["B", "a", "b"]
    assert [found.id for found in registry.listing("key", "on")] == []
    assert [found.id for found in registry.listing("service", "one")] == ["one"]


def test_more_than_a_page(registry: Registry) -> None:
    """More records than one answer of the database holds come back whole (a page of DynamoDB is 1 MB)."""
    bodies = {f"r{number}": bytes([number]) * 300_000 for number in range(5)}
    for record_id, body in bodies.items():
        assert registry.put(Record("root", record_id, body, service="last" if record_id == "r4" else ""))
    assert {found.id: found.body for found in registry.listing("root")} == bodies
    assert [found.id for found in registry.listing("root", "last")] == ["r4"]


@pytest.mark.parametrize(
    "record_id", ["", "\ud800", "x" * (MAX_KEY_BYTES + 1), "é" * (MAX_KEY_BYTES // 2 + 1)]
)
def test_what_no_store_could_keep(registry: Registry, record_id: str) -> None:
    """An id that is no key of DynamoDB is refused by every store, and is not there for who asks."""
    for kind, key in (("identity", record_id), (record_id, "identity")):
        with pytest.raises(Malformed):
            registry.put(Record(kind, key, b""))
        assert registry.get(kind, key) is None
        registry.drop(kind, key)


def test_the_largest_record(registry: Registry) -> None:
    """The longest id and the largest body are kept whole; a byte more is refused."""
    largest = Record("k", "x" * MAX_KEY_BYTES, b"b" * MAX_BODY_BYTES)
    assert registry.put(largest)
    assert registry.get("k", largest.id) == replace(largest, version=1)
    with pytest.raises(TooLarge):
        registry.put(Record("k", "more", b"b" * (MAX_BODY_BYTES + 1)))


def test_of_writers_at_once_one_wins(registry: Registry) -> None:
    """Threads that count by compare-and-swap lose none of their steps."""
    assert registry.put(Record("count", "a", b"0"))

    def count() -> None:
        done = 0
        while done < 5:
            seen = registry.get("count", "a")
            assert seen is not None
            done += registry.put(replace(seen, body=b"%d" % (int(seen.body) + 1)))

    threads = [threading.Thread(target=count) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert registry.get("count", "a") == Record("count", "a", b"15", 16)


@pytest.mark.parametrize("fault", ["unsent", "lost"])
def test_after_unavailable_it_may_have_happened(
    broken: tuple[Registry, BrokenDisk | BrokenWire], fault: Fault
) -> None:
    """A put or drop that failed was carried out wholly or not at all; getting again tells which."""
    registry, wire = broken
    wire.fault, wire.left = fault, 1
    with pytest.raises(Unavailable):
        registry.put(Record("key", "a", b"1"))
    assert registry.get("key", "a") == (Record("key", "a", b"1", 1) if fault == "lost" else None)
    assert registry.put(Record("key", "a", b"1")) == (fault == "unsent")
    wire.left = 1
    with pytest.raises(Unavailable):
        registry.put(Record("key", "a", b"2", 1))
    seen = registry.get("key", "a")
    assert seen == (Record("key", "a", b"2", 2) if fault == "lost" else Record("key", "a", b"1", 1))
    wire.left = 1
    with pytest.raises(Unavailable):
        registry.drop("key", "a")
    assert (registry.get("key", "a") is None) == (fault == "lost")
    registry.drop("key", "a")
    assert registry.get("key", "a") is None


def test_a_put_that_the_client_sends_again_counts_once() -> None:
    """Where the SDK repeats a put whose reply was lost, its own first try does not count as another's."""
    with dynamodb("registry", attempts=3) as client:
        registry, wire = DynamoRegistry(client, "registry"), BrokenWire(client)
        for version in range(3):
            wire.fault, wire.left = "lost", 1
            assert registry.put(Record("key", "a", b"%d" % version, version))
        assert registry.get("key", "a") == Record("key", "a", b"2", 3)


@pytest.mark.parametrize("fault", ["unsent", "lost"])
def test_a_read_without_an_answer_is_no_absence(fault: Fault) -> None:
    """A read that fails raises, rather than telling that there is no such record."""
    with dynamodb("registry") as client:
        registry, wire = DynamoRegistry(client, "registry"), BrokenWire(client)
        assert registry.put(Record("key", "a", b"1"))
        wire.fault = fault
        wire.left = 1
        with pytest.raises(Unavailable):
            registry.get("key", "a")
        wire.left = 1
        with pytest.raises(Unavailable):
            registry.listing("key")
