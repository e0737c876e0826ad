"""The pace of a delivery: at most `rate` events a second, and less while the target asks for less.

A bucket of one second's events. When the target throttles, the pace is half of what it was, and then grows
again by a part of the rate each second; it never passes the plan's. Without a rate in the plan, half of what
was really sent is where it begins, and when it has grown to twice the speed before, there is no limit again.
"""

from __future__ import annotations

from dataclasses import dataclass

from sentinel.core.tasks import SECOND

LEAST = 1.0  # events a second, however often a target throttles
STEP = 0.05  # of the speed before the throttling, each second


@dataclass(slots=True)
class Pace:
    """`rate` is the plan's, 0 for none. All times are in epoch nanoseconds."""

    rate: float
    _limit: float = 0.0  # events a second now; 0 for none
    _before: float = 0.0  # the speed when the target throttled
    _room: float = 0.0
    _t: int = 0
    _sent: float = 0.0  # the speed, as it was over the last seconds

    def __post_init__(self) -> None:
        self._limit = self._room = self.rate

    @property
    def limit(self) -> float:
        """Return the events a second that it allows now; 0 for any number."""
        return self._limit

    @property
    def most(self) -> int:
        """Return how many events may be sent at once; 0 for any number."""
        return max(1, int(self._limit)) if self._limit else 0

    def wait(self, now: int, events: int) -> int:
        """Return the nanoseconds until so many events may be sent, or `most` of them; 0 for at once."""
        self._pass(now)
        missing = min(events, self.most) - self._room
        return int(missing / self._limit * SECOND) + 1 if self._limit and missing > 1e-6 else 0

    def sent(self, now: int, events: int) -> None:
        """Take what was sent off the bucket."""
        self._pass(now)
        self._room -= events
        self._sent += events / 5

    def throttled(self, now: int) -> None:
        """Halve it: the target has asked for less."""
        self._pass(now)
        speed = self._limit or max(self._sent, 2 * LEAST)
        self._before = max(self._before, speed)
        self._limit = max(LEAST, speed / 2)
        self._room = min(self._room, self._limit)

    def _pass(self, now: int) -> None:
        seconds = max(0, now - self._t) / SECOND if self._t else 0.0  # a clock that steps back gives nothing
        self._t = now
        self._sent *= max(0.0, 1 - seconds / 5)
        if not self._limit:
            return
        self._room = min(self._limit, self._room + seconds * self._limit)
        if self._before:
            self._grow(seconds)

    def _grow(self, seconds: float) -> None:
        self._limit += seconds * STEP * self._before
        if self.rate and self._limit >= self.rate:
            self._limit, self._before = self.rate, 0.0
        elif not self.rate and self._limit >= 2 * self._before:
            self._limit = self._room = self._before = 0.0
