"""Runs that were read a short time ago, as digests: so that who asks for neighbours reads an object once.

What is kept of a segment is what all of its forms have in common (`core.runs.commitment`), so an erasure in
the archive makes none of it wrong. Bounded: those stay that were asked for last.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from sentinel.core.runs import Run, commitment

FRESH = 300.0  # seconds for which a segment counts as archived once it was read
MOST = 100_000  # segments: some 12 MB
MOST_RUNS = 200


@dataclass(frozen=True, slots=True)
class Known:
    """A run as it was `at` a time, in epoch seconds: its place, the version of its object, its segments."""

    first: int
    end: int
    version: str
    digests: frozenset[bytes]
    at: float


class KeptRuns:
    """What one process knows of runs, for any number of threads. `clock` gives epoch seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._runs: OrderedDict[tuple[str, int], Known] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def has(self, chain: str, seq: int, digest: bytes) -> bool:
        """Say whether a run that was read less than `FRESH` seconds ago has this segment at entry `seq`."""
        now = self._clock()
        with self._lock:
            for (of, first), known in self._runs.items():
                if of == chain and first <= seq < known.end:
                    self._runs.move_to_end((of, first))
                    return digest in known.digests and 0 <= now - known.at < FRESH
        return False

    def get(self, chain: str, first: int) -> Known | None:
        """Return what is known of the run that begins at `first`, however old it is."""
        with self._lock:
            return self._runs.get((chain, first))

    def keep(self, run: Run, version: str) -> Known:
        """Keep a run that was read just now."""
        digests = frozenset(map(commitment, run.segments))
        known = Known(run.first, run.end, version, digests, self._clock())
        self.renew(run.chain, known)
        return known

    def renew(self, chain: str, known: Known) -> None:
        """Let a run count as read just now, its object being still of the version that it was."""
        with self._lock:
            self._drop((chain, known.first))
            self._runs[chain, known.first] = replace(known, at=self._clock())
            self._size += len(known.digests)
            while len(self._runs) > 1 and (self._size > MOST or len(self._runs) > MOST_RUNS):
                self._drop(next(iter(self._runs)))

    def forget(self, chain: str, first: int) -> None:
        """Forget a run whose object is gone."""
        with self._lock:
            self._drop((chain, first))

    def _drop(self, name: tuple[str, int]) -> None:
        gone = self._runs.pop(name, None)
        self._size -= len(gone.digests) if gone else 0
