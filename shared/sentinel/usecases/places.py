"""Places at gates, kept in the counters by compare and swap: taken, given back, handed on, and mended.

Why no limit is exceeded, whoever dies or stands still, is said in `core.places`. Whoever gives a place back
hands it to the next in line and has that task queued. Where that is lost, because the process died in
between, the next look mends it: that of a task which finds the gate full, of a worker that leaves it, or of
the sweep, which looks for the first in line every few seconds. A look compares the holders with their tasks,
at most every few seconds however many tasks come.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from sentinel.core.flow import Bound, reason_before
from sentinel.core.pauses import first_service
from sentinel.core.places import (
    Fate,
    Gate,
    Place,
    fate,
    following,
    given,
    joined,
    looks_again,
    packed,
    released,
    renewed,
    unpacked,
    waiter_of,
    without,
)
from sentinel.core.states import By, State
from sentinel.core.tasks import QUEUE_GRACE, SECOND, Task, moved
from sentinel.errors import Conflict, Tampered, Unavailable
from sentinel.ports import Counters, Tasks

T = TypeVar("T")

CHECKED = 5 * SECOND  # holders are compared with their tasks at most so often
TURN = "its turn has come"
_TRIES = 64
_KEPT = 10 * 366 * 86_400  # seconds: as long as anybody has or wants a place
_IDLE = 86_400

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Look:
    """One attempt to change a gate: the gate as it is to be, and the tasks to be told if it becomes so."""

    gate: Gate
    told: dict[str, Task] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Places:
    """The use case. `clock` is in epoch nanoseconds, `nonce` gives 32 random bytes, `grace` is nanoseconds.

    Safe to share by threads. Raises `Unavailable` where a store does not answer, also when too many change a
    gate at once; whatever was done by then is found again.
    """

    counters: Counters
    tasks: Tasks
    clock: Callable[[], int]
    nonce: Callable[[], bytes]
    grace: int = QUEUE_GRACE

    def take(self, bound: Bound, task: Task, now: int) -> tuple[int, int]:
        """Take a task's place, or put it in line.

        Returns when to look again (0: it has its place), and how many places are taken.
        """
        waiter = waiter_of(task, first_service(task), bound.most)

        def plan(look: _Look) -> int:
            if task.id in look.gate.holders:
                look.gate = renewed(look.gate, task, now)
                return 0
            look.gate = joined(look.gate, waiter)
            self._hand_on(bound.key, look, now, task)
            if task.id not in look.gate.holders and self._mend(bound.key, look, now):
                self._hand_on(bound.key, look, now, task)
            if task.id in look.gate.holders:
                return 0
            look.gate, due = looks_again(look.gate, [task.id], now)
            return due[task.id]

        due, gate = self._change(bound.key, plan)
        return due, len(gate.holders)

    def leave(self, key: str, task: Task) -> None:
        """Give back what a task has at a gate, now that it has ended or is held elsewhere; hand it on."""
        now = self.clock()

        def plan(look: _Look) -> None:
            before = look.gate
            look.gate = released(before, task)
            if task.state.ended or task.held != key:
                holds = task.id in look.gate.holders
                look.gate = look.gate if holds else without(look.gate, task.id)
            if look.gate is not before:
                self._hand_on(key, look, now)

        self._change(key, plan)

    def arrived(self, key: str, task: Task) -> None:
        """See that a task which was just held at a gate is told where it was given its place meanwhile."""
        if task.id in self._load(key)[0].holders:
            self.tell(task)

    def look(self, key: str, waiting: Sequence[Task], mosts: Sequence[int], now: int) -> dict[str, int]:
        """Look for tasks that are held at a gate; return those that stay held, with when to look again."""
        waiters = [
            waiter_of(task, first_service(task), most) for task, most in zip(waiting, mosts, strict=True)
        ]

        def plan(look: _Look) -> dict[str, int]:
            for waiter in waiters:
                if waiter.id not in look.gate.holders:
                    look.gate = joined(look.gate, waiter)
            self._mend(key, look, now)
            self._hand_on(key, look, now)
            for waiter in waiters:
                look.told.pop(waiter.id, None)  # whoever looks tells them
            stay = [waiter.id for waiter in waiters if waiter.id not in look.gate.holders]
            look.gate, due = looks_again(look.gate, stay, now)
            return due

        return self._change(key, plan)[0]

    def _hand_on(self, key: str, look: _Look, now: int, mine: Task | None = None) -> None:
        """Give free places to those whose turn it is; `mine` is a task that is looked at already."""
        while (waiter := following(look.gate)) is not None:
            task = mine if mine is not None and mine.id == waiter.id else self._read(waiter.id)
            if task is None or not _waits(task, key):
                look.gate = without(look.gate, waiter.id)
                continue
            place = Place(task.version, task.attempt, now, waiter.service)
            look.gate = given(look.gate, waiter, place)
            if task is not mine:
                look.told[task.id] = task

    def _mend(self, key: str, look: _Look, now: int) -> bool:
        """Compare the holders with their tasks, if nobody has just done so; say whether one was dropped."""
        if not look.gate.holders or abs(now - look.gate.checked) < CHECKED:
            return False
        look.gate = replace(look.gate, checked=now)
        before = len(look.gate.holders)
        for task_id, place in list(look.gate.holders.items()):
            task = self._read(task_id)
            match fate(place, task, key, now):
                case Fate.DROPPED:
                    look.gate = without(look.gate, task_id)
                case Fate.WOKEN if task is not None:
                    look.told[task_id] = task
                case _:
                    pass
        return len(look.gate.holders) < before

    def _change(self, key: str, plan: Callable[[_Look], T]) -> tuple[T, Gate]:
        for _ in range(_TRIES):
            before, version = self._load(key)
            look = _Look(before)
            found = plan(look)
            seconds = self.clock() // SECOND + (_IDLE if look.gate.empty else _KEPT)
            if look.gate == before or self.counters.store(key, packed(look.gate), version, seconds):
                for task in look.told.values():
                    self.tell(task)
                return found, look.gate
        raise Unavailable(f"the limit {key} is asked by too many at once")

    def _read(self, task_id: str) -> Task | None:
        try:
            return self.tasks.get(task_id)
        except Tampered as error:
            log.critical("tampered: %s", error)  # nobody can run it, so it needs no place
            return None

    def _load(self, key: str) -> tuple[Gate, int]:
        raw, version = self.counters.load(key)
        try:
            return unpacked(raw), version
        except ValueError:
            # Without it nothing of the recipe would ever run again; what is on its way now is not counted.
            log.error("the gate %s cannot be read; it starts anew", key)  # noqa: TRY400 - as in correlate
            return Gate(), version

    def tell(self, task: Task) -> None:
        """Have a waiting task tried now. Where that is lost, it looks by itself."""
        if task.state is not State.WAITING:
            return
        now = self.clock()
        facts = {"step": task.step, "reason": TURN}
        changes = {"due": now + self.grace, "held": "", "reason": reason_before(task)}
        try:
            self.tasks.move(
                task, *moved(task, State.QUEUED, now, self.nonce(), facts, by=By.WORKER, **changes)
            )
        except Conflict:
            pass  # somebody else has moved it: it is looked at
        except Unavailable as error:
            log.warning("task %s has a place and was not told; it will look: %s", task.id, error)
        except Tampered as error:
            log.critical("tampered: %s", error)


def _waits(task: Task, key: str) -> bool:
    """Whether a task in line still wants its place; a queued one is just being held, or looks right now."""
    return task.state is State.QUEUED or (task.state is State.WAITING and task.held == key)
