"""Requests on their way: each in a thread of its own, or, with no lane at all, in the caller's."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

T = TypeVar("T")


class Lanes(Generic[T]):
    """Carries out at most `count` calls at once. A call raises nothing that it is expected to.

    0 is for calls that are quick and wait for nobody: one at a time, over when `begin` returns.
    """

    def __init__(self, count: int) -> None:
        self._count = max(1, count)
        self._pool = ThreadPoolExecutor(count, "deliver") if count else None
        self._begun: list[Future[T]] = []

    @property
    def free(self) -> bool:
        """Whether one more call may begin."""
        return len(self._begun) < self._count

    @property
    def busy(self) -> bool:
        """Whether there is a call that `done` has not returned."""
        return bool(self._begun)

    @property
    def over(self) -> bool:
        """Whether there is something for `done` to return."""
        return any(each.done() for each in self._begun)

    def begin(self, call: Callable[[], T]) -> None:
        """Begin a call."""
        if self._pool is not None:
            self._begun.append(self._pool.submit(call))
            return
        future: Future[T] = Future()
        future.set_result(call())
        self._begun.append(future)

    def done(self, seconds: float = 0.0) -> list[T]:
        """Return what came of the calls that are over, waiting for the first of them for so long."""
        if not self._begun:
            return []
        over, _ = wait(self._begun, timeout=seconds, return_when=FIRST_COMPLETED)
        self._begun = [each for each in self._begun if each not in over]
        return [each.result() for each in over]

    def close(self) -> None:
        """Let the threads go, after what they are at."""
        if self._pool is not None:
            self._pool.shutdown(wait=True)
