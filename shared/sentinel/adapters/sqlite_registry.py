"""The port `Registry` on SQLite: one row a record, replaced by one conditional statement."""

from __future__ import annotations

from pathlib import Path

from sentinel.adapters.registry_keys import check, storable
from sentinel.adapters.sqlite_open import Database
from sentinel.ports_doors import Record

VERSION = 1
SCHEMA = """
CREATE TABLE records (
    kind TEXT NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL, version INTEGER NOT NULL,
    service TEXT NOT NULL, expires INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) WITHOUT ROWID
"""
_SELECT = "SELECT kind, id, body, version, service, expires FROM records WHERE kind = ?"


class SqliteRegistry:
    """Records in one SQLite file. See `sentinel.ports_doors.Registry` for the contract."""

    def __init__(self, path: Path | str) -> None:
        self._database = Database(path, SCHEMA, VERSION)

    def get(self, kind: str, record_id: str) -> Record | None:
        """Return a record as it is now, or None."""
        if not storable(kind, record_id):
            return None
        with self._database.reading() as connection:
            row = connection.execute(f"{_SELECT} AND id = ?", (kind, record_id)).fetchone()
        return Record(*row) if row else None

    def put(self, record: Record) -> bool:
        """Store a record if the stored version is still `record.version`; False where it is not."""
        check(record)
        insert = (
            "INSERT INTO records (kind, id, body, version, service, expires) VALUES (?, ?, ?, 1, ?, ?)"
            " ON CONFLICT (kind, id) DO NOTHING"
        )
        update = (
            "UPDATE records SET body = ?, version = version + 1, service = ?, expires = ?"
            " WHERE kind = ? AND id = ? AND version = ?"
        )
        key, value = (record.kind, record.id), (record.body, record.service, record.expires)
        with self._database.transaction() as connection:
            if record.version:
                done = connection.execute(update, (*value, *key, record.version))
            else:
                done = connection.execute(insert, (*key, *value))
            return done.rowcount == 1

    def listing(self, kind: str, service: str = "") -> list[Record]:
        """Return all records of a kind by id, or those of one service."""
        which, values = (" AND service = ?", (kind, service)) if service else ("", (kind,))
        with self._database.reading() as connection:
            rows = connection.execute(f"{_SELECT}{which} ORDER BY id", values).fetchall()
        return [Record(*row) for row in rows]

    def drop(self, kind: str, record_id: str) -> None:
        """Take a record away; nothing where there is none."""
        if not storable(kind, record_id):
            return
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM records WHERE kind = ? AND id = ?", (kind, record_id))

    def close(self) -> None:
        """Close the file."""
        self._database.close()
