"""Forgets what no reader comes back to: changes that the feeds have passed, counters that have expired.

DynamoDB forgets both by itself, a stream's records after a day and counters by their `expires`. Here somebody
who watches may still be behind the feeds, so the newest `KEPT` changes stay.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from sentinel.adapters.sqlite_cursors import SqliteCursors
from sentinel.errors import Unavailable
from sentinel.local.feeds import Stop

EVERY_SECONDS = 60.0
KEPT = 10_000

log = logging.getLogger("sentinel.tidy")


def tidy(
    cursors: SqliteCursors,
    prunes: Mapping[str, Callable[[int], int]],
    forget: Callable[[int], int],
    now: float,
    kept: int = KEPT,
) -> None:
    """Prune each change table behind its feed, by the feed's name, and forget counters. `now` in seconds."""
    for name, prune in prunes.items():
        prune(cursors.cursor(name) - kept + 1)
    forget(int(now))


def run(
    cursors: SqliteCursors,
    prunes: Mapping[str, Callable[[int], int]],
    forget: Callable[[int], int],
    stop: Stop,
) -> None:
    """Tidy every minute until `stop` is set."""
    while not stop.wait(EVERY_SECONDS):
        try:
            tidy(cursors, prunes, forget, time.time())
        except Unavailable as error:
            log.warning("tidying up is tried again: %s", error)
