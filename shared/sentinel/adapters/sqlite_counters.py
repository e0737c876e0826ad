"""The port `Counters` on SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sentinel.adapters.sqlite_open import Database

VERSION = 1
_PAGE = 500
SCHEMA = """
CREATE TABLE counters (
    key TEXT PRIMARY KEY NOT NULL, state BLOB NOT NULL, version INTEGER NOT NULL, expires INTEGER NOT NULL
);
CREATE INDEX counters_expires ON counters (expires)
"""


class SqliteCounters:
    """Counters in one SQLite file. See `sentinel.ports.Counters` for the contract."""

    def __init__(self, path: Path | str) -> None:
        self._database = Database(path, SCHEMA, VERSION)

    def load(self, key: str) -> tuple[bytes, int]:
        """Return (state, version); (b"", 0) where there is none."""
        with self._database.reading() as connection:
            select = "SELECT state, version FROM counters WHERE key = ?"
            row: tuple[bytes, int] | None = connection.execute(select, (key,)).fetchone()
        return row or (b"", 0)

    def store(self, key: str, state: bytes, version: int, expires: int) -> bool:
        """Replace the state if its version is still `version`; return False where it is not."""
        with self._database.transaction() as connection:
            if version == 0:
                insert = "INSERT OR IGNORE INTO counters (key, state, version, expires) VALUES (?, ?, 1, ?)"
                return connection.execute(insert, (key, state, expires)).rowcount == 1
            update = "UPDATE counters SET state = ?, version = ?, expires = ? WHERE key = ? AND version = ?"
            values = (state, version + 1, expires, key, version)
            return connection.execute(update, values).rowcount == 1

    def forget(self, now: int) -> int:
        """Delete the states that expired before `now` (epoch seconds), as DynamoDB's TTL does; count them."""
        with self._database.transaction() as connection:
            return connection.execute("DELETE FROM counters WHERE expires < ?", (now,)).rowcount

    def walk(self, prefix: str) -> Iterator[tuple[str, bytes, int]]:
        """See `ports_erasure.ErasableCounters`."""
        select = (
            "SELECT key, state, version FROM counters WHERE key > ? AND substr(key, 1, ?) = ?"
            " ORDER BY key LIMIT ?"
        )
        at = ""
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(select, (at, len(prefix), prefix, _PAGE)).fetchall()
            yield from rows
            if len(rows) < _PAGE:
                return
            at = rows[-1][0]

    def drop(self, key: str, version: int) -> bool:
        """See `ports_erasure.ErasableCounters`."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM counters WHERE key = ? AND version = ?", (key, version))
            return connection.execute("SELECT 1 FROM counters WHERE key = ?", (key,)).fetchone() is None

    def compact(self) -> None:
        """See `ports_erasure.ErasableCounters`."""
        self._database.rewrite()

    def close(self) -> None:
        """Close the file."""
        self._database.close()
