"""What became of entries, by reason: the client's statistics, and what it owes its reader as an entry."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping


class Counts:
    """Counts that many threads raise. `taken` since the last report are what a report entry tells."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Count from 0: at first, and in a forked child, whose parent tells what was counted before.

        The lock is another one, too: another thread of the parent may have held it.
        """
        self._lock = threading.RLock()  # a signal's handler may log while its thread holds it
        self._total: Counter[str] = Counter()
        self._told: Counter[str] = Counter()

    def add(self, reason: str, by: int = 1) -> None:
        """Count `by` entries for a reason of docs/clients.md."""
        with self._lock:
            self._total[reason] += by

    def total(self) -> dict[str, int]:
        """Return all counts since the process began."""
        with self._lock:
            return dict(self._total)

    def untold(self) -> dict[str, int]:
        """Return what was counted and is not yet in a report that was written."""
        with self._lock:
            return {
                name: count - self._told[name]
                for name, count in self._total.items()
                if count > self._told[name]
            }

    def told(self, counts: Mapping[str, int]) -> None:
        """Note that a report of these counts was written."""
        with self._lock:
            self._told.update(counts)
