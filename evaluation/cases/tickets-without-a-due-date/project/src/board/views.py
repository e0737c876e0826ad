"""What a request for a board is answered with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from board.ordering import ranked
from board.tickets import row_of


def board(tickets: Iterable[Mapping[str, Any]], query: Mapping[str, str]) -> list[str]:
    """Return the ids of tickets in the order that a query asks for, such as `sort=-due`."""
    sort = query.get("sort", "id")
    rows = [row_of(ticket) for ticket in tickets]
    ordered = ranked(rows, sort.removeprefix("-"), descending=sort.startswith("-"))
    return [row["id"] for row in ordered]
