"""Runs: objects of the archive, each a run of segments of one chain (docs/archive.md).

``SAR1 ‖ u64 first ‖ u64 end ‖ zstd(body)``; the frame names its size and has a checksum. The body is
``u16 length ‖ chain``, then for each segment ``u64 first ‖ u32 count ‖ u64 t ‖ u32 codec ‖ prev ‖ head`` and
recent, tree, key and payload, each behind its u32 length. Integers are big-endian. Payloads are as they were
stored; the frame around them makes little of what was carried from segment to segment.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

import zstandard

from sentinel.core.payload import Opener
from sentinel.core.segment import Segment
from sentinel.errors import Tampered, TooLarge

MAGIC = b"SAR1"
TARGET = 6_000_000  # bytes after which a run is full, by `weight`
MOST_SEGMENTS = 1_000
MOST_BYTES = 16_000_000  # of an object: a full run and its last segment are well below
LEAF = 36  # bytes that the leaf of an erased entry takes: 64 hex digits of it, which compress to half
_BEGIN = struct.Struct(">4sQQ")
_SEGMENT = struct.Struct(">QIQI32s32s")
_SIZE = struct.Struct(">I")
BEGIN_BYTES = _BEGIN.size


@dataclass(frozen=True, slots=True)
class Run:
    """What one object holds: segments in order, each linked to the one before."""

    segments: tuple[Segment, ...]

    @property
    def chain(self) -> str:
        """Whose segments they are."""
        return self.segments[0].chain

    @property
    def first(self) -> int:
        """The sequence number of its first entry."""
        return self.segments[0].first

    @property
    def end(self) -> int:
        """The sequence number behind its last entry."""
        return self.segments[-1].next

    def at(self, seq: int) -> Segment | None:
        """Return the segment that holds entry `seq`, or None."""
        return next((each for each in self.segments if each.first <= seq < each.next), None)

    def with_segments(self, changed: Sequence[Segment]) -> Run | None:
        """Return the run with other forms of its segments; None where it has none in one of their places."""
        forms = {each.first: each for each in changed}
        have = {each.first: each for each in self.segments}
        if not all(first in have and alike(have[first], each) for first, each in forms.items()):
            return None
        return Run(tuple(forms.get(each.first, each) for each in self.segments))

    def encode(self) -> bytes:
        """Return the object's bytes. Raises `TooLarge` for more than can be read again."""
        name = self.chain.encode()
        parts = [len(name).to_bytes(2, "big"), name]
        for each in self.segments:
            parts.append(_SEGMENT.pack(each.first, each.count, each.t, each.codec, each.prev, each.head))
            for value in (each.recent, each.tree, each.key.encode(), each.payload):
                parts += (_SIZE.pack(len(value)), value)
        body = b"".join(parts)
        if len(body) > MOST_BYTES:
            raise TooLarge(
                f"what is archived of {self.chain} from entry {self.first} on would be over "
                f"{MOST_BYTES:,} bytes"
            )
        packed = zstandard.ZstdCompressor(level=3, write_checksum=True).compress(body)
        return _BEGIN.pack(MAGIC, self.first, self.end) + packed


def alike(one: Segment, other: Segment) -> bool:
    """Say whether two segments are forms of one: of the same place, with the same commitments.

    Their payloads may differ, where one was erased or is encrypted otherwise.
    """
    return _committed(one) == _committed(other)


def commitment(segment: Segment) -> bytes:
    """Return a SHA-256 that two segments share where they are `alike`, and only there."""
    return sha256(repr(_committed(segment)).encode()).digest()


def _committed(it: Segment) -> tuple[object, ...]:
    return it.chain, it.first, it.count, it.prev, it.head, it.t, it.recent, it.tree


def weight(segment: Segment) -> int:
    """Return how many bytes a segment adds to a run at most, whatever of it is erased later on.

    Lines that are alike compress to a byte or two each, and their leaves do not.
    """
    carried = len(segment.recent) + len(segment.tree) + len(segment.key) + _SEGMENT.size
    return len(segment.payload) + LEAF * segment.count + carried


def check_linked(chain: str, segments: Sequence[Segment]) -> None:
    """Raise `Tampered` where segments are not one contiguous run of a chain, each linked to the last."""
    before: Segment | None = None
    for each in segments:
        if each.chain != chain or (
            before is not None and (each.first, each.prev) != (before.next, before.head)
        ):
            raise Tampered(chain, each.first, "archive", "is not linked to what is archived before it")
        before = each


def end_of(chain: str, first: int, begin: bytes) -> int:
    """Return where an object ends that should begin at `first`, from its first `BEGIN_BYTES` bytes."""
    try:
        magic, said, end = _BEGIN.unpack_from(begin)
    except struct.error:
        magic, said, end = b"", 0, 0
    if (magic, said) != (MAGIC, first) or end <= first:
        raise Tampered(chain, first, "archive", "its object in the archive is none of ours")
    return int(end)


def decode(chain: str, first: int, raw: bytes, opener: Opener | None = None) -> Run:
    """Read an object that should hold a chain's segments from `first` on. Raises `Tampered`."""
    end = end_of(chain, first, raw)
    try:
        body = memoryview(_unpacked(raw[BEGIN_BYTES:]))
        size = int.from_bytes(body[:2], "big")
        named = bytes(body[2 : 2 + size]).decode()
        run = Run(tuple(_segments(named, body[2 + size :], opener)))
    except (ValueError, struct.error, zstandard.ZstdError) as error:
        raise Tampered(chain, first, "archive", f"its object cannot be read: {error}") from None
    if not run.segments or (run.chain, run.first, run.end) != (chain, first, end):
        raise Tampered(chain, first, "archive", "its object holds other segments than its name says")
    check_linked(chain, run.segments)
    return run


def _unpacked(packed: bytes) -> bytes:
    size = zstandard.frame_content_size(packed)
    if not 0 <= size <= MOST_BYTES:
        raise ValueError(f"it says that it unpacks to {size} bytes, over {MOST_BYTES}")
    return zstandard.ZstdDecompressor().decompress(packed, max_output_size=size, allow_extra_data=False)


def _segments(chain: str, body: memoryview, opener: Opener | None) -> Iterator[Segment]:
    at = 0
    while at < len(body):
        first, count, t, codec, prev, head = _SEGMENT.unpack_from(body, at)
        at += _SEGMENT.size
        values = []
        for _ in range(4):
            (size,) = _SIZE.unpack_from(body, at)
            at += _SIZE.size
            if at + size > len(body):
                raise ValueError("it is cut off")
            values.append(bytes(body[at : at + size]))
            at += size
        recent, tree, key, payload = values
        yield Segment(chain, first, count, prev, head, t, payload, codec, recent, tree, key.decode(), opener)
