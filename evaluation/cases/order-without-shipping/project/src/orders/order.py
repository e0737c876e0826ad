"""An order as the rest of the service knows it. All amounts are in cents."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """A quantity of one article."""

    sku: str
    quantity: int
    unit_cents: int

    @property
    def cents(self) -> int:
        return self.quantity * self.unit_cents


@dataclass(frozen=True)
class Order:
    """What a customer bought."""

    number: str
    email: str
    phone: str
    lines: tuple[Line, ...]
    shipping_cents: int

    @property
    def total_cents(self) -> int:
        return sum(line.cents for line in self.lines) + self.shipping_cents
