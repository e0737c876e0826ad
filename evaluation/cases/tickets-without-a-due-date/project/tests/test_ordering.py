import pytest

from board.ordering import NotSortable, ranked
from board.tickets import row_of
from board.views import board

TICKETS = [
    {"key": "T-1", "fields": {"title": "Login", "due": "2026-05-03", "points": 5}},
    {"key": "T-2", "fields": {"title": "Basket", "due": "2026-05-01", "points": 8}},
    {"key": "T-3", "fields": {"title": "Search", "due": "2026-05-02", "points": 3}},
]


def test_a_row_has_what_a_board_shows() -> None:
    assert row_of(TICKETS[0]) == {
        "id": "T-1",
        "title": "Login",
        "due": "2026-05-03",
        "points": 5,
        "assignee": None,
    }


def test_a_board_is_sorted_by_id_at_first() -> None:
    assert board(reversed(TICKETS), {}) == ["T-1", "T-2", "T-3"]


def test_dates_are_sorted_by_time() -> None:
    assert board(TICKETS, {"sort": "due"}) == ["T-2", "T-3", "T-1"]


def test_points_are_sorted_by_size() -> None:
    assert board(TICKETS, {"sort": "points"}) == ["T-3", "T-1", "T-2"]


def test_descending_begins_with_the_greatest() -> None:
    assert board(TICKETS, {"sort": "-title"}) == ["T-3", "T-1", "T-2"]


def test_equal_rows_keep_their_order() -> None:
    rows = [{"id": "b", "points": 2}, {"id": "a", "points": 2}, {"id": "c", "points": 1}]
    assert [row["id"] for row in ranked(rows, "points")] == ["c", "b", "a"]
    assert [row["id"] for row in ranked(rows, "points", descending=True)] == ["b", "a", "c"]


def test_other_columns_are_refused() -> None:
    with pytest.raises(NotSortable, match="sort by one of"):
        ranked([], "colour")
