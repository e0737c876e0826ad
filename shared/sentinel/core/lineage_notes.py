"""What is asked of who signs that an event of a lineage was erased, and what has to come back.

Who asks has no key and makes no text that is signed. The event itself is shown: its leaf and what stays of it
follow from that, so whoever signs need not believe them, and a right to have events erased is no right to
have the log say anything else of a task.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from sentinel.core import erased_events
from sentinel.core.chain import check_service
from sentinel.core.erased_events import BLANK_NONCE, Statement
from sentinel.core.lineages import Event, KeyOf, lineage_chain
from sentinel.errors import Forbidden, Malformed

MOST_NUMBER = (1 << 63) - 1
MOST_ENTRY = 400_000  # bytes: a DynamoDB item has no more
_TASK = re.compile(r"[a-z0-9]{1,64}")
_LANE = re.compile(r"0|[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class AskedEvent:
    """An event that is to be erased, numbered `seq` of a task. `chain` has the record, as entry `record`."""

    task: str
    seq: int
    nonce: bytes
    entry: bytes
    chain: str
    record: int

    @staticmethod
    def of(event: Event, chain: str, record: int) -> AskedEvent:
        """Return what is asked for an event, because of an erasure that stands in a chain."""
        return AskedEvent(event.task_id, event.seq, event.nonce, event.entry, chain, record)

    def at(self, seconds: int, keys: KeyOf) -> Statement:
        """Return what is to be signed as of a time, epoch seconds; `keys` gives the log's key of a chain."""
        where = (keys(self.chain).name, self.record)
        key = keys(lineage_chain(self.task))
        return erased_events.statement(self.seq, self.entry, self.nonce, seconds, where, key)

    @property
    def fields(self) -> dict[str, object]:
        """What is sent: the same names, bytes in base64 (RFC 4648, 4)."""
        coded = {"nonce": b64encode(self.nonce).decode(), "entry": b64encode(self.entry).decode()}
        numbers = {"seq": self.seq, "record": self.record}
        return {"task": self.task, "chain": self.chain, **numbers, **coded}

    @staticmethod
    def read(told: object) -> AskedEvent:
        """Read what was sent: these fields, each of its type, and no others. Raises `Malformed`."""
        if not isinstance(told, Mapping) or set(told) != {each.name for each in fields(AskedEvent)}:
            raise Malformed("an event's erasure is asked for by task, seq, nonce, entry, chain and record")
        task, chain, seq, record = (told[name] for name in ("task", "chain", "seq", "record"))
        if not isinstance(task, str) or not _TASK.fullmatch(task):
            raise Malformed("task is the id of a task")
        service, _, lane = chain.rpartition("/") if isinstance(chain, str) else ("", "", "")
        if check_service(service) and not _LANE.fullmatch(lane):
            raise Malformed("chain is SERVICE/LANE, as shop/0")
        if any(type(each) is not int or not 0 <= each <= MOST_NUMBER for each in (seq, record)):
            raise Malformed("seq and record are numbers")
        nonce, entry = _bytes(told["nonce"]), _bytes(told["entry"])
        if len(nonce) != len(BLANK_NONCE) or not 0 < len(entry) <= MOST_ENTRY:
            raise Malformed("nonce has 32 bytes, entry is an event of a lineage")
        if not erased_events.object_of(entry):
            raise Malformed("entry is an event of a lineage, which was not erased yet")
        return AskedEvent(task, seq, nonce, entry, chain, record)

    def answered(self, note: bytes, keys: KeyOf) -> bytes:
        """Return what is stored in the event's place, with a note that came back.

        Raises `Forbidden` where the log's key did not sign that, or something else.
        """
        stored = erased_events.erased(self.entry, self.nonce, note)
        try:
            erased_events.verified_leaf(self.seq, stored, BLANK_NONCE, keys(lineage_chain(self.task)))
        except Malformed as error:
            raise Forbidden(
                f"an event's erasure was not signed as asked, so it was let be: {error}"
            ) from None
        return stored


def _bytes(told: Any) -> bytes:
    try:
        return b64decode(told, validate=True)
    except (NotBase64, ValueError, TypeError):
        return b""
