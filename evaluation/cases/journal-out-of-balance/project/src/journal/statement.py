"""Statements of balances as text."""

from __future__ import annotations

import json

from journal.amounts import shown
from journal.posting import balances


def statement(text: str) -> list[str]:
    """Return the lines of a statement for a journal in JSON, a list of entries. Raises `Unbalanced`."""
    found = balances(json.loads(text))
    return [f"{account}: {shown(found[account])}" for account in sorted(found)]
