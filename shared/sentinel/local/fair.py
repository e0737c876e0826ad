"""Fair turns: callers share a number of places, and those who wait are served in turn, caller by caller.

First come, first served would let whoever sends most have most. Here each caller has a queue of its own, and
a place that becomes free goes to the next caller in a circle (round robin, as in Nagle's RFC 970), however
many requests the others have waiting. A caller never holds all places, so that one who comes rarely finds a
free one; and its queue is bounded, so that its flood fills nobody's memory.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


class Crowded(Exception):
    """The caller has as many requests waiting as it may; it is to come back later."""


@dataclass(slots=True)
class Fair:
    """Hands out `places`, at most `each` to one caller, with at most `waiting` requests of it in line.

    `crowd` bounds the requests that wait in all. For one event loop; nothing here blocks it.
    """

    places: int
    each: int
    waiting: int
    crowd: int
    _held: Counter[str] = field(default_factory=Counter)
    _lines: OrderedDict[str, deque[asyncio.Future[None]]] = field(default_factory=OrderedDict)
    _in_line: int = 0

    @asynccontextmanager
    async def turn(self, caller: str) -> AsyncIterator[None]:
        """Wait for a place, and hold it for the length of the block. Raises `Crowded`."""
        await self._enter(caller)
        try:
            yield
        finally:
            self._leave(caller)

    async def _enter(self, caller: str) -> None:
        # A free place while others wait is one that none of them may have: they hold their share.
        if caller not in self._lines and self._open_to(caller):
            self._held[caller] += 1
            return
        line = self._lines.get(caller, ())
        if len(line) >= self.waiting or self._in_line >= self.crowd:
            raise Crowded
        place = asyncio.get_running_loop().create_future()
        self._lines.setdefault(caller, deque()).append(place)
        self._in_line += 1
        try:
            await place
        except asyncio.CancelledError:
            if place.cancelled():
                self._forget(caller, place)
            else:
                self._leave(caller)  # the place was handed over in the same moment
            raise

    def _leave(self, caller: str) -> None:
        self._held[caller] -= 1
        if not self._held[caller]:
            del self._held[caller]
        while (lucky := self._next()) is not None:
            line = self._lines.pop(lucky)
            place = line.popleft()
            self._in_line -= 1
            if line:
                self._lines[lucky] = line  # to the end of the circle
            if not place.done():
                self._held[lucky] += 1
                place.set_result(None)

    def _next(self) -> str | None:
        """Return the caller whose turn it is, if anybody who waits may have a place."""
        return next((caller for caller in self._lines if self._open_to(caller)), None)

    def _open_to(self, caller: str) -> bool:
        return self._held.total() < self.places and self._held[caller] < self.each

    def _forget(self, caller: str, place: asyncio.Future[None]) -> None:
        line = self._lines.get(caller)
        if line is None or place not in line:
            return  # it was passed over already
        line.remove(place)
        self._in_line -= 1
        if not line:
            del self._lines[caller]
