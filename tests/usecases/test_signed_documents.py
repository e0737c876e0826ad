"""Signatures as a deployment requires them: what counts when the catalog is read, and when it ends to."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256

import pytest

from sentinel.actions.books import SinkBook
from sentinel.adapters.sqlite_catalog import SqliteCatalog
from sentinel.adapters.sqlite_registry import SqliteRegistry
from sentinel.core import dsse
from sentinel.core.access import Author
from sentinel.core.signing import PAYLOAD_TYPES
from sentinel.core.tasks import SECOND
from sentinel.errors import Conflict, Malformed, Missing, Unavailable
from sentinel.usecases.authors import Authors, Signed
from sentinel.usecases.playbook import Playbook
from tests.core.test_dsse import KEYS, SEEDS
from tests.scenario import Clock, recipe, rule

SINKS = b"sinks: {out: {kind: file, path: a.ndjson}}"


def signed(kind: str, text: bytes, key: str = "A") -> bytes:
    """Return a document as an author signs it."""
    return dsse.dump(dsse.sign(SEEDS[key], PAYLOAD_TYPES[kind], text))


@dataclass
class Desk:
    """A catalog and a registry, and what reads them where signatures are required."""

    clock: Clock = field(default_factory=Clock)
    catalog: SqliteCatalog = field(default_factory=lambda: SqliteCatalog(":memory:"))
    registry: SqliteRegistry = field(default_factory=lambda: SqliteRegistry(":memory:"))

    def __post_init__(self) -> None:
        self.authors = Authors(self.registry, self.clock)
        self.opener = Signed(self.authors, self.clock)
        self.playbook = Playbook(self.catalog, self.clock, opener=self.opener)
        self.sinks = SinkBook(self.catalog, self.clock, opener=self.opener)

    def push_all(self, key: str = "A") -> None:
        """Push a rule, a recipe and a sink as one author signs them."""
        for kind, name, text in (
            ("rule", "errors", rule("errors", "boom")),
            ("recipe", "r", recipe("r", "errors", "tell")),
            ("sink", "sinks", SINKS),
        ):
            self.catalog.push(kind, name, signed(kind, text, key))

    def counts(self) -> tuple[int, int, int]:
        """Return how many rules, recipes and sinks are in force, half a minute later."""
        self.clock.sleep(31)
        plays = self.playbook.current()
        return len(plays.rules.rules), sum(map(len, plays.recipes.values())), len(self.sinks.current())


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Give a desk with one author, ann, who has the key A."""
    made = Desk()
    made.authors.add(Author("ann", "", "Ann"), KEYS["A"])
    yield made
    made.catalog.close()
    made.registry._database.close()


def test_what_an_author_signed_is_in_force(desk: Desk) -> None:
    """Rules, recipes and sinks count; a recipe knows its author, and its digest is that of its text."""
    desk.push_all()
    assert desk.counts() == (1, 1, 1)
    (found,) = desk.playbook.current().recipes["errors"]
    assert (found.author, found.version) == ("ann", 1)
    assert found.digest == sha256(recipe("r", "errors", "tell")).hexdigest()
    assert desk.playbook.recipe("r", 1) == found


def test_a_document_slipped_into_the_table_sets_nothing_off(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """Unsigned, signed by somebody unknown, or with another text: skipped, named in the log, never run."""
    caplog.set_level(logging.WARNING)
    desk.push_all()
    forged = signed("recipe", recipe("r2", "errors", "tell")).replace(b'"payload": "', b'"payload": "AAAA')
    desk.catalog.push("recipe", "plain", recipe("plain", "errors", "tell"))
    desk.catalog.push("recipe", "stranger", signed("recipe", recipe("stranger", "errors", "tell"), "B"))
    desk.catalog.push("recipe", "r2", forged)
    desk.catalog.push("recipe", "other", signed("recipe", recipe("r3", "errors", "tell")))
    desk.catalog.push("rule", "plain", rule("plain", "boom"))
    desk.catalog.push("sink", "plain", SINKS.replace(b"out", b"evil"))
    assert desk.counts() == (1, 1, 1)
    for name in ("recipe plain", "recipe stranger", "recipe r2", "recipe other", "rule plain"):
        assert f"{name} is not in force" in caplog.text
    for name in ("plain", "stranger", "r2", "other"):
        with pytest.raises(Malformed):
            desk.playbook.recipe(name, 1)


def test_removing_an_author_ends_what_was_signed(desk: Desk) -> None:
    """Nothing of a removed author is in force, nor runs for tasks that are on their way; another's stays."""
    desk.push_all()
    assert desk.playbook.recipe("r", 1).author == "ann"
    desk.authors.add(Author("bob", ""), KEYS["B"])
    desk.authors.remove("ann")
    assert desk.counts() == (0, 0, 0)
    with pytest.raises(Malformed, match="no signature of an author"):
        desk.playbook.recipe("r", 1)
    desk.push_all("B")
    assert desk.counts() == (1, 1, 1)
    assert desk.playbook.recipe("r", 2).author == "bob"
    with pytest.raises(Missing):
        desk.authors.remove("ann")


def test_an_author_ends_at_its_time(desk: Desk) -> None:
    """`until` takes out of force what was signed before it too, without anybody's doing."""
    desk.push_all()
    until = desk.clock.now // SECOND + 3600
    desk.authors.add(Author("ann", "", until=until), KEYS["A"])
    assert desk.counts() == (1, 1, 1)
    desk.clock.sleep(3600)
    assert desk.counts() == (0, 0, 0)


def test_a_key_has_one_author(desk: Desk) -> None:
    """Neither another key for an id nor another id for a key: who signed what stays plain."""
    for wrong, key in ((Author("ann", ""), "B"), (Author("carl", ""), "A")):
        with pytest.raises(Conflict):
            desk.authors.add(wrong, KEYS[key])
    with pytest.raises(Malformed):
        desk.authors.add(Author("-", ""), KEYS["B"])
    with pytest.raises(Malformed):
        desk.authors.add(Author("x", ""), b"short")
    assert [each.id for each in desk.authors.listing()] == ["ann"]


def test_authors_that_cannot_be_read_stay(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the registry is away those known last count; before they were known nothing is decided."""
    desk.push_all()
    assert desk.counts() == (1, 1, 1)

    def away(*_: object) -> None:
        raise Unavailable("the registry is away")

    monkeypatch.setattr(desk.registry, "listing", away)
    assert desk.counts() == (1, 1, 1)
    fresh = Playbook(desk.catalog, desk.clock, opener=Signed(desk.authors, desk.clock))
    with pytest.raises(Unavailable):
        fresh.current()
    with pytest.raises(Unavailable):
        fresh.recipe("r", 1)


def test_without_the_requirement_envelopes_are_opened(desk: Desk) -> None:
    """Where signatures are not asked for, a signed document is its text, and nobody is its author."""
    desk.push_all("B")
    plays = Playbook(desk.catalog, desk.clock).current()
    assert [each.author for each in plays.recipes["errors"]] == [""]
    assert list(SinkBook(desk.catalog, desk.clock).current()) == ["out"]
