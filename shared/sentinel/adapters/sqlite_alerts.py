"""The port `Alerts` on SQLite: one row an alert; those that are stored together share a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from sentinel.adapters.sqlite_open import Database
from sentinel.ports_alerts import StoredAlert

VERSION = 1
SCHEMA = """
CREATE TABLE alerts (
    id TEXT PRIMARY KEY NOT NULL, service TEXT NOT NULL, status TEXT NOT NULL, seen INTEGER NOT NULL,
    body BLOB NOT NULL, version INTEGER NOT NULL
);
CREATE INDEX alerts_newest ON alerts (service, status, seen, id)
"""
_SELECT = "SELECT id, service, status, seen, body, version FROM alerts"
_PAGE = 100


class SqliteAlerts:
    """Alerts in one SQLite file. See `sentinel.ports_alerts.Alerts` for the contract."""

    def __init__(self, path: Path | str) -> None:
        self._database = Database(path, SCHEMA, VERSION)

    def load(self, ids: Sequence[str]) -> dict[str, StoredAlert]:
        """Return those of these alerts that are stored, by id."""
        found: dict[str, StoredAlert] = {}
        with self._database.reading() as connection:
            for each in ids:
                row = connection.execute(f"{_SELECT} WHERE id = ?", (each,)).fetchone()
                if row:
                    found[each] = StoredAlert(*row)
        return found

    def store(self, alerts: Sequence[StoredAlert]) -> set[str]:
        """Store each alert whose version is still the stored one; return the ids of the others."""
        with self._database.transaction() as connection:
            return {alert.id for alert in alerts if not _stored(connection, alert)}

    def newest(
        self, service: str, status: str, before: tuple[int, str] | None = None
    ) -> Iterator[StoredAlert]:
        """Yield a service's alerts of one status, the newest first."""
        select = f"{_SELECT} WHERE service = ? AND status = ?"
        order = "ORDER BY seen DESC, id DESC LIMIT ?"
        while True:
            behind = "" if before is None else "AND (seen, id) < (?, ?)"
            with self._database.reading() as connection:
                asked = (service, status, *(before or ()), _PAGE)
                rows = connection.execute(f"{select} {behind} {order}", asked).fetchall()
            yield from (StoredAlert(*row) for row in rows)
            if len(rows) < _PAGE:
                return
            before = (rows[-1][3], rows[-1][0])

    def everything(self) -> Iterator[StoredAlert]:
        """See `ports_erasure.ErasableAlerts`."""
        at = ""
        while True:
            with self._database.reading() as connection:
                asked = f"{_SELECT} WHERE id > ? ORDER BY id LIMIT ?"
                rows = connection.execute(asked, (at, _PAGE)).fetchall()
            yield from (StoredAlert(*row) for row in rows)
            if len(rows) < _PAGE:
                return
            at = rows[-1][0]

    def drop(self, alert_id: str, version: int) -> bool:
        """See `ports_erasure.ErasableAlerts`."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM alerts WHERE id = ? AND version = ?", (alert_id, version))
            return connection.execute("SELECT 1 FROM alerts WHERE id = ?", (alert_id,)).fetchone() is None

    def compact(self) -> None:
        """See `ports_erasure.ErasableAlerts`."""
        self._database.rewrite()

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def _stored(connection: sqlite3.Connection, alert: StoredAlert) -> bool:
    insert = (
        "INSERT INTO alerts (service, status, seen, body, id, version) VALUES (?, ?, ?, ?, ?, 1)"
        " ON CONFLICT (id) DO NOTHING"
    )
    update = (
        "UPDATE alerts SET service = ?, status = ?, seen = ?, body = ?, version = version + 1"
        " WHERE id = ? AND version = ?"
    )
    values = (alert.service, alert.status, alert.seen, alert.body, alert.id)
    done = (
        connection.execute(update, (*values, alert.version))
        if alert.version
        else connection.execute(insert, values)
    )
    return done.rowcount == 1
