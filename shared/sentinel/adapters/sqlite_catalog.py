"""The port `Catalog` on SQLite: versions in one table for good, which of them are active in another.

When each became active or was retired stands in a third one, which a file of the earlier version gets with
its next change.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from sentinel.adapters.catalog_kind import check_kind
from sentinel.adapters.sqlite_open import Database
from sentinel.ports import Activation, Document

VERSION = 1
ACTIVATIONS = """
CREATE TABLE IF NOT EXISTS activations (
    kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, active INTEGER NOT NULL,
    t INTEGER NOT NULL
)
"""
SCHEMA = """
CREATE TABLE versions (
    kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, digest TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (kind, id, version)
);
CREATE TABLE active (
    kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (kind, id),
    FOREIGN KEY (kind, id, version) REFERENCES versions (kind, id, version)
);
CREATE TABLE revision (one INTEGER PRIMARY KEY CHECK (one = 1), n INTEGER NOT NULL);
INSERT INTO revision (one, n) VALUES (1, 0);
CREATE TRIGGER versions_stay BEFORE UPDATE ON versions BEGIN
    SELECT raise(ABORT, 'versions are immutable');
END;
"""
SCHEMA += ACTIVATIONS


class SqliteCatalog:
    """Documents in one SQLite file. See `sentinel.ports.Catalog`. `clock` is in epoch nanoseconds."""

    def __init__(self, path: Path | str, clock: Callable[[], int] = time.time_ns) -> None:
        self._database = Database(path, SCHEMA, VERSION)
        self._clock = clock

    def push(self, kind: str, doc_id: str, body: bytes) -> Document:
        """Make `body` the active version of a document; the same body again changes nothing.

        The body of the newest version gets no new number: after `retire` it becomes active again as it was.
        """
        check_kind(kind)
        digest = sha256(body).hexdigest()
        with self._database.transaction() as connection:
            newest = _newest(connection, kind, doc_id)
            if newest is None or newest.digest != digest:
                newest = Document(kind, doc_id, newest.version + 1 if newest else 1, digest, body)
                connection.execute(
                    "INSERT INTO versions (kind, id, version, digest, body) VALUES (?, ?, ?, ?, ?)",
                    (kind, doc_id, newest.version, digest, body),
                )
            put = (
                "INSERT INTO active (kind, id, version) VALUES (?, ?, ?)"
                " ON CONFLICT (kind, id) DO UPDATE SET version = excluded.version"
                " WHERE version != excluded.version"
            )
            if connection.execute(put, (kind, doc_id, newest.version)).rowcount:
                _revise(connection, Activation(kind, doc_id, newest.version, True, self._clock()))
        return newest

    def retire(self, kind: str, doc_id: str) -> None:
        """Take a document out of the active set; its versions stay. Nothing where it is not active."""
        check_kind(kind)
        with self._database.transaction() as connection:
            delete = "DELETE FROM active WHERE kind = ? AND id = ? RETURNING version"
            gone = connection.execute(delete, (kind, doc_id)).fetchall()
            if gone:
                _revise(connection, Activation(kind, doc_id, gone[0][0], False, self._clock()))

    def active(self, kind: str) -> list[Document]:
        """Return the active version of every document of a kind, by id."""
        check_kind(kind)
        select = (
            "SELECT kind, id, version, digest, body FROM active JOIN versions USING (kind, id, version)"
            " WHERE kind = ? ORDER BY id"
        )
        with self._database.reading() as connection:
            return [Document(*row) for row in connection.execute(select, (kind,)).fetchall()]

    def version(self, kind: str, doc_id: str, version: int) -> Document | None:
        """Return one version of a document, active or not."""
        check_kind(kind)
        select = "SELECT kind, id, version, digest, body FROM versions WHERE (kind, id, version) = (?, ?, ?)"
        with self._database.reading() as connection:
            row = connection.execute(select, (kind, doc_id, version)).fetchone()
        return Document(*row) if row else None

    def activations(self, kind: str) -> list[Activation]:
        """Return what became active or was retired, and when, in order of time."""
        check_kind(kind)
        there = "SELECT count(*) FROM sqlite_master WHERE name = 'activations'"
        select = "SELECT kind, id, version, active, t FROM activations WHERE kind = ? ORDER BY t, rowid"
        with self._database.reading() as connection:
            if not connection.execute(there).fetchone()[0]:
                return []
            rows = connection.execute(select, (kind,)).fetchall()
        return [Activation(row[0], row[1], row[2], bool(row[3]), row[4]) for row in rows]

    def revision(self) -> str:
        """Return a token that changes with every push or retire."""
        with self._database.reading() as connection:
            return str(connection.execute("SELECT n FROM revision").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def _newest(connection: sqlite3.Connection, kind: str, doc_id: str) -> Document | None:
    select = (
        "SELECT kind, id, version, digest, body FROM versions WHERE kind = ? AND id = ?"
        " ORDER BY version DESC LIMIT 1"
    )
    row = connection.execute(select, (kind, doc_id)).fetchone()
    return Document(*row) if row else None


def _revise(connection: sqlite3.Connection, told: Activation) -> None:
    connection.execute("UPDATE revision SET n = n + 1")
    connection.execute(ACTIVATIONS)
    insert = "INSERT INTO activations (kind, id, version, active, t) VALUES (?, ?, ?, ?, ?)"
    connection.execute(insert, (told.kind, told.id, told.version, told.active, told.t))
