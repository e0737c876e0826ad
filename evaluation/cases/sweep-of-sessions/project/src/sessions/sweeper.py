"""The sweep that runs every quarter of an hour, and what it tells of itself."""

from __future__ import annotations

from dataclasses import dataclass

from sessions.store import Store


@dataclass(frozen=True)
class Sweep:
    """How many sessions were taken out, and how many are left."""

    ended: int
    left: int

    def __str__(self) -> str:
        return f"{self.ended} ended, {self.left} left"


def sweep(store: Store, now: int) -> Sweep:
    """Sweep a store once."""
    return Sweep(len(store.swept(now)), len(store))
