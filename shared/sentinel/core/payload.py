"""Payloads: what a segment holds, compressed, encrypted where its service is, and with what was erased.

A payload is ``zstd(nonce ‖ u32(length of context) ‖ context ‖ lines joined by LF)``. A line is an entry, or,
once that was erased, ``!`` and its leaf in hex. `codec` says by flags what a payload is. An encrypted one is
bound to its place in its chain and to its data key (docs/encryption.md).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import zstandard

from sentinel.core import chain as hashing
from sentinel.errors import Forbidden, Tampered

if TYPE_CHECKING:
    from sentinel.core.segment import Segment

CODEC_ZSTD = 1
CODEC_SEALED = 2  # encrypted, under the data key that `key` names
CODEC_ERASED = 4  # lines that begin with ERASED stand for entries that were erased
CODECS = frozenset({1, 3, 5, 7})
ERASED = b"!"  # and behind it the entry's leaf, in hex; no entry begins so, as each is a JSON object
ERASED_ENTRY = b'{"sentinel":"erased"}'  # what readers are shown in the place of an entry that was erased
BLANK = (bytes(hashing.NONCE_BYTES), b"{}")  # nonce and context where all entries were erased
PLAIN_LIMIT = 24_000_000  # bytes a payload may unpack to: as much as the records of an OTLP request come to
_ZSTD_LEVEL = 1
_LEAF = re.compile(rb"[0-9a-f]{%d}" % (2 * hashing.HASH_BYTES))


class Opener(Protocol):
    """Decrypts payloads (docs/encryption.md)."""

    def open(self, segment: Segment) -> bytes:
        """Return the payload of a segment, decrypted, still compressed.

        Raises `Tampered` where it was changed, `Forbidden` where its key may not be used, `Unavailable`.
        """


@dataclass(frozen=True, slots=True)
class Place:
    """Where a segment stands: what its payload is bound to where it is encrypted. `t` in nanoseconds."""

    chain: str
    first: int
    count: int
    prev: bytes
    t: int

    def bound(self, key: str) -> bytes:
        """Return the associated data of an encrypted payload: the place, and the id of the data key."""
        name, used = self.chain.encode(), key.encode()
        sizes = len(name).to_bytes(4, "big") + len(used).to_bytes(4, "big")
        numbers = b"".join(number.to_bytes(8, "big") for number in (self.first, self.count, self.t))
        return b"".join((b"SA1", sizes, name, used, numbers, self.prev))


class Cipher(Protocol):
    """Encrypts payloads on their way into a chain."""

    def seal(self, payload: bytes, place: Place) -> tuple[str, bytes]:
        """Return (id of the data key, payload encrypted and bound to its place).

        Raises `Unavailable` where there is no data key to be had, `Forbidden` where it may not be used.
        """


@dataclass(frozen=True, slots=True)
class Opened:
    """What a payload holds: the nonce, the context as JSON bytes, and the entries.

    `erased` has the leaf of each entry that was erased, by its place in the segment; `entries` has
    `ERASED_ENTRY` there. Where all were erased nonce and context are gone, too: zeros and `{}`.
    """

    nonce: bytes
    context: bytes
    entries: list[bytes]
    erased: dict[int, bytes] = field(default_factory=dict)

    def leaves(self) -> list[bytes]:
        """Return the leaf of each entry."""
        found = hashing.leaves(hashing.salt(self.nonce, self.context), self.entries)
        for place, leaf in self.erased.items():
            found[place] = leaf
        return found

    def pack(self) -> bytes:
        """Return the payload that holds this, compressed and not encrypted."""
        lines = list(self.entries)
        for place, leaf in self.erased.items():
            lines[place] = ERASED + leaf.hex().encode()
        return pack(self.nonce, self.context, lines)


def pack(nonce: bytes, context: bytes, lines: Sequence[bytes]) -> bytes:
    """Return a payload, compressed."""
    size = len(context).to_bytes(4, "big")
    return _codecs().compress(b"".join((nonce, size, context, b"\n".join(lines))))


def unpack(segment: Segment) -> Opened:
    """Return what a segment's payload holds. Raises `Tampered`, and `Forbidden` where it may not be read."""
    if segment.codec not in CODECS or bool(segment.codec & CODEC_SEALED) != bool(segment.key):
        raise Tampered(segment.chain, segment.first, "codec", f"unknown codec {segment.codec}")
    segment.check_numbers()
    packed = segment.payload
    if segment.codec & CODEC_SEALED:
        if segment.opener is None:
            raise Forbidden(f"the entries of {segment.chain} are encrypted, and this has no key for them")
        packed = segment.opener.open(segment)
    try:
        plain = _codecs().decompress(packed)
    except zstandard.ZstdError as error:
        raise Tampered(segment.chain, segment.first, "payload", f"does not unpack: {error}") from None
    at = hashing.NONCE_BYTES + 4
    size = int.from_bytes(plain[hashing.NONCE_BYTES : at], "big")
    if len(plain) < at + size:
        raise Tampered(segment.chain, segment.first, "payload", "is cut off")
    entries = plain[at + size :].split(b"\n")
    erased = _erased(segment, entries) if segment.codec & CODEC_ERASED else {}
    return Opened(plain[: hashing.NONCE_BYTES], plain[at : at + size], entries, erased)


def _erased(segment: Segment, lines: list[bytes]) -> dict[int, bytes]:
    """Return the leaves of erased entries, and put what readers are shown in their places."""
    found = {}
    for place, line in enumerate(lines):
        if line.startswith(ERASED):
            if not _LEAF.fullmatch(line, 1):
                raise Tampered(
                    segment.chain, segment.first + place, "payload", "has no leaf where it was erased"
                )
            found[place] = bytes.fromhex(line[1:].decode())
            lines[place] = ERASED_ENTRY
    if not found:
        raise Tampered(segment.chain, segment.first, "codec", "says that entries were erased, and none was")
    return found


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
