"""Tickets as the tracker sends them, and the rows that a board has of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = dict[str, Any]


def row_of(ticket: Mapping[str, Any]) -> Row:
    """Return a ticket's row. Points and a due date are None until somebody sets them."""
    fields = ticket.get("fields", {})
    return {
        "id": str(ticket["key"]),
        "title": str(fields.get("title", "")),
        "due": fields.get("due"),
        "points": fields.get("points"),
        "assignee": (fields.get("assignee") or {}).get("name"),
    }
