"""Upkeep of the local stores: what DynamoDB does by itself with streams and TTL.

Changes are kept for a while behind the slowest cursor, as a stream keeps its records for a day, so that who
looks on (the example does) can follow. Expired states of correlations are forgotten, and segments whose time
in the table is over are deleted, each only where the archive holds it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from sentinel.adapters.sqlite_counters import SqliteCounters
from sentinel.adapters.sqlite_cursors import SqliteCursors
from sentinel.adapters.sqlite_expiring import SqliteExpiring
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.adapters.sqlite_tasks import SqliteTasks
from sentinel.core.runs import alike
from sentinel.errors import Tampered, Unavailable
from sentinel.local.feeds import Stop
from sentinel.ports_log import Archive

SECONDS = 60.0
KEPT = 10_000  # changes behind the cursor
DROPPED = 1_000  # segments that are deleted at once

log = logging.getLogger("sentinel.upkeep")


@dataclass(frozen=True, slots=True)
class Upkeep:
    """Tidies the stores of one home. `clock` is in epoch nanoseconds."""

    ledger: SqliteLedger
    tasks: SqliteTasks
    counters: SqliteCounters
    cursors: SqliteCursors
    clock: Callable[[], int]
    kept: int = KEPT
    expiring: SqliteExpiring | None = None
    archive: Archive | None = None

    def run(self, stop: Stop) -> None:
        """Tidy every minute until `stop` is set."""
        while not stop.wait(SECONDS):
            try:
                self.tidy()
            except Unavailable as error:
                log.warning("the stores were not tidied, and will be in a minute: %s", error)
            except Tampered as error:
                log.critical("tampered: %s", error)

    def tidy(self) -> int:
        """Forget what is behind every reader, and what has expired; return how many rows."""
        gone = self.ledger.prune(self.cursors.cursor("detect") - self.kept)
        gone += self.tasks.prune(self.cursors.cursor("dispatch") - self.kept)
        now = self.clock() // 1_000_000_000
        return gone + self.counters.forget(now) + self._drop(now)

    def _drop(self, now: int) -> int:
        """Delete the segments whose time in the table is over; return how many."""
        if self.expiring is None or self.archive is None:
            return 0
        gone = 0
        for chain, first in self.expiring.expired(now, DROPPED):
            row, kept = next(self.ledger.read(chain, first, 1), None), self.archive.at(chain, first)
            if row is None or row.first != first:
                continue
            if kept is None or not alike(row, kept):
                # The tripwire has told of who marked it. What is nowhere else stays.
                log.critical("tampered: %s at entry %d is marked, and not in the archive", chain, first)
                continue
            gone += self.expiring.drop(chain, first, now)
        return gone
