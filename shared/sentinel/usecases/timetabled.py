"""Which tasks the timetable asks for in a time, and which of those may rightly not be there.

A schedule's time is asked for by the version that was in force then. Where a change had just been made,
either version may have fired, and a new one may fire what was just before it (`schedule.LATE`). What was
missed while nothing ran is made up for as `catch_up` says: a time without a task is right where the next look
at the clock, of which the tasks that it made tell, came too late for it, and enough later ones were made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sentinel.core.recipes import Recipe
from sentinel.core.tasks import SECOND, Task
from sentinel.usecases.forks import is_fork
from sentinel.usecases.in_force import InForce
from sentinel.usecases.schedule import LATE, scheduled

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


@dataclass(frozen=True, slots=True)
class Due:
    """A task that a schedule asks for `at` a time, in epoch nanoseconds.

    `sure`: whatever was seen of the catalog then; `asked`: else it may be there, and nobody misses it.
    """

    recipe: Recipe
    at: int
    sure: bool
    asked: bool

    @property
    def cause(self) -> Mapping[str, object]:
        """What the task keeps of why it was made."""
        return scheduled(self.recipe, self.at, self.at, "").cause


def timetable(force: InForce, start: int, end: int, first: int) -> dict[str, Due]:
    """Return what schedules ask for from `start` to before `end`, by the tasks' ids.

    `first` is the first time that a schedule is known to have fired for: what was pushed before the catalog
    kept times counts from then on.
    """
    span = (start, end, first)
    late, early = _fired(force, span, late=True), _fired(force, span, late=False)
    before = _fired(force, span, late=False, back=LATE)
    return {
        task_id: Due(recipe, at, task_id in late and task_id in early, task_id in late or task_id in early)
        for task_id, (recipe, at) in {**before, **early, **late}.items()
    }


def _fired(
    force: InForce, span: tuple[int, int, int], *, late: bool, back: int = 0
) -> dict[str, tuple[Recipe, int]]:
    """Return what fired if changes counted late, or early and for what was `back` before them too."""
    found = {}
    start, end, first = span
    for begin, over, plays in force.spans(start, end + back, late=late):
        since = begin - back if begin else first
        for recipe in plays.scheduled:
            assert recipe.on.schedule is not None  # noqa: S101 - plays have no others there
            for at in recipe.on.schedule.times(max(since, start) - 1, min(over, end) - 1):
                found[scheduled(recipe, at, at, "").id] = (recipe, at)
    return found


def is_scheduled(task: Task) -> bool:
    """Say whether a schedule made a task."""
    told = task.cause.get("scheduled")
    return isinstance(told, str) and bool(_TIME.fullmatch(told)) and not is_fork(task)


def time_of(task: Task) -> int:
    """Return the time that a task was scheduled for, in epoch nanoseconds."""
    told = datetime.strptime(str(task.cause["scheduled"]), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return int(told.timestamp()) * SECOND


def missed(due: Due, there: Iterable[Task]) -> bool | None:
    """Say whether a time that has no task was rightly missed; None where nobody has looked at it since.

    `there` are all tasks that schedules have made.
    """
    tasks = list(there)
    look = min((task.created for task in tasks if task.created >= due.at), default=None)
    if look is None:
        return None
    schedule = due.recipe.on.schedule
    if schedule is None or look - due.at <= LATE:
        return False
    newer = [task for task in tasks if task.recipe == due.recipe.id and due.at < time_of(task) <= look - LATE]
    return len(newer) >= schedule.catch_up
