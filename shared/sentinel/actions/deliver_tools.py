"""What all deliveries of a process share, and what is told of a run of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sentinel.actions.breakers import Breakers
from sentinel.actions.deliver_store import DeliveryStore


@dataclass(frozen=True, slots=True)
class Tools:
    """What all deliveries of a process share. `idle` and `listing` are in seconds, `clock` in epoch ns.

    A chain that has nothing new is asked at least every `idle`, and for new chains every `listing`.
    """

    store: DeliveryStore
    breakers: Breakers
    clock: Callable[[], int]
    sleep: Callable[[float], None]
    holder: str
    idle: float = 1.0
    listing: float = 5.0


@dataclass(slots=True)
class Counts:
    """What one run of a delivery did, and what is wrong with it; `running`: another runner had it.

    `damaged` counts chains that stopped at damage nobody knew of. `busy` is when it last had something to
    do, in epoch nanoseconds.
    """

    delivered: int = 0
    refused: int = 0
    twice: int = 0
    problem: str = ""
    running: bool = False
    damaged: int = 0
    busy: int = 0
