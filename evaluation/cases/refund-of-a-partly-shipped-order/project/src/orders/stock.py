"""Stock of a warehouse: what is free, and what is held for orders."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Stock:
    """Quantities by article. What is held is no longer free, until it is released or has left."""

    free: dict[str, int]
    held: dict[str, int] = field(default_factory=dict)

    def hold(self, sku: str, quantity: int) -> None:
        """Reserve a quantity."""
        self.free[sku] -= quantity
        self.held[sku] = self.held.get(sku, 0) + quantity

    def release(self, sku: str, quantity: int) -> None:
        """Give back what was reserved and will not leave."""
        self.held[sku] -= quantity
        self.free[sku] += quantity

    def leave(self, sku: str, quantity: int) -> None:
        """Note that a reserved quantity has left the house."""
        self.held[sku] -= quantity
