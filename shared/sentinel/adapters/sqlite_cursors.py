"""How far each local feed has read: one number a reader, which only ever goes up."""

from __future__ import annotations

from pathlib import Path

from sentinel.adapters.sqlite_open import Database

VERSION = 1
SCHEMA = "CREATE TABLE cursors (name TEXT PRIMARY KEY NOT NULL, seq INTEGER NOT NULL)"


class SqliteCursors:
    """Cursors in one SQLite file, shared by threads and processes."""

    def __init__(self, path: Path | str) -> None:
        # A cursor that a power cut puts back only hands changes over again, which every reader takes.
        self._database = Database(path, SCHEMA, VERSION, durable=False)

    def cursor(self, name: str) -> int:
        """Return the last `seq` that the reader has finished with; 0 where it has none."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT seq FROM cursors WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def advance(self, name: str, seq: int) -> None:
        """Say that the reader has finished with everything up to `seq`; never moves a cursor back."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO cursors (name, seq) VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET seq = max(seq, excluded.seq)",
                (name, seq),
            )

    def close(self) -> None:
        """Close the file."""
        self._database.close()
