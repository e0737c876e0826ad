"""Lineages: the events of a task, linked into the chain `task/<id>`, one event a segment of one entry.

The scheme is that of `core.chain`. An event may have been erased: its leaf stays (`core.erased_events`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import orjson

from sentinel.core import chain as hashing
from sentinel.core import erased_events
from sentinel.core.notes import Key
from sentinel.errors import Malformed, Rejected, Tampered

KeyOf = Callable[[str], Key]  # the key that the log signs for a chain with


@dataclass(frozen=True, slots=True)
class Event:
    """One step of a task's lineage. `entry` is its JSON, `head` H of it (`core.chain`), hex elsewhere.

    Of one that was erased `entry` is what stands in its place (`core.erased_events`).
    """

    task_id: str
    seq: int
    t: int
    nonce: bytes
    entry: bytes
    head: bytes

    @property
    def body(self) -> dict[str, object]:
        """The event's JSON object; of one that was erased what stays of that."""
        if self.erased:
            return erased_events.body_of(self.entry)
        found: dict[str, object] = orjson.loads(self.entry)
        return found

    @property
    def erased(self) -> bool:
        """Whether it claims to have been erased; what it says then counts once the lineage is verified."""
        return erased_events.is_erased(self.entry)


def lineage_chain(task: str) -> str:
    """Name the chain of a task's lineage."""
    return f"task/{task}"


def verify_lineage(task: str, events: Iterable[Event], head: str, keys: KeyOf | None = None) -> int:
    """Check a task's lineage against the head that the task names; return the number of events.

    `keys` gives the key that the log signs for a chain with: without it an erased event counts for nothing.
    Raises `Tampered` with the place where the chain breaks, and `Unavailable` as `keys` does.
    """
    chain = lineage_chain(task)
    found = hashing.genesis(chain)
    count = 0
    for event in events:
        if not 0 <= event.t < 1 << 64:
            raise Tampered(chain, count, "time", "the event's time is none")
        if event.erased:
            leaf = _erased_leaf(chain, count, event, keys)
        else:
            leaf = erased_events.leaf_of(event.entry, event.nonce)
        found = hashing.head(found, [leaf], event.t, "task")
        if event.seq != count or found != event.head:
            raise Tampered(chain, count, "hash", "the event does not follow from the one before")
        count += 1
    if found.hex() != head:
        raise Tampered(chain, count, "missing", "the lineage does not end where the task says")
    return count


def _erased_leaf(chain: str, seq: int, event: Event, keys: KeyOf | None) -> bytes:
    """Return the leaf of an event that the log signed as erased."""
    try:
        key = keys(chain) if keys else None
    except Rejected:
        key = None
    if key is None:
        why = "the event was erased, and the log's key that says so cannot be had here"
        raise Tampered(chain, seq, "erased", why)
    try:
        return erased_events.verified_leaf(seq, event.entry, event.nonce, key)
    except Malformed as error:
        raise Tampered(chain, seq, "erased", f"the event was erased, and {error}") from None
