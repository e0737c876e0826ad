"""What dead workers left behind: tasks that say a worker has them, though it is not alive.

Their leases would run out by themselves. But whoever holds the lock of the home folder knows that no worker
of an earlier run is left, and who started a process that has ended knows that, too: they need not wait. The
attempt stays what it was: a worker that lived all the same could not write any more once somebody else has
taken the task.
"""

from __future__ import annotations

import logging
import secrets
import time
from pathlib import Path

from sentinel.core.states import NEVER
from sentinel.core.tasks import State, abandoned
from sentinel.errors import Conflict, Tampered
from sentinel.settings import Settings

log = logging.getLogger("sentinel.recovery")


def take_up(settings: Settings, worker: str | None = None) -> int:
    """End the leases of all running tasks, or of one worker's; the sweep hints them again.

    One that cannot be read, or whose lineage is damaged, is told of and left to a person. Returns how many
    there were. Raises `Unavailable` where the store does not answer: then leases run out.
    """
    path = Path(settings.home) / "tasks.db"
    if not path.exists():
        return 0
    from sentinel.adapters.sqlite_tasks import SqliteTasks

    tasks = SqliteTasks(path)
    count = 0
    for task in tasks.walk(State.RUNNING, NEVER):
        if worker not in (None, task.worker):
            continue
        try:
            tasks.move(task, *abandoned(task, time.time_ns(), secrets.token_bytes(32)))
            count += 1
        except Conflict:
            continue
        except Tampered as error:
            log.critical("tampered: %s", error)
    tasks.close()
    return count
