"""Rates, kept in the counters by compare and swap: when a task may start, and times that are not used."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from sentinel.core.rates import Rated, given_back, packed, reserved, unpacked
from sentinel.core.tasks import SECOND
from sentinel.errors import Unavailable
from sentinel.ports import Counters

_TRIES = 64
_KEPT = 86_400  # seconds after all that was reserved has passed

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rates:
    """The use case. Times are epoch nanoseconds, an interval is nanoseconds. Raises `Unavailable`."""

    counters: Counters

    def reserve(self, key: str, now: int, interval: int, burst: int, last: int) -> int:
        """Return when a task may start, a time of its own; 0 where that would not be before `last`.

        A time whose caller dies is not used by anybody, nor is one whose answer was lost.
        """
        at = 0

        def plan(state: Rated) -> Rated:
            nonlocal at
            after, at = reserved(state, now, interval, burst, last)
            return after

        self._change(key, now, plan)
        return at

    def give_back(self, key: str, at: int, now: int, interval: int, burst: int) -> None:
        """Let somebody else have a time that is still to come."""
        self._change(key, now, lambda state: given_back(state, at, now, interval, burst))

    def _change(self, key: str, now: int, plan: Callable[[Rated], Rated]) -> None:
        for _ in range(_TRIES):
            raw, version = self.counters.load(key)
            try:
                before = unpacked(raw)
            except ValueError:
                log.error("the rate %s cannot be read; it starts anew", key)  # noqa: TRY400 - as in correlate
                before = Rated()
            after = plan(before)
            expires = max(after.tat, now) // SECOND + _KEPT
            if after == before or self.counters.store(key, packed(after), version, expires):
                return
        raise Unavailable(f"the rate {key} is asked by too many at once")
