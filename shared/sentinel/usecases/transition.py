"""Writing a transition so that a lost answer is no lost transition."""

from __future__ import annotations

from sentinel.core.tasks import Event, Task
from sentinel.errors import Conflict, Unavailable
from sentinel.ports import Tasks


def write(tasks: Tasks, before: Task, after: Task, event: Event) -> Task:
    """Write a transition and return the task after it; errors as at `Tasks.move`.

    Where the answer was lost, or the client sent the same write twice, the stored head tells beyond doubt
    whether it was written.
    """
    try:
        tasks.move(before, after, event)
    except (Unavailable, Conflict):
        stored = tasks.get(after.id)
        if stored is None or stored.head != after.head:
            raise
    return after
