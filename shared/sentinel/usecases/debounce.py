"""Debounce: a task that waits until the same has not matched for a while, and hears of each further match."""

from __future__ import annotations

from collections.abc import Callable

from sentinel.core.flow import DEBOUNCE, quiet_until
from sentinel.core.states import By, State
from sentinel.core.tasks import Task, moved
from sentinel.errors import Conflict, Unavailable
from sentinel.ports import Tasks
from sentinel.usecases.asked import Wanted

_RACES = 10
AGAIN = "the same matched again"


def wait_on(
    tasks: Tasks, want: Wanted, task_id: str, clock: Callable[[], int], nonce: Callable[[], bytes]
) -> Task | None:
    """Have a task that waits for quiet wait on, if that changes anything; return it as it then is.

    Once it has begun, further matches are the same task and change nothing. Raises `Unavailable`.
    """
    for _ in range(_RACES):
        task = tasks.get(task_id)
        until = quiet_until(want.recipe, task, want.t) if task is not None else 0
        if task is None or not until:
            return task
        facts = {"step": task.step, "held": DEBOUNCE, "reason": AGAIN, "entries": want.entries}
        after, event = moved(task, State.WAITING, clock(), nonce(), facts, by=By.DETECTION, due=until)
        try:
            tasks.move(task, after, event)
        except Conflict:
            continue  # it has begun meanwhile, or somebody else was told of a match
        return after
    raise Unavailable(f"task {task_id} is moved by too many at once")
