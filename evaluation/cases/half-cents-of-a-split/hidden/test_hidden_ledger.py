import pytest

from ledger.book import Book
from ledger.errors import Unbalanced
from ledger.settle import settle
from ledger.shares import allocate


def test_half_cents_go_to_the_first() -> None:
    assert allocate(1285, [1, 1]) == [643, 642]
    assert allocate(-1285, [1, 1]) == [-643, -642]


@pytest.mark.parametrize("amount", [50, 49, 51, 99, 1])
def test_no_share_of_many_is_a_cent_off(amount: int) -> None:
    shares = allocate(amount, [1] * 100)
    assert sum(shares) == amount
    assert set(shares) <= {0, 1}


def test_the_largest_rest_is_rounded_up() -> None:
    assert allocate(100, [50, 30, 19]) == [51, 30, 19]
    assert allocate(10, [33, 33, 34]) == [3, 3, 4]


def test_who_has_no_weight_gets_nothing() -> None:
    assert allocate(5, [1, 1, 0]) == [3, 2, 0]
    assert allocate(-100, [1, 1, 1, 0]) == [-34, -33, -33, 0]


def test_all_amounts_add_up() -> None:
    for amount in range(-300, 300):
        for weights in ([1, 1], [1, 1, 1], [7, 2, 1], [90, 7, 3], [1, 0, 1]):
            shares = allocate(amount, weights)
            assert sum(shares) == amount
            exact = [amount * weight / sum(weights) for weight in weights]
            assert all(abs(one - other) < 1 for one, other in zip(shares, exact, strict=True))


def test_a_refund_of_any_amount_takes_back_what_was_given() -> None:
    for amount in (1, 5, 333, 1285, 9999):
        book = Book()
        settle(book, "O", amount, {"a": 1, "b": 1, "fees": 1})
        settle(book, "O refund", -amount, {"a": 1, "b": 1, "fees": 1})
        assert set(book.balances.values()) == {0}


def test_even_splits_stay() -> None:
    assert allocate(1000, [3, 1, 1]) == [600, 200, 200]
    assert allocate(0, [1, 1]) == [0, 0]


def test_bad_weights_and_entries_stay_refused() -> None:
    with pytest.raises(ValueError, match="weights"):
        allocate(5, [0])
    with pytest.raises(Unbalanced):
        Book().post("O", {"cash": 1, "fees": -2})
