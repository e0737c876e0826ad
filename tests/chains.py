"""Chains to test with: made by the product's own code from plain numbers."""

from __future__ import annotations

import random
from collections.abc import Sequence

from sentinel.core.segment import Batch, Head, Segment


def batch(name: int, entries: Sequence[bytes], **context: object) -> Batch:
    """Make a batch whose id is `name` as 16 bytes."""
    return Batch(name.to_bytes(16, "big"), list(entries), {"service": "s", **context})


def grow(chain: str, batches: Sequence[Sequence[bytes]], seed: int = 0, t: int = 1_000) -> list[Segment]:
    """Return the segments of a chain with one batch after the other."""
    rng = random.Random(seed)
    head = Head.genesis(chain)
    segments = []
    for number, entries in enumerate(batches):
        offset = 0
        while offset < len(entries):
            draft = batch(number + 1, entries).draft(offset, rng.randbytes(32))
            segment, head = draft.place(chain, head, t + number)
            segments.append(segment)
            offset = draft.part.end
    return segments
