from baskets.basket import Basket, Line
from baskets.saved import from_text, to_text


def test_a_basket_that_was_kept_comes_back():
    basket = Basket("kim", [Line("mug", 2, 950)])
    kept = from_text(to_text(basket))
    assert (kept.owner, kept.lines) == ("kim", [Line("mug", 2, 950)])


def test_of_an_article_that_is_there_the_quantity_rises():
    basket = Basket("kim", [Line("mug", 2, 950)])
    basket.add(Line("mug", 1, 950))
    assert basket.lines == [Line("mug", 3, 950)]


def test_a_basket_costs_what_its_lines_cost():
    basket = Basket("kim", [Line("mug", 2, 950), Line("pot", 1, 790)])
    assert basket.cents == 2_690
