"""Figures of a campaign. One that cannot be told is None."""

from __future__ import annotations


def cost_per_lead(spend_cents: int, leads: int, rejected: int) -> int:
    """Return the cents that were spent for each lead that was accepted, rounded down."""
    return spend_cents // (leads - rejected)


def budget_used(spend_cents: int, budget_cents: int | None) -> int | None:
    """Return how much of a budget is spent, in percent, rounded down; None where there is no budget."""
    if not budget_cents:
        return None
    return 100 * spend_cents // budget_cents
