"""The wiring of the transparency log: checkpoints, tiles, who signs, and what proves."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING

from sentinel.bootstrap_archive import Archiving
from sentinel.bootstrap_encryption import Encrypting

if TYPE_CHECKING:
    from sentinel.ports_log import LogSigner, Notes, Tiles
    from sentinel.usecases.cosign import Cosigner
    from sentinel.usecases.seal import Sealer


class Logged(Archiving, Encrypting):
    """The adapters and use cases of checkpoints and proofs, each made on first use."""

    @cached_property
    def notes(self) -> Notes:
        """The checkpoints."""
        from sentinel.adapters.log_folder import FolderNotes

        return FolderNotes(self.home / "log")

    @cached_property
    def tiles(self) -> Tiles:
        """The tiles of the chains' trees."""
        from sentinel.adapters.log_folder import FolderTiles

        return FolderTiles(self.home / "log")

    @cached_property
    def log_signer(self) -> LogSigner:
        """The log's key."""
        from sentinel.adapters.log_key_file import FileLogKey

        return FileLogKey(self.home / "log.key", create=True)

    @cached_property
    def sealer(self) -> Sealer:
        """Signs checkpoints."""
        from sentinel.usecases.seal import Sealer

        ledger = self.ledger  # type: ignore[attr-defined] # App has it
        return Sealer(ledger, self.notes, self.tiles, self.log_signer, self.settings.log, time.time_ns)

    @cached_property
    def cosigner(self) -> Cosigner:
        """Offers checkpoints to witnesses and to a timestamp authority. Raises `Malformed` for settings."""
        from sentinel.bootstrap_witness import cosigner_of

        return cosigner_of(self.settings, self.notes, self.tiles, self.sealer.newest)
