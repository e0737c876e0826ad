"""What the accounts see of a statement."""

from __future__ import annotations

from bankfeed.amounts import cents
from bankfeed.statements import records


def balance(statement: str) -> int:
    """Return the sum of a statement's amounts, in cents."""
    total = 0
    for row in records(statement):
        total += cents(row["amount"])
    return total


def largest(statement: str) -> str | None:
    """Return the text of the row with the largest amount; of equal ones the first, of none None."""
    best: tuple[int, str] | None = None
    for row in records(statement):
        amount = cents(row["amount"])
        if best is None or amount > best[0]:
            best = (amount, row["text"])
    return None if best is None else best[1]
