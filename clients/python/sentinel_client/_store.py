"""What one slot has on disk: its segments, the budget they keep within, and what is not synced yet.

Nothing here locks: the write-ahead log calls it under its own lock.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from sentinel_client import _frames
from sentinel_client._counts import Counts
from sentinel_client._disk import Disk
from sentinel_client._segments import Segment, Writer, create, cut, recover, unwritable
from sentinel_client._slots import Slot


class Full(Exception):
    """The budget is reached, and policy evicts nothing, or nothing can be evicted."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How a write-ahead log is kept: see `Wal`."""

    fsync: str = "interval"
    interval: float = 1.0
    max_bytes: int = 256 << 20
    when_full: str = "drop_oldest"
    block: float = 0.5
    segment_bytes: int = 8 << 20
    transports: Sequence[str] = ("http",)
    bridge_bytes: int = 4 << 20
    retry: float = 0.25


@dataclass(slots=True)
class Unsynced:
    """What a sync has to do: files to close behind it, the one that is written, the folder if that changed."""

    retired: list[int]
    fd: int
    upto: int  # the number behind the last entry that it covers
    folder: str


@dataclass(slots=True)
class Store:
    """The segments of a slot. `closed_bytes` is the size of all but the one that is written."""

    disk: Disk
    slot: Slot
    limits: Limits
    counts: Counts
    segments: list[Segment] = field(default_factory=list)
    writer: Writer = field(init=False)
    retired: list[int] = field(default_factory=list)
    closed_bytes: int = 0
    folder_changed: bool = True
    synced: int = 0  # entries below this number were synced, or are known not to be

    def __post_init__(self) -> None:
        used = self.slot.state.used
        found = recover(self.disk, self.slot.folder, used)
        self.segments, self.writer = found.segments, found.writer or unwritable(found.next)
        self.closed_bytes = sum(segment.end for segment in self.segments)
        if found.lost:
            self.counts.add("corrupt", found.lost)
        self.synced = self.writer.next
        self.set_limit()

    def set_limit(self) -> None:
        """Say how far the segment that is written may grow before `put` has to look."""
        room = self.limits.max_bytes - self.closed_bytes
        self.writer.limit = min(self.limits.segment_bytes, room) if self.writer.fd >= 0 else -1

    def put(self, number: int, entry: bytes) -> None:
        """Write the entry with a number, into a new segment where the one that is written is full.

        Raises `Full`: there is no room in the budget. `OSError`: it is not written.
        """
        need = len(entry) + _frames.FRAME
        self._make_room(need + _frames.HEADER)
        writer = self.writer
        full = writer.end + need > self.limits.segment_bytes and writer.end > _frames.HEADER
        if writer.fd < 0 or writer.next != number or full:
            self.retire()
            self.writer = create(self.disk, self.slot.folder, number)
            self.folder_changed = True
        self.writer.write(self.disk, entry)
        self.set_limit()

    def _make_room(self, need: int) -> None:
        while self.closed_bytes + self.writer.end + need > self.limits.max_bytes:
            if self.limits.when_full != "drop_oldest" or not self._evict():
                raise Full

    def _evict(self) -> bool:
        """Delete the oldest segment that no batch under way touches, and count what was not sent."""
        state = self.slot.state
        ranges = [progress.sending for progress in state.transports.values() if progress.sending]
        for segment in self.segments:
            if any(
                first < segment.next and segment.first < first + count for first, count in ranges if count
            ):
                continue
            self.forget(segment)
            delete(self.disk, [segment])
            unsent = segment.next - max(segment.first, self.acknowledged())
            if unsent > 0:
                self.counts.add("evicted", unsent)
            state.evicted = max(state.evicted, segment.next)
            return True
        return False

    def acknowledged(self) -> int:
        """Return the number below which all transports are done."""
        return min((self.slot.state.of(name).acknowledged for name in self.limits.transports), default=0)

    def retire(self) -> None:
        """Close the segment that is written; the next entry begins another. Its file waits to be synced."""
        writer = self.writer
        if writer.fd < 0:
            return
        self.writer = unwritable(writer.next)
        cut(self.disk, writer.fd, writer.end)
        if writer.end > _frames.HEADER:
            self.segments.append(writer.done())
            self.closed_bytes += writer.end
        else:
            delete(self.disk, [writer.segment])
        self.retired.append(writer.fd)

    def done(self) -> list[Segment]:
        """Take out the segments that all transports are done with, for the caller to delete without the lock.

        One is left, for its name says what number the next entry has, should the state be lost.
        """
        upto = self.acknowledged()
        done = [segment for segment in self.segments if segment.next <= upto]
        if self.writer.fd < 0 and len(done) == len(self.segments):
            done = done[:-1]
        for segment in done:
            self.forget(segment)
        return done

    def forget(self, segment: Segment) -> None:
        """Take a segment out of those that are read."""
        if segment in self.segments:
            self.segments.remove(segment)
            self.closed_bytes -= segment.end
            self.set_limit()

    def unsynced(self) -> Unsynced | None:
        """Say what is to be synced, and take it for done; None where nothing is."""
        writer = self.writer
        changed = writer.fd >= 0 and writer.synced < writer.end
        if not (self.retired or changed or self.folder_changed):
            return None
        retired, self.retired = self.retired, []
        folder, self.folder_changed = self.folder_changed, False
        writer.synced = writer.end
        return Unsynced(
            retired, writer.fd if changed else -1, writer.next, str(self.slot.folder) if folder else ""
        )

    def close_retired(self) -> None:
        """Close the files that are full. Nothing is synced."""
        retired, self.retired = self.retired, []
        for fd in retired:
            self.disk.close(fd)

    def close(self, *, remove: bool = False) -> None:
        """Close the files and give the slot back, or delete it. Nothing is synced."""
        writer = self.writer
        if writer.fd >= 0:
            self.writer = unwritable(writer.next)
            cut(self.disk, writer.fd, writer.end)
            self.disk.close(writer.fd)
        self.close_retired()
        try:
            if remove:
                self.slot.remove()
        except OSError:
            pass  # it is empty, and found again
        finally:
            self.slot.release()

    def leave(self, *, keep_writer: bool) -> None:
        """In a forked child: close its copies. With `keep_writer`, what is yet written goes nowhere."""
        self.close_retired()
        if self.writer.fd < 0:
            return
        if keep_writer:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.writer.fd, inheritable=False)
            os.close(null)
        else:
            self.disk.close(self.writer.fd)


def delete(disk: Disk, segments: Sequence[Segment]) -> None:
    """Delete files of segments; one that cannot be deleted is tried again when the slot is opened anew."""
    for segment in segments:
        try:
            disk.unlink(segment.path)
        except OSError:
            continue


def sync_all(disk: Disk, work: Unsynced) -> None:
    """Sync the files, and close those that are full.

    Raises `OSError`: at least one was not synced. It is not tried again, for the system may have dropped what
    it could not write, and say then that all is well.
    """
    failed: OSError | None = None
    for fd in [*work.retired, *([work.fd] if work.fd >= 0 else [])]:
        try:
            disk.sync(fd)
        except OSError as error:
            failed = error
    for fd in work.retired:
        disk.close(fd)
    if work.folder:
        disk.sync_folder(work.folder)
    if failed:
        raise failed
