"""Erasure: the record of one, and the rule by which an erased entry counts as lawfully gone.

A record is an entry of the chain that it is about. Its `note` is signed by the key that signs the chain's
checkpoints, so whoever can write the ledger's table but has no key cannot make one.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import orjson

from sentinel.core import notes
from sentinel.core.notes import Key, Note, Sign
from sentinel.core.segment import Segment
from sentinel.errors import Malformed, Tampered

ENDPOINT = "erase"  # what the context of a record's segment names: no door calls itself so
HEADER = "sentinel-erasure/v1"
_RANGE = re.compile(r"(0|[1-9][0-9]{0,18})-(0|[1-9][0-9]{0,18})")
_SECONDS = re.compile(r"0|[1-9][0-9]{0,18}")


def digest_of(leaves: Iterable[bytes]) -> bytes:
    """Return what a record says of the leaves of its entries: SHA-256 of all of them, in order."""
    return sha256(b"".join(leaves)).digest()


@dataclass(frozen=True, slots=True)
class Statement:
    """What a record's note says: entries `first` to `last` of a chain, at `seconds` (epoch).

    `leaves` is `digest_of` theirs, `reason` the SHA-256 of the reason's UTF-8.
    """

    origin: str
    first: int
    last: int
    seconds: int
    leaves: bytes
    reason: bytes

    @property
    def text(self) -> str:
        """The text that is signed."""
        of = (HEADER, self.origin, f"{self.first}-{self.last}", str(self.seconds))
        return "\n".join((*of, b64encode(self.leaves).decode(), b64encode(self.reason).decode(), ""))

    @staticmethod
    def read(text: str) -> Statement:
        """Read a note's text. Raises `Malformed` where it is another one's."""
        lines = text.split("\n")
        if len(lines) != 7 or lines[0] != HEADER or lines[6]:
            raise Malformed("this is no record of an erasure")
        span = _RANGE.fullmatch(lines[2])
        leaves, reason = read_digest(lines[4]), read_digest(lines[5])
        if span is None or not _SECONDS.fullmatch(lines[3]) or leaves is None or reason is None:
            raise Malformed("this is no record of an erasure")
        first, last = int(span[1]), int(span[2])
        if first > last:
            raise Malformed("this record of an erasure ends before it begins")
        return Statement(lines[1], first, last, int(lines[3]), leaves, reason)


def read_digest(text: str) -> bytes | None:
    """Return the 32 bytes of a digest in base64; None where it is none, or not its one form."""
    try:
        found = b64decode(text, validate=True)
    except (NotBase64, ValueError):
        return None
    return found if len(found) == 32 and b64encode(found).decode() == text else None


@dataclass(frozen=True, slots=True)
class Record:
    """A record that stands in a chain as entry `seq`, its note verified.

    `keys` are the data keys that its entries were encrypted under when it was made: they are to be destroyed.
    """

    seq: int
    statement: Statement
    by: str
    reason: str
    keys: tuple[str, ...] = ()

    @property
    def first(self) -> int:
        """The first entry that it is about."""
        return self.statement.first

    @property
    def last(self) -> int:
        """The last one."""
        return self.statement.last

    def covers(self, seq: int) -> bool:
        """Say whether it is about an entry."""
        return self.first <= seq <= self.last


def noted(statement: Statement, key: Key, sign: Sign) -> Note:
    """Return a statement as a note, signed by the chain's key."""
    return Note(statement.text, (notes.signed(statement.text, key, sign),))


def entry(note: Note, by: str, reason: str, keys: Sequence[str]) -> bytes:
    """Return the entry that records an erasure. Raises `Malformed` where the note is another one's."""
    statement = Statement.read(note.text)
    told = {
        "sentinel": "erasure",
        "first": statement.first,
        "last": statement.last,
        "by": by,
        "reason": reason,
        "keys": list(keys),
        "note": note.bytes.decode(),
    }
    return orjson.dumps({name: value for name, value in told.items() if name != "keys" or keys})


def read(raw: bytes, seq: int, key: Key) -> Record:
    """Read a record that stands as entry `seq`; `key` is the chain's. Raises `Malformed` where it is none."""
    try:
        told: Any = orjson.loads(raw)
        note, by, reason = (str(told[name]) for name in ("note", "by", "reason"))
        keys = tuple(str(each) for each in told.get("keys", ()))
        span = (told["first"], told["last"]) if told.get("sentinel") == "erasure" else None
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise Malformed("this is no record of an erasure") from None
    signed = notes.read(note.encode("utf-8", "replace"))
    if not signed.verified([key]):
        raise Malformed("this record of an erasure is not signed by the log")
    statement = Statement.read(signed.text)
    if (
        statement.origin != key.name
        or span != (statement.first, statement.last)
        or statement.reason != sha256(reason.encode("utf-8", "replace")).digest()
        or statement.last >= seq
    ):
        raise Malformed("this record of an erasure does not say what its note says, or is of another chain")
    return Record(seq, statement, by, reason, keys)


def is_record(segment: Segment) -> bool:
    """Say whether a segment claims to be a record, by its context. Raises `Tampered`, as opening does."""
    opened = segment.opened
    return segment.count == 1 and not opened.erased and _endpoint(opened.context) == ENDPOINT


def _endpoint(context: bytes) -> object:
    if b'"erase"' not in context:  # nearly always
        return None
    try:
        found = orjson.loads(context)
    except orjson.JSONDecodeError:
        return None
    return found.get("endpoint") if isinstance(found, dict) else None


@dataclass(slots=True)
class Erasures:
    """Gathers from a chain's segments which entries were erased, and the records of that.

    `key` is the key that signs the chain's checkpoints. `wrong` says of each entry that claims to be a record
    and is none what is wrong with it: it counts for nothing.
    """

    chain: str
    key: Key
    erased: dict[int, bytes] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    wrong: dict[int, str] = field(default_factory=dict)

    def take(self, segment: Segment) -> None:
        """Take in a segment that was verified. Raises `Tampered` where it cannot be opened."""
        for place, leaf in segment.opened.erased.items():
            self.erased[segment.first + place] = leaf
        if is_record(segment):
            try:
                self.records.append(read(segment.opened.entries[0], segment.first, self.key))
            except Malformed as error:
                self.wrong[segment.first] = str(error)

    def check(self, leaves: Callable[[int, int], Iterable[bytes]]) -> Iterator[Tampered]:
        """Yield a damage for each run of erased entries without a record.

        `leaves` gives the leaves that the chain has from one entry to another, both included; it is asked for
        what was not erased yet, of records whose erasure was interrupted.
        """
        covered = [each for each in self.records if self._covers(each, leaves)]
        left = unrecorded(self.erased, covered)
        for first, last in runs(left):
            span = f"entry {first} was" if first == last else f"entries {first} to {last} were"
            yield Tampered(self.chain, first, "erased", f"{span} erased, and nothing signed records it")

    def _covers(self, record: Record, leaves: Callable[[int, int], Iterable[bytes]]) -> bool:
        held: Iterable[bytes | None] = (
            [self.erased.get(n) for n in range(record.first, record.last + 1)]
            if (record.last - record.first <= len(self.erased))
            else [None]
        )
        if any(each is None for each in held):
            held = leaves(record.first, record.last)
        return digest_of(each for each in held if each is not None) == record.statement.leaves


def unrecorded(erased: Mapping[int, bytes], records: Sequence[Record]) -> list[int]:
    """Return the erased entries that none of these records is about, in order."""
    return [n for n in sorted(erased) if not any(each.first <= n <= each.last for each in records)]


def runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield numbers in order as runs of (first, last).

    >>> list(runs([1, 2, 3, 7]))
    [(1, 3), (7, 7)]
    """
    first = last = -2
    for number in numbers:
        if number != last + 1:
            if last >= 0:
                yield first, last
            first = number
        last = number
    if last >= 0:
        yield first, last
