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
from dataclasses import dataclass, field, fields

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
_COUNTED = {State.QUEUED: "again", State.WAITING: "woken", State.RUNNING: "abandoned"}
NO_LONGER_HELD = "nothing holds it any more"
TIME_HAS_COME = "its time to be tried again has come"
HINTED_AGAIN = "no worker took it; hinted again"

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
    """Look after tasks that are due, earliest first, `limit` at a time; `gates` say which are still held.

    Those that are tampered with stay due, at the front: it looks behind them, however many they are. Raises
    `Unavailable` where a store or the queue does not answer; the tasks are found again by then.
    """
    one = _Sweep(tasks, gates or Open(), nonce, clock(), grace)
    while True:
        stuck = len(one.stuck)
        due = [task for task in tasks.due(one.now, limit + stuck) if task.id not in one.stuck]
        try:
            one.look(due)
        finally:
            hint(one.hints, queue, doorbell)
        if len(one.stuck) == stuck or len(due) < limit:
            return one.swept(more=len(due) >= limit)


@dataclass(slots=True)
class _Sweep:
    """One sweep. `stuck` are the tasks that cannot be moved, `hints` what is to be hinted by line."""

    tasks: Tasks
    gates: Gates
    nonce: Callable[[], bytes]
    now: int
    grace: int
    stuck: set[str] = field(default_factory=set)
    hints: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    counts: Counter[str] = field(default_factory=Counter)

    def look(self, due: Sequence[Task]) -> None:
        """Look after some tasks."""
        self.hints.clear()
        ripe, held = _parted(self.tasks, self.gates, due, self.now)
        self.counts["held"] += len(held)
        for task in ripe:
            after, event = _next(task, self.now, self.grace, self.nonce())
            if why := _move(self.tasks, task, after, event):
                self.counts[why] += 1
                self.stuck |= {task.id} if why == "tampered" else set()
            elif after.state is State.EXPIRED:
                self.counts["expired"] += 1
                self.gates.left(after)
            else:
                self.counts[_COUNTED[task.state]] += 1
                self.hints[after.line].append(task.id)

    def swept(self, *, more: bool) -> Swept:
        """Return what was done."""
        names = [each.name for each in fields(Swept) if each.name != "more"]
        return Swept(**{name: self.counts[name] for name in names}, more=more)


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
        facts = {"step": task.step, "reason": TIME_HAS_COME}
        return moved(task, State.QUEUED, now, nonce, facts, by=By.SWEEP, due=now + grace)
    pause = min(max(grace, now - task.created), max(grace, _LONGEST))
    facts = {"step": task.step, "reason": HINTED_AGAIN}
    return moved(task, State.QUEUED, now, nonce, facts, by=By.SWEEP, due=now + pause)
