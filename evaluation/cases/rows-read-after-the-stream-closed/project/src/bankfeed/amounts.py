"""Amounts as banks write them, as whole cents."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation


class BadAmount(ValueError):
    """A text is not an amount."""


def cents(text: str) -> int:
    """Return an amount such as "-12.50" in cents. Raises `BadAmount`."""
    try:
        amount = Decimal(text.strip()) * 100
    except InvalidOperation:
        raise BadAmount(f"{text!r} is not an amount") from None
    if amount != amount.to_integral_value():
        raise BadAmount(f"{text!r} has fractions of a cent")
    return int(amount)
