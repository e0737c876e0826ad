"""What a write-ahead log is made of, but for its lock: a slot, its files, and the bridge in memory.

It never raises for the disk: what goes wrong is told in `problem`, and tried again after a while.
"""

from __future__ import annotations

import time
from pathlib import Path

from sentinel_client import _slots
from sentinel_client._bridge import Bridge
from sentinel_client._counts import Counts
from sentinel_client._disk import Disk, is_full
from sentinel_client._segments import Segment, Writer, unwritable
from sentinel_client._slots import Slot, Unusable
from sentinel_client._state import State
from sentinel_client._store import Full, Limits, Store, Unsynced, delete
from sentinel_client._types import MAX_ENTRY

DROPPED = -1  # the entry was counted and is gone
FULL = -2  # the budget has no room for it, and it is not counted yet
_AT_ONCE = 64  # bridged entries that an append writes beside its own

Piece = Segment | Bridge


class Journal:
    """Everything behind the lock of a `Wal`, which calls it. Opens its slot once it is needed."""

    def __init__(
        self, disk: Disk, root: Path, limits: Limits, counts: Counts, slot: Slot | None = None
    ) -> None:
        self.disk, self.root, self.limits, self.counts = disk, root, limits, counts
        self.store: Store | None = None
        self.bridge = Bridge(limits.bridge_bytes)
        self.state = State()
        self.name = ""
        self.problem: str | None = None
        self.dirty = False  # the state in memory is not the one on disk
        self.judged = 0  # below it, what is missing was counted
        self.unsynced = 0  # entries that a sync did not cover
        self.ended = False  # it was somebody else's slot, and is given back
        self._given = slot
        self._retry_at = 0.0

    def ready(self) -> None:
        """Open the slot, unless it is open or was tried a moment ago. Without one, entries stay in memory."""
        if self.store is None and not self.ended and time.monotonic() >= self._retry_at:
            try:
                self._open()
            except (Unusable, OSError) as error:
                self.failed(error)
            self.name = self.name or _slots.draw()

    def _open(self) -> None:
        root = _slots.prepare(self.disk, self.root)
        if self._given is not None:
            slot, self._given, self.ended = self._given, None, True
            self.store = self._stored(slot)
            self.ended = False
        elif self.name:
            self.store = self._stored(_slots.make(self.disk, root, self.name))
            self.store.slot.state = self.state  # entries have its numbers already
        else:
            try:
                self.store = self._stored(_slots.take(self.disk, root))
            except OSError:  # what is there cannot be read
                self.store = self._stored(_slots.make(self.disk, root))
        self.problem = None
        slot = self.store.slot
        self.name, self.state = slot.name, slot.state
        self.judged = max([self.judged, self.state.evicted, *self._acknowledged()])
        delete(self.disk, self.store.done())
        slot.note(self.limits.fsync)

    def _acknowledged(self) -> list[int]:
        return [progress.acknowledged for progress in self.state.transports.values()]

    def _stored(self, slot: Slot) -> Store:
        try:
            return Store(self.disk, slot, self.limits, self.counts)
        except OSError:
            slot.release()
            raise

    def failed(self, error: Exception) -> None:
        """Note that the disk took something not, and when to try again."""
        told = error.strerror if isinstance(error, OSError) else str(error)
        self.problem = told or type(error).__name__
        self._retry_at = time.monotonic() + self.limits.retry

    @property
    def number(self) -> int:
        """Return the number of the entry to come."""
        return max(self.bridge.next, self.store.writer.next if self.store else 0)

    def settle(self) -> Writer:
        """Return what an append writes to: nothing, while entries before it wait in memory."""
        writer = self.store.writer if self.store else unwritable(self.number)
        if self.bridge or writer.next < self.bridge.next:
            writer.limit = -1
        return writer

    def add(self, entry: bytes) -> int:
        """Take an entry on whatever way there is: its number, `DROPPED` or `FULL`."""
        if not 0 < len(entry) <= MAX_ENTRY:
            self.counts.add("oversized" if entry else "broken")
            return DROPPED
        self.ready()
        if self.bridge:
            self.drain(_AT_ONCE)
        number = self.number
        if self.store is not None and not self.bridge and time.monotonic() >= self._retry_at:
            try:
                self.store.put(number, entry)
            except Full:
                return FULL
            except OSError as error:
                self._broke(error)
            else:
                return number
        if self.bridge.add(number, entry):
            return number
        self.counts.add("disk")
        return DROPPED

    def _broke(self, error: OSError) -> None:
        """Go on in another segment where writing failed for another reason than a full disk."""
        self.failed(error)
        if self.store is not None and not is_full(error):
            self.store.retire()

    def drain(self, most: int) -> bool:
        """Write up to so many bridged entries; say whether there are more and the disk takes them."""
        self.ready()
        if self.store is None or time.monotonic() < self._retry_at:
            return False
        for _ in range(most):
            if not self.bridge:
                self.problem = None
                return False
            try:
                self.store.put(self.bridge.first, self.bridge.oldest())
            except Full:
                return False
            except OSError as error:
                self._broke(error)
                return False
            self.bridge.drop(self.bridge.first + 1)
        return True

    def pieces(self, first: int) -> list[tuple[Piece, int]]:
        """Return where entries from a number on are, in order, each with the offset where it ends now."""
        self.ready()
        found: list[tuple[Piece, int]] = []
        if self.store is not None:
            writer = self.store.writer
            found = [(segment, segment.end) for segment in self.store.segments if segment.next > first]
            if writer.fd >= 0 and writer.next > max(first, writer.segment.first):
                found.append((writer.segment, writer.end))
        if self.bridge and self.bridge.next > first:
            found.append((self.bridge, 0))
        return found

    def lost(self, piece: Piece) -> None:
        """Give a segment up that cannot be read: its entries are missing from now on."""
        if self.store is None or not isinstance(piece, Segment):
            return
        if piece is self.store.writer.segment:
            self.store.retire()
        self.store.forget(piece)

    def judge(self, first: int, after: int, numbers: list[int]) -> None:
        """Count what is missing between two numbers, once, and unless it was evicted."""
        floor = max(self.judged, self.state.evicted)
        missing = after - max(first, floor) - sum(1 for number in numbers if number >= floor)
        if missing > 0:
            self.counts.add("corrupt", missing)
        self.judged = max(self.judged, after)

    def check_there(self) -> None:
        """Begin the slot anew, by its name, where somebody deleted the segment that is written."""
        if self.store is None or self.store.writer.fd < 0:
            return
        try:
            gone = self.disk.fstat(self.store.writer.fd).st_nlink == 0
        except OSError:
            gone = False
        if gone:
            self.bridge.next = self.number
            self.store.close()
            self.store = None

    def not_synced(self, store: Store, work: Unsynced, error: OSError) -> None:
        """Count what a sync did not cover, and go on in another segment: this one may have a hole."""
        self.failed(error)
        missed = max(0, work.upto - store.synced)
        self.unsynced += missed
        self.counts.add("unsynced", missed)
        store.retire()

    def acknowledged(self) -> list[Segment]:
        """Let go of what all transports are done with; return the segments that are to be deleted."""
        upto = min((self.state.of(name).acknowledged for name in self.limits.transports), default=0)
        self.bridge.drop(upto)
        return self.store.done() if self.store else []

    def drained(self) -> bool:
        """Say whether no transport has anything left to send."""
        self.ready()
        states = [self.state.of(name) for name in self.limits.transports]
        return all(state.sending is None and not self.pieces(state.acknowledged) for state in states)

    def close(self, *, remove: bool) -> None:
        """Give the slot back, or delete it. What only memory holds is counted as lost."""
        if self.bridge:
            self.counts.add("disk", len(self.bridge))
        if self.store is not None:
            worn = self.store.slot.worn and self.drained()
            self.store.close(remove=remove or worn)
            self.store = None
        self.ended = True

    def stats(self) -> dict[str, object]:
        """Return where it is, how much it holds and how far it is."""
        store = self.store
        return {
            "producer": self.name,
            "folder": str(store.slot.folder) if store else None,
            "next": self.number,
            "bytes": store.closed_bytes + max(store.writer.end, 0) if store else 0,
            "segments": len(store.segments) + (store.writer.fd >= 0) if store else 0,
            "bridged": len(self.bridge),
            "unsynced": self.unsynced,
            "acknowledged": {name: self.state.of(name).acknowledged for name in self.limits.transports},
            "problem": self.problem,
        }
