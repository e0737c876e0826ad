"""Bulk: one act of a person on every task of a selection, so many at a time. Safe to repeat.

It goes from the newest change to the oldest. What it has acted on is newer than all that is left, so it is
not met again on the way: a task that is redriven and fails once more is not redriven for ever. Each task is
read again and judged as it then is: one that is no longer of the selection is left alone. Each act stands in
the task's lineage, as a single one does.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from sentinel.core.selection import Selection
from sentinel.core.states import UNENDED, State
from sentinel.core.tasks import SECOND, Task
from sentinel.errors import Conflict, Malformed, Missing, Tampered, Unavailable
from sentinel.ports import Tasks
from sentinel.usecases.control import Act, Control
from sentinel.usecases.look import Place, look

MOST = 1_000  # tasks that one call acts on
BUDGET = 10 * SECOND  # no further task is begun after so long: callers wait 29 seconds at most
CHANGED = "it changed meanwhile"
DAMAGED = "its lineage does not verify"
# What each act can be done to. A selection without states means these.
ACTS: Mapping[str, tuple[State, ...]] = {
    "cancel": UNENDED,
    "retry": (State.WAITING,),
    "redrive": (State.FAILED,),
    "accept": (State.PROPOSED,),
}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Swath:
    """What one call did. `matched` is `done`, and what was not possible, by reason.

    Of a dry run `done` is what would have been done. `next` says where to go on; "" where nothing is left.
    """

    matched: int
    done: int
    not_possible: Mapping[str, int] = field(default_factory=dict)
    next: str = ""

    def json(self) -> dict[str, object]:
        """Return it as it is printed and sent."""
        told = {"matched": self.matched, "done": self.done, "not_possible": dict(self.not_possible)}
        return {**told, "more": bool(self.next), **({"next": self.next} if self.next else {})}

    def __add__(self, other: Swath) -> Swath:
        """Return what two calls did, of which `other` went on where this one stopped."""
        reasons = Counter(self.not_possible) + Counter(other.not_possible)
        return Swath(self.matched + other.matched, self.done + other.done, dict(reasons), other.next)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done, to which tasks, by whom and why. Raises `Malformed` for what is no such order."""

    act: str
    wanted: Selection
    who: str
    why: str
    limit: int = MOST
    dry_run: bool = False

    def __post_init__(self) -> None:
        Act(self.who, self.why)
        if self.act not in ACTS:
            raise Malformed(f"act is one of {', '.join(ACTS)}")
        if not 1 <= self.limit <= MOST:
            raise Malformed(f"limit is 1 to {MOST:,}")

    @property
    def selection(self) -> Selection:
        """The tasks that are looked at."""
        return self.wanted if self.wanted.states else replace(self.wanted, states=ACTS[self.act])


@dataclass(frozen=True, slots=True)
class Bulk:
    """The use case. `clock` is in epoch nanoseconds; `budget`, in nanoseconds, bounds the time of a call."""

    tasks: Tasks
    control: Control
    clock: Callable[[], int]
    budget: int = BUDGET

    def run(self, order: Order, start: str = "") -> Swath:
        """Act on up to `order.limit` tasks from where an earlier call stopped.

        Raises `Malformed` for a bad `start`, and `Unavailable` where the store does not answer before
        anything was done; later it says what was done, and where to go on.
        """
        until = self.clock() + self.budget
        place = Place.read(start)
        done, more = 0, True
        reasons: Counter[str] = Counter()
        try:
            for task, behind in look(self.tasks, order.selection, place):
                why = self._do(order, task) if task is not None else ""
                place = behind
                done += task is not None and not why
                reasons.update([why] if why else [])
                if done >= order.limit or self.clock() >= until:
                    break
            else:
                more = False
        except Unavailable as error:
            if not done:
                raise
            log.warning("a bulk act stopped after %d tasks: %s", done, error)
        return Swath(done + reasons.total(), done, dict(reasons), str(place) if more else "")

    def _do(self, order: Order, task: Task) -> str:
        """Act on one task; return why it was not possible, "" where it was."""
        if task.state not in ACTS[order.act]:
            return f"it is {task.state}"
        if order.dry_run:
            return ""

        def check(stored: Task) -> None:
            if not order.selection.holds(stored):
                raise Conflict(CHANGED)

        act = getattr(replace(self.control, check=check), order.act)
        try:
            act(task.id, order.who, order.why)
        except (Conflict, Missing):
            return CHANGED
        except Tampered as error:
            log.critical("tampered: %s", error)
            return DAMAGED
        return ""
