"""What killed processes left: their slots are taken over, sent by every transport, and removed when empty.

One for each log of a process, shared by its shippers, which each have their own progress in a slot.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Protocol

from sentinel_client._batches import Log


class Orphan(Log, Protocol):
    """A slot that was taken over; see `_wal.Wal`."""

    def close(self) -> None: ...


class Parent(Log, Protocol):
    """A log that knows where others of its kind are; see `_wal.Wal`."""

    def orphans(self) -> Sequence[Orphan]: ...


EVERY = 30.0  # seconds between two looks for slots that nobody has


class Orphans:
    """The slots that this process sends for others. Safe for several threads."""

    def __init__(self, log: Parent, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = weakref.ref(log)
        self._clock = clock
        self._transports: set[str] = set()
        self.reset()

    def reset(self) -> None:
        """Forget all of them, in a forked child: they are the parent's."""
        self._lock = threading.Lock()
        self._held: dict[str, Orphan] = {}
        self._looked = float("-inf")

    def join(self, transport: str) -> None:
        """Have slots kept until this transport is through with them, too."""
        self._transports.add(transport)

    def held(self, every: float = EVERY) -> list[Orphan]:
        """Return the slots, and look for more of them every so many seconds."""
        with self._lock:
            now = self._clock()
            log = self._log()
            if log is not None and now - self._looked >= every:
                self._looked = now
                for orphan in log.orphans():
                    self._held.setdefault(orphan.producer, orphan)
            return list(self._held.values())

    def sent(self, orphan: Orphan, before: Callable[[Orphan], None]) -> None:
        """Give a slot up, which removes it, once every transport is through with it.

        `before` is called just before.
        """
        with self._lock:
            if orphan.producer in self._held and all(_through(orphan, name) for name in self._transports):
                before(orphan)
                del self._held[orphan.producer]
                orphan.close()

    def release(self) -> None:
        """Give all of them up as they are."""
        with self._lock:
            held, self._held = self._held, {}
            for orphan in held.values():
                orphan.close()


def _through(log: Log, transport: str) -> bool:
    progress = log.progress(transport)
    return progress.sending is None and progress.acknowledged >= log.next()


_OF: weakref.WeakKeyDictionary[Parent, Orphans] = weakref.WeakKeyDictionary()


def orphans_of(log: Parent, clock: Callable[[], float] = time.monotonic) -> Orphans:
    """Return the orphans of a log: the same for all of its shippers."""
    return _OF.get(log) or _OF.setdefault(log, Orphans(log, clock))
