import pytest

from bankfeed.amounts import BadAmount, cents
from bankfeed.feed import balance, largest
from bankfeed.statements import UnknownForm, records

OLD = "2026-01-03;120.00;Rent\n2026-01-04;-20.50;Power\n"


def test_amounts_are_whole_cents() -> None:
    assert cents(" -12.50 ") == -1250
    assert cents("3") == 300


@pytest.mark.parametrize("text", ["", "twelve", "1.005"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(BadAmount):
        cents(text)


def test_rows_of_the_old_form_have_names() -> None:
    assert next(iter(records(OLD))) == {"date": "2026-01-03", "amount": "120.00", "text": "Rent"}


def test_the_new_form_is_known_by_its_first_line() -> None:
    assert records("date,amount,text\n") is not None


def test_another_form_is_refused() -> None:
    with pytest.raises(UnknownForm, match="semicolons"):
        balance("{}")


def test_a_balance_is_the_sum() -> None:
    assert balance(OLD) == 9950


def test_the_largest_row_is_told() -> None:
    assert largest(OLD) == "Rent"


def test_largest_of_nothing_is_none() -> None:
    assert largest("") is None
