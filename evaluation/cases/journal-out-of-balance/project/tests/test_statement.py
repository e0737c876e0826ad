import pytest

from journal.amounts import amount_of
from journal.statement import statement


def test_a_statement_has_a_line_for_each_account():
    text = '[[{"account": "cash", "amount": 1200.5}, {"account": "sales", "amount": "-1200.500"}]]'
    assert statement(text) == ["cash: 1,200.50", "sales: -1,200.50"]


@pytest.mark.parametrize("value", [True, None, "ten", "1.2.3", ""])
def test_what_is_no_amount_is_an_error(value):
    with pytest.raises(ValueError, match="amount"):
        amount_of(value)
