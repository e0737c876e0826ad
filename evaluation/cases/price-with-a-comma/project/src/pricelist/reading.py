"""Reads a price list: a line for each article, `sku;price;percent`."""

from __future__ import annotations

from dataclasses import dataclass

from pricelist.margins import selling_price
from pricelist.money import cents


@dataclass(frozen=True)
class Article:
    """An article with what it costs us and what we ask, in cents."""

    sku: str
    cost: int
    price: int


def read(text: str, supplier: str) -> list[Article]:
    """Return the articles of a list. Raises `ValueError` where a line is of another form."""
    articles = []
    for line in text.splitlines():
        if not line.strip():
            continue
        sku, price, percent = line.split(";")
        cost = cents(price)
        articles.append(Article(sku.strip(), cost, selling_price(cost, int(percent), supplier)))
    return articles
