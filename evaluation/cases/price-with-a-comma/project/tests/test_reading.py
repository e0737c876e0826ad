import pytest

from pricelist.money import BadPrice
from pricelist.reading import Article, read


def test_a_list_has_an_article_on_each_line():
    assert read("mug;4.00;25\n\npot;10.01;50\n", "Keramik") == [
        Article("mug", 400, 500),
        Article("pot", 1_001, 1_502),
    ]


def test_nothing_is_sold_below_its_cost():
    with pytest.raises(BadPrice, match="Keramik: -1%"):
        read("mug;4.00;-1", "Keramik")
