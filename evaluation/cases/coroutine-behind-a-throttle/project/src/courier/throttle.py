"""Limits how often one address is written to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable

from courier.messages import Receipt, Sender


def throttled(send: Sender, most: int) -> Sender:
    """Return a sender that defers what goes to one address after `most` messages."""
    sent: Counter[str] = Counter()

    def limited(to: str, text: str) -> Receipt | Awaitable[Receipt]:
        if sent[to] >= most:
            return {"status": "deferred"}
        sent[to] += 1
        return send(to, text)

    return limited
