import pytest

from board.ordering import NotSortable, ranked
from board.views import board


def tickets(field: str, *values: object) -> list[dict[str, object]]:
    return [{"key": f"T-{n}", "fields": {field: value}} for n, value in enumerate(values)]


def test_tickets_without_a_date_come_last() -> None:
    some = tickets("due", "2026-05-03", None, "2026-05-01")
    assert board(some, {"sort": "due"}) == ["T-2", "T-0", "T-1"]


def test_tickets_without_a_date_come_last_when_descending() -> None:
    some = tickets("due", None, "2026-05-03", None, "2026-05-04")
    assert board(some, {"sort": "-due"}) == ["T-3", "T-1", "T-0", "T-2"]


def test_tickets_without_points_come_last_and_zero_is_a_value() -> None:
    assert board(tickets("points", 3, None, 0), {"sort": "points"}) == ["T-2", "T-0", "T-1"]
    assert board(tickets("points", 3, None, 0), {"sort": "-points"}) == ["T-0", "T-2", "T-1"]


def test_points_are_numbers() -> None:
    assert board(tickets("points", 10, 9, 100), {"sort": "points"}) == ["T-1", "T-0", "T-2"]


def test_an_empty_title_is_a_value() -> None:
    assert board(tickets("title", "b", "", "a"), {"sort": "title"}) == ["T-1", "T-2", "T-0"]


def test_a_column_that_no_ticket_has_leaves_the_order() -> None:
    assert board(tickets("title", "b", "c", "a"), {"sort": "-assignee"}) == ["T-0", "T-1", "T-2"]


def test_rows_themselves_are_not_changed() -> None:
    rows = [{"id": "b", "due": None}, {"id": "a", "due": "2026-05-01"}]
    assert ranked(rows, "due") == [rows[1], rows[0]]
    assert rows[0] == {"id": "b", "due": None}


def test_an_unknown_column_stays_refused() -> None:
    with pytest.raises(NotSortable):
        board(tickets("due", None), {"sort": "-"})
