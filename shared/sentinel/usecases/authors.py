"""Authors: whose signatures count, as the registry knows them, and documents opened by their keys."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from sentinel.core.access import Author, decode, encode
from sentinel.core.signing import Opened, opened, valid
from sentinel.core.tasks import SECOND
from sentinel.errors import Conflict, Malformed, Missing, Unavailable
from sentinel.ports_doors import Record, Registry

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Authors:
    """Adds, lists and removes authors. `clock` is in epoch nanoseconds.

    A record is never taken away: it holds since when its author counts, and until when it did, written in the
    same put as the change, so that a replay knows whose documents were in force at any time.
    """

    registry: Registry
    clock: Callable[[], int]

    def add(self, author: Author, public: bytes) -> Author:
        """Trust what `author` signs with the key of 32 raw bytes. The same again changes nothing.

        Raises `Conflict` where the id has or had another key, or the key has another id: a new key is a new
        id, so that it stays plain who signed what. So it does for an id that differs in its case alone.
        """
        author.check()
        if len(public) != 32:
            raise Malformed("an Ed25519 public key has 32 bytes")
        wanted = replace(author, key=b64encode(public).decode())
        for each in self.everyone():
            same = (each.id == wanted.id, each.key == wanted.key)
            if same == (True, False) or (same == (False, True) and not each.removed):
                raise Conflict(f"author {each.id} is there already with another key, or with this one")
            if each.id != wanted.id and named(wanted.id, each.id):
                raise Conflict(f"author {each.id} is there already: {wanted.id} is too much like it")
            if named(wanted.id, *each.groups) or named(each.id, *wanted.groups):
                raise Conflict(f"{each.id} and {wanted.id}: a group is not called as an author is")
        return self._put(wanted, wanted.until)

    def listing(self) -> list[Author]:
        """Return all authors who were not removed, by id."""
        return [each for each in self.everyone() if not each.removed]

    def everyone(self) -> list[Author]:
        """Return all authors that there ever were, by id."""
        return [decode(Author, each.id, each.body) for each in self.registry.listing(Author.KIND)]

    def remove(self, author_id: str) -> None:
        """Trust an author no more, for what was signed before neither. Raises `Missing`."""
        there = next((each for each in self.listing() if each.id == author_id), None)
        if there is None:
            raise Missing(f"there is no author {author_id}")
        # For those who know no history, it has ended long ago.
        self._put(replace(there, until=1), Author.REMOVED)

    def _put(self, author: Author, until: int) -> Author:
        record = self.registry.get(Author.KIND, author.id)
        history: tuple[tuple[int, int], ...] = ()
        if record is not None:
            history = decode(Author, author.id, record.body).history
        if not history or history[-1][1] != until:
            history = (*history, (self.clock(), until))
        wanted = replace(author, trust=history)
        if not self.registry.put(
            Record(Author.KIND, author.id, encode(wanted), record.version if record else 0)
        ):
            raise Conflict(f"somebody else changes author {author.id}")
        return wanted


def named(name: str, *others: str) -> bool:
    """Whether a name is one of others, whatever the case of its letters: people read them alike."""
    return name.casefold() in map(str.casefold, others)


@dataclass(frozen=True, slots=True)
class Past:
    """Whose signatures counted when. `everyone` are all authors that there ever were."""

    everyone: Sequence[Author]

    def times(self) -> list[int]:
        """Return the times, in epoch nanoseconds, at which an author began or ended to count."""
        ends = [until * SECOND for each in self.everyone for _, until in each.history if until > 0]
        return sorted({*ends, *(since for each in self.everyone for since, _ in each.history if since)})

    def at(self, t: int) -> Keyed:
        """Return what opened documents at a time, in epoch nanoseconds."""
        return Keyed({each.id: each.public for each in self.everyone if each.trusted(t)})

    def ever(self) -> Keyed:
        """Return what opens every document that was ever in force."""
        return Keyed({each.id: each.public for each in self.everyone})


@dataclass(frozen=True, slots=True)
class Keyed:
    """The opener with these public keys, by their authors' ids (`core.signing.Opener`)."""

    keys: Mapping[str, bytes]

    def revision(self) -> str:
        """Return the same token always: the keys stay."""
        return ""

    def open(self, kind: str, name: str, body: bytes) -> Opened:
        """Return a document with its author. Raises `Malformed` for one that none of them signed."""
        return opened(kind, name, body, self.keys)


class Signed:
    """The opener of a deployment that requires signatures (`core.signing.Opener`).

    Authors are read again every `seconds`; while the registry does not answer, those known last stay.
    `clock` is in epoch nanoseconds.
    """

    def __init__(self, authors: Authors, clock: Callable[[], int], seconds: float = 30) -> None:
        self._authors = authors
        self._clock = clock
        self._every = int(seconds * 1_000_000_000)
        self._known: list[Author] | None = None
        self._asked = 0

    def revision(self) -> str:
        """Return a token of the keys that count now: it changes too when one of them ends."""
        told = sorted(self._keys().items())
        return sha256(repr(told).encode()).hexdigest()

    def open(self, kind: str, name: str, body: bytes) -> Opened:
        """Return a document with its author. Raises `Malformed` for one that no trusted author signed."""
        return opened(kind, name, body, self._keys())

    def _keys(self) -> dict[str, bytes]:
        now = self._clock()
        if self._known is None or not 0 <= now - self._asked < self._every:
            try:
                self._known = self._authors.listing()
            except Unavailable as error:
                if self._known is None:
                    raise
                log.warning("the authors could not be looked up, the old ones stay: %s", error)
            self._asked = now
        return valid(self._known, now / 1_000_000_000)
