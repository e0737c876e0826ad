"""The checksum at the end of a record."""

from __future__ import annotations


def checksum(data: bytes) -> int:
    """Return the sum of bytes, each weighed by its place, as one byte."""
    return sum(place * byte for place, byte in enumerate(data, start=1)) % 256
