"""The notes of erasures: what is asked of who signs them, and what has to come back.

Who asks has no key and makes no text that is signed. Fields go there, each is held against what it may be,
and whoever has the key makes the note's text and sets its time. So a right to have records signed is no right
to have anything else signed, a checkpoint for example.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, fields

from sentinel.core import notes, tripwire
from sentinel.core.chain import check_service
from sentinel.core.erasure import Statement, read_digest
from sentinel.core.notes import Key, Note, Signature
from sentinel.errors import Forbidden, Malformed

MOST_NUMBER = (1 << 63) - 1  # of an entry
MOST_ORIGIN = 1_000  # characters: a log's name, and three for each byte of a service id
_LANE = re.compile(r"0|[1-9][0-9]{0,8}")


def check_chain(chain: str) -> str:
    """Return a chain in which entries may be erased. Raises `Malformed`, and `Forbidden` for one where not.

    >>> check_chain("shop/0")
    'shop/0'
    """
    service, _, lane = chain.rpartition("/")
    if not _LANE.fullmatch(lane):
        raise Malformed("a chain is named SERVICE/LANE, as shop/0")
    if check_service(service) == tripwire.SERVICE:
        raise Forbidden("what the tripwire told holds nothing of anybody's and cannot be erased")
    return chain


@dataclass(frozen=True, slots=True)
class Asked:
    """What a record is to say: a `Statement` without its time."""

    origin: str
    first: int
    last: int
    leaves: bytes
    reason: bytes

    def at(self, seconds: int) -> Statement:
        """Return the statement as of a time, epoch seconds."""
        return Statement(self.origin, self.first, self.last, seconds, self.leaves, self.reason)

    def chain(self, log: str) -> str:
        """Return the chain that it is about. Raises `Forbidden` where that is none of this log's.

        And for one in which nothing is erased; `Malformed` where it can be no chain.
        """
        try:
            chain = notes.chain_of(log, self.origin)
        except Malformed:
            raise Forbidden("records are signed for chains of this log alone") from None
        return check_chain(chain)

    @property
    def fields(self) -> dict[str, object]:
        """What is sent: the same names, digests in base64 (RFC 4648, 4)."""
        digests = {"leaves": b64encode(self.leaves).decode(), "reason": b64encode(self.reason).decode()}
        return {"origin": self.origin, "first": self.first, "last": self.last, **digests}

    @staticmethod
    def read(told: object) -> Asked:
        """Read what was sent: these fields, each of its type, and no others. Raises `Malformed`."""
        if not isinstance(told, Mapping) or set(told) != {each.name for each in fields(Asked)}:
            raise Malformed("a record is asked for by origin, first, last, leaves and reason")
        origin, first, last = told["origin"], told["first"], told["last"]
        if not isinstance(origin, str) or not origin.isascii() or not 0 < len(origin) <= MOST_ORIGIN:
            raise Malformed(f"origin is that of the chain's checkpoints: 1 to {MOST_ORIGIN:,} of ASCII")
        if type(first) is not int or type(last) is not int or not 0 <= first <= last <= MOST_NUMBER:
            raise Malformed("first and last are entries' numbers, in order")
        leaves, reason = (_digest(told[name]) for name in ("leaves", "reason"))
        if leaves is None or reason is None:
            raise Malformed("leaves and reason are SHA-256 digests in base64")
        return Asked(origin, first, last, leaves, reason)

    def answered(self, raw: bytes, key: Key) -> Note:
        """Return the note that came back, with the signature by the chain's `key` and no other.

        Raises `Forbidden` where that key did not sign it, or where it says something else.
        """
        try:
            note = notes.read(raw)
            statement = Statement.read(note.text)
            if note.verified([key]) and statement == self.at(statement.seconds):
                return Note(note.text, tuple(each for each in note.signatures if _is_by(each, key))[:1])
        except Malformed:
            pass
        raise Forbidden(
            "what signs records answered with a note that this log's key did not sign, or of something else: "
            "nothing was erased"
        )


def _is_by(signature: Signature, key: Key) -> bool:
    return (signature.name, signature.id) == (key.name, key.id)


def _digest(told: object) -> bytes | None:
    return read_digest(told) if isinstance(told, str) else None
