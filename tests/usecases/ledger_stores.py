"""Where the segments of one chain stand: a table, an archive, and the seam between them.

Erasure and TTL change a table from outside of the ledger's port: a `Store` is a ledger with what they do.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, Protocol
from weakref import finalize

from sentinel.adapters.archive_folder import FolderArchive
from sentinel.adapters.dynamodb_ledger import DynamoLedger, to_item
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.core.segment import Segment
from sentinel.ports import Ledger
from sentinel.usecases.heads import HEAD_FRESH, Moment
from sentinel.usecases.seam import Seam
from tests.writers import CHAIN


class Store(Protocol):
    """A ledger whose items can be replaced and removed, as erasure and TTL do it, from outside."""

    @property
    def ledger(self) -> Ledger:
        """The ledger."""

    def put(self, segment: Segment) -> None:
        """Replace an item."""

    def remove(self, first: int) -> None:
        """Remove an item."""


class SqliteStore:
    """Rows of SQLite in memory."""

    def __init__(self) -> None:
        self.ledger = SqliteLedger(":memory:")

    def put(self, segment: Segment) -> None:
        values = (segment.payload, segment.codec, segment.chain, segment.first)
        with self.ledger._db.writing() as connection:
            connection.execute(
                "UPDATE segments SET payload = ?, codec = ? WHERE chain = ? AND first = ?", values
            )

    def remove(self, first: int) -> None:
        with self.ledger._db.writing() as connection:
            connection.execute("DELETE FROM segments WHERE chain = ? AND first = ?", (CHAIN, first))


class DynamoStore:
    """Items of a table of DynamoDB, which is emptied first."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.ledger = DynamoLedger(client, "ledger")
        for segment in list(self.ledger.read(CHAIN)):
            self.remove(segment.first)

    def put(self, segment: Segment) -> None:
        self.client.put_item(TableName="ledger", Item=to_item(segment))

    def remove(self, first: int) -> None:
        key = {"chain": {"S": CHAIN}, "first": {"N": str(first)}}
        self.client.delete_item(TableName="ledger", Key=key)


class Archived(FolderArchive):
    """An archive in a folder of its own."""

    def __init__(self) -> None:
        folder = mkdtemp()
        super().__init__(Path(folder))
        finalize(self, rmtree, folder, ignore_errors=True)


def seam(table: Ledger, archive: Archived) -> Seam:
    """Return table and archive as one. The archive's end is asked for each time: here TTL does not wait."""
    calls = count()
    return Seam(table, lambda: archive, lambda: Moment(0, next(calls) * 2 * HEAD_FRESH))
