from campaigns.figures import budget_used, cost_per_lead


def test_the_cost_is_shared_by_the_leads_that_were_accepted():
    assert cost_per_lead(90_000, 12, 3) == 10_000


def test_cents_are_rounded_down():
    assert cost_per_lead(1_000, 3, 0) == 333


def test_without_a_budget_no_share_can_be_told():
    assert budget_used(500, None) is None
    assert budget_used(500, 0) is None
    assert budget_used(500, 2_000) == 25
