"""What carts cost."""

from checkout.pricing import converted, price


def test_items_are_summed() -> None:
    """Each item counts as often as it is in the cart."""
    assert price([("tea", 2), ("pot", 1)], None) == 4290


def test_an_empty_cart_costs_nothing() -> None:
    """There is nothing to pay for nothing."""
    assert price([], None) == 0


def test_a_voucher_is_spread_over_the_items() -> None:
    """What it is worth is taken off evenly, and what cannot be divided is left."""
    assert price([("tea", 1), ("cup", 1)], "WELCOME5") == 1210
    assert price([("cup", 3)], "WELCOME5") == 3372


def test_a_voucher_pays_for_the_cart_at_most() -> None:
    """Nobody is paid for buying."""
    assert price([("tea", 1)], "WELCOME5") == 0


def test_cents_are_converted() -> None:
    """By the rate, rounded to a cent."""
    assert converted(1000, "EUR") == 1000
    assert converted(1001, "USD") == 1091
