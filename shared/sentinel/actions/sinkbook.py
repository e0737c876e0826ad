"""The sinks in force, as steps look them up: read from the catalog, again when its revision has changed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from sentinel.core.signing import Opener, Unsigned
from sentinel.errors import Malformed, Unavailable
from sentinel.ports import Catalog
from sentinel.siem import SinkConfig, load

SINK = "sink"
SECOND = 1_000_000_000

log = logging.getLogger(__name__)


class SinkBook:
    """A cache of the catalog's sink documents. `clock` is in epoch nanoseconds; `opener` opens documents.

    A document that does not load is skipped and named in the log; a later document wins where two name
    the same sink.
    """

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
        self._sinks: Mapping[str, SinkConfig] | None = None
        self._revision = ""
        self._asked = 0

    def current(self) -> Mapping[str, SinkConfig]:
        """Return the sinks by name. Raises `Unavailable` only where nothing was loaded yet."""
        now = self._clock()
        if self._sinks is not None and 0 <= now - self._asked < self._every:
            return self._sinks
        try:
            revision = f"{self._catalog.revision()} {self._opener.revision()}"
            if self._sinks is None or revision != self._revision:
                self._sinks = self._load()
                self._revision = revision
        except Unavailable as error:
            if self._sinks is None:
                raise
            log.warning("sinks could not be looked up, the old ones stay: %s", error)
        self._asked = now
        return self._sinks

    def _load(self) -> Mapping[str, SinkConfig]:
        found: dict[str, SinkConfig] = {}
        for document in self._catalog.active(SINK):
            try:
                found.update(load(document.id, self._opener.open(SINK, document.id, document.body).payload))
            except Malformed as error:
                log.warning("sinks of %s are not in force: %s", document.id, error)
        return found
