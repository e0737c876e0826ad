"""Segments: the files that hold a slot's frames, how one is read, written, and taken up after a crash."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from sentinel_client import _frames
from sentinel_client._disk import CREATE, READ, UPDATE, Disk, read_whole, write_whole
from sentinel_client._types import MAX_ENTRY

_NAME = re.compile(r"[0-9a-f]{16}\.wal")
_PLACES = 8  # offsets that a segment remembers: one for each reader that is in it


@dataclass(frozen=True, slots=True)
class Run:
    """Entries that follow each other: those with the numbers `first` to `first + count - 1`.

    Entries of the range that were lost on disk are missing in `entries`. Where nothing was left of what was
    asked for, `first` is beyond it: there what is left begins.
    """

    first: int
    count: int
    entries: list[bytes]
    numbers: list[int]  # of `entries`, in order


@dataclass(slots=True)
class Segment:
    """A file of frames: no entry of it has a number from `next` on; `end` is its size in bytes."""

    path: str
    first: int
    end: int
    next: int
    kind: int | None = None  # of its checksums, once it was read
    places: dict[int, int] = field(default_factory=dict)  # number of an entry -> where its frame is

    def read(self, disk: Disk, first: int, max_entries: int, max_bytes: int, end: int) -> Run:
        """Read entries from the number `first` on, up to the offset `end`: `max_bytes` of them, or one.

        The run ends before the number `first + max_entries`. A count of 0 says that none of them is here.

        Raises `OSError`: the file cannot be read, or is gone.
        """
        fd = disk.open(self.path, READ)
        try:
            kind = self.kind = self.kind or self._kind(disk, fd, end)
            number, at = self._place(first)
            if number == first and max_bytes + MAX_ENTRY < end - at:
                data = read_whole(disk, fd, max_bytes + MAX_ENTRY + _frames.FRAME, at)
                run = self._run(data, kind, (number, at), (first, max_entries, max_bytes), whole=False)
                if run.count:
                    return run
            data = read_whole(disk, fd, end - at, at)
            return self._run(data, kind, (number, at), (first, max_entries, max_bytes), whole=True)
        finally:
            disk.close(fd)

    def _kind(self, disk: Disk, fd: int, end: int) -> int:
        """Return the kind of checksum: what the header says, or else what fits."""
        header = _frames.decode_header(read_whole(disk, fd, _frames.HEADER, 0))
        if header and header.first == self.first:
            return header.kind
        return _frames.kind_of(read_whole(disk, fd, end, 0), self.first)

    def _place(self, first: int) -> tuple[int, int]:
        """Return the number and the place of the last known frame that does not lie behind `first`."""
        known = [place for place in list(self.places.items()) if place[0] <= first]
        return max(known, default=(self.first, _frames.HEADER))

    def _run(
        self, data: bytes, kind: int, place: tuple[int, int], bounds: tuple[int, int, int], *, whole: bool
    ) -> Run:
        """Take the entries of a run out of the bytes from a place on; remember where it ends."""
        first, max_entries, left = bounds
        entries: list[bytes] = []
        numbers: list[int] = []
        number, at = place
        for sequence, start, stop in _frames.frames(data, kind, number, 0, whole=whole):
            if sequence >= first + max_entries or (entries and stop - start > left):
                break
            if sequence >= first:
                entries.append(data[start:stop])
                numbers.append(sequence)
                left -= stop - start
                at = place[1] + stop
        if not entries:
            return Run(first, 0, [], [])
        self.places[numbers[-1] + 1] = at
        while len(self.places) > _PLACES:
            self.places.pop(next(iter(self.places)), None)
        return Run(first, numbers[-1] + 1 - first, entries, numbers)


class Writer:
    """The segment that is written: all that an append needs, as plain attributes.

    `next` is the number of the entry to come, `end` where its frame goes. Both move only once the whole frame
    is written, so whatever interrupts a write, the next one writes over it. No frame may go beyond `limit`.
    """

    __slots__ = ("crc", "end", "fd", "limit", "next", "segment", "synced")

    def __init__(self, fd: int, segment: Segment, kind: int, number: int) -> None:
        self.fd, self.segment, self.next, self.end = fd, segment, number, segment.end
        self.crc = _frames.checksum(kind)
        self.limit = -1  # until it is known how much may be written
        self.synced = self.end

    def write(self, disk: Disk, entry: bytes) -> None:
        """Write an entry's frame.

        Raises `OSError`: nothing is changed; a part of the frame that is there is cut off or written over.
        """
        body = _frames.pack_body(len(entry), self.next) + entry
        try:
            write_whole(disk, self.fd, _frames.pack_sum(self.crc(body)) + body, self.end)
        except OSError:
            cut(disk, self.fd, self.end)
            raise
        self.end += len(body) + 4
        self.next += 1

    def done(self) -> Segment:
        """Return the segment as it is read from now on."""
        self.segment.end, self.segment.next = self.end, self.next
        return self.segment


def unwritable(number: int) -> Writer:
    """Return a writer that takes nothing, for as long as there is no segment to write."""
    return Writer(-1, Segment("", number, 0, number), _frames.CRC32, number)


def cut(disk: Disk, fd: int, end: int) -> None:
    """Cut a file off at its end, if the disk lets us: what is behind it counts as torn either way."""
    try:
        disk.truncate(fd, end)
    except OSError:
        return


def create(disk: Disk, folder: Path, number: int) -> Writer:
    """Make a segment whose first entry will have a number.

    Raises `OSError`: it cannot be made; there is none then.
    """
    path = f"{folder}/{number:016x}.wal"
    kind = _frames.written_kind()
    fd = disk.open(path, CREATE, 0o600)
    try:
        header = _frames.encode_header(_frames.Header(kind, number, max(disk.now(), 0)))
        write_whole(disk, fd, header, 0)
    except BaseException:
        disk.close(fd)
        disk.unlink(path)
        raise
    return Writer(fd, Segment(path, number, _frames.HEADER, number), kind, number)


@dataclass(slots=True)
class Recovered:
    """What a slot has: its segments, the one to go on with, the number to go on with, how many were cut."""

    segments: list[Segment]
    writer: Writer | None
    next: int
    lost: int = 0


def recover(disk: Disk, folder: Path, used: int) -> Recovered:
    """Take up the segments of a slot, and cut the torn tail of the newest one away.

    Numbers below `used` were sent once. Where the tail of the newest segment does not reach it, since it was
    lost with the power, the next segment begins there, for numbers are used once.

    Raises `OSError`: the segments cannot be read.
    """
    names = sorted(name for name in disk.listing(folder) if _NAME.fullmatch(name))
    segments = []
    for name in names:
        path = f"{folder}/{name}"
        first = int(name[:16], 16)
        segments.append(Segment(path, first, disk.stat(path).st_size, first))
    for segment, following in pairwise(segments):
        segment.next = following.first
    if not segments:
        return Recovered([], None, used)
    newest = segments.pop()
    writer, number, lost = _take_up(disk, newest)
    if writer is not None and number >= used:
        return Recovered(segments, writer, number, lost)
    if writer is not None:
        disk.close(writer.fd)
    if number == newest.first:
        disk.unlink(newest.path)
    else:
        segments.append(newest)
    return Recovered(segments, None, max(number, used), lost)


def _take_up(disk: Disk, newest: Segment) -> tuple[Writer | None, int, int]:
    """Open the newest segment to go on with: its writer, if it has one; the next number; what was lost."""
    fd = disk.open(newest.path, UPDATE)
    try:
        data = read_whole(disk, fd, newest.end, 0)
        header = _frames.decode_header(data)
        good = header is not None and header.first == newest.first
        kind = header.kind if header and good else _frames.kind_of(data, newest.first)
        number, end = newest.first, min(_frames.HEADER, len(data))
        for sequence, _, stop in _frames.frames(data, kind, newest.first):
            number, end = sequence + 1, stop
        lost = _frames.broken_tail(data, end, number)
        if end < len(data):
            disk.truncate(fd, end)
        newest.end, newest.next = end, number
        if good and kind == _frames.written_kind():
            return Writer(fd, newest, kind, number), number, lost
    except BaseException:
        disk.close(fd)
        raise
    disk.close(fd)
    return None, number, lost
