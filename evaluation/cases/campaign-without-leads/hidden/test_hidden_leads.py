import pytest

from campaigns.figures import cost_per_lead
from campaigns.overview import overview


def test_no_cost_can_be_told_without_leads():
    assert cost_per_lead(1_250, 0, 0) is None


@pytest.mark.parametrize("leads", [1, 2, 40])
def test_no_cost_can_be_told_where_all_leads_were_rejected(leads):
    assert cost_per_lead(1_250, leads, leads) is None


def test_the_overview_shows_such_campaigns_among_others():
    rows = [
        {"name": "autumn", "spend_cents": 1_250, "leads": 0, "budget_cents": 50_000},
        {"name": "winter", "spend_cents": 800, "leads": 3, "rejected": 3},
        {"name": "spring", "spend_cents": 500, "leads": 2, "rejected": 1},
    ]
    assert overview(rows) == [
        "autumn: 0 leads, n/a each, budget 2%",
        "winter: 0 leads, n/a each, budget n/a",
        "spring: 1 leads, 5.00 each, budget n/a",
    ]


def test_leads_that_cost_nothing_cost_zero():
    assert cost_per_lead(0, 3, 1) == 0


def test_one_accepted_lead_bears_it_all():
    assert cost_per_lead(1_250, 40, 39) == 1_250
