"""What a witness cosigned last of each log, in one SQLite file: `ports_log.Witnessed`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from sentinel.adapters.sqlite_open import Database
from sentinel.core.witnessing import Seen

VERSION = 1
SCHEMA = """
CREATE TABLE witnessed (
    origin TEXT PRIMARY KEY NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL, seconds INTEGER NOT NULL,
    note BLOB NOT NULL
)
"""
_SELECT = "SELECT size, root, seconds, note FROM witnessed WHERE origin = ?"
_REPLACE = "INSERT OR REPLACE INTO witnessed (origin, size, root, seconds, note) VALUES (?, ?, ?, ?, ?)"


class SqliteWitnessed:
    """One row an origin. Threads and processes may share the file: each change is one transaction."""

    def __init__(self, path: Path | str) -> None:
        self._database = Database(path, SCHEMA, VERSION)

    def advance(self, origin: str, decide: Callable[[Seen | None], Seen]) -> None:
        """See `ports_log.Witnessed`."""

        def change(connection: sqlite3.Connection) -> None:
            new = decide(_row(connection, origin))
            connection.execute(_REPLACE, (origin, new.size, new.root, new.seconds, new.note))

        self._database.commit(change)

    def get(self, origin: str) -> Seen | None:
        """See `ports_log.Witnessed`."""
        with self._database.reading() as connection:
            return _row(connection, origin)

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def _row(connection: sqlite3.Connection, origin: str) -> Seen | None:
    row = connection.execute(_SELECT, (origin,)).fetchone()
    return Seen(*row) if row else None
