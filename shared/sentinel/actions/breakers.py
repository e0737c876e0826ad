"""The circuit breakers of sinks: one record a sink, shared by all that send to it.

A record is asked for at most every few seconds, and written only when something changes: at a failure, and
at the first success after one. The log gets one line when a breaker opens and one when it closes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from sentinel.core.breaker import CLOSED, Breaker, unpack
from sentinel.core.tasks import SECOND
from sentinel.errors import Unavailable
from sentinel.ports import Counters
from sentinel.siem.sink import Fate, Outcome, Parked, Partly, RetryAfter

KEEP = 400 * 86_400  # seconds that a record is kept after its last change
LOOK = 5 * SECOND
ROUNDS = 5

log = logging.getLogger("sentinel.deliveries")


def key_of(sink: str) -> str:
    """Return the key of a sink's record."""
    return f"breaker/{sink}"


class Breakers:
    """The breakers of one process. `clock` in epoch nanoseconds, `rng` gives 0 to below 1.

    A store that does not answer keeps nobody from sending: what this process has seen counts then.
    """

    def __init__(self, counters: Counters, clock: Callable[[], int], rng: Callable[[], float]) -> None:
        self._counters = counters
        self._clock = clock
        self._rng = rng
        self._known: dict[str, tuple[Breaker, int]] = {}
        self._lock = threading.Lock()

    def now(self, sink: str, setup: str = "") -> Breaker:
        """Return a sink's breaker; a closed one where it is open for another set-up than `setup`."""
        now = self._clock()
        with self._lock:
            breaker, asked = self._known.get(sink, (CLOSED, 0))
        if not asked or not 0 <= now - asked < LOOK:
            try:
                breaker = unpack(self._counters.load(key_of(sink))[0])
            except Unavailable as error:
                log.debug("the breaker of sink %s could not be looked up: %s", sink, error)
            self._keep(sink, breaker, now)
        return CLOSED if setup and breaker.mended(setup) else breaker

    def failed(self, sink: str, reason: str, after: float | None) -> Breaker:
        """Count a failure; return the breaker as it is then."""
        now, roll = self._clock(), self._rng()
        return self._change(sink, lambda breaker: breaker.failed(now, reason, after, roll))

    def parked(self, sink: str, reason: str, setup: str) -> Breaker:
        """Open the breaker of a sink that is set up wrongly."""
        now = self._clock()
        return self._change(sink, lambda breaker: breaker.parked(now, reason, setup))

    def tried(self, sink: str) -> None:
        """Have a sink tried now, whatever its breaker was waiting for."""
        now = self._clock()
        self._change(sink, lambda breaker: breaker.tried(now))

    def succeeded(self, sink: str) -> None:
        """Close the breaker; writes nothing where it is closed without a failure."""
        with self._lock:
            breaker, _ = self._known.get(sink, (CLOSED, 0))
        if breaker.failures:
            self._change(sink, lambda _: CLOSED)

    def told(self, sink: str, outcome: Outcome) -> None:
        """Count what came of a batch: whatever shows that the sink works closes its breaker.

        A sink that is set up wrongly counts neither way: that is for `parked`, which knows the set-up.
        """
        wait = outcome.wait if isinstance(outcome, Partly) else outcome
        taken = isinstance(outcome, Partly) and Fate.DELIVERED in outcome.fates
        if isinstance(wait, RetryAfter) and not taken:
            self.failed(sink, wait.reason, wait.after)
        elif not isinstance(outcome, Parked):
            self.succeeded(sink)

    def _change(self, sink: str, change: Callable[[Breaker], Breaker]) -> Breaker:
        with self._lock:
            before, _ = self._known.get(sink, (CLOSED, 0))
        after = change(before)
        try:
            for _ in range(ROUNDS):
                state, version = self._counters.load(key_of(sink))
                before = unpack(state)
                after = change(before)
                expires = self._clock() // SECOND + KEEP
                if self._counters.store(key_of(sink), after.pack(), version, expires):
                    break
        except Unavailable as error:
            log.debug("the breaker of sink %s could not be written: %s", sink, error)
        _tell(sink, before, after)
        self._keep(sink, after, self._clock())
        return after

    def _keep(self, sink: str, breaker: Breaker, now: int) -> None:
        with self._lock:
            self._known[sink] = (breaker, now)


def _tell(sink: str, before: Breaker, after: Breaker) -> None:
    if after.setup and not before.tripped:
        log.warning("sink %s: the breaker opens, since the sink is set up wrongly: %s", sink, after.reason)
    elif after.tripped and not before.tripped:
        log.warning("sink %s: the breaker opens after %d failures: %s", sink, after.failures, after.reason)
    elif before.tripped and not after.tripped:
        log.warning("sink %s: the breaker closes", sink)  # for whoever has read that it opened
