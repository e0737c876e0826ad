"""A customer's basket. Amounts are in cents."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """A quantity of one article."""

    sku: str
    quantity: int
    unit_cents: int


class Basket:
    """What one customer wants to buy, in the order in which it was chosen."""

    def __init__(self, owner: str, lines: list[Line] = []) -> None:
        self.owner = owner
        self.lines = lines

    def __repr__(self) -> str:
        return f"Basket({self.owner!r}, {self.lines!r})"

    def add(self, line: Line) -> None:
        """Add to the basket; of an article that is in it, the quantity rises."""
        for at, present in enumerate(self.lines):
            if (present.sku, present.unit_cents) == (line.sku, line.unit_cents):
                self.lines[at] = Line(line.sku, present.quantity + line.quantity, line.unit_cents)
                return
        self.lines.append(line)

    @property
    def cents(self) -> int:
        """What all of it costs."""
        return sum(line.quantity * line.unit_cents for line in self.lines)
