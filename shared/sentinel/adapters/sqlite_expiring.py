"""What leaves the local ledger's table: segments that the archive marked, once their time is up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

    def expired(self, now: int, limit: int) -> Iterator[list[tuple[str, int]]]:
        """Yield pages of (chain, first) of the segments whose time was up before `now`, epoch seconds.

        Each is there once, also one that stays: the next page begins behind it.
        """
        at = (0, 0)
        while True:
            with self._db.reading() as connection:
                rows = connection.execute(
                    "SELECT expires, rowid, chain, first FROM segments"
                    " WHERE expires > 0 AND expires <= ? AND (expires, rowid) > (?, ?)"
                    " ORDER BY expires, rowid LIMIT ?",
                    (now, *at, limit),
                ).fetchall()
            if not rows:
                return
            yield [(chain, first) for _, _, chain, first in rows]
            at = rows[-1][:2]

    def drop(self, chain: str, places: Sequence[int], now: int) -> int:
        """Delete those segments, by their `first`, whose time was up before `now`; return how many were."""
        with self._db.transaction() as connection:
            return connection.executemany(
                "DELETE FROM segments WHERE chain = ? AND first = ? AND expires > 0 AND expires <= ?",
                [(chain, first, now) for first in places],
            ).rowcount
