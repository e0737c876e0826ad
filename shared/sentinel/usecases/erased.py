"""What was recorded of erasures: entries of endpoint `erase` in the same chain, each with a note by the log.

Its text is ``sentinel-erasure/v1``, the chain's origin, ``first-last``, epoch seconds, and in base64 the
SHA-256 of the erased entries' leaves, one after the other, and that of the reason (docs/erasure.md). Without
the log's key nobody can make one.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256

import orjson

from sentinel.core import notes
from sentinel.core.notes import ED25519, Key
from sentinel.core.payload import Opened
from sentinel.core.segment import Segment
from sentinel.errors import Forbidden, Malformed, Missing, Tampered
from sentinel.ports import Ledger
from sentinel.usecases.seal import LogKeys

KIND = "sentinel-erasure/v1"
ENDPOINT = "erase"
SPAN = 1_000  # entries that are looked through first, the newest; then ten times as many, and so on


@dataclass(frozen=True, slots=True)
class Record:
    """One erasure: entries `first` to `last`, and the SHA-256 of their leaves."""

    first: int
    last: int
    leaves: bytes


@dataclass(frozen=True, slots=True)
class Records:
    """Looks records up. `keys` are the log's."""

    ledger: Ledger
    keys: Callable[[], LogKeys]

    def cover(self, segment: Segment) -> bool:
        """Say whether all of a segment's erased entries are recorded in its chain as erased."""
        left = {segment.first + place for place in segment.opened.erased}
        if not left:
            return True
        for record in self._of(segment.chain, segment.next):
            if left & set(range(record.first, record.last + 1)) and self._true(segment, record):
                left -= set(range(record.first, record.last + 1))
                if not left:
                    return True
        return False

    def _of(self, chain: str, after: int) -> Iterator[Record]:
        """Yield a chain's records behind an entry, those of the newest part of the chain first."""
        newest = self.ledger.head(chain)
        end, span = newest.next if newest else 0, SPAN
        keys = self.keys()
        known = [keys.of(chain), Key(keys.log, ED25519, keys.public)]
        while end > after:
            begin = max(after, end - span)
            for segment in self.ledger.read(chain, begin):
                if segment.first >= end:
                    break
                yield from _read(segment, keys.of(chain).name, known)
            end, span = begin, span * 10

    def _true(self, segment: Segment, record: Record) -> bool:
        """Say whether a record's digest is that of the leaves of the entries that it names."""
        begin = self.ledger.at(segment.chain, record.first)
        if begin is None:
            return False
        digest = sha256()
        for stored in self.ledger.read(segment.chain, begin.first):
            if stored.first > record.last:
                break
            one = segment if stored.first == segment.first else stored
            opened = _opened(one)
            for seq, leaf in enumerate(opened.leaves() if opened else (), one.first):
                if record.first <= seq <= record.last:
                    digest.update(leaf)
        return digest.digest() == record.leaves


def _opened(segment: Segment) -> Opened | None:
    """Return what a segment holds; None where that cannot be read, so that it is no record of anything."""
    try:
        return segment.opened
    except (Tampered, Forbidden, Missing):
        return None


def _object(raw: bytes) -> dict[str, object]:
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _read(segment: Segment, origin: str, keys: list[Key]) -> Iterator[Record]:
    opened = _opened(segment)
    if opened is None or _object(opened.context).get("endpoint") != ENDPOINT:
        return
    for entry in opened.entries:
        for value in _object(entry).values():
            found = _record(value, origin, keys) if isinstance(value, str) else None
            if found is not None:
                yield found


def _record(value: str, origin: str, keys: list[Key]) -> Record | None:
    try:
        note = notes.read(value.encode())
        lines = note.text.split("\n")
        if lines[:2] != [KIND, origin] or len(lines) != 7 or not note.verified(keys):
            return None
        first, _, last = lines[2].partition("-")
        return Record(int(first), int(last), b64decode(lines[4], validate=True))
    except (Malformed, ValueError, NotBase64):
        return None
