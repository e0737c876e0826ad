"""The wiring of the transparency log: checkpoints, tiles, who signs, and what proves."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sentinel.bootstrap_archive import Archiving
from sentinel.bootstrap_encryption import Encrypting
from sentinel.errors import Forbidden

if TYPE_CHECKING:
    from pathlib import Path

    from sentinel.core.notes import Key
    from sentinel.ports_log import LogSigner, Notes, Tiles
    from sentinel.usecases.cosign import Cosigner
    from sentinel.usecases.prove_chain import ProveChain
    from sentinel.usecases.seal import LogKeys, Sealer
    from sentinel.usecases.seal_all import SealAll

LOCAL_WORKERS = 1  # on one machine chains are sealed one after the other: acknowledging comes first


class Logged(Archiving, Encrypting):
    """The adapters and use cases of checkpoints and proofs, each made on first use."""

    @cached_property
    def notes(self) -> Notes:
        """The checkpoints."""
        to = self.settings
        if to.log_bucket:
            from sentinel.adapters.log_s3 import S3Notes

            return S3Notes(self._s3, to.log_bucket, to.log)
        from sentinel.adapters.log_folder import FolderNotes

        return FolderNotes(self._log_folder)

    @cached_property
    def tiles(self) -> Tiles:
        """The tiles of the chains' trees."""
        to = self.settings
        if to.archive_bucket:
            from sentinel.adapters.log_s3 import S3Tiles

            return S3Tiles(self._s3, to.archive_bucket, to.log)
        from sentinel.adapters.log_folder import FolderTiles

        return FolderTiles(self._log_folder)

    @cached_property
    def log_signer(self) -> LogSigner:
        """The log's key. Raises `Forbidden` where it has signed and is gone: another would take its name."""
        if self.settings.log_key:
            from sentinel.adapters.kms_log_signer import KmsLogSigner

            return KmsLogSigner(self._aws("kms"), self.settings.log_key)
        from sentinel.adapters.log_key_file import FileLogKey

        path = self.home / "log.key"
        lost = self.local and not path.exists() and any(True for _ in self.notes.chains())
        if lost and not path.exists():  # once more: another process may have begun the log meanwhile
            raise Forbidden(
                f"the log's key {path} is gone, and checkpoints are signed by it: restore it, or begin "
                "another log under another name (SENTINEL_LOG)"
            )
        return FileLogKey(path, create=self.local)

    @cached_property
    def sealer(self) -> Sealer:
        """Signs checkpoints."""
        from sentinel.usecases.seal import Sealer

        ledger = self.ledger
        return Sealer(ledger, self.notes, self.tiles, self.log_signer, self.settings.log, time.time_ns)

    @cached_property
    def seal_all(self) -> SealAll:
        """Signs the checkpoints of all chains."""
        from sentinel.usecases.seal_all import WORKERS, SealAll

        asked = self.settings.witnesses or self.settings.timestamp_url
        offer = self.cosigner.offer if asked else None
        return SealAll(self.sealer, time.time_ns, LOCAL_WORKERS if self.local else WORKERS, offer)

    @cached_property
    def prove_chain(self) -> ProveChain:
        """Proves entries and growth by checkpoints and tiles."""
        from sentinel.usecases.prove_chain import ProveChain

        ledger = self.ledger
        return ProveChain(ledger, self.notes, self.tiles, lambda: self.log_keys)

    @property
    def log_keys(self) -> LogKeys:
        """The public keys of the log."""
        from sentinel.usecases.seal import LogKeys

        return LogKeys(self.settings.log, self.log_signer.public_key())

    def log_key_of(self, chain: str) -> Key:
        """Return the key that the log signs for a chain with."""
        return self.log_keys.of(chain)

    @property
    def _log_folder(self) -> Path:
        return self.home / "log" / quote(self.settings.log, safe="")

    @cached_property
    def _s3(self) -> Any:
        return self._aws("s3")

    @cached_property
    def cosigner(self) -> Cosigner:
        """Offers checkpoints to witnesses and to a timestamp authority. Raises `Malformed` for settings."""
        from sentinel.bootstrap_witness import cosigner_of

        return cosigner_of(self.settings, self.notes, self.tiles, self.sealer.newest)
