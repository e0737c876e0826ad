import pytest

from bankfeed.amounts import BadAmount
from bankfeed.feed import balance, largest
from bankfeed.statements import UnknownForm, records

NEW = 'date,amount,text\n2026-04-01,1890.00,"Payout, March"\n2026-04-02,-29.90,Rental\n'


def test_the_balance_of_the_new_form_is_the_sum_of_all_rows() -> None:
    assert balance(NEW) == 186010


def test_the_largest_row_of_the_new_form_is_told() -> None:
    assert largest(NEW) == "Payout, March"


def test_rows_of_the_new_form_can_be_taken_one_by_one() -> None:
    rows = list(records(NEW))
    assert [row["amount"] for row in rows] == ["1890.00", "-29.90"]


def test_the_new_form_without_rows_is_nothing() -> None:
    assert balance("date,amount,text\n") == 0
    assert largest("date,amount,text\n") is None


def test_columns_of_the_new_form_may_stand_in_another_order() -> None:
    assert balance("date,text,amount\n2026-04-01,Sale,7.00\n") == 700


def test_a_bad_amount_is_still_refused() -> None:
    with pytest.raises(BadAmount, match="soon"):
        balance("date,amount,text\n2026-04-01,1.00,Sale\n2026-04-02,soon,Sale\n")


def test_the_old_form_stays() -> None:
    assert balance("2026-01-03;120.00;Rent\n") == 12000


def test_an_unknown_form_stays_refused() -> None:
    with pytest.raises(UnknownForm):
        largest("<xml/>")
