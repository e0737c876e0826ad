import pytest

from baskets.basket import Basket, Line
from baskets.checkout import TotalsDiffer, bought, checked_out, receipt


def test_a_customer_pays_what_was_shown():
    assert bought("kim", [("mug", 2, 950), ("pot", 1, 790)], 2_690) == 2_690


def test_no_other_total_is_paid():
    with pytest.raises(TotalsDiffer, match="kim: 950 cents instead of 900"):
        checked_out(Basket("kim", [Line("mug", 1, 950)]), 900)


def test_a_receipt_has_all_lines():
    assert receipt(Basket("kim", [Line("mug", 2, 950), Line("pot", 1, 790)])) == ["2 x mug", "1 x pot"]
