import pytest

from pricelist.money import cents, shown


@pytest.mark.parametrize(("text", "expected"), [("12.50", 1_250), (" 7 ", 700), ("0.99", 99), ("1234", 123_400)])
def test_a_price_is_read_as_cents(text, expected):
    assert cents(text) == expected


def test_a_comma_may_separate_thousands():
    assert cents("1,234.50") == 123_450


@pytest.mark.parametrize("text", ["", "twelve", "12.5x"])
def test_what_is_no_price_is_an_error(text):
    with pytest.raises(ValueError):
        cents(text)


def test_amounts_are_shown_with_thousands_apart():
    assert shown(123_405) == "1,234.05"
