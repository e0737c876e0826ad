from decimal import Decimal

import pytest

from journal.amounts import amount_of
from journal.posting import Unbalanced, balances, check
from journal.statement import statement


def entry(*amounts):
    return [{"account": f"a{count}", "amount": each} for count, each in enumerate(amounts)]


@pytest.mark.parametrize(
    "amounts", [(0.3, -0.1, -0.2), (1.1, -1.0, -0.1), (19.99, "-19.99"), (0.001, -0.001), (1e-7, "-0.0000001")]
)
def test_what_adds_up_as_written_is_in_balance(amounts):
    check(entry(*amounts))


@pytest.mark.parametrize(
    "amounts", [(0.3, -0.1, -0.1999), ("10.001", -10), (0.005, -0.001), (5, "-5.0001"), (0.004, 0.0)]
)
def test_nothing_else_is(amounts):
    with pytest.raises(Unbalanced):
        check(entry(*amounts))


def test_balances_are_exact():
    found = balances([entry(0.1, -0.1)] * 10)
    assert found == {"a0": Decimal(1), "a1": Decimal(-1)}


def test_an_amount_is_what_was_written():
    assert [amount_of(each) for each in (0.1, "0.1", 12, 2.675)] == [
        Decimal("0.1"), Decimal("0.1"), Decimal(12), Decimal("2.675")
    ]


def test_a_statement_shows_no_more_digits_than_were_written():
    text = '[[{"account": "cash", "amount": 0.3}, {"account": "sales", "amount": -0.1}, {"account": "x", "amount": -0.2}]]'
    assert statement(text) == ["cash: 0.30", "sales: -0.10", "x: -0.20"]


def test_what_is_no_amount_is_still_an_error():
    for value in (True, None, "ten"):
        with pytest.raises(ValueError):
            amount_of(value)
