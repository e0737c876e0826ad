"""The thread that looks after a write-ahead log, and what a forked child does with its parent's."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol

from sentinel_client import _slots


class Kept(Protocol):
    """What is looked after."""

    def keep(self) -> None:
        """Do what is due. Called once an interval."""

    def after_fork(self) -> None:
        """Leave to the parent what is the parent's. Called in a child before anything else runs there."""


_kept: weakref.WeakSet[Kept] = weakref.WeakSet()


class Keeper:
    """A daemon thread that calls `keep` once an interval, for as long as somebody uses what it keeps."""

    def __init__(self, kept: Kept, interval: float) -> None:
        self._stop = threading.Event()
        thread = threading.Thread(
            target=_run, args=(weakref.ref(kept), interval, self._stop), name="sentinel-keeper", daemon=True
        )
        thread.start()
        self._thread = thread

    def stop(self) -> None:
        """Have the thread end, and wait for it; from the thread itself, have it end."""
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join(5)


def _run(ref: weakref.ref[Kept], interval: float, stop: threading.Event) -> None:
    while not stop.wait(interval):
        kept = ref()
        if kept is None:
            return
        kept.keep()
        del kept


def watch(kept: Kept) -> None:
    """Have `after_fork` called in the children of this process."""
    _kept.add(kept)


def _in_child() -> None:
    _slots.forget_locks()
    for kept in list(_kept):
        kept.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
