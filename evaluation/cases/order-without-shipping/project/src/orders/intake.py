"""Answers the webhook: 202 with what was understood, or 400 with what is wrong."""

from __future__ import annotations

import json
from typing import Any

from orders.fields import BadPayload
from orders.parsing import order_of


def receive(body: bytes) -> tuple[int, dict[str, Any]]:
    """Return the status and the JSON of the answer."""
    try:
        payload = json.loads(body)
    except ValueError:
        return 400, {"error": "the body is no JSON"}
    if not isinstance(payload, dict):
        return 400, {"error": "the body is no object"}
    try:
        order = order_of(payload)
    except BadPayload as error:
        return 400, {"error": str(error)}
    return 202, {"number": order.number, "total_cents": order.total_cents}
