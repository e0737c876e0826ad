"""What documents of the catalog name, as it is in force; read again when the revision has changed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import ClassVar, Generic, TypeVar

from sentinel import accounts, ai, siem
from sentinel.core import deliveries, repositories
from sentinel.core.signing import Opener, Unsigned
from sentinel.errors import Malformed, Unavailable
from sentinel.ports import Catalog

SECOND = 1_000_000_000
T = TypeVar("T")

log = logging.getLogger(__name__)


class _Book(Generic[T]):
    """A cache of the catalog's documents of one kind, each of which names several things.

    `clock` is in epoch nanoseconds; `opener` opens documents. A document that does not load is skipped and
    named in the log; a later document wins where two have the same name in them.
    """

    kind: ClassVar[str]

    def __init__(
        self,
        catalog: Catalog,
        clock: Callable[[], int],
        seconds: float = 30,
        opener: Opener | None = None,
    ) -> None:
        self._catalog = catalog
        self._opener = opener or Unsigned()
        self._clock = clock
        self._every = int(seconds * SECOND)
        self._found: Mapping[str, T] | None = None
        self._revision = ""
        self._asked = 0

    def current(self) -> Mapping[str, T]:
        """Return what is in force, by name. Raises `Unavailable` only where nothing was loaded yet."""
        now = self._clock()
        if self._found is not None and 0 <= now - self._asked < self._every:
            return self._found
        try:
            revision = f"{self._catalog.revision()} {self._opener.revision()}"
            if self._found is None or revision != self._revision:
                self._found = self._load()
                self._revision = revision
        except Unavailable as error:
            if self._found is None:
                raise
            log.warning("%s documents could not be looked up, the old ones stay: %s", self.kind, error)
        self._asked = now
        return self._found

    def _load(self) -> Mapping[str, T]:
        found: dict[str, T] = {}
        for document in self._catalog.active(self.kind):
            try:
                opened = self._opener.open(self.kind, document.id, document.body)
                found.update(self.parsed(document.id, opened.payload))
            except Malformed as error:
                log.warning("%s document %s is not in force: %s", self.kind, document.id, error)
        return found

    def parsed(self, name: str, body: bytes) -> Mapping[str, T]:
        """Parse a document. Raises `Malformed`."""
        raise NotImplementedError


class SinkBook(_Book[siem.SinkConfig]):
    """The sinks."""

    kind = "sink"

    def parsed(self, name: str, body: bytes) -> Mapping[str, siem.SinkConfig]:
        """See `_Book`."""
        return siem.load(name, body)


class AccountBook(_Book[accounts.AccountConfig]):
    """The accounts."""

    kind = "account"

    def parsed(self, name: str, body: bytes) -> Mapping[str, accounts.AccountConfig]:
        """See `_Book`."""
        return accounts.load(name, body)


class RepositoryBook(_Book[repositories.RepositoryConfig]):
    """The repositories."""

    kind = "repository"

    def parsed(self, name: str, body: bytes) -> Mapping[str, repositories.RepositoryConfig]:
        """See `_Book`."""
        return repositories.load(name, body)


class ModelBook(_Book[ai.ModelConfig]):
    """The models."""

    kind = "model"

    def parsed(self, name: str, body: bytes) -> Mapping[str, ai.ModelConfig]:
        """See `_Book`."""
        return ai.load(name, body)


class DeliveryBook(_Book[deliveries.DeliveryPlan]):
    """The deliveries."""

    kind = "delivery"

    def parsed(self, name: str, body: bytes) -> Mapping[str, deliveries.DeliveryPlan]:
        """See `_Book`."""
        return deliveries.load(name, body)
