"""Amounts of money, exact to the last digit that was written; energy is billed in tenths of a cent."""

from __future__ import annotations

from decimal import Decimal


def amount_of(value: int | float | str) -> Decimal:
    """Return an amount as JSON has it: a number, or text such as "12.345". Raises `ValueError` for others."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("an amount is a number or text")
    if isinstance(value, str) and not value.replace(".", "", 1).removeprefix("-").isdigit():
        raise ValueError(f"{value} is no amount")
    return Decimal(value)


def shown(amount: Decimal) -> str:
    """Return an amount as statements show it, with at least two digits of cents."""
    digits = max(2, -int(amount.normalize().as_tuple().exponent))
    return f"{amount:,.{digits}f}"
