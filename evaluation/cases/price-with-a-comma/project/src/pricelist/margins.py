"""Selling prices: no article is sold for less than what it costs us."""

from __future__ import annotations

from pricelist.money import BadPrice, shown


def selling_price(cost: int, percent: int, supplier: str) -> int:
    """Return the cents to ask for an article, `percent` more than its cost, rounded up.

    Raises `BadPrice` where that would be less than the cost.
    """
    if percent < 0:
        raise BadPrice(f"{supplier}: {percent}% on {shown(cost)} is less than its cost")
    return -(-cost * (100 + percent) // 100)
