"""Baskets as the text that a customer's cookie keeps between visits."""

from __future__ import annotations

import json

from baskets.basket import Basket, Line


def to_text(basket: Basket) -> str:
    """Return a basket as text."""
    lines = [[line.sku, line.quantity, line.unit_cents] for line in basket.lines]
    return json.dumps({"owner": basket.owner, "lines": lines})


def from_text(text: str) -> Basket:
    """Return the basket that a text keeps. Raises `ValueError` where it keeps none."""
    kept = json.loads(text)
    if not isinstance(kept, dict) or set(kept) != {"owner", "lines"}:
        raise ValueError("the text keeps no basket")
    return Basket(kept["owner"], [Line(*each) for each in kept["lines"]])
