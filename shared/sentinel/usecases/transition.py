"""Writing a transition so that a lost answer is no lost transition."""

from __future__ import annotations

from sentinel.core.tasks import Event, Task
from sentinel.errors import Conflict, Unavailable
from sentinel.ports import Tasks


def write(tasks: Tasks, before: Task, after: Task, event: Event) -> Task:
    """Write a transition and return the task after it; errors as at `Tasks.move`.

    Where the answer was lost, or the client sent the same write twice, the stored head tells beyond doubt
    whether it was written. What was not is written once more: a task whose worker gave its write up would
    stay leased until its lease runs out.
    """
    for left in (1, 0):
        try:
            tasks.move(before, after, event)
            break
        except (Unavailable, Conflict):
            stored = tasks.get(after.id)
            if stored is not None and stored.head == after.head:
                break
            if not left or stored is None or stored.version != before.version:
                raise
    return after
