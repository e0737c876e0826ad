"""Erased events: what stands in a task's lineage in the place of an event that may quote an erased entry.

The stored line of such an event becomes ``!`` and its leaf in hex, what stays of it as one line of JSON, and
a note that the log signed; its nonce becomes 32 zero bytes. The leaf goes on standing in the lineage, so that
hashes, head and all that follows are what they were (docs/erasure.md).

What stays are the facts by `KEPT`: which transition it was, when, by whom, of which effect, with which
digest. None of them has words from outside. They and the leaf count only with the log's signature: who can
write the table of tasks but has no key can neither erase an event nor change what one says that was.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import orjson

from sentinel.core import chain as hashing
from sentinel.core import notes
from sentinel.core.notes import Key, Note, Sign
from sentinel.errors import Malformed

HEADER: Final = "sentinel-erased-event/v1"
BLANK_NONCE: Final = bytes(32)
MARK: Final = b"!"  # no event begins so: they are JSON objects
CONTEXT: Final = b"{}"  # of all events of lineages
# Names, numbers, digests and words of Sentinel's own. What is not listed is taken for somebody's words.
KEPT: Final = frozenset(
    (
        "event",
        "seq",
        "t",
        "from",
        "attempt",
        "due",
        "step",
        "span",
        "effect",
        "known",
        "probed",
        "answer",
        "asked",
        "outcome",
        "result",
        "worker",
        "tries",
        "unsure",
        "progress",
        "idle",
        "kept",
        "over",
        "last",
        "stream",
        "held",
        "ticket",
        "recipe",
        "version",
        "digest",
        "rule",
        "fingerprint",
        "window",
        "entries",
        "trace",
        "schedule",
        "scheduled",
        "fork_of",
        "fork",
        "request",
        "makers",
        "inputs",
        "changed",
        "void",
        "by",
        "needs",
        "until",
        "covers",
        "who",
        "how",
        "verdict",
        "approved_by",
        "link",
        "link_by",
    )
)


@dataclass(frozen=True, slots=True)
class Statement:
    """What the note of an erased event says: event `seq` of the lineage of `origin`, erased at `seconds`.

    `leaf` is the event's, `facts` the SHA-256 of the line of what stays. `record` is the record of the
    erasure because of which it went: the origin of its chain and its number there.
    """

    origin: str
    seq: int
    seconds: int
    leaf: bytes
    facts: bytes
    record: tuple[str, int]

    @property
    def text(self) -> str:
        """The text that is signed."""
        chain, number = self.record
        digests = (b64encode(each).decode() for each in (self.leaf, self.facts))
        lines = (HEADER, self.origin, str(self.seq), str(self.seconds), *digests, f"{chain} {number}", "")
        return "\n".join(lines)

    @staticmethod
    def read(text: str) -> Statement:
        """Read a note's text. Raises `Malformed` where it is another one's."""
        lines = text.split("\n")
        if len(lines) != 8:
            raise Malformed("this is no note of an erased event")
        chain, _, number = lines[6].partition(" ")
        try:
            numbers = [int(each) for each in (lines[2], lines[3], number)]
            digests = [b64decode(each, validate=True) for each in lines[4:6]]
        except (NotBase64, ValueError):
            raise Malformed("this is no note of an erased event") from None
        found = Statement(lines[1], numbers[0], numbers[1], digests[0], digests[1], (chain, numbers[2]))
        if found.text != text or min(numbers) < 0 or any(len(each) != 32 for each in digests):
            raise Malformed("this is no note of an erased event")
        return found


@dataclass(frozen=True, slots=True)
class ErasedEvent:
    """The stored line of an erased event, in its parts; nothing of it is verified."""

    leaf: bytes
    facts: bytes
    note: bytes

    @property
    def line(self) -> bytes:
        """The line as it is stored."""
        return b"\n".join((MARK + self.leaf.hex().encode(), self.facts, self.note))

    @property
    def body(self) -> dict[str, Any]:
        """What stays of the event; nothing where that cannot be read."""
        return object_of(self.facts)

    @staticmethod
    def read(line: bytes) -> ErasedEvent:
        """Read a stored line. Raises `Malformed` where it is not one of ours."""
        mark, _, rest = line.partition(b"\n")
        facts, _, note = rest.partition(b"\n")
        try:
            leaf = bytes.fromhex(mark[1:].decode("ascii"))
        except ValueError:
            leaf = b""
        found = ErasedEvent(leaf, facts, note)
        if found.line != line:
            raise Malformed("this is no erased event")
        return found


def is_erased(entry: bytes) -> bool:
    """Say whether a stored line claims to be an erased event's."""
    return entry.startswith(MARK)


def body_of(entry: bytes) -> dict[str, Any]:
    """Return what an erased event's line says that stays of it, unverified; nothing for what is none."""
    try:
        return ErasedEvent.read(entry).body
    except Malformed:
        return {}


def words_of(entry: bytes) -> dict[str, Any]:
    """Return the facts of an event that may have words from outside: all that would not stay."""
    return {name: value for name, value in object_of(entry).items() if name not in KEPT}


def leaf_of(entry: bytes, nonce: bytes) -> bytes:
    """Return the leaf of an event that was not erased."""
    return hashing.leaves(hashing.salt(nonce, CONTEXT), [entry])[0]


def statement(
    seq: int, entry: bytes, nonce: bytes, seconds: int, record: tuple[str, int], key: Key
) -> Statement:
    """Return what is to be signed of an event, as it follows from the event itself.

    So whoever signs need not believe what stays of it: they are shown the event. `key` is the lineage's.
    """
    facts = sha256(_kept(entry)).digest()
    return Statement(key.name, seq, seconds, leaf_of(entry, nonce), facts, record)


def signed(said: Statement, key: Key, sign: Sign) -> bytes:
    """Return the note of a statement, signed by the lineage's key."""
    return Note(said.text, (notes.signed(said.text, key, sign),)).bytes


def erased(entry: bytes, nonce: bytes, note: bytes) -> bytes:
    """Return the line that is stored in the place of an event; its nonce becomes `BLANK_NONCE`."""
    return ErasedEvent(leaf_of(entry, nonce), _kept(entry), note).line


def verified_leaf(seq: int, entry: bytes, nonce: bytes, key: Key) -> bytes:
    """Return the leaf of an erased event whose note the log signed; `key` is the lineage's.

    Raises `Malformed`, which says what is wrong, for anything else.
    """
    found = ErasedEvent.read(entry)
    note = notes.read(found.note)
    # One signature and no nonce: nothing stands there that could say anything beside what is signed.
    if not note.verified([key]) or len(note.signatures) != 1:
        raise Malformed("its note is not signed by the log")
    said = Statement.read(note.text)
    if (said.origin, said.seq, said.leaf) != (key.name, seq, found.leaf):
        raise Malformed("its note is about another event")
    if said.facts != sha256(found.facts).digest() or nonce != BLANK_NONCE:
        raise Malformed("what stays of it is not what its note says")
    return found.leaf


def _kept(entry: bytes) -> bytes:
    return orjson.dumps({name: value for name, value in object_of(entry).items() if name in KEPT})


def object_of(raw: bytes) -> dict[str, Any]:
    """Return an event's JSON object; nothing for what is none."""
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
