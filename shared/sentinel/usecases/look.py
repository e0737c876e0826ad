"""Looking through tasks, newest change first, from a place where an earlier look stopped.

A `Place` tells a time and the beginning of an id: the task there may be somebody else's, and cannot be named
by that. What changes while one looks is newer than where one began: it is found by beginning anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sentinel.core.selection import Selection
from sentinel.core.states import NEVER, State
from sentinel.core.tasks import Task
from sentinel.errors import Malformed
from sentinel.ports import Tasks

_SHOWN = 10  # characters of an id, of 26: enough to tell apart what changed in the same nanosecond
_PLACE = re.compile(r"(\d{1,19})\.([a-z0-9-]{0,10})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """Behind the task that changed at `changed` (nanoseconds) and whose id begins with `id`."""

    changed: int = NEVER
    id: str = ""

    def __str__(self) -> str:
        return f"{self.changed}.{self.id}"

    @staticmethod
    def read(text: str) -> Place:
        """Return the place of a text, the beginning for "". Raises `Malformed`.

        >>> str(Place.read("17.abc"))
        '17.abc'
        """
        if not text:
            return Place()
        found = _PLACE.fullmatch(text)
        if found is None or int(found[1]) > NEVER:
            raise Malformed("next is what the answer before said, as it said it")
        return Place(int(found[1]), found[2])

    def passed(self, changed: int, task_id: str) -> bool:
        """Whether a task is before this place."""
        return changed > self.changed or (changed == self.changed and task_id[:_SHOWN] <= self.id)


def look(tasks: Tasks, wanted: Selection, start: Place) -> Iterator[tuple[Task | None, Place]]:
    """Yield every task behind `start` that is wanted, None for each that is not, and the place behind it.

    A task that the store yields twice is told once. Raises `Unavailable`.
    """
    seen: set[str] = set()
    for changed, task in tasks.newest(wanted.states or tuple(State), start.changed):
        if start.passed(changed, task.id):
            continue
        new = task.id not in seen
        seen.add(task.id)
        yield (task if new and wanted.holds(task) else None), Place(changed, task.id[:_SHOWN])
