"""The wiring of the transparency log: checkpoints, tiles, who signs, and what proves."""

from __future__ import annotations

from sentinel.bootstrap_archive import Archiving
from sentinel.bootstrap_encryption import Encrypting


class Logged(Archiving, Encrypting):
    """The adapters and use cases of checkpoints and proofs, each made on first use."""
