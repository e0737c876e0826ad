"""The wiring of the archive: where segments go that leave the ledger's table, and how they are read there."""

from __future__ import annotations

from sentinel.wiring import Base


class Archiving(Base):
    """The adapters and use cases of the archive, each made on first use."""
