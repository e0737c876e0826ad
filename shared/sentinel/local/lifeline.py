"""How a child process ends with its supervisor: never later, however the supervisor ends.

Each child's standard input is a pipe that only the supervisor holds open, so its end is the supervisor's end,
also by kill -9. On Linux the kernel kills a child as well (prctl(2), PR_SET_PDEATHSIG), which also covers a
program that is not ours. Ctrl-C reaches a whole foreground group; children leave it to the supervisor.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> bool:
    """Ask the kernel to kill this process when its parent dies, also after an exec. False outside Linux."""
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    return True


def on_parent_gone(act: Callable[[], None]) -> None:
    """Call `act` in a thread when standard input ends."""

    def watch() -> None:
        while os.read(0, 1024):
            pass
        act()

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


class Stop:
    """A flag that ends loops. Unlike `threading.Event` it may be set by a signal's handler at any moment.

    The byte in the pipe is never read, so that it wakes everybody who waits, now and later.
    """

    def __init__(self) -> None:
        self.fd, self._writer = os.pipe()
        self._is_set = False

    def set(self) -> None:
        """End the loops."""
        if not self._is_set:
            self._is_set = True
            os.write(self._writer, b"x")

    def is_set(self) -> bool:
        """Whether the loops are to end."""
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end, at most `timeout` seconds; return whether it came."""
        return bool(select.select([self.fd], [], [], timeout)[0])


def stop_of_child() -> Stop:
    """Return what SIGTERM sets; SIGINT is ignored. The process dies at once without its parent."""
    stopped = Stop()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    die_with_parent()
    on_parent_gone(lambda: os._exit(1))
    return stopped
