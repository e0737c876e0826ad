"""The overview on the first day of a campaign."""

from campaigns.overview import overview

overview(
    [
        {"name": "summer", "spend_cents": 90_000, "leads": 12, "rejected": 3, "budget_cents": 100_000},
        {"name": "autumn", "spend_cents": 1_250, "leads": 0, "budget_cents": 50_000},
    ]
)
