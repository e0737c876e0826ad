"""The contract of `ports.Catalog`, on SQLite and on DynamoDB."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from sentinel.adapters.dynamodb_catalog import DynamoCatalog
from sentinel.adapters.sqlite_catalog import SqliteCatalog
from sentinel.errors import Malformed, Unavailable
from sentinel.ports import Activation, Catalog, Document
from tests.contracts.lost_requests import BrokenDisk, BrokenWire, Fault
from tests.contracts.tables import dynamodb


class Clock:
    """Tells each time once, in nanoseconds; the first is 1_000_000_001."""

    now = 1_000_000_000

    def __call__(self) -> int:
        self.now += 1
        return self.now


@pytest.fixture(params=["sqlite", "dynamodb"])
def broken(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[Catalog, BrokenDisk | BrokenWire]]:
    """Give a store, and what breaks it on demand."""
    if request.param == "sqlite":
        store = SqliteCatalog(tmp_path / "catalog.db", Clock())
        yield store, BrokenDisk(store._database)
        store.close()
        return
    with dynamodb("catalog") as client:
        yield DynamoCatalog(client, "catalog", Clock()), BrokenWire(client)


@pytest.fixture
def catalog(broken: tuple[Catalog, BrokenDisk | BrokenWire]) -> Catalog:
    """Give a store that works."""
    return broken[0]


def document(kind: str, doc_id: str, version: int, body: bytes) -> Document:
    """Return what a push of `body` should have stored."""
    return Document(kind, doc_id, version, sha256(body).hexdigest(), body)


def test_empty_catalog(catalog: Catalog) -> None:
    """Nothing is active, no version exists, retiring nothing changes nothing, and there is a revision."""
    before = catalog.revision()
    catalog.retire("rule", "nope")
    assert catalog.active("rule") == []
    assert catalog.version("rule", "nope", 1) is None
    assert catalog.revision() == before


def test_push_makes_the_next_version_active(catalog: Catalog) -> None:
    """Versions count from 1; the newest is active; older ones stay readable as they were, byte for byte."""
    bodies = [b"id: \xe6\xb1\xba\n", b"\x00\xff", b""]
    for number, body in enumerate(bodies, 1):
        assert catalog.push("recipe", "決済-💥", body) == document("recipe", "決済-💥", number, body)
        assert catalog.active("recipe") == [document("recipe", "決済-💥", number, body)]
    for number, body in enumerate(bodies, 1):
        assert catalog.version("recipe", "決済-💥", number) == document("recipe", "決済-💥", number, body)
    assert catalog.version("recipe", "決済-💥", 4) is None
    assert catalog.version("recipe", "決済-💥", 0) is None


def test_the_same_body_again_changes_nothing(catalog: Catalog) -> None:
    """Pushing the active body again gives the same version and the same revision."""
    first = catalog.push("rule", "r1", b"a")
    before = catalog.revision()
    assert catalog.push("rule", "r1", b"a") == first
    assert catalog.revision() == before
    assert catalog.version("rule", "r1", 2) is None


def test_an_older_body_is_a_new_version(catalog: Catalog) -> None:
    """Going back to an older body is a version of its own, so that the order of versions tells the story."""
    for body in (b"a", b"b"):
        catalog.push("rule", "r1", body)
    assert catalog.push("rule", "r1", b"a") == document("rule", "r1", 3, b"a")


def test_retire_leaves_the_versions(catalog: Catalog) -> None:
    """A retired document is not active, its versions stay, and retiring it again changes nothing."""
    catalog.push("sink", "s1", b"a")
    catalog.retire("sink", "s1")
    before = catalog.revision()
    catalog.retire("sink", "s1")
    assert catalog.active("sink") == []
    assert catalog.version("sink", "s1", 1) == document("sink", "s1", 1, b"a")
    assert catalog.revision() == before


def test_push_after_retire(catalog: Catalog) -> None:
    """A retired document becomes active again: as the version it was for the same body, else as the next."""
    catalog.push("rule", "r1", b"a")
    catalog.retire("rule", "r1")
    before = catalog.revision()
    assert catalog.push("rule", "r1", b"a").version == 1
    assert catalog.active("rule") == [document("rule", "r1", 1, b"a")]
    assert catalog.revision() != before
    catalog.retire("rule", "r1")
    assert catalog.push("rule", "r1", b"b").version == 2


def test_active_is_by_id_and_of_one_kind(catalog: Catalog) -> None:
    """`active` gives one kind's documents in the order of their ids; kinds and ids do not mix."""
    for doc_id in ("b", "a#1", "a", "ä", "B"):
        catalog.push("rule", doc_id, b"rule " + doc_id.encode())
    catalog.push("recipe", "a", b"recipe a")
    assert [found.id for found in catalog.active("rule")] == ["B", "a", "a#1", "b", "ä"]
    assert catalog.active("recipe") == [document("recipe", "a", 1, b"recipe a")]
    assert catalog.version("rule", "a", 1) == document("rule", "a", 1, b"rule a")


def test_revision_changes_with_every_change(catalog: Catalog) -> None:
    """No two states of the catalog that follow each other have the same token."""
    seen = [catalog.revision()]
    for change in range(3):
        catalog.push("rule", "r1", b"%d" % change)
        seen.append(catalog.revision())
        catalog.retire("rule", "r1")
        seen.append(catalog.revision())
    assert len(set(seen)) == len(seen)


def test_more_than_a_page(catalog: Catalog) -> None:
    """More documents than one answer of the database holds come back whole (a page of DynamoDB is 1 MB)."""
    bodies = {f"r{number}": bytes([number]) * 300_000 for number in range(5)}
    for doc_id, body in bodies.items():
        catalog.push("rule", doc_id, body)
    assert {found.id: found.body for found in catalog.active("rule")} == bodies


@pytest.mark.parametrize("kind", ["", "rule#a", "revision", "activations"])
def test_a_kind_is_a_plain_word(catalog: Catalog, kind: str) -> None:
    """What could be taken for another key of the table is no kind."""
    with pytest.raises(Malformed):
        catalog.push(kind, "a", b"")
    with pytest.raises(Malformed):
        catalog.active(kind)
    with pytest.raises(Malformed):
        catalog.activations(kind)


def test_activations_tell_what_was_active_when(catalog: Catalog) -> None:
    """Every change of what is active has its time, by kind and in order; what changes nothing has none."""
    catalog.push("rule", "r1", b"a")
    catalog.push("rule", "r2#x", b"a")
    catalog.push("recipe", "r1", b"a")
    catalog.push("rule", "r1", b"a")
    catalog.push("rule", "r1", b"b")
    catalog.retire("rule", "r1")
    catalog.retire("rule", "r1")
    catalog.push("rule", "r1", b"b")
    found = catalog.activations("rule")
    assert [(each.id, each.version, each.active) for each in found] == [
        ("r1", 1, True),
        ("r2#x", 1, True),
        ("r1", 2, True),
        ("r1", 2, False),
        ("r1", 2, True),
    ]
    times = [each.t for each in found]
    assert times == sorted(set(times))
    assert times[0] > 1_000_000_000
    assert catalog.activations("recipe") == [
        Activation("recipe", "r1", 1, True, catalog.activations("recipe")[0].t)
    ]
    assert catalog.activations("sink") == []


@pytest.mark.parametrize("fault", ["unsent", "lost"])
def test_after_unavailable_push_and_retire_can_be_repeated(
    broken: tuple[Catalog, BrokenDisk | BrokenWire], fault: Fault
) -> None:
    """Whatever request of a push or a retirement fails, sending it again ends where one would have."""
    catalog, wire = broken
    wire.fault = fault
    for number in range(1, 5):
        body = b"body %d" % number
        # A push is one transaction on SQLite; on DynamoDB two reads and a transaction.
        wire.skip, wire.left = number - 1, 1
        with contextlib.suppress(Unavailable):
            catalog.push("rule", "r1", body)
        wire.skip = wire.left = 0
        assert catalog.push("rule", "r1", body) == document("rule", "r1", number, body)
        assert catalog.version("rule", "r1", number + 1) is None
    wire.left = 1
    with pytest.raises(Unavailable):
        catalog.retire("rule", "r1")
    catalog.retire("rule", "r1")
    assert catalog.active("rule") == []
    assert catalog.version("rule", "r1", 4) == document("rule", "r1", 4, b"body 4")
    told = [(each.version, each.active) for each in catalog.activations("rule")]
    assert told == [(1, True), (2, True), (3, True), (4, True), (4, False)]


def test_a_file_of_the_earlier_version_begins_to_tell(tmp_path: Path) -> None:
    """A catalog without the table of activations is read as one without any, and gets it with a change."""
    store = SqliteCatalog(tmp_path / "catalog.db", Clock())
    store.push("rule", "r1", b"a")
    with store._database.transaction() as connection:
        connection.execute("DROP TABLE activations")
    assert store.activations("rule") == []
    store.push("rule", "r1", b"b")
    assert [(each.id, each.version) for each in store.activations("rule")] == [("r1", 2)]
    store.close()
