"""Limits of one process alone: the bound that holds while the counter of all processes is away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from sentinel.core.limits import MILLION, Bucket, State, Verdict, take, verdict

MOST = 20_000  # buckets that are remembered, some 200 bytes each


class LocalLimits:
    """`ports_doors.Limits` in memory. `clock` is in seconds. Threads may share it.

    Of more than `most` buckets the one that was used least recently is forgotten, which is as if it were
    empty.
    """

    def __init__(self, clock: Callable[[], float], most: int = MOST) -> None:
        self._clock = clock
        self._most = most
        self._states: dict[tuple[str, str], State] = {}
        self._lock = threading.Lock()

    def take(self, key: str, buckets: Sequence[Bucket]) -> Verdict:
        """Take from all buckets of `key` or from none."""
        names = [(key, bucket.name) for bucket in buckets]
        with self._lock:
            now = int(self._clock() * MILLION)
            states = [self._states.pop(name, State(0, now)) for name in names]
            admitted, levels, after = take(states, buckets, now)
            # Put back at the end: a dict keeps its order, so the first one is the least recently used.
            self._states.update(zip(names, after, strict=True))
            while len(self._states) > self._most:
                del self._states[next(iter(self._states))]
        return verdict(admitted, levels, buckets)
