"""Checks a basket out: the customer pays what the page showed, or nothing at all."""

from __future__ import annotations

from collections.abc import Sequence

from baskets.basket import Basket, Line


class TotalsDiffer(RuntimeError):
    """A basket does not cost what the customer was shown."""


def filled(owner: str, chosen: Sequence[tuple[str, int, int]]) -> Basket:
    """Return a new basket with what a customer chose: article, quantity, price of one."""
    basket = Basket(owner)
    for sku, quantity, unit_cents in chosen:
        basket.add(Line(sku, quantity, unit_cents))
    return basket


def checked_out(basket: Basket, shown_cents: int) -> Basket:
    """Return a basket whose total is what was shown. Raises `TotalsDiffer`."""
    if basket.cents != shown_cents:
        raise TotalsDiffer(f"{basket.owner}: {basket.cents} cents instead of {shown_cents}")
    return basket


def bought(owner: str, chosen: Sequence[tuple[str, int, int]], shown_cents: int) -> int:
    """Fill and check out a basket and return what is to be paid."""
    basket = filled(owner, chosen)
    return checked_out(basket, shown_cents).cents


def receipt(basket: Basket) -> list[str]:
    """Return the lines of a receipt for a basket that was checked out."""
    return [f"{line.quantity} x {line.sku}" for line in basket.lines]
