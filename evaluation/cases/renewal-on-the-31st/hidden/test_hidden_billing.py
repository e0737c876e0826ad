from datetime import date

import pytest

from billing.invoices import ACCOUNT, upcoming
from billing.renewals import renewal


def test_january_31_is_followed_by_the_last_of_february() -> None:
    assert renewal("2026-01-31", 1) == date(2026, 2, 28)
    assert renewal("2026-01-29", 1) == date(2026, 2, 28)


def test_february_has_29_days_in_a_leap_year() -> None:
    assert renewal("2028-01-31", 1) == date(2028, 2, 29)
    assert renewal("2028-01-29", 1) == date(2028, 2, 29)


@pytest.mark.parametrize(("months", "expected"), [(3, (4, 30)), (5, (6, 30)), (8, (9, 30)), (10, (11, 30))])
def test_months_of_30_days_end_on_the_30th(months: int, expected: tuple[int, int]) -> None:
    assert renewal("2026-01-31", months) == date(2026, *expected)


def test_the_day_of_the_start_comes_back() -> None:
    invoices = upcoming({"plan": "monthly", "started": "2026-01-31"}, 5)
    assert [each.due.day for each in invoices] == [31, 28, 31, 30, 31]


def test_a_leap_day_is_renewed_every_year() -> None:
    assert renewal("2028-02-29", 12) == date(2029, 2, 28)
    assert renewal("2028-02-29", 48) == date(2032, 2, 29)


def test_a_quarter_from_november() -> None:
    invoices = upcoming({"plan": "quarterly", "started": "2026-11-30"}, 3)
    assert [each.due.isoformat() for each in invoices] == ["2026-11-30", "2027-02-28", "2027-05-30"]


@pytest.mark.parametrize("day", range(1, 29))
def test_earlier_days_stay(day: int) -> None:
    assert renewal(f"2026-01-{day:02}", 13) == date(2027, 2, day)


def test_all_invoices_are_paid_to_the_account() -> None:
    invoices = upcoming({"plan": "yearly", "started": "2026-02-01"}, 30)
    assert {each.account for each in invoices} == {ACCOUNT}
