"""Deliveries, as a schedule runs them: what is new goes to its sinks until the time is nearly up."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sentinel.entrypoints import observe
from sentinel.errors import Unavailable

if TYPE_CHECKING:
    from sentinel.bootstrap import App

SECOND = 1_000_000_000
IDLE = 3.0  # seconds without anything to do after which a call in AWS ends: the next minute has another
MARGIN = 40.0  # seconds that a request on its way, its acknowledgement and what is written about it may take

log = logging.getLogger("sentinel.deliver")


def run(app: App, left: Callable[[], float]) -> dict[str, Any]:
    """Deliver until the time is nearly up. What a store keeps from being done is left to the next call."""
    until = time.time_ns() + int((left() - MARGIN) * SECOND)
    try:
        if not app.deliveries.current():
            return {}
        found = app.deliverer.run(until, lambda: left() <= 0, 0 if app.local else IDLE)
    except Unavailable as error:
        log.warning("deliveries stop until their next schedule: %s", error)
        return {"unavailable": str(error)}
    for each in found.values():
        told = {"delivered": each.delivered, "refused": each.refused, "maybe_twice": each.twice}
        for name, value in (*told.items(), ("tampered", each.damaged)):
            if value:
                observe.count("deliver", name, value)
    return {name: dataclasses.asdict(each) for name, each in found.items()}
