"""The wiring of the archive: where segments go that leave the ledger's table, and how they are read there."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sentinel.wiring import Base, steady_ns

if TYPE_CHECKING:
    from sentinel.adapters.dynamodb_ledger import DynamoLedger
    from sentinel.adapters.sqlite_ledger import SqliteLedger
    from sentinel.ports import Ledger
    from sentinel.ports_log import Archive, Expiring
    from sentinel.usecases.archive import Archiver
    from sentinel.usecases.erased import Records
    from sentinel.usecases.seal import Sealed
    from sentinel.usecases.seam import Seam
    from sentinel.usecases.tripwire import Tripwire


WORKERS, LOCAL_WORKERS = 8, 1  # chains that are archived at once; on one machine acknowledging comes first


class Archiving(Base):
    """The adapters and use cases of the archive, each made on first use."""

    @cached_property
    def segments(self) -> SqliteLedger | DynamoLedger:
        """The ledger's table as it is."""
        if self.local:
            from sentinel.adapters.sqlite_ledger import SqliteLedger

            return SqliteLedger(self.home / "ledger.db")
        from sentinel.adapters.dynamodb_ledger import DynamoLedger

        return DynamoLedger(self.dynamodb, self.settings.ledger_table, self.dynamodb_once)

    @cached_property
    def table(self) -> Ledger:
        """The ledger's table alone, its encrypted segments to be opened."""
        from sentinel.usecases.encryption import OpenedLedger

        return OpenedLedger(self.segments, _whole(self).opens)

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger: the table, and what was archived of it."""
        return self.seam if self.archived else self.table

    @cached_property
    def seam(self) -> Seam:
        """Table and archive as one."""
        from sentinel.usecases.heads import Moment
        from sentinel.usecases.seam import Seam

        return Seam(self.table, lambda: self.archive, lambda: Moment(time.time_ns(), steady_ns()))

    @property
    def archived(self) -> bool:
        """Whether there may be an archive."""
        return self.local or bool(self.settings.archive_bucket)

    @cached_property
    def archive(self) -> Archive:
        """The archived segments."""
        if self.local:
            from sentinel.adapters.archive_folder import FolderArchive

            return FolderArchive(self.home / "archive", _whole(self).keyring)
        from sentinel.adapters.archive_s3 import S3Archive

        return S3Archive(self._aws("s3"), self.settings.archive_bucket, _whole(self).keyring)

    @cached_property
    def expiring(self) -> Expiring:
        """Marks what may leave the table."""
        if self.local:
            from sentinel.adapters.sqlite_expiring import SqliteExpiring

            return SqliteExpiring(self.home / "ledger.db")
        from sentinel.adapters.dynamodb_ledger import DynamoExpiring

        return DynamoExpiring(self.dynamodb, self.settings.ledger_table)

    @cached_property
    def erasures(self) -> Records:
        """Finds what was recorded of erasures."""
        from sentinel.usecases.erased import Records

        app = _whole(self)
        return Records(app.ledger, lambda: app.sealer.keys)

    @cached_property
    def archiver(self) -> Archiver:
        """Moves old segments to the archive."""
        from sentinel.core.access import Service
        from sentinel.usecases import records
        from sentinel.usecases.archive import Archiver

        app = _whole(self)

        def days() -> dict[str, int]:
            return {each.id: each.archive_days for each in records.listed(app.registry, Service)}

        def sealed(chain: str) -> Sealed | None:
            found: Sealed | None = app.sealer.newest(chain)  # the log's key is read when there is a chain
            return found

        stores = (app.ledger, app.table, app.archive, app.expiring)
        workers = LOCAL_WORKERS if self.local else WORKERS
        return Archiver(*stores, sealed, app.tiles, app.erasures.cover, days, time.time_ns, workers)

    @cached_property
    def tripwire(self) -> Tripwire:
        """Tells changes of the ledger's table that are ours from those that are not."""
        from sentinel.usecases.tripwire import Tripwire

        app = _whole(self)
        archive = (lambda: self.archive) if self.archived else None
        ended = self.seam.end if self.archived else (lambda _: 0)
        known = (archive, ended, app.erasures.unrecorded)
        return Tripwire(*known, app.appender, time.time_ns, app.keyring)


def _whole(part: Archiving) -> Any:
    """Return the application that a part is of, which has the stores."""
    return part
