"""Executing one task: takes its lease, does its steps, and writes down what came of each.

A step's effect is recorded before it is begun and after it is done, under a key without an attempt number, so
that a task which is taken up again knows what is done and what may have happened. Every other write is a
transition, conditional on the version that was read: a worker whose lease ran out finds that somebody else
has moved the task, and drops it.

Writes of a task with one step, in requests to the store (items written): create 1 (2), lease 1 (2), intent
1 (1), done 1 (1), end 1 (2): 5 requests with 8 items. Each further step of the same worker adds 3 (4). A
first attempt reads no effects, since only the holder of a lease writes any.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sentinel.core.recipes import Recipe, Step
from sentinel.core.steps import Action, Again, Done, Failed, Matched, Outcome, StepRun
from sentinel.core.tasks import (
    LEASE,
    QUEUE_GRACE,
    SECOND,
    Effect,
    EffectState,
    Event,
    State,
    Task,
    abandoned,
    effect_key,
    moved,
)
from sentinel.errors import Conflict, Malformed, Rejected, Tampered, Unavailable
from sentinel.ports import Ledger, Queue, Tasks
from sentinel.usecases.evidence import matched
from sentinel.usecases.playbook import Playbook

MAX_REASON = 500
LONGEST_WISH = 86_400 * SECOND  # a target may ask for a pause of at most a day

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Executor:
    """What executing a task takes. Safe to share by threads.

    `worker` is the name that the lineage tells, `stream` the one whose actions it runs. `clock` is in epoch
    nanoseconds, `nonce` gives 32 random bytes, `rng` a number from 0 up to 1. `lease` has to be longer than
    any step takes, in nanoseconds, and so is `grace`, the time a queued task has to be taken in.
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

    def execute(self, task: Task, until: int) -> Task | None:
        """Take a task and do its steps; after `until` no further step is begun. Return it as it then is.

        Returns None where it is not to be run here and now: ended, leased, not due, or of another stream.
        Raises `Conflict` where somebody else moved it, and `Unavailable` where a store does not answer: the
        task is then found again when its lease runs out. Raises `Tampered` when it has failed the task
        because one of its entries cannot be read.
        """
        taken = self._take(task)
        if taken is None:
            return None
        try:
            recipe = self._recipe(taken)
        except Rejected as error:
            return self.fail(taken, {}, str(error))
        # Only a lease's holder records effects, so a first one finds none.
        effects = self.tasks.effects(taken.id) if taken.attempt > 1 else {}
        return _Run(self, recipe, effects).steps(taken, until)

    def _take(self, task: Task) -> Task | None:
        now = self.clock()
        if task.state.ended or task.stream != self.stream:
            return None
        if task.state in (State.RUNNING, State.WAITING) and task.due > now:
            return None
        if task.state is State.RUNNING:
            task = self._write(task, *abandoned(task, now, self.nonce()))
        facts = {"worker": self.worker, "recipe": task.recipe, "version": task.recipe_version}
        return self.move(
            task, State.RUNNING, facts, attempt=task.attempt + 1, due=now + self.lease, worker=self.worker
        )

    def _recipe(self, task: Task) -> Recipe:
        recipe = self.playbook.recipe(task.recipe, task.recipe_version)
        if recipe.digest != task.recipe_digest:
            raise Malformed(
                f"version {recipe.version} of recipe {recipe.id} is not the one that the task was made for: "
                "the catalog was changed from outside; push the recipe again"
            )
        return recipe

    def move(self, task: Task, to: State, facts: Mapping[str, object], **changes: Any) -> Task:
        """Write a transition and return the task after it; errors as at `execute`."""
        after, event = moved(task, to, self.clock(), self.nonce(), facts, **changes)
        return self._write(task, after, event)

    def _write(self, before: Task, after: Task, event: Event) -> Task:
        try:
            self.tasks.move(before, after, event)
        except (Unavailable, Conflict):
            # The write may have landed and only its answer be lost; the head names it beyond doubt.
            stored = self.tasks.get(after.id)
            if stored is None or stored.head != after.head:
                raise
        return after

    def fail(self, task: Task, facts: Mapping[str, object], reason: str) -> Task:
        """Fail a task for good: in its state, its lineage and, where that works, the dead-letter stream."""
        reason = reason[:MAX_REASON]
        told = {**facts, "worker": self.worker, "reason": reason}
        after = self.move(task, State.FAILED, told, due=self.clock(), reason=reason, worker="")
        try:
            self.queue.bury(task.id, reason)
        except Unavailable as error:
            log.warning("task %s has failed and is not on the dead-letter stream: %s", task.id, error)
        return after


@dataclass(slots=True)
class _Run:
    """One lease of one task."""

    executor: Executor
    recipe: Recipe
    effects: Mapping[str, Effect]
    _entries: list[Matched] | None = field(default=None)

    def steps(self, task: Task, until: int) -> Task:
        """Do steps until the task is no longer ours to run, or `until` has passed."""
        begun = False
        while task.state is State.RUNNING:
            if begun and self.executor.clock() >= until:
                return self._pass_on(task, self.executor.stream, "the worker's time is up")
            task = self._step(task)
            begun = True
        return task

    def _step(self, task: Task) -> Task:
        step = self.recipe.steps[task.step]
        action = self.executor.actions.get(step.uses)
        if action is None:
            why = f"no action is called {step.uses}: correct the recipe, or deploy a version that has it"
            return self.executor.fail(task, {"step": step.id}, f"step {step.id}: {why}")
        if action.stream != self.executor.stream:
            return self._pass_on(task, action.stream, f"step {step.id} is of another worker")
        return self._carry_out(task, step, action)

    def _carry_out(self, task: Task, step: Step, action: Action) -> Task:
        key = effect_key(task.id, task.recipe_digest, step.id, step.with_)
        told: dict[str, object] = {"step": step.id, "effect": key}
        known = self.effects.get(key)
        if known is not None and known.state is EffectState.DONE:
            return self._done(task, step, told, known.result, "was done before")
        if task.tries >= self.recipe.retry.attempts:
            why = f"step {step.id}: given up after {task.tries} tries: {task.reason}"
            return self.executor.fail(task, told, why)
        try:
            outcome = self._perform(task, step, action, key, known)
        except Unavailable as error:
            self._put_off(task, told, error)
            raise
        match outcome:
            case Done(result):
                # Also when the lease ran out meanwhile: it is true, and spares the next worker the step.
                self._record(task, step, key, EffectState.DONE, result)
                return self._done(task, step, told, result, "done")
            case Failed(reason):
                return self.executor.fail(task, told, f"step {step.id}: {reason}")
            case Again():
                return self._again(task, step, told, outcome, known.result if known else {})

    def _perform(self, task: Task, step: Step, action: Action, key: str, known: Effect | None) -> Outcome:
        try:
            action.check(step.with_)
            run = StepRun(
                task,
                self.recipe,
                step,
                key,
                self._read(task),
                known is not None,
                known.result if known else {},
            )
            # Reading can take long, and so can writing: neither may carry us past the lease.
            self._hold(task, step)
            if known is None:
                self._record(task, step, key, EffectState.INTENT, {})
                self._hold(task, step)
        except Malformed as error:
            return Failed(str(error))
        try:
            return action.perform(run)
        except Unavailable as error:
            # Its `retry_after` is mostly a default, so it only keeps the backoff from being shorter.
            return Again(str(error), max(self._backoff(task), int(error.retry_after * SECOND)))
        except Rejected as error:
            return Failed(str(error))

    def _put_off(self, task: Task, told: Mapping[str, object], error: Unavailable) -> None:
        """Let a task wait whose step could not be begun for want of a store: that is no try of the step."""
        due = self.executor.clock() + max(self._backoff(task), int(error.retry_after * SECOND))
        facts = {**told, "worker": self.executor.worker, "reason": str(error)[:MAX_REASON]}
        with contextlib.suppress(Unavailable, Conflict):  # then the lease runs out
            self.executor.move(task, State.WAITING, facts, due=due, worker="")

    def _backoff(self, task: Task) -> int:
        return int(self.executor.rng() * self.recipe.retry.ceiling(task.tries + 1))

    def _hold(self, task: Task, step: Step) -> None:
        if self.executor.clock() >= task.due:
            raise Conflict(f"the lease of task {task.id} ran out before step {step.id}")

    def _read(self, task: Task) -> list[Matched]:
        """Read the entries that set the task off; those that were erased since are left out."""
        if self._entries is None:
            try:
                self._entries = matched(self.executor.ledger, task)
            except Tampered as error:
                why = f"entry {error.seq} of {error.chain} cannot be read: {error.kind}"
                self.executor.fail(task, {}, f"{why}; verify the chain")
                raise
        return self._entries

    def _record(
        self, task: Task, step: Step, key: str, state: EffectState, result: Mapping[str, object]
    ) -> None:
        now = self.executor.clock()
        self.executor.tasks.record(Effect(task.id, key, state, step.id, now, result))

    def _done(
        self, task: Task, step: Step, effect: Mapping[str, object], result: Mapping[str, object], how: str
    ) -> Task:
        results = {**task.results, step.id: result}
        told = {**effect, "outcome": how, "worker": self.executor.worker}
        now = self.executor.clock()
        if task.step + 1 == len(self.recipe.steps):
            return self.executor.move(
                task, State.SUCCEEDED, told, due=now, results=results, reason="", worker=""
            )
        changes = {"step": task.step + 1, "tries": 0, "results": results, "reason": ""}
        following = self.executor.actions.get(self.recipe.steps[task.step + 1].uses)
        if following is None or following.stream == self.executor.stream:
            due = now + self.executor.lease
            return self.executor.move(task, State.RUNNING, told, due=due, **changes)
        due = now + self.executor.grace
        return self.executor.move(
            task, State.QUEUED, told, due=due, stream=following.stream, worker="", **changes
        )

    def _again(
        self,
        task: Task,
        step: Step,
        effect: Mapping[str, object],
        outcome: Again,
        before: Mapping[str, object],
    ) -> Task:
        # A try that got something done has not failed: a long delivery in parts may take many.
        progressed = bool(outcome.done) and outcome.done != before
        tries = task.tries + (not progressed)
        reason = outcome.reason[:MAX_REASON]
        told = {**effect, "tries": tries, "worker": self.executor.worker}
        if tries >= self.recipe.retry.attempts:
            why = f"step {step.id}: given up after {tries} tries: {reason}"
            return self.executor.fail(task, told, why)
        if outcome.done:
            self._record(task, step, str(effect["effect"]), EffectState.INTENT, outcome.done)
        wait = self._backoff(task) if outcome.after is None else outcome.after
        due = self.executor.clock() + min(max(wait, 0), LONGEST_WISH)
        return self.executor.move(
            task,
            State.WAITING,
            {**told, "reason": reason},
            due=due,
            tries=tries,
            reason=reason,
            worker="",
        )

    def _pass_on(self, task: Task, stream: str, reason: str) -> Task:
        told = {"step": task.step, "stream": stream, "reason": reason, "worker": self.executor.worker}
        due = self.executor.clock() + self.executor.grace
        return self.executor.move(task, State.QUEUED, told, due=due, stream=stream, worker="")
