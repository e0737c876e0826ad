"""Sinks, accounts and deliveries in force, read from the catalog, and again when its revision has changed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from sentinel import accounts, siem
from sentinel.core import deliveries
from sentinel.core.signing import Opener, Unsigned
from sentinel.errors import Malformed, Unavailable
from sentinel.ports import Catalog

SECOND = 1_000_000_000
T = TypeVar("T")

log = logging.getLogger(__name__)


class _Book(Generic[T]):
    """A cache of the catalog's documents of one kind, each of which names several things.

    `load` parses a document. `clock` is in epoch nanoseconds; `opener` opens documents. A document that does
    not load is skipped and named in the log; a later document wins where two have the same name in them.
    """

    def __init__(
        self,
        kind: str,
        load: Callable[[str, bytes], Mapping[str, T]],
        catalog: Catalog,
        clock: Callable[[], int],
        seconds: float = 30,
        opener: Opener | None = None,
    ) -> None:
        self._kind = kind
        self._parse = load
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
            log.warning("%s documents could not be looked up, the old ones stay: %s", self._kind, error)
        self._asked = now
        return self._found

    def _load(self) -> Mapping[str, T]:
        found: dict[str, T] = {}
        for document in self._catalog.active(self._kind):
            try:
                opened = self._opener.open(self._kind, document.id, document.body)
                found.update(self._parse(document.id, opened.payload))
            except Malformed as error:
                log.warning("%s document %s is not in force: %s", self._kind, document.id, error)
        return found


class SinkBook(_Book[siem.SinkConfig]):
    """The sinks."""

    def __init__(
        self,
        catalog: Catalog,
        clock: Callable[[], int],
        seconds: float = 30,
        opener: Opener | None = None,
    ) -> None:
        super().__init__("sink", siem.load, catalog, clock, seconds, opener)


class AccountBook(_Book[accounts.AccountConfig]):
    """The accounts."""

    def __init__(
        self,
        catalog: Catalog,
        clock: Callable[[], int],
        seconds: float = 30,
        opener: Opener | None = None,
    ) -> None:
        super().__init__("account", accounts.load, catalog, clock, seconds, opener)


class DeliveryBook(_Book[deliveries.DeliveryPlan]):
    """The deliveries."""

    def __init__(
        self,
        catalog: Catalog,
        clock: Callable[[], int],
        seconds: float = 30,
        opener: Opener | None = None,
    ) -> None:
        super().__init__("delivery", deliveries.load, catalog, clock, seconds, opener)
