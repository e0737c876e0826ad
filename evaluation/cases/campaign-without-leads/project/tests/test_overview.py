import pytest

from campaigns.overview import overview


def test_the_dearest_campaign_comes_first():
    rows = [
        {"name": "spring", "spend_cents": 10_000, "leads": 4},
        {"name": "summer", "spend_cents": 90_000, "leads": 12, "rejected": 3, "budget_cents": 100_000},
    ]
    assert overview(rows) == [
        "summer: 9 leads, 100.00 each, budget 90%",
        "spring: 4 leads, 25.00 each, budget n/a",
    ]


def test_no_more_leads_are_rejected_than_there_were():
    with pytest.raises(ValueError, match="5 of 4"):
        overview([{"name": "spring", "spend_cents": 1, "leads": 4, "rejected": 5}])
