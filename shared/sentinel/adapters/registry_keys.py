"""Which records a registry takes: the same for every store of it."""

from __future__ import annotations

from sentinel.errors import Malformed, TooLarge
from sentinel.ports_doors import Record

MAX_KEY_BYTES = 1024  # DynamoDB's limit for a sort key
MAX_BODY_BYTES = 350_000  # DynamoDB's limit of an item is 400 KB, with its names and keys


def storable(kind: str, record_id: str) -> bool:
    """Whether a record may have this key. What a stranger names may be anything; it is just not there."""
    try:
        return all(0 < len(part.encode()) <= MAX_KEY_BYTES for part in (kind, record_id))
    except UnicodeEncodeError:  # a lone surrogate
        return False


def check(record: Record) -> None:
    """Raise `Malformed` or `TooLarge` for a record that not every store could keep."""
    if not storable(record.kind, record.id):
        raise Malformed(f"kind and id of a record are 1 to {MAX_KEY_BYTES:,} bytes of text each")
    if len(record.body) > MAX_BODY_BYTES:
        raise TooLarge(f"a record of the registry is at most {MAX_BODY_BYTES:,} bytes")
