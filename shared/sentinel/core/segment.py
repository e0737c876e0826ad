"""Segments: how a batch of entries becomes stored items, and how a stored chain is checked.

A `Draft` is a part of a batch, hashed and compressed once and independent of where it will stand; `place`
links it to the head of its chain, so that losing a race costs only the links. A `Segment` is what is stored
(attributes as in `docs/wire.md`). `recent` is the dedup window: one record for each of the last
64 segments of the chain, this one included, oldest first.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import orjson
import zstandard

from sentinel.core import chain as hashing
from sentinel.core.window import WINDOW, Part, decode_window
from sentinel.errors import Tampered

CODEC_ZSTD = 1
STORED_LIMIT = 350_000  # bytes of payload; a DynamoDB item may have 400 KB in all
PLAIN_LIMIT = 16_000_000  # bytes a payload may unpack to: three times the largest batch
_ZSTD_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends: what the next segment must be linked to.

    `next` is the sequence number of the next entry, `hash` H of the last one, `t` the last segment's time
    in nanoseconds, `window` the encoded dedup records, oldest first.
    """

    next: int
    hash: bytes
    t: int
    window: tuple[bytes, ...]

    @staticmethod
    def genesis(chain: str) -> Head:
        """Return the head of a chain that has no entry yet."""
        return Head(0, hashing.genesis(chain), 0, ())

    @staticmethod
    def after(segment: Segment) -> Head:
        """Return the head of a chain whose newest segment is `segment`."""
        window = tuple(raw for _, raw in segment.parts)
        return Head(segment.first + segment.count, segment.head, segment.t, window)

    def find(self, batch_id: bytes) -> tuple[Part, int] | None:
        """Return the last stored part of a batch and its first sequence number, if the window has it."""
        if not any(raw.startswith(batch_id) for raw in self.window):
            return None
        first = self.next
        for part, _ in reversed(decode_window(b"".join(self.window))):
            first -= part.count
            if part.batch_id == batch_id:
                return part, first
        return None


@dataclass(frozen=True)
class Segment:
    """One stored item: a run of entries of a chain. Attributes as in DynamoDB; bytes are raw."""

    chain: str
    first: int
    count: int
    prev: bytes
    head: bytes
    t: int
    payload: bytes
    codec: int
    recent: bytes

    @cached_property
    def parts(self) -> list[tuple[Part, bytes]]:
        """The dedup window, decoded. Raises `Tampered` where it cannot be."""
        try:
            return decode_window(self.recent)
        except ValueError as error:
            raise Tampered(self.chain, self.first, "window", str(error)) from None

    @cached_property
    def opened(self) -> Opened:
        """The payload, decompressed and taken apart. Raises `Tampered` where it cannot be."""
        return _open(self)


@dataclass(frozen=True, slots=True)
class Opened:
    """What a payload holds: the nonce, the context as JSON bytes, and the entries."""

    nonce: bytes
    context: bytes
    entries: list[bytes]


def _open(segment: Segment) -> Opened:
    if segment.codec != CODEC_ZSTD:
        raise Tampered(segment.chain, segment.first, "codec", f"unknown codec {segment.codec}")
    try:
        plain = _codecs().decompress(segment.payload)
    except zstandard.ZstdError as error:
        raise Tampered(segment.chain, segment.first, "payload", f"does not unpack: {error}") from None
    at = hashing.NONCE_BYTES + 4
    size = int.from_bytes(plain[hashing.NONCE_BYTES : at], "big")
    if len(plain) < at + size:
        raise Tampered(segment.chain, segment.first, "payload", "is cut off")
    entries = plain[at + size :].split(b"\n")
    return Opened(plain[: hashing.NONCE_BYTES], plain[at : at + size], entries)


class _Codecs(threading.local):
    """One compressor and one decompressor a thread: zstandard's objects may not be shared by threads."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL)
        self._decompressor = zstandard.ZstdDecompressor()

    def compress(self, plain: bytes) -> bytes:
        return self._compressor.compress(plain)

    def decompress(self, packed: bytes) -> bytes:
        # The frame names its content size, which bounds the memory before anything is unpacked.
        size = zstandard.frame_content_size(packed)
        if not 0 <= size <= PLAIN_LIMIT:
            raise zstandard.ZstdError(f"says it unpacks to {size} bytes, over {PLAIN_LIMIT}")
        return self._decompressor.decompress(packed, max_output_size=size, allow_extra_data=False)


_local: list[_Codecs] = []


def _codecs() -> _Codecs:
    if not _local:
        _local.append(_Codecs())
    return _local[0]


@dataclass(frozen=True, slots=True)
class Draft:
    """A part of a batch, hashed and compressed, not yet placed in a chain. `salt` is what its leaves have."""

    part: Part
    salt: bytes
    leaves: list[bytes]
    payload: bytes

    def place(self, chain: str, at: Head, now: int) -> tuple[Segment, Head]:
        """Link this draft to the head `at`; return the segment and the head after it.

        `now` is the clock in nanoseconds; time never runs backwards in a chain.
        """
        t = max(now, at.t)
        count = len(self.leaves)
        window = (*at.window[1 - WINDOW :], self.part.encode())
        head = hashing.head(at.hash, self.leaves, t, hashing.service_of(chain))
        segment = Segment(
            chain=chain,
            first=at.next,
            count=count,
            prev=at.hash,
            head=head,
            t=t,
            payload=self.payload,
            codec=CODEC_ZSTD,
            recent=b"".join(window),
        )
        return segment, Head(at.next + count, head, t, window)


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries that came together: each one JSON object on one line, as bytes.

    `context` is the metadata that the salt commits to; batch id, offset and total are added to it. `nonce`
    is 32 random bytes a segment, from the caller.
    """

    batch_id: bytes
    entries: Sequence[bytes]
    context: dict[str, object]

    def draft(self, offset: int, nonce: bytes) -> Draft:
        """Hash and compress the longest run from `offset` that fits one segment.

        A run that does not fit is cut in proportion and tried again, so a batch of N segments costs about
        N + 1 compressions.
        """
        total = len(self.entries)
        count = total - offset
        while True:
            entries = self.entries[offset : offset + count]
            part = Part(self.batch_id, count, offset, total)
            context = orjson.dumps({**self.context, **part.context()})
            size = len(context).to_bytes(4, "big")
            payload = _codecs().compress(b"".join((nonce, size, context, b"\n".join(entries))))
            if len(payload) <= STORED_LIMIT or count == 1:
                salt = hashing.salt(nonce, context)
                return Draft(part, salt, hashing.leaves(salt, entries), payload)
            count = max(1, min(count - 1, count * STORED_LIMIT * 95 // (len(payload) * 100)))


def numbered(segment: Segment) -> Iterator[tuple[int, bytes]]:
    """Yield (sequence number, entry) of a segment."""
    return enumerate(segment.opened.entries, segment.first)
