"""The archive, as a schedule runs it: what is old enough leaves the ledger's table until time is up."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sentinel.entrypoints import observe
from sentinel.errors import Unavailable

if TYPE_CHECKING:
    from sentinel.bootstrap import App

log = logging.getLogger("sentinel.archive")


def run(app: App, left: Callable[[], float]) -> dict[str, Any]:
    """Archive what is due. What a store keeps from being done is left to the next call."""
    if not app.archived:
        return {}
    try:
        done = app.archiver.run(left)
    except Unavailable as error:
        log.warning("archiving stops until its next schedule: %s", error)
        return {"unavailable": str(error)}
    told = {"segments": done.segments, "objects": done.objects, "marked": done.marked}
    if done.more:
        log.warning("there was more to archive than time: the next call goes on")
    for name, value in (*told.items(), ("tampered", done.damaged), ("behind", int(done.more))):
        if value:
            observe.count("archive", name, value)
    return dataclasses.asdict(done)
