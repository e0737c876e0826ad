"""The wiring of encryption and erasure: data keys, what encrypts, and what erases."""

from __future__ import annotations

from sentinel.wiring import Base


class Encrypting(Base):
    """The adapters and use cases of encryption and erasure, each made on first use."""
