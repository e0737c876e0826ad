"""The bytes of the write-ahead log: headers, frames and checksums (docs/clients.md, version 1). Nothing else.

A frame is found again behind broken ones by what it says of itself: a length that is possible, a sequence
number that can stand there, and the checksum. Entries are JSON, which has no byte 0, and each frame's length
begins with one; so no entry, whatever is in it, passes for a frame.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from sentinel_client._types import MAX_ENTRY

MAGIC = b"SWL1"
HEADER = 32  # bytes of a segment's header
FRAME = 16  # bytes of a frame before its entry
CRC32C, CRC32 = 1, 2
PATIENCE = 16  # checksums over so many times a segment's size are computed in vain before it is given up

Checksum = Callable[[bytes], int]

_HEADER = struct.Struct(">4sB3xQQ4x")
_FRAME = struct.Struct(">IIQ")
_BODY = struct.Struct(">IQ")
_SUM = struct.Struct(">I")
pack_body = _BODY.pack
pack_sum = _SUM.pack
_LENGTH = rb"\x00(?:\x00(?!\x00\x00)[\x00-\xff]{2}|\x01\x00\x00)"  # 1 to 65,536, big-endian


@dataclass(frozen=True, slots=True)
class Header:
    """What a segment says of itself: its kind of checksum, its first number, when it was made (epoch ns)."""

    kind: int
    first: int
    made: int


def native_crc32c() -> Checksum | None:
    """Return CRC-32C in C, where `google-crc32c` is installed with its C extension."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where it has no C extension
        try:
            import google_crc32c
        except ImportError:
            return None
    if google_crc32c.implementation != "c":
        return None
    value: Checksum = google_crc32c.value
    return value


@cache
def _table() -> tuple[int, ...]:
    """Return the table of CRC-32C: polynomial 0x1EDC6F41, reflected (RFC 3720, B.4)."""
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


def plain_crc32c(data: bytes) -> int:
    """Compute CRC-32C without native code, some 100 ns a byte: good for reading what others wrote.

    >>> hex(plain_crc32c(b"123456789"))
    '0xe3069283'
    """
    table, value = _table(), 0xFFFFFFFF
    for byte in data:
        value = table[(value ^ byte) & 255] ^ value >> 8
    return value ^ 0xFFFFFFFF


@cache
def checksum(kind: int) -> Checksum:
    """Return the function that computes checksums of a kind.

    Raises `ValueError`: there is no such kind.
    """
    if kind == CRC32C:
        return native_crc32c() or plain_crc32c
    if kind == CRC32:
        return zlib.crc32
    raise ValueError(f"no checksum has the kind {kind}")


@cache
def written_kind() -> int:
    """Return the kind that new segments get: CRC-32C where it is native, else what zlib computes."""
    return CRC32C if native_crc32c() else CRC32


def encode_header(header: Header) -> bytes:
    """Return a segment's first 32 bytes.

    >>> encode_header(Header(CRC32, 7, 0)).hex()
    '53574c3102000000000000000000000700000000000000000000000088114f32'
    """
    body = _HEADER.pack(MAGIC, header.kind, header.first, header.made)
    return body + pack_sum(checksum(header.kind)(body))


def decode_header(data: bytes) -> Header | None:
    """Return what a header says; None where it is cut off, broken or of another version."""
    if len(data) < HEADER or data[:4] != MAGIC or data[4] not in (CRC32C, CRC32):
        return None
    _, kind, first, made = _HEADER.unpack_from(data)
    header = Header(kind, first, made)
    return header if encode_header(header) == data[:HEADER] else None


def encode_frame(kind: int, sequence: int, entry: bytes) -> bytes:
    """Return an entry's frame."""
    body = pack_body(len(entry), sequence) + entry
    return pack_sum(checksum(kind)(body)) + body


def frames(
    data: bytes, kind: int, expected: int, at: int = HEADER, *, whole: bool = True
) -> Iterator[tuple[int, int, int]]:
    """Go through the whole frames of a segment: sequence number, where the entry begins, where it ends.

    Numbers rise; where one is left out, its frame was broken. Time is linear in the size of `data`, whatever
    is in it. `expected` is the number of the frame at `at`. Without `whole`, `data` is cut off somewhere, and
    it ends at the first frame that is not whole.
    """
    crc, size, patience = checksum(kind), len(data), PATIENCE * len(data)
    while at + FRAME <= size:
        told, length, sequence = _FRAME.unpack_from(data, at)
        stop = at + FRAME + length
        if sequence == expected and 0 < length <= MAX_ENTRY and stop <= size:
            if crc(data[at + 4 : stop]) == told:
                yield sequence, at + FRAME, stop
                at, expected = stop, expected + 1
                continue
            patience -= length
        if not whole or patience < 0:
            return
        at, expected, patience = _resume(data, crc, at, expected, patience)


def _resume(data: bytes, crc: Checksum, broken: int, expected: int, patience: int) -> tuple[int, int, int]:
    """Find the first whole frame behind a broken one: where it is, its number, the patience that is left.

    Where there is none, it is at the end. A frame has 17 bytes at least, which bounds the numbers that can
    follow.
    """
    size = len(data)
    for match in _candidates(expected, expected + (size - broken) // (FRAME + 1)).finditer(data, broken + 5):
        at = match.start() - 4
        told, length, sequence = _FRAME.unpack_from(data, at)
        stop = at + FRAME + length
        if stop > size or not expected <= sequence <= expected + (at - broken) // (FRAME + 1):
            continue
        if crc(data[at + 4 : stop]) == told:
            return at, sequence, patience
        patience -= length
        if patience < 0:
            break
    return size, expected, patience


def _candidates(lowest: int, highest: int) -> re.Pattern[bytes]:
    """Return what length and number of a frame look like whose number is between two."""
    low, high = lowest.to_bytes(8, "big"), min(highest, 2**64 - 1).to_bytes(8, "big")
    same = next((n for n in range(8) if low[n] != high[n]), 8)
    rest = b"[\\x00-\\xff]{%d}" % (8 - same)
    return re.compile(rb"(?=" + _LENGTH + re.escape(low[:same]) + rest + rb")", re.DOTALL)


def kind_of(data: bytes, first: int) -> int:
    """Return the kind of checksum by which more frames are whole, for a segment whose header is broken."""
    return max((CRC32, CRC32C), key=lambda kind: sum(1 for _ in frames(data, kind, first)))


def broken_tail(data: bytes, at: int, expected: int) -> int:
    """Count the frames that are complete in length from `at` on, where none is whole.

    Something broke them: a write that was cut off leaves no complete frame.
    """
    lost = 0
    while at + FRAME <= len(data):
        _, length, sequence = _FRAME.unpack_from(data, at)
        at += FRAME + length
        if sequence != expected + lost or not 0 < length <= MAX_ENTRY or at > len(data):
            break
        lost += 1
    return lost
