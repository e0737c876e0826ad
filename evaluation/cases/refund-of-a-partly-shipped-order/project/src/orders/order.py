"""An order and its way out of the house."""

from __future__ import annotations

from dataclasses import dataclass

from orders.states import advance
from orders.stock import Stock


@dataclass
class Line:
    """A quantity of one article, and how much of it was shipped."""

    sku: str
    quantity: int
    shipped: int = 0


@dataclass
class Order:
    """An order that is paid, in cents. Its quantities are held from then on."""

    reference: str
    lines: list[Line]
    paid: int
    state: str = "paid"


def ship_part(order: Order, stock: Stock, sku: str, quantity: int) -> None:
    """Ship a quantity of one line."""
    order.state = advance(order.state, "ship_part")
    line = next(line for line in order.lines if line.sku == sku)
    line.shipped += quantity
    stock.leave(sku, quantity)


def ship(order: Order, stock: Stock) -> None:
    """Ship all that is not shipped yet."""
    order.state = advance(order.state, "ship")
    for line in order.lines:
        stock.leave(line.sku, line.quantity - line.shipped)
        line.shipped = line.quantity
