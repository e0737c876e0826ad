"""The workers and the sweep, as a schedule or a doorbell runs them."""

from __future__ import annotations

import dataclasses
import logging
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sentinel.entrypoints import observe
from sentinel.errors import SentinelError, Tampered, Unavailable

if TYPE_CHECKING:
    from sentinel.bootstrap import App

log = logging.getLogger("sentinel.workers")

SECOND = 1_000_000_000
STAYS, STAYS_LOCALLY = 40.0, 1.0  # seconds that a sweep stays for tasks that wait
EARLIEST = 20  # tasks that are due next, among which it looks for them
PAUSE, LONGEST_PAUSE = 0.05, 0.5


@dataclasses.dataclass(slots=True)
class Guard:
    """The last line of defence for each hint of a drain. `error` is the first fault of ours."""

    stream: str
    error: Exception | None = None

    def __call__(self, part: Callable[[], str]) -> str:
        """Do a part. After a fault its task is looked at again when its lease is over, or is hinted anew."""
        try:
            return part()
        except SentinelError:
            raise
        except Exception as error:
            log.critical("a task of %s ran into a fault: %s", self.stream, type(error).__name__)
            log.debug("a task of %s", self.stream, exc_info=True)
            self.error = self.error or error
            return "skipped"


def worker(stream: str) -> Callable[[App, Callable[[], float]], dict[str, Any]]:
    """Return what drains one stream; `left` tells the seconds that remain. A dead store ends the drain.

    Nothing is lost by ending: what was taken is claimed by the next drain, and the schedule starts that.
    """

    def run(app: App, left: Callable[[], float]) -> dict[str, Any]:
        from sentinel.usecases.run import MARGIN, MARGINS, drain

        deadline = time.time_ns() + int(left() * SECOND)
        guard = Guard(stream)
        try:
            to = app.executor(stream)
            drained = drain(
                to,
                deadline,
                margin=MARGINS.get(stream, MARGIN),
                block_ms=app.settings.drain_block_ms,
                guard=guard,
            )
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
        if guard.error is not None:
            raise guard.error
        return found

    return run


def sweep(app: App, left: Callable[[], float]) -> dict[str, Any]:
    """Decide what correlations wait for, fire what is scheduled, then sweep until nothing is due.

    Stays while something waits for a time that comes soon, so that tasks start at their time and not all
    together at the next schedule. Ends where a quarter of the time is left, too. What keeps correlations or
    schedules from being looked at keeps no task waiting: it is raised at the end.
    """
    begun = time.monotonic()
    first = _First()
    first.run("correlations that wait are decided", lambda: _decide(app))
    enough = left() / 4
    fired = first.run("schedules are looked at", lambda: _fire(app)) or {}
    told = _swept(app, left, enough, begun)
    if first.error is not None:
        raise first.error
    return {**told, **fired}


@dataclasses.dataclass(slots=True)
class _First:
    """What comes before the tasks are looked after. `error` is the first fault of ours."""

    error: Exception | None = None

    def run(self, what: str, part: Callable[[], dict[str, Any] | None]) -> dict[str, Any] | None:
        """Run a part. One whose store does not answer, or that finds damage, is for the next sweep."""
        try:
            return part()
        except Unavailable as error:
            log.warning("%s by the next sweep: %s", what, error)
            return {"unavailable": str(error)}
        except Tampered as error:
            log.critical("tampered: %s", error)
            observe.count("sweep", "tampered", 1)
        except Exception as error:  # noqa: BLE001 - tasks have to be looked after, whatever it is
            log.critical("not so: %s: %s", what, type(error).__name__)
            self.error = self.error or error
        return None


def _swept(app: App, left: Callable[[], float], enough: float, begun: float) -> dict[str, Any]:
    from sentinel.usecases.sweep import sweep as look

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
            return {**total, "unavailable": str(error)}
        for name in total:
            total[name] += getattr(swept, name)
        if swept.tampered:
            observe.count("sweep", "tampered", swept.tampered)
        if not more or left() < enough:
            return total


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
    """Make the tasks of schedules."""
    fired = app.scheduler.fire()
    if fired.tasks:
        observe.count("sweep", "scheduled", len(fired.tasks))
    if fired.missed:
        log.warning("%d scheduled times were missed and are not made up for", fired.missed)
    return {"scheduled": len(fired.tasks)}


def _decide(app: App) -> None:
    """Let detection decide what has waited long enough."""
    found = app.decider.decide()
    for name, value in (("firings", found.firings), ("tasks", len(found.tasks)), ("let_go", found.let_go)):
        if value:
            observe.count("sweep", name, value)
