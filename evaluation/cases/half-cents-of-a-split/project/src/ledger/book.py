"""The ledger: entries whose lines add up to zero."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ledger.errors import Unbalanced

Lines = dict[str, int]


@dataclass
class Book:
    """Entries in their order, and balances in cents by account."""

    entries: list[tuple[str, Lines]] = field(default_factory=list)
    balances: Counter[str] = field(default_factory=Counter)

    def post(self, text: str, lines: Lines) -> None:
        """Book an entry. Raises `Unbalanced`."""
        if sum(lines.values()) != 0:
            raise Unbalanced(f"the lines of {text!r} do not add up to zero")
        self.entries.append((text, lines))
        self.balances.update(lines)
