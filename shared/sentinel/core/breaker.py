"""The circuit breaker of a sink: when it may be called again after it failed. The arithmetic alone.

A failure puts the next call off, each in a row for longer, or for as long as the target wishes. After `MOST`
failures in a row the breaker is open; when its time is over one call may try (half-open), and whatever comes
of that closes it or opens it again. A sink that is set up wrongly opens it at once and for long, until the
time is over or its set-up is another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import orjson

from sentinel.core.tasks import SECOND

MOST = 5  # failures in a row until it is open
FIRST = 1.0  # seconds that the first failure puts the next call off at most; each more doubles it
LONGEST = 60.0  # so soon, at the latest, a sink that is back is noticed, where it did not wish for longer
WISHED = 900.0  # seconds that a target may wish for
PARKED = 300.0
LEAST = 0.05  # seconds: no chance makes a loop of calls
MAX_REASON = 300


@dataclass(frozen=True, slots=True)
class Breaker:
    """`failures` in a row, `until` when nothing is sent (epoch nanoseconds), and why.

    `setup` names the set-up that was found wrong; empty where it just failed. `since` is when it opened.
    """

    failures: int = 0
    until: int = 0
    reason: str = ""
    setup: str = ""
    since: int = 0

    @property
    def tripped(self) -> bool:
        """Whether it is open or half-open."""
        return self.failures >= MOST

    def state(self, now: int) -> str:
        """Name its state: closed, open or half-open."""
        if not self.tripped:
            return "closed"
        return "open" if self.wait(now) else "half-open"

    def wait(self, now: int) -> int:
        """Return the nanoseconds until something may be sent.

        What is longer than any pause is a clock that stepped back, and nobody waits for that.
        """
        left = self.until - now
        return left if 0 < left <= int(WISHED * SECOND) else 0

    def failed(self, now: int, reason: str, after: float | None, roll: float) -> Breaker:
        """Return it after one more failure. `after` is the target's wish, `roll` a chance, 0 to below 1."""
        pause = min(LONGEST, FIRST * 2.0 ** min(self.failures, 20)) * roll if after is None else after
        return self._put_off(now, reason, self.failures + 1, max(LEAST, min(pause, WISHED)))

    def parked(self, now: int, reason: str, setup: str) -> Breaker:
        """Return it after the sink, set up as `setup`, was found to be set up wrongly."""
        found = self._put_off(now, reason, max(MOST, self.failures + 1), PARKED)
        return replace(found, setup=setup)

    def tried(self, now: int) -> Breaker:
        """Return it with its time over: half-open, where it was open."""
        return replace(self, until=min(self.until, now))

    def _put_off(self, now: int, reason: str, failures: int, seconds: float) -> Breaker:
        since = self.since if self.tripped else now
        return Breaker(failures, now + int(seconds * SECOND), reason[:MAX_REASON], "", since)

    def mended(self, setup: str) -> bool:
        """Whether it is open for a set-up that is not `setup`: then it says nothing about that."""
        return bool(self.setup) and self.setup != setup

    def pack(self) -> bytes:
        """Return it as it is stored."""
        return orjson.dumps([self.failures, self.until, self.reason, self.setup, self.since])


CLOSED = Breaker()


def unpack(state: bytes) -> Breaker:
    """Return what is stored; a closed one where nothing is, or nothing that can be read."""
    try:
        failures, until, reason, setup, since = orjson.loads(state)
        return Breaker(int(failures), int(until), str(reason), str(setup), int(since))
    except (orjson.JSONDecodeError, TypeError, ValueError):
        return CLOSED
