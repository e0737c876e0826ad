"""A value that is expensive to read and may be a few seconds old: read once, kept, read again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from sentinel.errors import Unavailable

T = TypeVar("T")

PAUSE: Final = 1.0  # seconds that a store which did not answer is left alone


class Elapsed:
    """A clock, in seconds, that goes on by whichever of two clocks has gone farther, and never back.

    One that is monotonic may stand still while its machine sleeps or is frozen, and the wall's may step back:
    what was read before that would be used for as long again.
    """

    def __init__(self, monotonic: Callable[[], float], wall: Callable[[], float]) -> None:
        self._clocks = monotonic, wall
        self._lock = threading.Lock()
        self._last = monotonic(), wall()
        self._passed = 0.0

    def __call__(self) -> float:
        """Return the seconds that have passed."""
        with self._lock:
            now = self._clocks[0](), self._clocks[1]()
            self._passed += max(0.0, now[0] - self._last[0], now[1] - self._last[1])
            self._last = now
            return self._passed


class Pause:
    """Leaves a store alone for a moment after it did not answer; shared by all that is read from it.

    So a store that is away, and may take seconds to say so, costs one caller a second its wait, and the
    others nothing. `clock` is monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float], seconds: float = PAUSE) -> None:
        self._clock = clock
        self._seconds = seconds
        self._end = float("-inf")

    def begin(self) -> None:
        """Begin, or begin anew."""
        self._end = self._clock() + self._seconds

    def left(self) -> float:
        """Return the seconds that are left, 0 outside of a pause."""
        return max(0.0, self._end - self._clock())


class Kept(Generic[T]):
    """Keeps what `load` gives for `seconds`; while it cannot be read, for `stale` seconds at most.

    `clock` is monotonic, in seconds. Threads may share it: at worst two read at once. Raises what `load`
    raises; `Unavailable` only once what is kept is older than `stale`, and for the time of a `pause` after
    that without asking.
    """

    def __init__(
        self,
        load: Callable[[], T],
        seconds: float,
        clock: Callable[[], float],
        stale: float = 0.0,
        pause: Pause | None = None,
    ) -> None:
        self._load = load
        self._seconds = seconds
        self._stale = max(stale, seconds)
        self._clock = clock
        self._pause = pause or Pause(clock)
        self._kept: tuple[float, T] | None = None
        self._expired = False

    def get(self) -> T:
        """Return the value."""
        now = self._clock()
        kept = self._kept
        if kept is not None and now - kept[0] < self._seconds and not self._expired:
            return kept[1]
        try:
            value = self._read()
        except Unavailable:
            # The time is asked for again: not to be answered may have taken some of it.
            if kept is not None and self._clock() - kept[0] < self._stale:
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

    def _read(self) -> T:
        left = self._pause.left()
        if left:
            raise Unavailable("what is needed could not be read a moment ago", left)
        try:
            return self._load()
        except Unavailable:
            self._pause.begin()
            raise
