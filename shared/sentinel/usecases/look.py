"""Looking through tasks, newest change first, from a place where an earlier look stopped.

A `Place` tells nothing of the tasks there but a time, since they may be somebody else's. What changes while
one looks is newer than where one began: it is found by beginning anew.
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

_PLACE = re.compile(r"(\d{1,19})\.(\d{1,6})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """Behind the first `passed` tasks that changed at `changed`, newest change first. Nanoseconds."""

    changed: int = NEVER
    passed: int = 0

    def __str__(self) -> str:
        return f"{self.changed}.{self.passed}"

    @staticmethod
    def read(text: str) -> Place:
        """Return the place of a text, the beginning for "". Raises `Malformed`.

        >>> str(Place.read("17.2"))
        '17.2'
        """
        if not text:
            return Place()
        found = _PLACE.fullmatch(text)
        if found is None or int(found[1]) > NEVER:
            raise Malformed("next is what the answer before said, as it said it")
        return Place(int(found[1]), int(found[2]))

    def behind(self, changed: int) -> Place:
        """Return the place behind one more task, which changed at `changed`."""
        return Place(changed, self.passed + 1 if changed == self.changed else 1)


def look(tasks: Tasks, wanted: Selection, start: Place) -> Iterator[tuple[Task | None, Place]]:
    """Yield every task behind `start` that is wanted, None for each that is not, and the place behind it.

    A task that the store yields twice is told once. Raises `Unavailable`.
    """
    place = start
    seen: set[str] = set()
    found = tasks.newest(wanted.states or tuple(State), start.changed)
    for number, (changed, task) in enumerate(found):
        if changed == start.changed and number < start.passed:
            continue
        place = place.behind(changed)
        new = task.id not in seen
        seen.add(task.id)
        yield (task if new and wanted.holds(task) else None), place
