"""The tripwire's rule: which changes of the ledger's items are ours (docs/archive.md).

Segments are written once. After that an item may be marked to be dropped and be dropped, once the archive
holds it, and its payload may become another form of itself: encrypted anew, or with entries erased of whose
erasure the chain has a signed record. Everything else was done by somebody else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from hashlib import sha256

import orjson

from sentinel.core import chain as hashing
from sentinel.core.payload import CODEC_ERASED
from sentinel.core.runs import alike
from sentinel.core.segment import Batch, Segment
from sentinel.errors import Forbidden, Missing, Tampered

SERVICE = "sentinel.tripwire"  # the service in whose chain alerts stand
CHAIN = hashing.chain_id(SERVICE, 0)
INSERT, MODIFY, REMOVE = "INSERT", "MODIFY", "REMOVE"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of an item of the ledger's table, as its change feed tells it.

    `old` and `new` are what the item was and is, None where it was not, is gone, or is no segment; then
    `damage` says why. The payload of `old` may be unknown, so `same` says whether it stayed. Expiries are in
    epoch seconds, 0 for none. `by_ttl`: the store itself removed it, its time being up. `number` names the
    change for good.
    """

    kind: str
    chain: str
    first: int
    old: Segment | None = None
    new: Segment | None = None
    old_expires: int = 0
    new_expires: int = 0
    same: bool = False
    by_ttl: bool = False
    number: str = ""
    damage: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """What the rule asks for.

    The `end` of a chain's archive, whether the archive `holds` a form of a segment, and whether entries of a
    segment are `unrecorded` that it says were erased, but for those in some places: None where records in its
    chain tell of each, else the entry from which on the chain was looked through for them. `now` is in epoch
    seconds.
    """

    now: int
    end: Callable[[str], int]
    holds: Callable[[Segment], bool]
    unrecorded: Callable[[Segment, Collection[int]], int | None]


def wrong(change: Change, known: Known) -> str:
    """Say what is wrong with a change; "" where it is one of ours."""
    if change.damage:
        return change.damage
    if change.kind == INSERT and change.new is not None:
        return _inserted(change.new, known)
    if change.kind == REMOVE and change.old is not None:
        return _removed(change, change.old, known)
    if change.kind == MODIFY and change.old is not None and change.new is not None:
        return _modified(change, change.old, change.new, known)
    return "nobody can tell what it was"


def _inserted(new: Segment, known: Known) -> str:
    # What was archived before this was told is in the archive itself.
    if new.first < known.end(new.chain) and not known.holds(new):
        return "it was put where another segment was archived"
    return ""


def _removed(change: Change, old: Segment, known: Known) -> str:
    if not (change.by_ttl or 0 < change.old_expires <= known.now):
        return "it was removed before its time"
    return "" if known.holds(old) else "it was removed, and the archive does not hold it"


def _modified(change: Change, old: Segment, new: Segment, known: Known) -> str:
    if not alike(old, new):
        return "its place, time, links, window or tree were changed"
    if change.old_expires != change.new_expires and not known.holds(new):
        return "it was marked to be dropped, and the archive does not hold it"
    if change.same and (old.codec, old.key) == (new.codec, new.key):
        return ""
    return _reformed(old, new, known)


def _reformed(old: Segment, new: Segment, known: Known) -> str:
    """Say what is wrong with another form of a segment's payload."""
    try:
        opened = new.opened
        leaves = opened.leaves()
    except (Tampered, Forbidden, Missing) as error:
        return f"its payload was changed to one that cannot be read: {type(error).__name__}"
    if len(leaves) != new.count or hashing.head(new.prev, leaves, new.t, _service(new)) != new.head:
        return "its entries or their context were changed"
    since = known.unrecorded(new, _erased(old)) if opened.erased else None
    if since is None:
        return ""
    if since <= new.next:
        return "entries were erased, and no signed record says so"
    return (
        f"entries were erased, and no signed record from entry {since} on says so; "
        "nobody looked before that: run `sentinel verify`"
    )


def _erased(old: Segment) -> Collection[int]:
    """Return which places were erased before, of which was told then; none where nobody can tell."""
    if not old.codec & CODEC_ERASED or not old.payload:
        return ()
    try:
        return old.opened.erased
    except (Tampered, Forbidden, Missing):
        return ()


def _service(segment: Segment) -> str:
    return hashing.service_of(segment.chain)


def alert(change: Change, why: str) -> Batch:
    """Return the batch that tells of a change: the same one for the same change, with no entry's content."""
    told = {
        "event": "tripwire",
        "severity": "critical",
        "change": change.kind,
        "chain": change.chain,
        "first": change.first,
        "why": why,
        "old_head": change.old.head.hex() if change.old else "",
        "new_head": change.new.head.hex() if change.new else "",
        "number": change.number,
    }
    context: dict[str, object] = {"service": SERVICE, "endpoint": "tripwire"}
    name = f"tripwire {change.number} {change.kind} {change.first} {change.chain}"
    return Batch(sha256(name.encode()).digest()[:16], [orjson.dumps(told)], context)
