"""Virtual time for real code: threads of which one runs at a time, each for as long as it does not sleep.

What a thread computes takes no time; only `sleep` does, and the clock jumps to whoever wakes up next. So a
run is the same each time, however busy the machine is, and hours pass in seconds.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable


class _Ended(BaseException):
    """Unwinds a thread whose timeline is closed. No `except Exception` of the code under test stops it."""


class _Runner:
    """Who may run: a thread waits at its gate until control is passed to it."""

    def __init__(self) -> None:
        self.gate = threading.Semaphore(0)


class Timeline:
    """The clock and its threads. `now` is in seconds from 0."""

    def __init__(self) -> None:
        self.now = 0.0
        self._until = 0.0
        self._numbers = itertools.count()
        self._waiting: list[tuple[float, int, _Runner]] = []
        self._main = _Runner()
        self._own = threading.local()
        self._threads: list[tuple[threading.Thread, _Runner]] = []
        self._ending = False
        self._failed: list[BaseException] = []

    def spawn(self, work: Callable[[], None]) -> None:
        """Let a thread begin with `work` once time runs."""
        runner = _Runner()

        def run() -> None:
            self._own.runner = runner
            runner.gate.acquire()
            try:
                if not self._ending:
                    work()
            except _Ended:
                pass
            except BaseException as error:  # noqa: BLE001 - told by `run`, in the thread that asked
                self._failed.append(error)
            if not self._ending:
                self._pass_on().gate.release()

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append((thread, runner))
        thread.start()
        heapq.heappush(self._waiting, (self.now, next(self._numbers), runner))

    def sleep(self, seconds: float) -> None:
        """Let so much time pass. For threads of the timeline."""
        runner: _Runner = self._own.runner
        heapq.heappush(self._waiting, (self.now + max(seconds, 0.0), next(self._numbers), runner))
        self._hand_over(runner)

    def run(self, until: float) -> None:
        """Let time pass up to a point. Raises what a thread raised."""
        self._until = until
        self._hand_over(self._main)
        if self._failed:
            raise self._failed[0]
        self.now = until

    def close(self) -> None:
        """End all threads where they sleep."""
        self._ending = True
        for thread, runner in self._threads:
            runner.gate.release()
            thread.join()

    def __enter__(self) -> Timeline:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _hand_over(self, runner: _Runner) -> None:
        """Let whoever is next run, and wait until control comes back."""
        following = self._pass_on()
        if following is not runner:
            following.gate.release()
            runner.gate.acquire()
        if self._ending:
            raise _Ended

    def _pass_on(self) -> _Runner:
        """Return whose turn it is, and move the clock there."""
        if self._failed or not self._waiting or self._waiting[0][0] > self._until:
            return self._main
        self.now, _, runner = heapq.heappop(self._waiting)
        return runner
