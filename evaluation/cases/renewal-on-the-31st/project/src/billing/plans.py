"""What can be subscribed to."""

from __future__ import annotations

from dataclasses import dataclass


class NoSuchPlan(LookupError):
    """There is no plan of this name."""


@dataclass(frozen=True)
class Plan:
    """A price in cents for so many months."""

    months: int
    price: int


PLANS = {"monthly": Plan(1, 1200), "quarterly": Plan(3, 3300), "yearly": Plan(12, 12000)}


def plan(name: str) -> Plan:
    """Return a plan. Raises `NoSuchPlan`."""
    try:
        return PLANS[name]
    except KeyError:
        raise NoSuchPlan(f"choose one of {', '.join(PLANS)}") from None
