import pytest

from pricelist.money import BadPrice, cents
from pricelist.reading import Article, read


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1.234,50", 123_450), ("12,50", 1_250), ("0,99", 99), ("1.234.567,08", 123_456_708), ("189,00", 18_900)],
)
def test_a_comma_may_stand_before_the_cents(text, expected):
    assert cents(text) == expected


@pytest.mark.parametrize("text", ["1,234", "1.234", "1234", "1,234.00", "1.234,00", " 1234.00 "])
def test_a_mark_before_three_digits_separates_thousands(text):
    assert cents(text) == 123_400


@pytest.mark.parametrize(
    ("text", "expected"), [("1,234,567.08", 123_456_708), ("12.50", 1_250), ("7", 700), ("0.05", 5), ("12.5", 1_250)]
)
def test_a_point_may_still_stand_before_the_cents(text, expected):
    assert cents(text) == expected


@pytest.mark.parametrize("text", ["", ",", "a,50", "1.234,x0"])
def test_what_is_no_price_is_still_an_error(text):
    with pytest.raises(ValueError):
        cents(text)


def test_the_list_of_the_trace_is_read():
    assert read("tavolo-80;1.234,50;20\nsedia-2;189,00;20\n", "Legno Vivo") == [
        Article("tavolo-80", 123_450, 148_140),
        Article("sedia-2", 18_900, 22_680),
    ]


@pytest.mark.parametrize("supplier", ["Legno Vivo", "Keramik", "Northwind"])
def test_nobody_sells_below_cost(supplier):
    with pytest.raises(BadPrice):
        read("mug;4,00;-5", supplier)
