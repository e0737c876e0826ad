"""What leaves the local ledger's table: segments that the archive marked, once their time is up."""

from __future__ import annotations

from pathlib import Path

from sentinel.adapters.sqlite_ledger import MIGRATIONS, SCHEMA, VERSION
from sentinel.adapters.sqlite_open import Database


class SqliteExpiring:
    """`ports_log.Expiring` on the same file, and what DynamoDB's TTL does by itself: `expired`, `drop`."""

    def __init__(self, path: Path | str) -> None:
        self._db = Database(path, SCHEMA, VERSION, migrations=MIGRATIONS)

    def expire(self, chain: str, first: int, seconds: int) -> None:
        """See `ports_log.Expiring`."""
        with self._db.writing() as connection:
            connection.execute(
                "UPDATE segments SET expires = ? WHERE chain = ? AND first = ? AND expires = 0",
                (seconds, chain, first),
            )

    def unmarked(self, chain: str, end: int) -> list[int]:
        """See `ports_log.Expiring`."""
        found: list[int] = []
        with self._db.reading() as connection:
            rows = connection.execute(
                "SELECT first, expires FROM segments WHERE chain = ? AND first < ? ORDER BY first DESC",
                (chain, end),
            )
            for first, expires in rows:
                if expires:
                    break
                found.append(first)
        return found

    def expired(self, now: int, limit: int) -> list[tuple[str, int]]:
        """Return (chain, first) of segments whose time was up before `now`, epoch seconds."""
        with self._db.reading() as connection:
            return connection.execute(
                "SELECT chain, first FROM segments WHERE expires > 0 AND expires <= ? LIMIT ?", (now, limit)
            ).fetchall()

    def drop(self, chain: str, first: int, now: int) -> int:
        """Delete a segment whose time was up before `now`, epoch seconds; return how many were."""
        with self._db.writing() as connection:
            return connection.execute(
                "DELETE FROM segments WHERE chain = ? AND first = ? AND expires > 0 AND expires <= ?",
                (chain, first, now),
            ).rowcount
