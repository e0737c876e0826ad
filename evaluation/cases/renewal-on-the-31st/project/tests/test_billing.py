from datetime import date

import pytest

from billing.invoices import upcoming
from billing.plans import NoSuchPlan, plan
from billing.renewals import renewal


def test_a_month_later_is_the_same_day() -> None:
    assert renewal("2026-03-15", 1) == date(2026, 4, 15)


def test_no_month_later_is_the_start() -> None:
    assert renewal("2026-03-31", 0) == date(2026, 3, 31)


def test_months_are_counted_over_the_turn_of_the_year() -> None:
    assert renewal("2026-11-30", 1) == date(2026, 12, 30)
    assert renewal("2026-12-05", 1) == date(2027, 1, 5)
    assert renewal("2026-08-05", 29) == date(2029, 1, 5)


def test_a_plan_has_a_price() -> None:
    assert plan("quarterly").price == 3300


def test_an_unknown_plan_is_told() -> None:
    with pytest.raises(NoSuchPlan, match="monthly"):
        upcoming({"plan": "weekly", "started": "2026-01-01"}, 1)


def test_invoices_begin_with_the_start() -> None:
    invoices = upcoming({"plan": "monthly", "started": "2026-05-20"}, 3)
    assert [each.due.isoformat() for each in invoices] == ["2026-05-20", "2026-06-20", "2026-07-20"]
    assert {each.amount for each in invoices} == {1200}


def test_yearly_invoices_are_a_year_apart() -> None:
    invoices = upcoming({"plan": "yearly", "started": "2026-05-20"}, 2)
    assert invoices[1].due == date(2027, 5, 20)
