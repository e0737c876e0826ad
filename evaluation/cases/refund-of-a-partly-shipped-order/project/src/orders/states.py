"""The states of an order, and what leads from one to another."""

from __future__ import annotations

TRANSITIONS: dict[str, dict[str, str]] = {
    "paid": {"ship_part": "partly_shipped", "ship": "shipped", "refund": "refunded", "cancel": "cancelled"},
    "partly_shipped": {"ship_part": "partly_shipped", "ship": "shipped"},
    "shipped": {"deliver": "delivered", "refund": "refunded"},
    "delivered": {"refund": "refunded"},
    "refunded": {},
    "cancelled": {},
}


class IllegalTransition(Exception):
    """An order's state does not allow what was asked for."""


def advance(state: str, event: str) -> str:
    """Return the state that an event leads to. Raises `IllegalTransition`."""
    following = TRANSITIONS[state]
    if event not in following:
        raise IllegalTransition(f"an order that is {state} does not take {event!r}")
    return following[event]
