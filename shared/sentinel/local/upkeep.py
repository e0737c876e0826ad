"""Upkeep of the local stores: what DynamoDB does by itself with streams and TTL.

Changes are kept for a while behind the slowest cursor, as a stream keeps its records for a day, so that who
looks on (the example does) can follow. Expired states of correlations are forgotten, and segments whose time
in the table is over are deleted, each only where the archive holds it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

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
LONGEST = 10_000_000_000  # nanoseconds after which no more are

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
        """Delete the segments whose time in the table is over; return how many. It goes on in a minute."""
        if self.expiring is None or self.archive is None:
            return 0
        gone, end = 0, self.clock() + LONGEST
        for page in self.expiring.expired(now, DROPPED):
            for chain, places in groupby(sorted(page), itemgetter(0)):
                firsts = [first for _, first in places]
                try:
                    kept = list(self._archived(self.archive, chain, firsts))
                except Tampered as error:
                    log.critical("tampered: %s", error)
                    continue
                if len(kept) < len(firsts):
                    # The tripwire has told of who marked them. What is nowhere else stays.
                    log.critical(
                        "tampered: %d segments of %s from entry %d on are marked, and not in the archive",
                        *(len(firsts) - len(kept), chain, min(set(firsts) - set(kept))),
                    )
                gone += self.expiring.drop(chain, kept, now)
            if self.clock() >= end:
                break
        return gone

    def _archived(self, archive: Archive, chain: str, firsts: Sequence[int]) -> Iterator[int]:
        """Yield those of a chain's segments, by number, that are archived. Each object is read once."""
        archived = archive.read(chain, firsts[0])
        kept = next(archived, None)
        for first in firsts:
            while kept is not None and kept.first < first:
                kept = next(archived, None)
            row = next(self.ledger.read(chain, first, 1), None)
            if row is not None and row.first == first and kept is not None and alike(row, kept):
                yield first
