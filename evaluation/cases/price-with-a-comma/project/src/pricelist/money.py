"""Prices as suppliers write them.

There are at most two digits of cents. What stands before them is a point or a comma, by the supplier's
country; the other mark, if any, separates thousands: `1234`, `1234.50`, `1,234.50`, `1.234,50`, `12,50`. A
mark before three digits separates thousands, so `1,234` and `1.234` are 1234.00.
"""

from __future__ import annotations


class BadPrice(ValueError):
    """A price that nobody may ask for."""


def cents(text: str) -> int:
    """Return a price in cents. Raises `ValueError` where it is none."""
    whole, _, fraction = text.strip().partition(".")
    return int(whole.replace(",", "")) * 100 + int(fraction.ljust(2, "0"))


def shown(amount: int) -> str:
    """Return an amount of cents as our pages show it."""
    return f"{amount // 100:,}.{amount % 100:02}"
