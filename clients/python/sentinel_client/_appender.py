"""What callers' threads do with the write-ahead log: one lock, one `pwrite` an entry."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sentinel_client import _frames
from sentinel_client._counts import Counts
from sentinel_client._disk import Disk
from sentinel_client._journal import DROPPED, FULL, Journal
from sentinel_client._keeper import Keeper
from sentinel_client._segments import unwritable
from sentinel_client._slots import Slot
from sentinel_client._store import Limits
from sentinel_client._types import MAX_ENTRY

_NO_NUMBER = 1 << 64  # above all that entries have
_ASIDE = 1024  # entries at most that wait for an append which their own interrupted
_pack_body, _pack_sum = _frames.pack_body, _frames.pack_sum


class Appender:
    """The lock of a write-ahead log, and what appends need, at hand. `Wal` is the rest of it."""

    def __init__(self, root: Path, limits: Limits, counts: Counts, disk: Disk, slot: Slot | None) -> None:
        self._root, self._limits, self._counts, self._disk = Path(root), limits, counts, disk
        self._always = limits.fsync == "always"
        self._pwrite = disk.pwrite
        self._begin_anew(slot)

    def _begin_anew(self, slot: Slot | None = None) -> None:
        """Be as one that was never used: at first, and in a forked child."""
        self._lock = threading.RLock()  # a signal's handler may log while its thread holds it
        self._changed = threading.Condition(self._lock)
        self._inside = False  # a thread is between the lines that change what the lock guards
        self._aside: list[bytes] = []
        self._wanted = _NO_NUMBER  # the least number that somebody waits for
        self._keeper: Keeper | None = None
        self._journal = Journal(self._disk, self._root, self._limits, self._counts, slot)
        self._writer = unwritable(0)

    def append(self, entry: bytes) -> int:
        """Write an entry, JSON on one line, in UTF-8; return its number, or -1 where it was dropped.

        From within a signal's handler that interrupted an append of the same thread, the entry is written
        once the handler is done, and the number is that of an entry near it.
        """
        with self._lock:
            if self._inside:
                return self._set_aside(entry)
            self._inside = True
            try:
                writer = self._writer
                number = writer.next
                size = len(entry)
                end = writer.end + size + 16
                if end > writer.limit or not 0 < size <= MAX_ENTRY:
                    number = self._add(entry)
                else:
                    body = _pack_body(size, number) + entry
                    frame = _pack_sum(writer.crc(body)) + body
                    if self._pwrite(writer.fd, frame, writer.end) == size + 16:
                        writer.next = number + 1
                        writer.end = end
                    else:
                        number = self._add(entry)
                if number >= self._wanted:
                    self._wake()
            except OSError:
                number = self._add(entry)
            finally:
                self._inside = False
            if self._aside:
                self._take_in()
        if number < 0 or self._always:
            number = self._finish(number, entry)
        return number

    def _finish(self, number: int, entry: bytes) -> int:
        """Do what comes behind the lock: wait for room, or for a sync."""
        if number == FULL:
            number = self._wait_for_room(entry)
        if number >= 0 and self._always:
            self._commit(number)
        return number

    def _add(self, entry: bytes) -> int:
        number = self._journal.add(entry)
        self._writer = self._journal.settle()
        self._start_keeper()
        return number

    def _set_aside(self, entry: bytes) -> int:
        if len(self._aside) >= _ASIDE:
            self._counts.add("disk")
            return DROPPED
        self._aside.append(entry)
        return self._journal.number

    def _take_in(self) -> None:
        while self._aside:
            self.append(self._aside.pop(0))

    def _wait_for_room(self, entry: bytes) -> int:
        """Have the entry written once there is room in the budget, if that is policy and happens in time."""
        deadline = time.monotonic() + (self._limits.block if self._limits.when_full == "block" else 0)
        with self._lock:
            while (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
                with self._held():
                    number = self._journal.add(entry)
                if number != FULL:
                    return number
        self._counts.add("full")
        return DROPPED

    def _wake(self) -> None:
        self._wanted = _NO_NUMBER
        self._changed.notify_all()

    @contextmanager
    def _held(self) -> Iterator[Journal]:
        """Hold the lock for a change that is more than an append's."""
        with self._lock:
            before, self._inside = self._inside, True
            try:
                yield self._journal
            finally:
                self._writer = self._journal.settle()
                self._inside = before
                if self._journal.number > self._wanted:
                    self._wake()
            if self._aside and not before:
                self._take_in()

    def wait(self, beyond: int, seconds: float) -> bool:
        """Wait until the entry with a number is there; say whether it is, after so many seconds."""
        deadline = time.monotonic() + seconds
        with self._lock:
            while self._journal.number <= beyond:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._wanted = min(self._wanted, beyond)
                self._changed.wait(left)
            return True

    def _start_keeper(self) -> None:
        """Start the thread that looks after this, where none does."""
        raise NotImplementedError

    def _commit(self, number: int | None) -> None:
        """Return once the entry with a number is synced, or all are."""
        raise NotImplementedError
