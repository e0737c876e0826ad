"""What keeps an entry out of the ledger."""

from __future__ import annotations


class Unbalanced(Exception):
    """The lines of an entry do not add up."""
