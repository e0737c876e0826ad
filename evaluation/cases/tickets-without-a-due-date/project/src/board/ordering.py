"""The order of a board's rows."""

from __future__ import annotations

from board.tickets import Row

SORTABLE = ("id", "title", "due", "points", "assignee")


class NotSortable(ValueError):
    """A board has no column of this name, or none that can be sorted by."""


def ranked(rows: list[Row], by: str, descending: bool = False) -> list[Row]:
    """Return rows in the order of a column: numbers by size, dates by time, texts by letter.

    Rows that have no value there stand last, whichever way it is sorted. Equal ones keep their order.
    Raises `NotSortable`.
    """
    if by not in SORTABLE:
        raise NotSortable(f"sort by one of {', '.join(SORTABLE)}")
    return sorted(rows, key=lambda row: row.get(by), reverse=descending)
