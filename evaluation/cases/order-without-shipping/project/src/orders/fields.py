"""Reads fields of the JSON that a shop sends, and says which one is missing."""

from __future__ import annotations

from typing import Any


class BadPayload(ValueError):
    """What was sent is no order. The shop gets the message, so it names fields and no values."""


def required(payload: dict[str, Any], name: str, kind: type) -> Any:
    """Return a field that every order has. Raises `BadPayload` where it is missing or of another kind."""
    value = payload.get(name)
    if not isinstance(value, kind):
        raise BadPayload(f"{name} is missing or no {kind.__name__}")
    return value
