"""Gives money back.

Customers get all that they paid. What is held for the order and has not left the house is free again at
once; what has left is booked in by the warehouse when it returns.
"""

from __future__ import annotations

from orders.order import Order
from orders.states import advance
from orders.stock import Stock


def refund(order: Order, stock: Stock) -> int:
    """Refund an order and return the amount in cents. Raises `IllegalTransition`."""
    before = order.state
    order.state = advance(before, "refund")
    if before == "paid":
        for line in order.lines:
            stock.release(line.sku, line.quantity)
    return order.paid
