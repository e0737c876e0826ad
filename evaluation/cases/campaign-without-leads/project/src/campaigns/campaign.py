"""Campaigns as the advertising network reports them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Campaign:
    """What was spent in cents, and what came of it. Of the leads, some are rejected as not genuine."""

    name: str
    spend_cents: int
    leads: int
    rejected: int
    budget_cents: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.rejected <= self.leads:
            raise ValueError(f"{self.name}: {self.rejected} of {self.leads} leads rejected")


def campaigns_of(rows: list[dict[str, Any]]) -> list[Campaign]:
    """Return the campaigns of a report's rows. Raises `ValueError` where a row contradicts itself."""
    return [
        Campaign(row["name"], row["spend_cents"], row["leads"], row.get("rejected", 0), row.get("budget_cents"))
        for row in rows
    ]
