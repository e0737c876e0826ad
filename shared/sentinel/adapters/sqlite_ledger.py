"""The ledger on SQLite: one row a segment in WAL mode with synchronous FULL, so a commit is durable.

The primary key `(chain, first)` is the slot. Triggers note every change of the table in `changes`, also one
that is made behind our back; the local feed reads them in order. Segments are never deleted here, and what is
updated is a payload, by an erasure.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentinel.adapters.sqlite_open import Database
from sentinel.core.segment import Segment
from sentinel.errors import Tampered
from sentinel.ports import SlotTaken

SCHEMA = """
CREATE TABLE IF NOT EXISTS segments (
    chain TEXT NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,
    prev BLOB NOT NULL, head BLOB NOT NULL, t INTEGER NOT NULL,
    payload BLOB NOT NULL, codec INTEGER NOT NULL, recent BLOB NOT NULL,
    tree BLOB NOT NULL DEFAULT x'', key TEXT NOT NULL DEFAULT '', expires INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (chain, first)
);
CREATE TABLE IF NOT EXISTS changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL, chain TEXT NOT NULL, first INTEGER NOT NULL
);
CREATE TRIGGER IF NOT EXISTS segments_insert AFTER INSERT ON segments BEGIN
    INSERT INTO changes (kind, chain, first) VALUES ('INSERT', new.chain, new.first);
END;
CREATE TRIGGER IF NOT EXISTS segments_update AFTER UPDATE ON segments BEGIN
    INSERT INTO changes (kind, chain, first) VALUES ('MODIFY', old.chain, old.first);
END;
CREATE TRIGGER IF NOT EXISTS segments_delete AFTER DELETE ON segments BEGIN
    INSERT INTO changes (kind, chain, first) VALUES ('REMOVE', old.chain, old.first);
END;
"""
VERSION = 2
# What a file of an earlier version is brought up to date by.
MIGRATIONS = {
    1: """
ALTER TABLE segments ADD COLUMN tree BLOB NOT NULL DEFAULT x'';
ALTER TABLE segments ADD COLUMN key TEXT NOT NULL DEFAULT '';
ALTER TABLE segments ADD COLUMN expires INTEGER NOT NULL DEFAULT 0;
"""
}
_COLUMNS = "chain, first, count, prev, head, t, payload, codec, recent, tree, key"
# SQLite takes any type in any column. Bytes that somebody stored as text are read as the bytes they are.
_BYTES = ("prev", "head", "payload", "recent", "tree")
_READ = ", ".join(f"CAST({name} AS BLOB)" if name in _BYTES else name for name in _COLUMNS.split(", "))
_PAGE = 64
# Jumps from chain to chain in the primary key's index; DISTINCT would walk over every segment.
_CHAINS = """
WITH RECURSIVE found (chain) AS (
    SELECT min(chain) FROM segments
    UNION ALL SELECT (SELECT min(chain) FROM segments WHERE chain > found.chain) FROM found
    WHERE found.chain IS NOT NULL
) SELECT chain FROM found WHERE chain IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the segments' table, in the order of commits. `kind` as in DynamoDB Streams."""

    seq: int
    kind: str
    chain: str
    first: int


class SqliteLedger:
    """`ports.Ledger` on one SQLite file; usable by any number of threads and processes at once."""

    def __init__(self, path: Path | str) -> None:
        self._db = Database(path, SCHEMA, VERSION, migrations=MIGRATIONS)

    def append(self, segment: Segment) -> None:
        """See `ports.Ledger`. The insert itself is the check; the row that won is read only on a clash."""
        row = (
            segment.chain,
            segment.first,
            segment.count,
            segment.prev,
            segment.head,
            segment.t,
            segment.payload,
            segment.codec,
            segment.recent,
            segment.tree,
            segment.key,
        )
        try:
            with self._db.writing() as connection:
                connection.execute(f"INSERT INTO segments ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?)", row)  # noqa: S608
        except sqlite3.IntegrityError:
            taken = self._one("WHERE chain = ? AND first = ?", (segment.chain, segment.first))
            if taken is None:
                raise
            raise SlotTaken(taken) from None

    def head(self, chain: str) -> Segment | None:
        """See `ports.Ledger`."""
        return self._one("WHERE chain = ? ORDER BY first DESC LIMIT 1", (chain,))

    def at(self, chain: str, seq: int) -> Segment | None:
        """See `ports.Ledger`."""
        found = self._one("WHERE chain = ? AND first <= ? ORDER BY first DESC LIMIT 1", (chain, seq))
        return found if found and found.first <= seq < found.first + found.count else None

    def read(self, chain: str, first: int = 0, limit: int | None = None) -> Iterator[Segment]:
        """See `ports.Ledger`. Reads in pages, so that a long export holds no snapshot open."""
        left = limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            with self._db.reading() as connection:
                rows = connection.execute(
                    f"SELECT {_READ} FROM segments WHERE chain = ? AND first >= ? ORDER BY first LIMIT ?",  # noqa: S608
                    (chain, first, size),
                ).fetchall()
            yield from map(_segment, rows)
            if len(rows) < size:
                return
            first = rows[-1][1] + 1
            left = None if left is None else left - len(rows)

    def chains(self) -> Iterator[str]:
        """See `ports.Ledger`. Not by segments at 0, so that a chain whose beginning was removed is found."""
        with self._db.reading() as connection:
            rows = connection.execute(_CHAINS).fetchall()
        for (chain,) in rows:
            if not isinstance(chain, str):
                raise Tampered("?", 0, "type", "a segment's chain is no text")
            yield chain

    def changes(self, after: int, limit: int) -> list[Change]:
        """Return the changes after sequence number `after`, in order."""
        with self._db.reading() as connection:
            rows = connection.execute(
                "SELECT seq, kind, chain, first FROM changes WHERE seq > ? ORDER BY seq LIMIT ?",
                (after, limit),
            ).fetchall()
        return [Change(*row) for row in rows]

    def prune(self, below: int) -> int:
        """Forget changes with a `seq` below `below`, when every reader has passed them; return how many."""
        with self._db.writing() as connection:
            return connection.execute("DELETE FROM changes WHERE seq < ?", (below,)).rowcount

    def replace(self, segment: Segment, before: Segment) -> bool:
        """See `ports_erasure.ErasableSegments`."""
        update = (
            "UPDATE segments SET payload = ?, codec = ?, key = ?"
            " WHERE chain = ? AND first = ? AND head = ? AND payload = ?"
        )
        place = (before.chain, before.first, before.head, before.payload)
        with self._db.writing() as connection:
            row = (segment.payload, segment.codec, segment.key, *place)
            return connection.execute(update, row).rowcount == 1

    def compact(self) -> None:
        """See `ports_erasure.ErasableSegments`."""
        self._db.rewrite()

    def _one(self, where: str, values: tuple[object, ...]) -> Segment | None:
        with self._db.reading() as connection:
            row = connection.execute(f"SELECT {_READ} FROM segments {where}", values).fetchone()  # noqa: S608
        return _segment(row) if row else None


def _segment(row: tuple[Any, ...]) -> Segment:
    """Make a segment of a row. Raises `Tampered` for a row that we cannot have written."""
    chain, first, count, _, _, t, _, codec, _, _, key = row
    for name, value in (("first", first), ("count", count), ("t", t), ("codec", codec)):
        if not isinstance(value, int):
            place = first if isinstance(first, int) else 0
            raise Tampered(chain, place, "type", f"its {name} is no integer")
    if not isinstance(key, str):
        raise Tampered(chain, first, "type", "its key is no text")
    return Segment(*row)
