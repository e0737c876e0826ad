"""A value that is expensive to read and may be a few seconds old: read once, kept, read again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from sentinel.errors import Unavailable

T = TypeVar("T")


class Kept(Generic[T]):
    """Keeps what `load` gives for `seconds`; while it cannot be read, for `stale` seconds at most.

    `clock` is monotonic, in seconds. Threads may share it: at worst two read at once. Raises what `load`
    raises; `Unavailable` only once what is kept is older than `stale`.
    """

    def __init__(
        self, load: Callable[[], T], seconds: float, clock: Callable[[], float], stale: float = 0.0
    ) -> None:
        self._load = load
        self._seconds = seconds
        self._stale = max(stale, seconds)
        self._clock = clock
        self._kept: tuple[float, T] | None = None
        self._expired = False

    def get(self) -> T:
        """Return the value."""
        now = self._clock()
        kept = self._kept
        if kept is not None and now - kept[0] < self._seconds and not self._expired:
            return kept[1]
        try:
            value = self._load()
        except Unavailable:
            if kept is not None and now - kept[0] < self._stale:
                return kept[1]
            raise
        self._kept, self._expired = (now, value), False
        return value

    def age(self) -> float:
        """Return how old the kept value is, in seconds; infinite where there is none."""
        return self._clock() - self._kept[0] if self._kept is not None else float("inf")

    def expire(self) -> None:
        """Read anew at the next `get`; what is kept serves on, as it may, while it cannot be read."""
        self._expired = True
