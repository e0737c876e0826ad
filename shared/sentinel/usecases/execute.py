"""Executing one task: takes its lease, has its steps done, and writes down what came of each.

A step's effect is recorded before it is begun and after it is done, under a key without an attempt number, so
that a task which is taken up again knows what is done and what may have happened. Every other write is a
transition, conditional on the version that was read: a worker whose lease ran out finds that somebody else
has moved the task, and drops it.

Writes of a task with one step, in requests to the store (items written): create 1 (2), lease 1 (2), intent
1 (1), done 1 (1), end 1 (2): 5 requests with 8 items. Each further step of the same worker adds 3 (4). A
first attempt reads no effects, since only the holder of a lease writes any.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.core.flow import held_because, reason_before
from sentinel.core.recipes import Recipe
from sentinel.core.states import By, State
from sentinel.core.steps import Action, Matched
from sentinel.core.tasks import (
    LEASE,
    MAX_REASON,
    QUEUE_GRACE,
    Event,
    Task,
    abandoned,
    expired,
    moved,
    overdue,
)
from sentinel.errors import Malformed, Rejected
from sentinel.ports import Ledger, Queue, Tasks
from sentinel.usecases.flow import Gates, Hold, Open
from sentinel.usecases.lease import Lease
from sentinel.usecases.playbook import Playbook
from sentinel.usecases.strangers import strangers_alone
from sentinel.usecases.transition import bury, write
from sentinel.usecases.tries import UNREADABLE


@dataclass(frozen=True, slots=True)
class Executor:
    """What executing a task takes. Safe to share by threads.

    `worker` is the name that the lineage tells, `stream` the one whose actions it runs. `clock` is in epoch
    nanoseconds, `nonce` gives 32 random bytes, `rng` a number from 0 up to 1. `lease`, in nanoseconds, is how
    long a dead worker keeps a task: while an action performs it is extended. `grace`, the time a queued task
    has to be taken in, is in nanoseconds too. `removed` gives the authors who are trusted no more.
    `strangers` says of a task and its entries whether they alone set it off.
    """

    worker: str
    stream: str
    tasks: Tasks
    ledger: Ledger
    queue: Queue
    playbook: Playbook
    actions: Mapping[str, Action]
    clock: Callable[[], int]
    nonce: Callable[[], bytes]
    rng: Callable[[], float]
    lease: int = LEASE
    grace: int = QUEUE_GRACE
    gates: Gates = field(default_factory=Open)
    removed: Callable[[], Collection[str]] = frozenset
    strangers: Callable[[Task, Sequence[Matched]], bool] = strangers_alone

    def execute(self, task: Task, until: int) -> Task | None:
        """Take a task and do its steps; after `until` no further step is begun. Return it as it then is.

        Returns None where it is not to be run here and now: ended, leased, not due, waiting for a person, or
        of another stream. Raises `Conflict` where somebody else moved it, and `Unavailable` where a store
        does not answer: the task is then found again when its lease runs out. Raises `Tampered` when it has
        failed the task because one of its entries cannot be read.
        """
        if task.state.ended or task.state.personal or task.stream != self.stream:
            return None
        if overdue(task, now := self.clock()):
            return self.expire(task, now)
        if task.state is not State.QUEUED and task.due > now:
            return None
        try:
            recipe = self._recipe(task)
        except Rejected as error:
            return self.fail(self._take(task, now), {"answer": UNREADABLE}, str(error))
        hold = self.gates.enter(task, recipe, now) if task.state is not State.RUNNING else None
        if hold is not None:
            return self._hold(task, hold)
        taken = self._take(task, now)
        # Only a lease's holder records effects, so a first one finds none.
        effects = self.tasks.effects(taken.id) if taken.attempt > 1 else {}
        return Lease(self, recipe, effects).steps(taken, until)

    def _take(self, task: Task, now: int) -> Task:
        if task.state is State.RUNNING:
            task = write(self.tasks, task, *abandoned(task, now, self.nonce()))
        facts = {"worker": self.worker, "recipe": task.recipe, "version": task.recipe_version}
        changes: dict[str, Any] = {"attempt": task.attempt + 1, "worker": self.worker}
        if task.held:
            changes |= {"held": "", "reason": reason_before(task)}
        # Not `now`: its gates let it in after that, when another had left.
        return self.move(task, State.RUNNING, facts, wait=self.lease, **changes)

    def _hold(self, task: Task, hold: Hold) -> Task:
        facts: dict[str, object] = {"step": task.step, "held": hold.by, "reason": hold.reason}
        if hold.ticket:
            facts["ticket"] = hold.ticket
        changes: dict[str, Any] = {"held": hold.by, "reason": held_because(task, hold.reason)}
        changes["ticket"] = hold.ticket or task.ticket
        after = self.move(task, State.WAITING, facts, due=hold.until, **changes)
        self.gates.held(after)
        return after

    def _recipe(self, task: Task) -> Recipe:
        recipe = self.playbook.recipe(task.recipe, task.recipe_version)
        if recipe.digest != task.recipe_digest:
            raise Malformed(
                f"version {recipe.version} of recipe {recipe.id} is not the one that the task was made for: "
                "the catalog was changed from outside; push the recipe again"
            )
        if task.inputs and recipe.author:
            raise Malformed("it has inputs that the recipe's author did not sign")
        return recipe

    def move(
        self,
        task: Task,
        to: State,
        facts: Mapping[str, object],
        *,
        now: int = 0,
        wait: int | None = None,
        **changes: Any,
    ) -> Task:
        """Write a transition and return the task after it; errors as at `execute`.

        It happens `now` (0: the clock is read) and the task is due `wait` nanoseconds after that: the time is
        read once, so that a replay with the time that the lineage tells gets the very same task.
        """
        now = now or self.clock()
        if wait is not None:
            changes["due"] = now + wait
        after, event = moved(task, to, now, self.nonce(), facts, **changes)
        return self._written(task, after, event)

    def _written(self, before: Task, after: Task, event: Event) -> Task:
        write(self.tasks, before, after, event)
        if after.state.ended:
            self.gates.left(after)
        return after

    def expire(self, task: Task, now: int) -> Task:
        """End a task whose deadline has passed; errors as at `execute`."""
        return self._written(task, *expired(task, now, self.nonce(), By.WORKER))

    def fail(self, task: Task, facts: Mapping[str, object], reason: str, **changes: Any) -> Task:
        """Fail a task for good: in its state, its lineage and, where that works, the dead-letter stream."""
        reason = reason[:MAX_REASON]
        told = {**facts, "worker": self.worker, "reason": reason}
        after = self.move(task, State.FAILED, told, wait=0, reason=reason, worker="", **changes)
        bury(self.queue, after)
        return after
