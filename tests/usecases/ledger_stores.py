"""Where the segments of one chain stand: a table, an archive, and the seam between them.

Erasure and TTL change a table from outside of the ledger's port: a `Store` is a ledger with what they do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from sentinel.adapters.dynamodb_ledger import DynamoLedger, to_item
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.core.segment import Segment
from sentinel.errors import Conflict
from sentinel.ports import Ledger
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


class Archived:
    """`ports_log.Archive` in memory."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []

    def store(self, chain: str, segments: list[Segment]) -> None:
        for segment in segments:
            if segment.first < self.end(chain):
                stored = self.at(chain, segment.first)
                if stored is None or stored.head != segment.head:
                    raise Conflict("something else is archived there")
                continue
            assert segment.first == self.end(chain)
            self.segments.append(segment)

    def replace(self, segment: Segment) -> bool:
        places = [place for place, each in enumerate(self.segments) if each.first == segment.first]
        for place in places:
            self.segments[place] = segment
        return bool(places)

    def end(self, chain: str) -> int:
        return self.segments[-1].next if self.segments else 0

    def at(self, chain: str, seq: int) -> Segment | None:
        return next((each for each in self.segments if each.first <= seq < each.next), None)

    def read(self, chain: str, first: int = 0) -> Iterator[Segment]:
        return iter([each for each in self.segments if each.first >= first])

    def chains(self) -> Iterator[str]:
        return iter([CHAIN] if self.segments else [])


@dataclass
class Seam:
    """`ports.Ledger` over table and archive: what is below the archive's end is read there alone."""

    table: Ledger
    archive: Archived

    def append(self, segment: Segment) -> None:
        self.table.append(segment)

    def head(self, chain: str) -> Segment | None:
        return self.table.head(chain)

    def at(self, chain: str, seq: int) -> Segment | None:
        return (self.archive if seq < self.archive.end(chain) else self.table).at(chain, seq)

    def read(self, chain: str, first: int = 0, limit: int | None = None) -> Iterator[Segment]:
        assert limit is None
        end = self.archive.end(chain)
        yield from self.archive.read(chain, first)
        yield from self.table.read(chain, max(first, end))

    def chains(self) -> Iterator[str]:
        return iter({*self.table.chains(), *self.archive.chains()})
