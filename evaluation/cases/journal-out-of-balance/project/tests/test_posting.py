from decimal import Decimal

import pytest

from journal.posting import Unbalanced, balances, check

SALE = [
    {"account": "cash", "amount": 1190},
    {"account": "sales", "amount": -1000},
    {"account": "tax", "amount": "-190.00"},
]


def test_an_entry_that_is_a_tenth_of_a_cent_off_is_refused():
    with pytest.raises(Unbalanced, match="0.001"):
        check([{"account": "cash", "amount": "10.001"}, {"account": "sales", "amount": -10}])


def test_an_entry_has_two_lines_or_more():
    with pytest.raises(Unbalanced, match="two lines"):
        balances([[{"account": "cash", "amount": 0}]])


def test_balances_are_sums_by_account():
    assert balances([SALE, SALE]) == {"cash": Decimal(2380), "sales": Decimal(-2000), "tax": Decimal(-380)}


def test_cash_rises_by_a_sale():
    assert balances([SALE])["cash"] == Decimal(1190)
