"""The contract of `ports.Counters`, on SQLite and on DynamoDB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sentinel.adapters.dynamodb_counters import DynamoCounters
from sentinel.adapters.sqlite_counters import SqliteCounters
from sentinel.errors import Unavailable
from sentinel.ports import Counters
from tests.contracts.lost_requests import BrokenDisk, BrokenWire, Fault
from tests.contracts.tables import dynamodb

LATER = 1_800_000_000


@pytest.fixture(params=["sqlite", "dynamodb"])
def broken(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[Counters, BrokenDisk | BrokenWire]]:
    """Give a store, and what breaks it on demand."""
    if request.param == "sqlite":
        store = SqliteCounters(tmp_path / "counters.db")
        yield store, BrokenDisk(store._database)
        store.close()
        return
    with dynamodb("counters") as client:
        yield DynamoCounters(client, "counters"), BrokenWire(client)


@pytest.fixture
def counters(broken: tuple[Counters, BrokenDisk | BrokenWire]) -> Counters:
    """Give a store that works."""
    return broken[0]


def test_unknown_key_is_empty_at_version_zero(counters: Counters) -> None:
    """A key that was never stored loads as (b"", 0)."""
    assert counters.load("burst#10.0.0.1") == (b"", 0)


def test_each_store_is_one_version_more(counters: Counters) -> None:
    """A state is stored at the version that was loaded, and then has the next one; keys are any text."""
    key = "burst#決済 💥\u0000"
    for version, state in enumerate([b"\x00\xff", b"", b"{}"]):
        assert counters.store(key, state, version, LATER) is True
        assert counters.load(key) == (state, version + 1)
    assert counters.load("other") == (b"", 0)


def test_of_two_that_loaded_the_same_version_one_wins(counters: Counters) -> None:
    """Who stores at a version that is not the stored one any more gets False and changes nothing."""
    assert counters.store("k", b"a", 0, LATER)
    assert not counters.store("k", b"b", 0, LATER)
    assert counters.store("k", b"c", 1, LATER)
    assert not counters.store("k", b"d", 1, LATER)
    assert not counters.store("k", b"e", 3, LATER)
    assert counters.load("k") == (b"c", 2)


def test_the_same_state_from_somebody_else_is_not_ours(counters: Counters) -> None:
    """Two that store equal bytes at one version are told apart: the second is told that it lost."""
    assert counters.store("k", b"six", 0, LATER)
    assert not counters.store("k", b"six", 0, LATER)


def test_a_version_of_a_forgotten_state_is_refused(counters: Counters) -> None:
    """Where nothing is stored only version 0 may be: a state that was forgotten meanwhile is loaded again."""
    assert not counters.store("k", b"a", 4, LATER)
    assert counters.load("k") == (b"", 0)


@pytest.mark.parametrize("fault", ["unsent", "lost"])
def test_after_unavailable_loading_tells(
    broken: tuple[Counters, BrokenDisk | BrokenWire], fault: Fault
) -> None:
    """A store whose answer did not come is decided by loading again: the version says what is there."""
    counters, wire = broken
    assert counters.store("k", b"a", 0, LATER)
    wire.fault, wire.left = fault, 1
    with pytest.raises(Unavailable):
        counters.store("k", b"b", 1, LATER)
    assert counters.load("k") == ((b"b", 2) if fault == "lost" else (b"a", 1))
