"""Records of the ledger's change feed as what the tripwire looks at (`core.tripwire.Change`).

Format: "StreamRecord" and "Record" in the API reference of Amazon DynamoDB Streams, with `userIdentity` of
what TTL removes, and images in low-level form with binary values in base64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sentinel.entrypoints.aws import image
from sentinel.errors import Tampered

if TYPE_CHECKING:
    from sentinel.core.segment import Segment
    from sentinel.core.tripwire import Change

LISTED = "genesis"  # what puts a chain on the list of chains (`dynamodb_ledger`)
TTL = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}


def change_of(record: dict[str, Any]) -> Change:
    """Return what a record tells; an image that is no segment is damage, which it says."""
    from sentinel.core.tripwire import Change

    told, kind = record["dynamodb"], record["eventName"]
    old, new = image(told.get("OldImage") or {}), image(told.get("NewImage") or {})
    found_old, found_new = _segment(old), _segment(new)
    damage = found_new if isinstance(found_new, str) else ""
    if kind != "REMOVE" and not new:
        damage = "it is no segment any more"
    first = _place(told["Keys"]["first"]["N"])
    if first is None:
        damage = "its place is none that an entry can have"
    elif kind == "MODIFY" and old and old.get(LISTED) != new.get(LISTED):
        damage = damage or "whether the list of chains has its chain was changed"
    return Change(
        kind=kind,
        chain=told["Keys"]["chain"]["S"],
        first=first or 0,
        old=None if isinstance(found_old, str) else found_old,
        new=None if isinstance(found_new, str) else found_new,
        old_expires=_expires(old),
        new_expires=_expires(new),
        same="payload" in new and old.get("payload") == new["payload"],
        by_ttl=_by_ttl(record),
        number=f"{record.get('eventSourceARN', '')} {told.get('SequenceNumber', '')}",
        damage=damage,
    )


def _segment(item: dict[str, Any]) -> Segment | str | None:
    from sentinel.adapters.dynamodb_ledger import from_item

    if not item:
        return None
    try:
        # Locally the old payload is not kept, only whether it stayed.
        return from_item({"payload": {"B": b""}, **item})
    except Tampered as error:
        return f"{error.kind}: {error.detail}"


def _place(number: str) -> int | None:
    """Return a sort key as the number of an entry; None for what a store may hold and no entry has."""
    from sentinel.core.segment import NUMBERS

    try:
        place = int(number)
    except ValueError:  # 1.5 is a key like any other
        return None
    return place if 0 <= place < NUMBERS else None


def _expires(item: dict[str, Any]) -> int:
    try:
        return int(item.get("expires", {}).get("N", "0"))
    except ValueError:
        return 0


def _by_ttl(record: dict[str, Any]) -> bool:
    who = record.get("userIdentity") or {}
    return {name.lower(): value for name, value in who.items()} == {
        name.lower(): value for name, value in TTL.items()
    }
