"""Receipts: what a producer gets for a batch that is stored."""

from __future__ import annotations

from dataclasses import dataclass

from sentinel.core.segment import Piece


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a producer gets for a batch: where its entries stand. `head` is H of the batch's last entry.

    `first` is the sequence number of its first entry; `t` the time of its last segment, epoch nanoseconds.
    `segments` are all of its segments in order, where they were asked for.
    """

    chain: str
    first: int
    count: int
    head: bytes
    t: int
    batch_id: bytes
    segments: tuple[Piece, ...] = ()

    def json(self) -> dict[str, object]:
        """Return the receipt as it is sent: bytes in hex."""
        told: dict[str, object] = {
            "chain": self.chain,
            "first": self.first,
            "count": self.count,
            "head": self.head.hex(),
            "t": self.t,
            "batch_id": self.batch_id.hex(),
        }
        if self.segments:
            told["segments"] = [each.json() for each in self.segments]
        return told
