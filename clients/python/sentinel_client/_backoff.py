"""How long a transport waits after a batch was not taken: full jitter, and what the other side asks for.

Full jitter is a uniform draw below an exponential bound (AWS Architecture Blog, "Exponential Backoff And
Jitter"): clients that lost the same server do not come back at one moment.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

BASE = 0.5  # seconds
CAP = 60.0


class Backoff:
    """The wait before the next try. `draw` returns a number in [0, 1), `clock` is monotonic; in seconds."""

    def __init__(
        self,
        base: float = BASE,
        cap: float = CAP,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._base = base
        self._cap = cap
        self._clock = clock
        self._draw = draw
        self._failed = 0
        self._jitter = self._asked = 0.0  # when each is over

    def failed(self, asked: float = 0.0) -> None:
        """Note a failure, and for how many seconds the other side wants to be left alone at least."""
        self._failed += 1
        bound = min(self._cap, self._base * 2.0 ** min(self._failed, 32))
        now = self._clock()
        self._asked = now + asked
        self._jitter = now + asked + self._draw() * bound

    def succeeded(self) -> None:
        """Begin anew."""
        self._failed = 0
        self._jitter = self._asked = 0.0

    def hurry(self) -> None:
        """Try now, unless the other side asked for more time."""
        self._jitter = self._asked

    def left(self) -> float:
        """Return the seconds that are left to wait."""
        return max(0.0, self._jitter - self._clock())
