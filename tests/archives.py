"""Archives to test with: both kinds, and worlds of table, archive, checkpoints and clock."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moto import mock_aws

from sentinel.adapters.archive_folder import FolderArchive
from sentinel.adapters.archive_s3 import S3Archive
from sentinel.adapters.log_folder import FolderNotes, FolderTiles
from sentinel.adapters.log_key_file import FileLogKey
from sentinel.adapters.sqlite_expiring import SqliteExpiring
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.core.segment import Segment
from sentinel.ports import Ledger
from sentinel.ports_log import Archive
from sentinel.usecases.append import SECOND, Appender
from sentinel.usecases.archive import DAY, Archived, Archiver
from sentinel.usecases.erased import Records
from sentinel.usecases.heads import Moment
from sentinel.usecases.seal import Sealer
from sentinel.usecases.seam import Seam
from tests.contracts.secret_stores import aws_client
from tests.contracts.tables import REGION, one_at_a_time
from tests.writers import CHAIN, Clock, appender, numbered

BUCKET = "archived"


@contextmanager
def bucket() -> Iterator[Any]:
    """Give a client of a moto account that has the archive's bucket."""
    with one_at_a_time(), mock_aws():
        s3 = aws_client("s3")
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        yield s3


@contextmanager
def archive_of(kind: str, folder: Path) -> Iterator[Archive]:
    """Give an empty archive: `folder` or `s3`."""
    if kind == "folder":
        yield FolderArchive(folder / "archive")
        return
    with bucket() as s3:
        yield S3Archive(s3, BUCKET)


@dataclass
class World:
    """One machine's ledger with its archive. `days` are the limits of services."""

    home: Path
    clock: Clock = field(default_factory=Clock)
    days: Mapping[str, int] = field(default_factory=lambda: {"checkout": 1})
    wrap: Callable[[str, Any], Any] = lambda _, port: port

    def __post_init__(self) -> None:
        self.raw = SqliteLedger(self.home / "ledger.db")
        self.table: Ledger = self.wrap("table", self.raw)
        self.archive: Archive = self.wrap("archive", FolderArchive(self.home / "archive"))
        self.rows = SqliteExpiring(self.home / "ledger.db")
        self.tiles = FolderTiles(self.home / "log")
        notes, key = FolderNotes(self.home / "log"), FileLogKey(self.home / "log.key", create=True)
        self.sealer = Sealer(self.seam(), notes, self.tiles, key, "log.test", self.clock)

    def seam(self) -> Seam:
        """Return table and archive as a process sees them that has just begun."""
        return Seam(self.table, lambda: self.archive, lambda: Moment(self.clock(), self.clock()))

    def writer(self, seed: int = 1) -> Appender:
        """Return a writer of its own."""
        return appender(self.seam(), self.clock, seed)

    @property
    def records(self) -> Records:
        """What is recorded of erasures."""
        return Records(self.seam(), lambda: self.sealer.keys)

    def archiver(self) -> Archiver:
        """Return what archives, as a process that has just begun."""
        expiring = self.wrap("expiring", self.rows)
        stores = (self.seam(), self.table, self.archive, expiring)
        records = self.records
        return Archiver(*stores, self.sealer.newest, self.tiles, records.cover, lambda: self.days, self.clock)

    def fill(self, batches: int, start: int = 1, chain: str = CHAIN) -> None:
        """Append batches of two entries, an hour apart."""
        writer = self.writer(seed=start)
        for name in range(start, start + batches):
            writer.append(chain, numbered(name))
            self.clock.now += 3_600 * SECOND

    def archived(self, left: float = 1_000.0) -> Archived:
        """Archive what is due, also runs that are not full."""
        return self.archiver().run(lambda: left, patience=0)

    def later(self, days: float) -> None:
        """Let time pass."""
        self.clock.now += int(days * DAY) * SECOND

    def drop(self) -> int:
        """Delete what is marked and over, as a TTL does; return how many."""
        now = self.clock() // SECOND
        over = itertools.chain.from_iterable(self.rows.expired(now, 10_000))
        return sum(self.rows.drop(chain, [first], now) for chain, first in list(over))

    def stored(self, chain: str = CHAIN) -> list[Segment]:
        """Return what the table has."""
        return list(self.raw.read(chain))
