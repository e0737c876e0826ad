"""Writing a transition so that a lost answer is no lost transition, and telling of a task that has failed."""

from __future__ import annotations

import logging

from sentinel.core.tasks import Event, Task
from sentinel.errors import Conflict, Unavailable
from sentinel.ports import Queue, Tasks

log = logging.getLogger(__name__)


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


def bury(queue: Queue, task: Task) -> None:
    """Add a failed task to the dead-letter stream where that works: its state is the truth."""
    try:
        queue.bury(task.id, task.reason)
    except Unavailable as error:
        log.warning("task %s has failed and is not on the dead-letter stream: %s", task.id, error)
