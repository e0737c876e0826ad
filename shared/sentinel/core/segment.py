"""Segments: how a batch of entries becomes stored items, and how a stored chain is checked.

A `Draft` is a part of a batch, hashed and compressed once and independent of where it will stand; `place`
links it to the head of its chain, so that losing a race costs only the links. A `Segment` is what is stored
(attributes as in `docs/wire.md`). `recent` is the dedup window: one record for each of the last
64 segments of the chain, this one included, oldest first. `tree` is the compact range (`merkle`) of the tree
over H of every entry up to the segment's last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

import orjson

from sentinel.core import chain as hashing
from sentinel.core import merkle
from sentinel.core.numbering import Numbering
from sentinel.core.payload import CODEC_SEALED, CODEC_ZSTD, Cipher, Opened, Opener, Place, pack, unpack
from sentinel.core.window import WINDOW, Part, decode_window
from sentinel.errors import Tampered

NUMBERS = 1 << 63  # what sequence numbers, counts and times stay below: signed integers of 64 bits
STORED_LIMIT = 350_000  # bytes of payload; a DynamoDB item may have 400 KB in all
# Bytes of entries: what repeats itself compresses so well that a whole OTLP request would fit the above, and
# unpack to more than `payload.PLAIN_LIMIT`, so that nobody could read it.
ENTRIES_LIMIT = 8_000_000


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends: what the next segment must be linked to.

    `next` is the sequence number of the next entry, `hash` H of the last one, `t` the last segment's time
    in nanoseconds, `window` the encoded dedup records, oldest first, `tree` the compact range of the tree
    over all of its hashes.
    """

    next: int
    hash: bytes
    t: int
    window: tuple[bytes, ...]
    tree: tuple[bytes, ...] = ()

    @staticmethod
    def genesis(chain: str) -> Head:
        """Return the head of a chain that has no entry yet."""
        return Head(0, hashing.genesis(chain), 0, ())

    @staticmethod
    def after(segment: Segment) -> Head:
        """Return the head of a chain whose newest segment is `segment`.

        Its `tree` is empty where the segment is of a version before trees. Raises `Tampered` for one that
        no further segment can be linked to.
        """
        segment.check_numbers()
        window = tuple(raw for _, raw in segment.parts)
        return Head(segment.next, segment.head, segment.t, window, segment.peaks if segment.tree else ())

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
    tree: bytes = b""
    key: str = ""
    opener: Opener | None = field(default=None, compare=False, repr=False)

    @property
    def next(self) -> int:
        """The sequence number behind its last entry: how many entries the chain has with it."""
        return self.first + self.count

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """The compact range of the tree up to its last entry. Raises `Tampered` where it is none."""
        try:
            return merkle.decode(self.tree, self.next)
        except ValueError as error:
            raise Tampered(self.chain, self.first, "tree", str(error)) from None

    @cached_property
    def parts(self) -> list[tuple[Part, bytes]]:
        """The dedup window, decoded; its own record is the last. Raises `Tampered` where it cannot be."""
        try:
            found = decode_window(self.recent)
        except ValueError as error:
            raise Tampered(self.chain, self.first, "window", str(error)) from None
        if not found:
            raise Tampered(self.chain, self.first, "window", "the dedup window is empty")
        return found

    def check_numbers(self) -> None:
        """Raise `Tampered` for numbers that we cannot have written: a store may hold any."""
        numbers = (("place", self.first, 0), ("count", self.count, 1), ("time", self.t, 0))
        for kind, number, least in (*numbers, ("count", self.next, 1)):
            if not least <= number < NUMBERS:
                raise Tampered(self.chain, self.first, kind, f"has the number {number}, which none can be")

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(self.chain, self.first, self.count, self.prev, self.t)

    @cached_property
    def opened(self) -> Opened:
        """The payload, decompressed and taken apart. Raises `Tampered` where it cannot be."""
        return unpack(self)


@dataclass(frozen=True, slots=True)
class Piece:
    """What a segment's head is made of, for who knows its entries (docs/wire.md). `t` in nanoseconds."""

    first: int
    count: int
    prev: bytes
    head: bytes
    t: int
    salt: bytes

    @staticmethod
    def of(segment: Segment, salt: bytes | None = None) -> Piece:
        """Return a segment's; without `salt` it is opened. Raises `Tampered` where it cannot be."""
        if salt is None:
            salt = hashing.salt(segment.opened.nonce, segment.opened.context)
        return Piece(segment.first, segment.count, segment.prev, segment.head, segment.t, salt)

    def json(self) -> dict[str, object]:
        """Return it as it is sent: bytes in hex."""
        return {
            "first": self.first,
            "count": self.count,
            "prev": self.prev.hex(),
            "head": self.head.hex(),
            "t": self.t,
            "salt": self.salt.hex(),
        }


@dataclass(frozen=True, slots=True)
class Draft:
    """A part of a batch, hashed and compressed, not yet placed in a chain. `salt` is what its leaves have."""

    part: Part
    salt: bytes
    leaves: list[bytes]
    payload: bytes

    def place(self, chain: str, at: Head, now: int, cipher: Cipher | None = None) -> tuple[Segment, Head]:
        """Link this draft to the head `at`; return the segment and the head after it.

        `now` is the clock in nanoseconds; time never runs backwards in a chain. With `cipher` the payload is
        encrypted; raises what that raises.
        """
        t = max(now, at.t)
        count = len(self.leaves)
        window = (*at.window[1 - WINDOW :], self.part.encode())
        hashes = hashing.links(at.hash, self.leaves, t, hashing.service_of(chain))
        tree = merkle.grow(at.next, at.tree, hashes)
        key, payload = "", self.payload
        if cipher is not None:
            key, payload = cipher.seal(payload, Place(chain, at.next, count, at.hash, t))
        segment = Segment(
            chain=chain,
            first=at.next,
            count=count,
            prev=at.hash,
            head=hashes[-1],
            t=t,
            payload=payload,
            codec=CODEC_ZSTD | CODEC_SEALED if key else CODEC_ZSTD,
            recent=b"".join(window),
            tree=merkle.encode(tree),
            key=key,
        )
        return segment, Head(at.next + count, hashes[-1], t, window, tree)


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries that came together: each one JSON object on one line, as bytes.

    `context` is the metadata that the salt commits to; batch id, offset and total are added to it, and of
    `numbering` what a segment answers for. `nonce` is 32 random bytes a segment, from the caller.
    """

    batch_id: bytes
    entries: Sequence[bytes]
    context: dict[str, object]
    numbering: Numbering | None = None

    def draft(self, offset: int, nonce: bytes) -> Draft:
        """Hash and compress the longest run from `offset` that fits one segment.

        A run that does not fit is cut in proportion and tried again, so a batch of N segments costs about
        N + 1 compressions.
        """
        total = len(self.entries)
        count = self._room(offset)
        while True:
            entries = self.entries[offset : offset + count]
            part = Part(self.batch_id, count, offset, total)
            numbers = self.numbering.context(offset, count, total) if self.numbering else {}
            context = orjson.dumps({**self.context, **numbers, **part.context()})
            payload = pack(nonce, context, entries)
            if len(payload) <= STORED_LIMIT or count == 1:
                salt = hashing.salt(nonce, context)
                return Draft(part, salt, hashing.leaves(salt, entries), payload)
            count = max(1, min(count - 1, count * STORED_LIMIT * 95 // (len(payload) * 100)))

    def _room(self, offset: int) -> int:
        """Return how many entries from `offset` on a segment may hold by their size; one at least."""
        entries = self.entries[offset:]
        if sum(map(len, entries)) <= ENTRIES_LIMIT:  # nearly always
            return len(entries)
        return max(1, sum(size <= ENTRIES_LIMIT for size in accumulate(map(len, entries))))


def numbered(segment: Segment) -> Iterator[tuple[int, bytes]]:
    """Yield (sequence number, entry) of a segment, of those that were not erased."""
    opened = segment.opened
    every = enumerate(opened.entries, segment.first)
    if not opened.erased:  # nearly always
        return every
    return ((seq, entry) for seq, entry in every if seq - segment.first not in opened.erased)


def entry_at(segment: Segment, seq: int) -> bytes | None:
    """Return an entry of a segment by its sequence number; None where it was erased, or is not there."""
    opened, at = segment.opened, seq - segment.first
    return opened.entries[at] if 0 <= at < len(opened.entries) and at not in opened.erased else None


def holds(segment: Segment, entries: Sequence[bytes]) -> bool:
    """Say whether a segment has these entries. One that was erased was stored, whatever it was."""
    opened = segment.opened
    return len(entries) == len(opened.entries) and all(
        at in opened.erased or held == given
        for at, (held, given) in enumerate(zip(opened.entries, entries, strict=True))
    )
