"""Which erased entries of a chain were erased by whoever has the log's key: the checks of docs/erasure.md.

A record of an erasure is an entry of the chain itself that holds a signed note. Who can write the table but
has no key cannot make one, and what is erased without one is damage like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

import orjson

from sentinel.core import erasure
from sentinel.core.erasure import ENDPOINT, Record
from sentinel.core.notes import Key
from sentinel.core.payload import Opened
from sentinel.errors import Malformed

Leaf = Callable[[int], bytes | None]  # the leaf of an entry of the chain, by its sequence number


def candidates(first: int, opened: Opened) -> list[tuple[int, bytes]]:
    """Return (sequence number, entry) of what may be records in a segment that begins at `first`."""
    if b'"erase"' not in opened.context:  # nearly all, without reading it as JSON
        return []
    context = _object(opened.context)
    if context is None or context.get("endpoint") != ENDPOINT:
        return []
    return [(first + at, entry) for at, entry in enumerate(opened.entries) if at not in opened.erased]


def read(seq: int, entry: bytes, key: Key) -> Record | None:
    """Return the record that an entry is; None where it is none, or not signed by the chain's key `key`."""
    try:
        return erasure.read(entry, seq, key)
    except Malformed:
        return None


def unrecorded(
    erased: Mapping[int, bytes], found: Sequence[tuple[int, bytes]], key: Key, leaf_of: Leaf
) -> int | None:
    """Return the first erased entry that no valid record covers; None where there is none.

    `erased` has the leaves of the erased entries, `found` what may be records; `leaf_of` is asked for leaves
    of entries that a record names and that are not erased: its erasure was interrupted.
    """
    records = [each for each in (read(seq, entry, key) for seq, entry in found) if each is not None]
    covered: set[int] = set()
    for record in records:
        mine = [seq for seq in erased if record.covers(seq)]
        if (
            mine
            and not covered.issuperset(mine)
            and _digest(record, erased, leaf_of) == record.statement.leaves
        ):
            covered.update(mine)
    return min((seq for seq in erased if seq not in covered), default=None)


def readable(erased: Mapping[int, bytes], found: Sequence[tuple[int, bytes]], key: Key) -> int:
    """Return how many entries valid records name that are not erased: broken off, or put back."""
    records = [each for each in (read(seq, entry, key) for seq, entry in found) if each is not None]
    named = {seq for each in records for seq in range(each.first, each.last + 1)}
    return len(named.difference(erased))


def _digest(record: Record, erased: Mapping[int, bytes], leaf_of: Leaf) -> bytes:
    hashed = sha256()
    for seq in range(record.first, record.last + 1):
        leaf = erased.get(seq) or leaf_of(seq)
        if leaf is None:
            return b""
        hashed.update(leaf)
    return hashed.digest()


def _object(raw: bytes) -> dict[str, object] | None:
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
