"""How a child process ends with its supervisor: never later, however the supervisor ends.

Each child's standard input is a pipe that only the supervisor holds open, so its end is the supervisor's end,
also by kill -9. On Linux the kernel kills a child as well (prctl(2), PR_SET_PDEATHSIG), which also covers a
program that is not ours. Ctrl-C reaches a whole foreground group; children leave it to the supervisor.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies; it survives exec. Nothing outside Linux."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def on_parent_gone(act: Callable[[], None]) -> None:
    """Call `act` in a thread when standard input ends."""

    def watch() -> None:
        while os.read(0, 1024):
            pass
        act()

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def stop_event() -> threading.Event:
    """Return an event that SIGTERM sets; SIGINT is ignored. The process dies at once without its parent."""
    stopped = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    die_with_parent()
    on_parent_gone(lambda: os._exit(1))
    return stopped
