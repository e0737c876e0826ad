"""The tripwire: looks at every change of the ledger's table, and tells of what is not ours.

An alert is an entry in a chain of the reserved service `sentinel.tripwire`, so that rules and recipes act on
it, and it is as tamper-evident as what it tells of. Each change has one, however often it is handed over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from sentinel.core.payload import Opener
from sentinel.core.segment import Segment
from sentinel.core.tripwire import CHAIN, Change, Known, alert, wrong
from sentinel.errors import Conflict, Forbidden, Missing, Tampered, Unavailable
from sentinel.ports_log import Archive
from sentinel.usecases.append import Appender

SECOND = 1_000_000_000


BLIND = 60 * SECOND  # how long an archive that does not answer is not asked where new segments may stand

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Tripwire:
    """The use case. `archive` is None where there is none; `end` tells where it ends, as of seconds ago.

    `unrecorded` is as of `Known`; `clock` is in epoch nanoseconds; `opener` decrypts what a segment was and
    what it became, where it is encrypted.
    """

    archive: Callable[[], Archive] | None
    end: Callable[[str], int]
    unrecorded: Callable[[Segment, Collection[int]], int | None]
    appender: Appender
    clock: Callable[[], int]
    opener: Opener | None = None
    _blind: int = 0

    def look(self, change: Change) -> str:
        """Store an alert where a change is not ours; return what is wrong, or "".

        Raises `Unavailable`: then look again.
        """
        why = self._wrong(change)
        if why:
            try:
                self.appender.append(CHAIN, alert(change, why), since=0)
            except Conflict:
                pass  # looked at again it may be said to be something else: it has been told of
            except Tampered as error:
                log.critical("tampered: no alert can be stored: %s", error)  # and no shard is held up by it
        return why

    def _wrong(self, change: Change) -> str:
        if self.opener is not None:
            old, new = (replace(it, opener=self.opener) if it else None for it in (change.old, change.new))
            change = replace(change, old=old, new=new)
        try:
            return wrong(change, Known(self.clock() // SECOND, self._end, self._holds, self.unrecorded))
        except (Tampered, Forbidden, Missing) as error:
            return (
                f"nobody can tell whether it is right: {type(error).__name__} in what is archived or recorded"
            )

    def _end(self, chain: str) -> int:
        """Return where a chain's archive ends; 0 while that cannot be told.

        New segments come all the time, and detection may not wait for the archive. One that is put where
        another was archived meanwhile is read by nobody, and `verify` finds it.
        """
        if self.clock() < self._blind:
            return 0
        try:
            return self.end(chain)
        except (Unavailable, Forbidden, Missing) as error:
            self._blind = self.clock() + BLIND
            log.warning("new segments are not held against the archive for a while: %s", error)
            return 0

    def _holds(self, segment: Segment) -> bool:
        return self.archive is not None and self.archive().holds(segment)
