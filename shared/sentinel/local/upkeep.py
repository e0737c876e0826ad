"""Upkeep of the local stores: what DynamoDB does by itself with streams and TTL.

Changes are kept for a while behind the slowest cursor, as a stream keeps its records for a day, so that who
looks on (the example does) can follow. Expired states of correlations are forgotten.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from sentinel.adapters.sqlite_counters import SqliteCounters
from sentinel.adapters.sqlite_cursors import SqliteCursors
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.adapters.sqlite_tasks import SqliteTasks
from sentinel.errors import Unavailable
from sentinel.local.feeds import Stop

SECONDS = 60.0
KEPT = 10_000  # changes behind the cursor

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

    def run(self, stop: Stop) -> None:
        """Tidy every minute until `stop` is set."""
        while not stop.wait(SECONDS):
            try:
                self.tidy()
            except Unavailable as error:
                log.warning("the stores were not tidied, and will be in a minute: %s", error)

    def tidy(self) -> int:
        """Forget what is behind every reader, and what has expired; return how many rows."""
        gone = self.ledger.prune(self.cursors.cursor("detect") - self.kept)
        gone += self.tasks.prune(self.cursors.cursor("dispatch") - self.kept)
        return gone + self.counters.forget(self.clock() // 1_000_000_000)
