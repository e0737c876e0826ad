"""The sweep: looks after every task whose time has come, so that no lost hint or worker loses a task.

Each task that it finds is moved by one conditional write before it is hinted. The write puts the task's `due`
on, so that tasks behind it are reached, and of several sweeps at once one acts; the lineage tells of it. A
queued task that nobody takes is hinted at growing intervals, so that a stopped worker does not make the
stream grow with every sweep.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sentinel.core.flow import reason_before
from sentinel.core.states import By, State
from sentinel.core.tasks import (
    QUEUE_GRACE,
    SECOND,
    Event,
    Task,
    abandoned,
    by_deadline,
    expired,
    moved,
    overdue,
)
from sentinel.errors import Conflict, Tampered
from sentinel.ports import Doorbell, Queue, Tasks
from sentinel.usecases.dispatch import hint
from sentinel.usecases.flow import Gates, Open

MAX_SWEPT = 500
_LONGEST = 300 * SECOND
NO_LONGER_HELD = "nothing holds it any more"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep did: tasks hinted again, waits that ended, leases that ran out, deadlines that passed.

    `held` tasks are still held, and are looked at again later. `conflicts` are lost races.
    `tampered` tasks cannot be moved, since their lineage is not what their state says: they are told of, and
    left to a person. `more` says that the bound was reached and another sweep would find more.
    """

    again: int
    woken: int
    abandoned: int
    conflicts: int
    tampered: int
    more: bool
    expired: int = 0
    held: int = 0


def sweep(
    tasks: Tasks,
    queue: Queue,
    doorbell: Doorbell,
    clock: Callable[[], int],
    nonce: Callable[[], bytes],
    limit: int = MAX_SWEPT,
    grace: int = QUEUE_GRACE,
    gates: Gates | None = None,
) -> Swept:
    """Look after at most `limit` tasks that are due, earliest first; `gates` say which are still held.

    Raises `Unavailable` where a store or the queue does not answer; the tasks are found again by then.
    """
    now, gates = clock(), gates or Open()
    due = tasks.due(now, limit)
    hints: defaultdict[str, list[str]] = defaultdict(list)
    counts: Counter[State] = Counter()
    lost = {"conflicts": 0, "tampered": 0}
    ripe, held = _parted(tasks, gates, due, now)
    for task in ripe:
        after, event = _next(task, now, grace, nonce())
        if why := _move(tasks, task, after, event):
            lost[why] += 1
        elif after.state is State.EXPIRED:
            counts[State.EXPIRED] += 1
            gates.left(after)
        else:
            counts[task.state] += 1
            hints[after.line].append(task.id)
    hint(hints, queue, doorbell)
    return Swept(
        again=counts[State.QUEUED],
        woken=counts[State.WAITING],
        abandoned=counts[State.RUNNING],
        **lost,
        more=len(due) >= limit,
        expired=counts[State.EXPIRED],
        held=len(held),
    )


def _parted(tasks: Tasks, gates: Gates, due: Sequence[Task], now: int) -> tuple[list[Task], list[Task]]:
    """Return the tasks to be moved, and those that stay held: they are put off without a word in lineages."""
    ripe = [task for task in due if not task.state.ended and task.due <= now]  # an index may lag behind
    asked = [task for task in ripe if task.state is State.WAITING and task.held and not overdue(task, now)]
    later = gates.look(asked, now) if asked else {}
    held = [task for task in asked if task.id in later]
    for task in held:
        tasks.extend(task, by_deadline(task, max(later[task.id], now + 1)))
    return [task for task in ripe if task.id not in later], held


def _move(tasks: Tasks, task: Task, after: Task, event: Event) -> str:
    """Write a transition; return why it was not written, "" where it was."""
    try:
        tasks.move(task, after, event)
    except Conflict:
        return "conflicts"
    except Tampered as error:
        # It stays due, at the front: raising would keep every task behind it waiting for good.
        log.critical("tampered: %s", error)
        return "tampered"
    return ""


def _next(task: Task, now: int, grace: int, nonce: bytes) -> tuple[Task, Event]:
    if overdue(task, now):
        return expired(task, now, nonce)
    if task.state is State.RUNNING:
        return abandoned(task, now, nonce)
    if task.state is State.WAITING:
        if task.held:
            facts = {"step": task.step, "reason": NO_LONGER_HELD}
            changes = {"due": now + grace, "held": "", "reason": reason_before(task)}
            return moved(task, State.QUEUED, now, nonce, facts, by=By.SWEEP, **changes)
        facts = {"step": task.step, "reason": "its time to be tried again has come"}
        return moved(task, State.QUEUED, now, nonce, facts, by=By.SWEEP, due=now + grace)
    pause = min(max(grace, now - task.created), max(grace, _LONGEST))
    facts = {"step": task.step, "reason": "no worker took it; hinted again"}
    return moved(task, State.QUEUED, now, nonce, facts, by=By.SWEEP, due=now + pause)
