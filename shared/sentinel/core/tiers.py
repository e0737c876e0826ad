"""Tiers: the limits that services may have, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Tier:
    """Limits of a service, each a second: requests, entries, and bytes as unpacked. `burst` is in seconds.

    After a quiet time, `burst` seconds' worth may come at once. `quota` is requests a day at the front door,
    best effort; 0: none.
    """

    requests: int
    entries: int
    bytes: int
    burst: float = 2.0
    quota: int = 0


TIERS: Mapping[str, Tier] = MappingProxyType(
    {
        "trial": Tier(5, 500, 500_000, quota=50_000),
        "standard": Tier(100, 20_000, 20_000_000),
        "high": Tier(2_000, 500_000, 500_000_000),
    }
)
