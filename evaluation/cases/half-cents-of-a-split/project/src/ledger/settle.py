"""Books what a marketplace takes in for its sellers."""

from __future__ import annotations

from collections.abc import Mapping

from ledger.book import Book
from ledger.shares import allocate

CASH = "cash"


def settle(book: Book, order: str, amount: int, parties: Mapping[str, int]) -> None:
    """Book a payment in cents, or a refund if it is negative, for parties by their weights."""
    shares = allocate(amount, list(parties.values()))
    lines = {CASH: amount}
    for party, share in zip(parties, shares, strict=True):
        lines[party] = -share
    book.post(order, lines)
