"""Pauses, kept in one record of the counters. Workers see a change within `SECONDS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sentinel.core.pauses import KEY, MOST, Pause, packed, targets_of, unpacked
from sentinel.core.tasks import SECOND, Task
from sentinel.errors import Conflict, Unavailable
from sentinel.ports import Counters

SECONDS = 2.0
_TRIES = 16
_KEPT = 100 * 366 * 86_400


class Pauses:
    """The pauses in force: a cache of their record. `clock` is in epoch nanoseconds."""

    def __init__(self, counters: Counters, clock: Callable[[], int], seconds: float = SECONDS) -> None:
        self._counters = counters
        self._clock = clock
        self._every = int(seconds * SECOND)
        self._known: tuple[int, Mapping[str, Pause]] | None = None

    def holding(self, task: Task, now: int) -> Pause | None:
        """Return a pause that means a task now, the widest of them, as of `SECONDS` ago at most.

        Raises `Unavailable` where that cannot be known: then nothing may start.
        """
        pauses = self._current()
        found = (pauses[target] for target in targets_of(task) if target in pauses)
        return next((pause for pause in found if not pause.over(now)), None)

    def all(self) -> list[Pause]:
        """Return the pauses in force, as they are now, by target."""
        now = self._clock()
        pauses, _ = self._load()
        return [pauses[target] for target in sorted(pauses) if not pauses[target].over(now)]

    def add(self, pause: Pause) -> None:
        """Put a pause in force, in the place of one of the same target."""

        def change(pauses: dict[str, Pause]) -> bool:
            pauses[pause.target] = pause
            if len(pauses) > MOST:
                raise Conflict(f"{MOST} targets are paused already; resume some, or pause `all`")
            return True

        self._change(change)

    def remove(self, target: str) -> bool:
        """Take a pause out of force; return False where there is none."""
        return self._change(lambda pauses: pauses.pop(target, None) is not None)

    def _current(self) -> Mapping[str, Pause]:
        now, known = self._clock(), self._known
        if known is None or not 0 <= now - known[0] < self._every:
            known = (now, self._load()[0])
            self._known = known
        return known[1]

    def _load(self) -> tuple[dict[str, Pause], int]:
        raw, version = self._counters.load(KEY)
        try:
            return unpacked(raw), version
        except ValueError:
            # Somebody may have stopped something: better that nothing starts than that this is forgotten.
            raise Unavailable(
                f"the record `{KEY}` of the counters is damaged: delete it and pause again"
            ) from None

    def _change(self, change: Callable[[dict[str, Pause]], bool]) -> bool:
        for _ in range(_TRIES):
            pauses, version = self._load()
            now = self._clock()
            left = {target: pause for target, pause in pauses.items() if not pause.over(now)}
            if not change(left):
                return False
            if self._counters.store(KEY, packed(left), version, now // SECOND + _KEPT):
                self._known = None
                return True
        raise Unavailable("the pauses are changed by too many at once")
