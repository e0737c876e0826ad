"""What a cart costs: prices, vouchers, currencies. The shop's own repository has this file, and tests of it.

Its failures are real, and left in: an unknown currency is an uncaught KeyError, and a voucher on an empty
cart a ZeroDivisionError.
"""

from __future__ import annotations

PRICES = {"tea": 420, "cup": 1290, "pot": 3450, "strainer": 890}  # euro cents
RATES = {"EUR": 1.0, "USD": 1.09, "GBP": 0.85, "CHF": 0.94}
VOUCHERS = {"WELCOME5": 500}


def price(items: list[tuple[str, int]], voucher: str | None) -> int:
    """Return what items cost in euro cents: (article, quantity) each, less what a voucher takes off."""
    total = sum(PRICES[sku] * quantity for sku, quantity in items)
    if voucher is None:
        return total
    # A voucher is spread evenly over the items, so that a part of them can be returned later.
    each = VOUCHERS[voucher] // sum(quantity for _, quantity in items)
    return max(0, sum((PRICES[sku] - each) * quantity for sku, quantity in items))


def converted(cents: int, currency: str) -> int:
    """Return euro cents in cents of another currency."""
    return round(cents * RATES[currency])
