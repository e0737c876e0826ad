import pytest

from ledger.book import Book
from ledger.errors import Unbalanced
from ledger.settle import settle
from ledger.shares import allocate


def test_an_amount_is_split_by_weights() -> None:
    assert allocate(1000, [3, 1, 1]) == [600, 200, 200]


def test_shares_are_rounded() -> None:
    assert allocate(100, [1, 2]) == [33, 67]
    assert allocate(1999, [80, 20]) == [1599, 400]


def test_a_refund_is_negative() -> None:
    assert allocate(-1000, [3, 1, 1]) == [-600, -200, -200]


@pytest.mark.parametrize("weights", [[0, 0], [3, -1]])
def test_there_has_to_be_something_to_split_by(weights: list[int]) -> None:
    with pytest.raises(ValueError, match="weights"):
        allocate(100, weights)


def test_a_payment_is_booked_for_all_parties() -> None:
    book = Book()
    settle(book, "O-1", 1000, {"seller": 90, "fees": 10})
    assert book.entries == [("O-1", {"cash": 1000, "seller": -900, "fees": -100})]


def test_a_refund_takes_back_what_was_given() -> None:
    book = Book()
    settle(book, "O-1", 2500, {"seller": 88, "fees": 12})
    settle(book, "O-1 refund", -2500, {"seller": 88, "fees": 12})
    assert set(book.balances.values()) == {0}


def test_an_entry_adds_up() -> None:
    with pytest.raises(Unbalanced, match="O-2"):
        Book().post("O-2", {"cash": 1})
