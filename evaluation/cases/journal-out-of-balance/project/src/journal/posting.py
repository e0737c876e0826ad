"""Posts entries. The lines of an entry add up to nothing: what one account gets, others give."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from journal.amounts import amount_of


class Unbalanced(ValueError):
    """The lines of an entry do not add up to nothing."""


def check(lines: list[dict[str, Any]]) -> None:
    """Raise `Unbalanced` where lines do not add up to nothing, exactly."""
    total = sum(amount_of(line["amount"]) for line in lines)
    if total != 0:
        raise Unbalanced(f"the lines add up to {total}")


def post(balances: dict[str, Decimal], lines: list[dict[str, Any]]) -> None:
    """Add an entry to balances by account, or nothing of it. Raises `Unbalanced`."""
    if len(lines) < 2:
        raise Unbalanced("an entry has two lines or more")
    check(lines)
    for line in lines:
        account = line["account"]
        balances[account] = balances.get(account, Decimal(0)) + amount_of(line["amount"])


def balances(entries: Iterable[list[dict[str, Any]]]) -> dict[str, Decimal]:
    """Return the balances by account after all entries. Raises `Unbalanced`."""
    found: dict[str, Decimal] = {}
    for lines in entries:
        post(found, lines)
    return found
