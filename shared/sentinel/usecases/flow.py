"""Flow: what keeps a task from starting now, and what lets the next one start when a task has ended.

A task is asked about in this order: is it paused, is it in a maintenance window, does its rate let it start,
is there a place for it. A pause and a window hold it between two tries as well, but never one that runs; its
rate is asked for its first start only. All of this is kept in the tasks and the counters; Redis, which may
forget everything at any time, knows nothing of it.

While a task is held, the sweep looks in its place (`look`): that writes no lineage and takes no worker.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Protocol

from sentinel.core.flow import PAUSE, PLACE, RATE, WINDOW, Bound, bounds, rate_key, window_over
from sentinel.core.rates import interval_of
from sentinel.core.recipes import Recipe, spelled
from sentinel.core.states import NEVER
from sentinel.core.tasks import SECOND, Task
from sentinel.errors import Rejected, SentinelError, Unavailable
from sentinel.ports import Counters, Tasks
from sentinel.usecases.pauses import Pauses
from sentinel.usecases.places import Places
from sentinel.usecases.rates import Rates

# A worker may hold a task by a pause that was ended a moment ago: so the first look comes soon after.
FIRST_LOOK = 5 * SECOND
PAUSED_LOOK = (
    300 * SECOND
)  # the others come after so long, and up to twice that, so that not all come at once
NO_STORE = 15 * SECOND
NEXT_ASKED = 600 * SECOND

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a task does not start now. `by` goes into `Task.held`, `until` is when to look again (nanoseconds).

    `ticket` is when its rate lets it start, to be kept in the task; 0 where it has none.
    """

    by: str
    until: int
    reason: str
    ticket: int = 0


class Gates(Protocol):
    """What a worker asks before a task's step, and tells after it was held and after its end."""

    def enter(self, task: Task, recipe: Recipe, now: int) -> Hold | None:
        """Return what holds a task, or None where it may go on: then it has its places. Idempotent.

        Raises `Unavailable` where a store does not answer: the task is then tried again later.
        """

    def held(self, task: Task) -> None:
        """Give back what a task took before it was held; `task` is as it was stored then. Never raises."""

    def left(self, task: Task) -> None:
        """Give back the places of a task that has ended, and have the next ones tried. Never raises."""

    def look(self, tasks: Sequence[Task], now: int) -> dict[str, int]:
        """Return which of some waiting tasks stay held, and when to look again (ns). Never raises."""


class Open:
    """Gates that hold nothing."""

    def enter(self, task: Task, recipe: Recipe, now: int) -> Hold | None:
        """Let everything through."""
        del task, recipe, now
        return None

    def held(self, task: Task) -> None:
        """Nothing to give back."""

    def left(self, task: Task) -> None:
        """Nothing to give back."""

    def look(self, tasks: Sequence[Task], now: int) -> dict[str, int]:
        """Let everything go on."""
        del tasks, now
        return {}


@dataclass(frozen=True, slots=True)
class Flow:
    """The gates of a deployment. `recipe` returns a version of a recipe; `clock` is in epoch nanoseconds."""

    pauses: Pauses
    rates: Rates
    places: Places
    recipe: Callable[[str, int], Recipe]
    clock: Callable[[], int]

    def enter(self, task: Task, recipe: Recipe, now: int) -> Hold | None:
        """See `Gates`."""
        hold = self._paused(task, now) or _in_window(recipe, now)
        if hold is not None:
            return hold
        ticket = task.ticket
        if recipe.rate is not None and task.attempt == 0:
            ticket = ticket or self._ticket(task, recipe, now)
            if not 0 < ticket <= now:
                return _rated(recipe, ticket, now)
        for bound in bounds(recipe, task):
            due, taken = self.places.take(bound, task, now)
            if due:
                reason = f"held: {taken} of {bound.most} tasks of {bound.text} are on their way"
                return Hold(bound.key, due, reason, ticket)
        return None

    def held(self, task: Task) -> None:
        """See `Gates`. Where it fails, whoever needs the place takes it away, and the sweep looks."""
        try:
            for bound in self._bounds(task):
                if bound.key == task.held:
                    self.places.arrived(bound.key, task)
                else:
                    self.places.leave(bound.key, task)
        except SentinelError as error:
            log.warning("task %s is held, and what it took is given back later: %s", task.id, error)

    def left(self, task: Task) -> None:
        """See `Gates`. Where it fails, whoever needs the place takes it away, and the sweep looks."""
        try:
            for bound in self._bounds(task):
                self.places.leave(bound.key, task)
            self._unused(task)
        except SentinelError as error:
            log.warning("task %s has ended, and its place is given back later: %s", task.id, error)

    def look(self, tasks: Sequence[Task], now: int) -> dict[str, int]:
        """See `Gates`. What cannot be looked at for want of a store stays held for a moment."""
        found: dict[str, int] = {}
        at_gates: defaultdict[str, list[tuple[Task, int]]] = defaultdict(list)
        for task in tasks:
            try:
                if task.held.startswith(PLACE):
                    most = next((each.most for each in self._bounds(task) if each.key == task.held), 0)
                    at_gates[task.held].append((task, most))
                elif until := self._still(task, now):
                    found[task.id] = until
            except Unavailable:
                found[task.id] = now + NO_STORE
            except Rejected:
                continue  # its recipe cannot be read: the worker fails it, and says why
        for key, those in at_gates.items():
            found |= self._at_gate(key, those, now)
        return found

    def _at_gate(self, key: str, those: Sequence[tuple[Task, int]], now: int) -> dict[str, int]:
        known = [(task, most) for task, most in those if most]  # else it is no limit of its recipe
        try:
            return self.places.look(key, [task for task, _ in known], [most for _, most in known], now)
        except SentinelError as error:
            log.warning("tasks at the gate %s stay held for a moment: %s", key, error)
            return {task.id: now + NO_STORE for task, _ in known}

    def _still(self, task: Task, now: int) -> int:
        """Return until when a task stays held by what is no gate; 0 where it does not."""
        if task.held.startswith(PAUSE):
            pause = self.pauses.holding(task, now)
            if pause is None:
                return 0
            spread = int.from_bytes(sha256(task.id.encode()).digest()[:4], "big") * PAUSED_LOOK >> 32
            return min(now + PAUSED_LOOK + spread, pause.until or NEVER)
        if task.held == WINDOW:
            return window_over(self.recipe(task.recipe, task.recipe_version), now)
        return task.ticket if task.held == RATE and task.ticket > now else 0

    def _paused(self, task: Task, now: int) -> Hold | None:
        pause = self.pauses.holding(task, now)
        if pause is None:
            return None
        until = min(now + FIRST_LOOK, pause.until or NEVER)
        return Hold(PAUSE + pause.target, until, f"held: {pause.text}")

    def _ticket(self, task: Task, recipe: Recipe, now: int) -> int:
        rate = recipe.rate
        assert rate is not None  # noqa: S101 - see `enter`
        interval = interval_of(rate.most, rate.every)
        return self.rates.reserve(rate_key(recipe, task), now, interval, rate.burst, task.deadline or NEVER)

    def _unused(self, task: Task) -> None:
        """Give back a time at which a task was to start, and has ended before."""
        now = self.clock()
        if task.attempt or task.ticket <= now:
            return
        recipe = self.recipe(task.recipe, task.recipe_version)
        if recipe.rate is not None:
            interval = interval_of(recipe.rate.most, recipe.rate.every)
            key = rate_key(recipe, task)
            self.rates.give_back(key, task.ticket, now, interval, recipe.rate.burst)

    def _bounds(self, task: Task) -> Iterable[Bound]:
        return bounds(self.recipe(task.recipe, task.recipe_version), task)


def gates(
    counters: Counters,
    tasks: Tasks,
    pauses: Pauses,
    recipe: Callable[[str, int], Recipe],
    clock: Callable[[], int],
    nonce: Callable[[], bytes],
) -> Flow:
    """Return the gates that keep their state in these stores."""
    return Flow(pauses, Rates(counters), Places(counters, tasks, clock, nonce), recipe, clock)


def _in_window(recipe: Recipe, now: int) -> Hold | None:
    over = window_over(recipe, now)
    return Hold(WINDOW, over, f"held: maintenance window until {_moment(over)}") if over else None


def _rated(recipe: Recipe, ticket: int, now: int) -> Hold:
    rate = recipe.rate
    assert rate is not None  # noqa: S101 - see `Flow.enter`
    text = f"held: at most {rate.most} tasks start in {spelled(rate.every)} for each {rate.per}"
    if ticket:
        return Hold(RATE, ticket, f"{text}, this one at {_moment(ticket)}", ticket)
    # Somebody else may not use his time, so it asks again; most often its deadline comes first.
    return Hold(RATE, now + NEXT_ASKED, f"{text}, and its turn would come after its deadline")


def _moment(t: int) -> str:
    return f"{datetime.fromtimestamp(t // SECOND, UTC):%Y-%m-%dT%H:%M:%SZ}"
