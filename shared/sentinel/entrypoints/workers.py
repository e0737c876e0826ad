"""The workers and the sweep, as a schedule or a doorbell runs them."""

from __future__ import annotations

import dataclasses
import logging
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sentinel.entrypoints import observe
from sentinel.errors import Tampered, Unavailable

if TYPE_CHECKING:
    from sentinel.bootstrap import App

log = logging.getLogger("sentinel.workers")

SECOND = 1_000_000_000
STAYS, STAYS_LOCALLY = 40.0, 1.0  # seconds that a sweep stays for tasks that wait
EARLIEST = 20  # tasks that are due next, among which it looks for them
PAUSE, LONGEST_PAUSE = 0.05, 0.5


def worker(stream: str) -> Callable[[App, Callable[[], float]], dict[str, Any]]:
    """Return what drains one stream; `left` tells the seconds that remain. A dead store ends the drain.

    Nothing is lost by ending: what was taken is claimed by the next drain, and the schedule starts that.
    """

    def run(app: App, left: Callable[[], float]) -> dict[str, Any]:
        from sentinel.usecases.run import drain

        deadline = time.time_ns() + int(left() * SECOND)
        try:
            drained = drain(app.executor(stream), deadline, block_ms=app.settings.drain_block_ms)
        except Unavailable as error:
            log.warning("the worker of %s stops until it is rung again: %s", stream, error)
            return {"unavailable": str(error)}
        except Tampered as error:
            # All that was hinted is worked through, and ending as a failure would mend nothing: page someone.
            log.critical("tampered: %s", error)
            observe.count(f"work_{stream}", "tampered", 1)
            return {"tampered": str(error)}
        found = dataclasses.asdict(drained)
        for name, value in found.items():
            if value:
                observe.count(f"work_{stream}", name, value)
        return found

    return run


def sweep(app: App, left: Callable[[], float]) -> dict[str, Any]:
    """Decide what correlations wait for, fire what is scheduled, then sweep until nothing is due.

    Stays while something waits for a time that comes soon, so that tasks start at their time and not all
    together at the next schedule. Ends where a quarter of the time is left, too.
    """
    from sentinel.usecases.sweep import sweep as look

    begun = time.monotonic()
    _decide(app)
    enough = left() / 4
    fired = _fire(app)
    total = {"again": 0, "woken": 0, "abandoned": 0, "expired": 0, "held": 0, "conflicts": 0, "tampered": 0}
    while True:
        try:
            swept = look(
                app.tasks,
                app.queue,
                app.doorbell,
                time.time_ns,
                lambda: secrets.token_bytes(32),
                gates=app.gates,
            )
            more = swept.more or (not swept.tampered and _something_soon(app, begun))
        except Unavailable as error:
            log.warning("the sweep stops until its next schedule: %s", error)
            return {**total, **fired, "unavailable": str(error)}
        for name in total:
            total[name] += getattr(swept, name)
        if swept.tampered:
            observe.count("sweep", "tampered", swept.tampered)
        if not more or left() < enough:
            return {**total, **fired}


def _something_soon(app: App, begun: float) -> bool:
    """Wait until a task that waits is due, if one soon is; say whether to sweep again.

    What was tampered with is always due, and nobody waits for it. Where the tables are in AWS nothing is
    looked up again and again, unless there is a task that waits.
    """
    end = begun + (STAYS_LOCALLY if app.local else STAYS)
    while (spent := time.monotonic()) < end:
        now = time.time_ns()
        soon = [
            task.due - now
            for task in app.tasks.due(now + int((end - spent) * SECOND), EARLIEST)
            if task.state.value == "waiting"
        ]
        if not soon and not app.local:
            return False
        time.sleep(min(max(min(soon, default=0) / SECOND, PAUSE), LONGEST_PAUSE, max(end - spent, PAUSE)))
        if soon and soon[0] <= PAUSE * SECOND:
            return True
    return False


def _fire(app: App) -> dict[str, Any]:
    """Make the tasks of schedules; a catalog that does not answer keeps no task from being looked after."""
    try:
        fired = app.scheduler.fire()
    except Unavailable as error:
        log.warning("schedules wait for the next sweep: %s", error)
        return {"unavailable": str(error)}
    if fired.tasks:
        observe.count("sweep", "scheduled", len(fired.tasks))
    if fired.missed:
        log.warning("%d scheduled times were missed and are not made up for", fired.missed)
    return {"scheduled": len(fired.tasks)}


def _decide(app: App) -> None:
    """Let detection decide what has waited long enough. A store that does not answer stops no sweep."""
    try:
        found = app.decider.decide()
    except Unavailable as error:
        log.warning("correlations that wait are decided at the next schedule: %s", error)
        return
    for name, value in (("firings", found.firings), ("tasks", len(found.tasks)), ("let_go", found.let_go)):
        if value:
            observe.count("sweep", name, value)
