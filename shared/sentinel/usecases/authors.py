"""Authors: whose signatures count, as the registry knows them, and documents opened by their keys."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256

from sentinel.core.access import Author, decode, encode
from sentinel.core.signing import Opened, opened, valid
from sentinel.errors import Conflict, Malformed, Missing, Unavailable
from sentinel.ports_doors import Record, Registry

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Authors:
    """Adds, lists and removes authors."""

    registry: Registry

    def add(self, author: Author, public: bytes) -> Author:
        """Trust what `author` signs with the key of 32 raw bytes. The same again changes nothing.

        Raises `Conflict` where the id has another key, or the key another id: a new key is a new id, so that
        it stays plain who signed what.
        """
        author.check()
        if len(public) != 32:
            raise Malformed("an Ed25519 public key has 32 bytes")
        wanted = replace(author, key=b64encode(public).decode())
        for each in self.listing():
            if (each.id == wanted.id) != (each.key == wanted.key):
                raise Conflict(f"author {each.id} is there already with another key, or with this one")
            if wanted.id in each.groups or each.id in wanted.groups:
                raise Conflict(f"{each.id} and {wanted.id}: a group is not called as an author is")
        record = self.registry.get(Author.KIND, wanted.id)
        version = record.version if record else 0
        if not self.registry.put(Record(Author.KIND, wanted.id, encode(wanted), version)):
            raise Conflict(f"somebody else changes author {wanted.id}")
        return wanted

    def listing(self) -> list[Author]:
        """Return all authors by id."""
        return [decode(Author, each.id, each.body) for each in self.registry.listing(Author.KIND)]

    def remove(self, author_id: str) -> None:
        """Trust an author no more, for what was signed before neither. Raises `Missing`."""
        if self.registry.get(Author.KIND, author_id) is None:
            raise Missing(f"there is no author {author_id}")
        self.registry.drop(Author.KIND, author_id)


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
