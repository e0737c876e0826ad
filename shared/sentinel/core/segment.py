"""Segments: how a batch of entries becomes stored items, and how a stored chain is checked.

A `Draft` is a part of a batch, hashed and compressed once and independent of where it will stand; `place`
links it to the head of its chain, so that losing a race costs only the links. A `Segment` is what is stored
(attributes as in `docs/wire.md`). `recent` is the dedup window: one record for each of the last
64 segments of the chain, this one included, oldest first.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import orjson
import zstandard

from sentinel.core import chain as hashing
from sentinel.errors import Tampered

CODEC_ZSTD = 1
STORED_LIMIT = 350_000  # bytes of payload; a DynamoDB item may have 400 KB in all
PLAIN_LIMIT = 16_000_000  # bytes a payload may unpack to: three times the largest batch
WINDOW = 64
BATCH_ID_BYTES = 16
_ZSTD_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Part:
    """A dedup record: which batch a segment belongs to and which part of that batch it holds.

    `offset` is the index in the batch of the segment's first entry, `count` its entries, `total` the
    batch's entries. A batch that fits one segment has offset 0 and count equal to total.
    """

    batch_id: bytes
    count: int
    offset: int
    total: int

    def encode(self) -> bytes:
        """Return the record: 16 bytes, then count, offset and total - offset - count as LEB128."""
        rest = self.total - self.offset - self.count
        return self.batch_id + _leb128(self.count) + _leb128(self.offset) + _leb128(rest)

    @property
    def end(self) -> int:
        """How many entries of the batch are stored once this part is."""
        return self.offset + self.count


def _leb128(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def decode_window(recent: bytes) -> list[tuple[Part, bytes]]:
    """Return each record of a dedup window with its own bytes, oldest first.

    Raises `ValueError` where the bytes are no such window.
    """
    found = []
    at = 0
    while at < len(recent):
        start = at
        at += BATCH_ID_BYTES
        numbers = []
        for _ in range(3):
            number = shift = 0
            while True:
                if at >= len(recent) or shift > 56:
                    raise ValueError("the dedup window is cut off")
                byte = recent[at]
                at += 1
                number |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    break
            numbers.append(number)
        count, offset, rest = numbers
        part = Part(recent[start : start + BATCH_ID_BYTES], count, offset, offset + count + rest)
        found.append((part, recent[start:at]))
    return found


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
    """A part of a batch, hashed and compressed, not yet placed in a chain."""

    part: Part
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
            context = orjson.dumps({**self.context, **_part_context(part)})
            size = len(context).to_bytes(4, "big")
            payload = _codecs().compress(b"".join((nonce, size, context, b"\n".join(entries))))
            if len(payload) <= STORED_LIMIT or count == 1:
                salt = hashing.salt(nonce, context)
                return Draft(part, hashing.leaves(salt, entries), payload)
            count = max(1, min(count - 1, count * STORED_LIMIT * 95 // (len(payload) * 100)))


def _part_context(part: Part) -> dict[str, object]:
    whole: dict[str, object] = {"batch": part.batch_id.hex()}
    if part.count != part.total:
        whole |= {"offset": part.offset, "total": part.total}
    return whole


@dataclass(slots=True)
class Verifier:
    """Checks a chain segment by segment, from its first. One for each chain.

    `next` and `hash` say what has been verified so far: as many entries, and H of the last one.
    """

    chain: str
    next: int = 0
    hash: bytes = b""
    t: int = 0
    segments: int = 0
    window: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        self.hash = self.hash or hashing.genesis(self.chain)

    def check(self, segment: Segment) -> None:
        """Take in the next segment. Raises `Tampered` with the place and the kind of the damage."""
        self._check_place(segment)
        opened = segment.opened
        if len(opened.entries) != segment.count:
            held = len(opened.entries)
            raise self._tampered(segment, "count", f"says {segment.count} entries, holds {held}")
        salt = hashing.salt(opened.nonce, opened.context)
        service = hashing.service_of(self.chain)
        head = hashing.follow(self.hash, salt, opened.entries, segment.t, service)
        if head != segment.head:
            raise self._tampered(
                segment, "hash", "its entries, context or time are not those its head commits to"
            )
        self._check_window(segment)
        self.next += segment.count
        self.hash = head
        self.t = segment.t
        self.segments += 1

    def check_all(self, segments: Iterable[Segment]) -> None:
        """Take in segments in order."""
        for segment in segments:
            self.check(segment)

    def _check_place(self, segment: Segment) -> None:
        if segment.chain != self.chain:
            raise self._tampered(segment, "place", f"belongs to chain {segment.chain}")
        if segment.first > self.next:
            raise Tampered(
                self.chain, self.next, "missing", f"entries {self.next} to {segment.first - 1} are gone"
            )
        if segment.first < self.next:
            raise self._tampered(segment, "place", f"stands where entry {self.next} should begin")
        if segment.prev != self.hash:
            raise self._tampered(segment, "link", "is not linked to the entry before it")
        if not self.t <= segment.t < 1 << 64:
            raise self._tampered(segment, "time", "is older than the segment before it")

    def _check_window(self, segment: Segment) -> None:
        before = self.window[1 - WINDOW :]
        known = b"".join(before)
        raw = segment.recent[len(known) :]
        try:
            parts = decode_window(raw)
        except ValueError:
            parts = []
        if len(parts) != 1 or not segment.recent.startswith(known) or parts[0][0].count != segment.count:
            raise self._tampered(segment, "window", "its dedup window does not follow from the one before")
        context = _object(segment.opened.context)
        if any(context.get(name) != value for name, value in _part_context(parts[0][0]).items()):
            raise self._tampered(segment, "window", "its dedup window names another batch than its context")
        self.window = (*before, raw)

    def _tampered(self, segment: Segment, kind: str, detail: str) -> Tampered:
        return Tampered(self.chain, segment.first, kind, detail)


def _object(raw: bytes) -> dict[str, object]:
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def numbered(segment: Segment) -> Iterator[tuple[int, bytes]]:
    """Yield (sequence number, entry) of a segment."""
    return enumerate(segment.opened.entries, segment.first)
