"""Turns the JSON of a shop's webhook into an order.

By the shop's documentation `shipping`, `customer.phone` and a line's `quantity` are optional. The shop's
older versions leave an optional field out, newer ones send it as null. An order of downloads alone has no
shipping; a quantity that is not told is 1.
"""

from __future__ import annotations

from typing import Any

from orders.fields import BadPayload, required
from orders.order import Line, Order


def line_of(payload: dict[str, Any]) -> Line:
    """Return one line of an order. Raises `BadPayload`."""
    quantity = payload.get("quantity")
    if quantity is None:
        quantity = 1
    if quantity < 1:
        raise BadPayload("quantity is less than 1")
    return Line(required(payload, "sku", str), quantity, required(payload, "unit_cents", int))


def order_of(payload: dict[str, Any]) -> Order:
    """Return the order that a payload tells. Raises `BadPayload`."""
    customer = required(payload, "customer", dict)
    lines = tuple(line_of(each) for each in required(payload, "lines", list))
    if not lines:
        raise BadPayload("lines is empty")
    return Order(
        number=required(payload, "number", str),
        email=required(customer, "email", str).lower(),
        phone=customer.get("phone") or "",
        lines=lines,
        shipping_cents=payload["shipping"]["cents"],
    )
