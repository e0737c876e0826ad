"""The overview of all campaigns, as text."""

from __future__ import annotations

from typing import Any

from campaigns.campaign import Campaign, campaigns_of
from campaigns.figures import budget_used, cost_per_lead


def money(cents: int | None) -> str:
    """Return an amount as it is shown."""
    return "n/a" if cents is None else f"{cents // 100}.{cents % 100:02}"


def percent(value: int | None) -> str:
    """Return a share as it is shown."""
    return "n/a" if value is None else f"{value}%"


def told(campaign: Campaign) -> str:
    """Return the line of a campaign: name, accepted leads, cost of each, share of the budget."""
    cost = cost_per_lead(campaign.spend_cents, campaign.leads, campaign.rejected)
    used = budget_used(campaign.spend_cents, campaign.budget_cents)
    return f"{campaign.name}: {campaign.leads - campaign.rejected} leads, {money(cost)} each, budget {percent(used)}"


def overview(rows: list[dict[str, Any]]) -> list[str]:
    """Return the lines of all campaigns, the dearest first."""
    found = sorted(campaigns_of(rows), key=lambda each: each.spend_cents, reverse=True)
    return [told(each) for each in found]
