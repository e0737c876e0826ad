import pytest

from baskets.basket import Basket, Line
from baskets.checkout import TotalsDiffer, bought, checked_out, filled, receipt
from baskets.saved import from_text, to_text


def test_customers_pay_one_after_the_other():
    assert bought("noor", [("lamp", 1, 3_900)], 3_900) == 3_900
    assert bought("theo", [("bulb", 4, 250), ("lamp", 1, 3_900)], 4_900) == 4_900
    assert bought("noor", [("lamp", 1, 3_900)], 3_900) == 3_900


def test_two_open_baskets_share_nothing():
    noor, theo = Basket("noor"), Basket("theo")
    noor.add(Line("lamp", 1, 3_900))
    theo.add(Line("bulb", 4, 250))
    assert (noor.lines, theo.lines) == ([Line("lamp", 1, 3_900)], [Line("bulb", 4, 250)])


def test_a_basket_that_is_left_behind_leaves_nothing_to_others():
    filled("noor", [("lamp", 1, 3_900)])
    assert filled("theo", []).cents == 0


def test_a_receipt_has_what_was_checked_out():
    basket = checked_out(filled("theo", [("bulb", 4, 250)]), 1_000)
    assert receipt(basket) == ["4 x bulb"]


def test_lines_that_are_given_are_in_the_basket():
    assert Basket("kim", [Line("mug", 1, 950)]).cents == 950
    assert from_text(to_text(Basket("kim", [Line("mug", 1, 950)]))).lines == [Line("mug", 1, 950)]


def test_another_total_is_still_not_paid():
    with pytest.raises(TotalsDiffer):
        bought("kim", [("mug", 1, 950)], 949)
