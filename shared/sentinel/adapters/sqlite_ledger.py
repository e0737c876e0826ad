"""The ledger on SQLite: one row a segment in WAL mode with synchronous FULL, so a commit is durable.

The primary key `(chain, first)` is the slot. Triggers note every change of the table in `changes`, also one
that is made behind our back, with what the row was; the local feed reads them in order. Segments that are
archived are marked and, once that is over, deleted (`sqlite_expiring`); what else is updated is a payload, by
an erasure.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentinel.adapters.sqlite_open import Database
from sentinel.core.segment import Segment
from sentinel.errors import Tampered, Unavailable
from sentinel.ports import SlotTaken

_TRIGGERS = """
CREATE TRIGGER IF NOT EXISTS segments_insert AFTER INSERT ON segments BEGIN
    INSERT INTO changes (kind, chain, first) VALUES ('INSERT', new.chain, new.first);
END;
CREATE TRIGGER IF NOT EXISTS segments_replace BEFORE INSERT ON segments
WHEN EXISTS (SELECT 1 FROM segments WHERE chain = new.chain AND first = new.first) BEGIN
    INSERT INTO changes (kind, chain, first, {old})
    SELECT 'MODIFY', chain, first, {old_row}, payload IS new.payload FROM segments
    WHERE chain = new.chain AND first = new.first;
END;
CREATE TRIGGER IF NOT EXISTS segments_moved_over BEFORE UPDATE ON segments
WHEN (old.chain IS NOT new.chain OR old.first IS NOT new.first)
AND EXISTS (SELECT 1 FROM segments WHERE chain = new.chain AND first = new.first) BEGIN
    INSERT INTO changes (kind, chain, first, {old})
    SELECT 'MODIFY', chain, first, {old_row}, payload IS new.payload FROM segments
    WHERE chain = new.chain AND first = new.first;
END;
CREATE TRIGGER IF NOT EXISTS segments_update AFTER UPDATE ON segments
WHEN old.chain IS new.chain AND old.first IS new.first BEGIN
    INSERT INTO changes (kind, chain, first, {old})
    VALUES ('MODIFY', old.chain, old.first, {old_row_old}, old.payload IS new.payload);
END;
CREATE TRIGGER IF NOT EXISTS segments_move AFTER UPDATE ON segments
WHEN old.chain IS NOT new.chain OR old.first IS NOT new.first BEGIN
    INSERT INTO changes (kind, chain, first, {old})
    VALUES ('REMOVE', old.chain, old.first, {old_row_old}, 0);
    INSERT INTO changes (kind, chain, first) VALUES ('INSERT', new.chain, new.first);
END;
CREATE TRIGGER IF NOT EXISTS segments_delete AFTER DELETE ON segments BEGIN
    INSERT INTO changes (kind, chain, first, {old})
    VALUES ('REMOVE', old.chain, old.first, {old_row_old}, 0);
END;
CREATE INDEX IF NOT EXISTS segments_expiring ON segments (expires) WHERE expires > 0;
"""
# What is kept of a row as it was before a change: all but its payload, of which only whether it stayed.
_OLD = ("count", "prev", "head", "t", "codec", "recent", "tree", "key", "expires")
_TRIGGERS = _TRIGGERS.format(
    old=", ".join(f"old_{name}" for name in (*_OLD, "payload_same")),
    old_row=", ".join(_OLD),
    old_row_old=", ".join(f"old.{name}" for name in _OLD),
)
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS segments (
    chain TEXT NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,
    prev BLOB NOT NULL, head BLOB NOT NULL, t INTEGER NOT NULL,
    payload BLOB NOT NULL, codec INTEGER NOT NULL, recent BLOB NOT NULL,
    tree BLOB NOT NULL DEFAULT x'', key TEXT NOT NULL DEFAULT '', expires INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (chain, first)
);
CREATE TABLE IF NOT EXISTS changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL, chain TEXT NOT NULL, first INTEGER NOT NULL,
    {", ".join(f"old_{name}" for name in (*_OLD, "payload_same"))}
);
{_TRIGGERS}"""
VERSION = 2
# What a file of an earlier version is brought up to date by. A program of version 1 that had it open goes on
# writing, segments without a tree: behind one that has it they would be damage for good, and end the chain.
MIGRATIONS = {
    1: f"""
ALTER TABLE segments ADD COLUMN tree BLOB NOT NULL DEFAULT x'';
ALTER TABLE segments ADD COLUMN key TEXT NOT NULL DEFAULT '';
ALTER TABLE segments ADD COLUMN expires INTEGER NOT NULL DEFAULT 0;
{"".join(f"ALTER TABLE changes ADD COLUMN old_{name};" for name in (*_OLD, "payload_same"))}
DROP TRIGGER IF EXISTS segments_insert;
DROP TRIGGER IF EXISTS segments_update;
DROP TRIGGER IF EXISTS segments_delete;
CREATE TRIGGER segments_treeless BEFORE INSERT ON segments WHEN length(new.tree) = 0 BEGIN
    SELECT RAISE(ABORT, 'the file was brought up to date: start what writes to it again');
END;
{_TRIGGERS}"""
}
_COLUMNS = "chain, first, count, prev, head, t, payload, codec, recent, tree, key"
# Nothing may stand at the slot, or behind it: a writer that was stopped for days would else fill a slot that
# is empty since its segment was archived. The newest segment is never dropped, so this sees the chain's end.
_APPEND = (
    f"INSERT INTO segments ({_COLUMNS}) SELECT ?,?,?,?,?,?,?,?,?,?,? "  # noqa: S608
    "WHERE NOT EXISTS (SELECT 1 FROM segments WHERE chain = ? AND first >= ?)"
)
# SQLite takes any type in any column. Bytes that somebody stored as text are read as the bytes they are.
_BYTES = ("prev", "head", "payload", "recent", "tree")
_READ = ", ".join(f"CAST({name} AS BLOB)" if name in _BYTES else name for name in _COLUMNS.split(", "))
_OLD_READ = ", ".join(f"old_{name}" for name in (*_OLD, "payload_same"))
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
    """One change of the segments' table, in the order of commits. `kind` as in DynamoDB Streams.

    `old` is what the row was, for what was changed or removed: a segment without its payload. None where
    nothing was, or nothing that could be one of ours. `same` says that the payload stayed.
    """

    seq: int
    kind: str
    chain: str
    first: int
    old: Segment | None = None
    expires: int = 0
    same: bool = False


class SqliteLedger:
    """`ports.Ledger` on one SQLite file; usable by any number of threads and processes at once."""

    def __init__(self, path: Path | str) -> None:
        self._db = Database(path, SCHEMA, VERSION, migrations=MIGRATIONS)

    def append(self, segment: Segment) -> None:
        """See `ports.Ledger`. The insert itself is the check; what stands there is read only on a clash."""
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
                if connection.execute(_APPEND, (*row, segment.chain, segment.first)).rowcount:
                    return
        except sqlite3.IntegrityError:  # two at once never come here: who writes waits for the file's lock
            if self.head(segment.chain) is None:
                raise
        taken = self._one("WHERE chain = ? AND first = ?", (segment.chain, segment.first))
        taken = taken or self.head(segment.chain)
        if taken is None:
            raise Unavailable("the segment that had the slot is gone again", 0.2)
        raise SlotTaken(taken)

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
            with self._reading(chain) as connection:
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
        with self._reading("?") as connection:
            rows = connection.execute(_CHAINS).fetchall()
        for (chain,) in rows:
            if not isinstance(chain, str):
                raise Tampered("?", 0, "type", "a segment's chain is no text")
            yield chain

    def changes(self, after: int, limit: int) -> list[Change]:
        """Return the changes after sequence number `after`, in order."""
        with self._reading("?") as connection:
            rows = connection.execute(
                f"SELECT seq, kind, chain, first, {_OLD_READ} FROM changes"  # noqa: S608
                " WHERE seq > ? ORDER BY seq LIMIT ?",
                (after, limit),
            ).fetchall()
        return [_change(row) for row in rows]

    def expires(self, chain: str, first: int) -> int:
        """Return when the segment at `first` may be dropped, epoch seconds; 0 where that is not said."""
        with self._db.reading() as connection:
            row = connection.execute(
                "SELECT expires FROM segments WHERE chain = ? AND first = ?", (chain, first)
            ).fetchone()
        return row[0] if row and isinstance(row[0], int) else 0

    def prune(self, below: int) -> int:
        """Forget changes with a `seq` below `below`, when every reader has passed them; return how many."""
        with self._db.writing() as connection:
            return connection.execute("DELETE FROM changes WHERE seq < ?", (below,)).rowcount

    @contextmanager
    def _reading(self, chain: str) -> Iterator[sqlite3.Connection]:
        """Read. Raises `Tampered` for text that is none, which SQLite takes and Python's module does not."""
        try:
            with self._db.reading() as connection:
                yield connection
        except sqlite3.OperationalError as error:
            if hasattr(error, "sqlite_errorcode"):  # an error of SQLite's own
                raise
            raise Tampered(chain, 0, "type", "a segment has text that is not UTF-8") from None

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
        with self._reading(str(values[0])) as connection:
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


def _change(row: tuple[Any, ...]) -> Change:
    """Make a change of a row; one whose old row cannot have been ours has none."""
    seq, kind, chain, first, count, prev, head, t, codec, recent, tree, key, expires, same = row
    texts, numbers = (chain, key), (first, count, t, codec, expires)
    if not (
        all(isinstance(each, int) for each in numbers)
        and all(isinstance(each, bytes) for each in (prev, head, recent, tree))
        and all(isinstance(each, str) for each in texts)
    ):
        return Change(seq, kind, chain, first)
    old = Segment(chain, first, count, prev, head, t, b"", codec, recent, tree, key)
    return Change(seq, kind, chain, first, old, expires, bool(same))
