"""Memory that holds entries while the disk takes none: numbered, in order, bounded, lost with the process."""

from __future__ import annotations

from collections import deque
from itertools import islice

from sentinel_client._disk import Disk
from sentinel_client._segments import Run

_OVERHEAD = 100  # bytes of memory that an entry takes beside its own


class Bridge:
    """Entries that have numbers and are not on disk. `next` is the number behind the last that was added.

    It is read as a segment is.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.size, self.first, self.next = limit, 0, 0, 0
        self._entries: deque[bytes] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, number: int, entry: bytes) -> bool:
        """Add the entry with the next number; False where there is no room for it."""
        if self.size + len(entry) + _OVERHEAD > self.limit:
            return False
        if not self._entries:
            self.first = number
        self._entries.append(entry)
        self.size += len(entry) + _OVERHEAD
        self.next = number + 1
        return True

    def oldest(self) -> bytes:
        """Return the entry with the number `first`."""
        return self._entries[0]

    def drop(self, upto: int) -> None:
        """Let go of the entries below a number."""
        while self._entries and self.first < upto:
            self.size -= len(self._entries.popleft()) + _OVERHEAD
            self.first += 1

    def read(self, _disk: Disk, first: int, max_entries: int, max_bytes: int, _end: int) -> Run:
        """Return entries from a number on, as `Segment.read` does."""
        entries: list[bytes] = []
        if first >= self.first:
            for entry in islice(self._entries, first - self.first, first - self.first + max_entries):
                max_bytes -= len(entry)
                if entries and max_bytes < 0:
                    break
                entries.append(entry)
        return Run(first, len(entries), entries, list(range(first, first + len(entries))))
