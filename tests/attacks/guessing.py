"""Guessing at a secret: ten tries a minute, and then not even the right one, however busy the machine is."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.attacks.record import Answer, Case

TRIES, EVERY = 10, 6.0  # so many at once, and one more each so many seconds


def slowed(tried: Case, guess: Callable[[int], Answer], right: Callable[[], Answer], path: str) -> None:
    """Guess until it is held up; then try the right one, before another try is free."""
    statuses: list[int] = []
    began = last = time.monotonic()
    found: Answer | None = None
    while found is None or (found.status != 429 and time.monotonic() - last > EVERY and len(statuses) < 200):
        while not statuses or statuses[-1] != 429 or len(statuses) < TRIES + 4:
            asked = time.monotonic()
            answer = guess(len(statuses))
            tried.refused(answer, path)
            statuses.append(answer.status)
            last = asked if answer.status == 401 else last
            if len(statuses) >= 200:
                break
        found = right()
        statuses.append(found.status)
    passed = time.monotonic() - began
    tried.holds(TRIES <= statuses.count(401) <= TRIES + passed / EVERY, f"{statuses}")
    tried.holds(found.status == 429 and found.header("retry-after"), f"{found}")
