"""What comes of a try, written down: the transition that follows from it, and its effect beside."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sentinel.core.recipes import Recipe
from sentinel.core.states import NEVER, State
from sentinel.core.steps import Again, Probing, stream_of
from sentinel.core.tasks import MAX_REASON, SECOND, Effect, EffectState, Task, digest_of
from sentinel.errors import Conflict, Unavailable
from sentinel.usecases.tries import AWAY, GIVEN_UP, LOST, Try

if TYPE_CHECKING:
    from sentinel.usecases.execute import Executor

LONGEST_WISH = 86_400 * SECOND  # a target may ask for a pause of at most a day


@dataclass(slots=True)
class Outcomes:
    """The outcomes of one lease's tries."""

    executor: Executor
    recipe: Recipe

    def _put_off(self, a_try: Try, error: Unavailable, **changes: Any) -> None:
        """Let a task wait whose step could not be begun for want of a store: that is no try of the step."""
        wait = max(self._backoff(a_try.task), int(error.retry_after * SECOND))
        with contextlib.suppress(Unavailable, Conflict):  # then the lease runs out
            self._wait(a_try.having(answer=AWAY), a_try.task.tries, str(error), wait, **changes)

    def _backoff(self, task: Task) -> int:
        return int(self.executor.rng() * self.recipe.retry.ceiling(task.tries + 1))

    def _record(self, a_try: Try, state: EffectState, result: Mapping[str, object]) -> None:
        task, now = a_try.task, self.executor.clock()
        effect = Effect(task.id, a_try.key, state, a_try.step.id, now, result, task.attempt)
        if not self.executor.tasks.record(effect, a_try.known.attempt if a_try.known else 0):
            raise Conflict(f"another worker has begun step {a_try.step.id} of task {task.id}")

    def _done(self, a_try: Try, result: Mapping[str, object], how: str) -> Task:
        task = a_try.task
        results = {**task.results, a_try.step.id: result}
        about = {"outcome": how, "result": digest_of(result), "worker": self.executor.worker}
        told = {**a_try.told, **about}
        if task.step + 1 == len(self.recipe.steps):
            return self.executor.move(
                task, State.SUCCEEDED, told, wait=0, results=results, reason="", worker=""
            )
        changes: dict[str, Any] = {"step": task.step + 1, "tries": 0, "settled": 0}
        changes |= {"results": results, "reason": ""}
        following = self.executor.actions.get(self.recipe.steps[task.step + 1].uses)
        if following is None or following.stream == self.executor.stream:
            return self.executor.move(task, State.RUNNING, told, wait=self.executor.lease, **changes)
        there: dict[str, Any] = {"stream": following.stream, "worker": "", **changes}
        return self.executor.move(task, State.QUEUED, told, wait=self.executor.grace, **there)

    def _again(self, a_try: Try, outcome: Again) -> Task:
        # A try that got something done has not failed: a long delivery in parts may take many.
        progressed = bool(outcome.done) and outcome.done != a_try.before
        tries = a_try.task.tries + (not progressed and not outcome.idle)
        unsure = outcome.unsure and a_try.step.at_most_once
        if unsure and not isinstance(a_try.action, Probing):
            return self._ambiguous(a_try, f"{outcome.reason}; {LOST.format(a_try.step.uses)}")
        if tries >= self.recipe.retry.attempts and not unsure:
            why = GIVEN_UP.format(a_try.step.id, tries, outcome.reason)
            return self.executor.fail(
                a_try.task, {**a_try.told, "tries": tries}, why, **a_try.settled(outcome)
            )
        if outcome.done:
            self._record(a_try, EffectState.INTENT, outcome.done)
        if outcome.onward:
            stream = stream_of(a_try.action, outcome.done)
            return self._pass_on(a_try.task, stream, outcome.reason, **a_try.told)
        wait = self._backoff(a_try.task) if outcome.after is None else outcome.after
        return self._wait(a_try, tries, outcome.reason, wait, **a_try.settled(outcome))

    def _wait(self, a_try: Try, tries: int, reason: str, wait: int, **changes: Any) -> Task:
        reason = reason[:MAX_REASON]
        told = {**a_try.told, "tries": tries, "worker": self.executor.worker, "reason": reason}
        wait = min(max(wait, 0), LONGEST_WISH)
        changes = {**changes, "tries": tries, "reason": reason, "worker": ""}
        return self.executor.move(a_try.task, State.WAITING, told, wait=wait, **changes)

    def _ambiguous(self, a_try: Try, reason: str) -> Task:
        last = a_try.task.step + 1 == len(self.recipe.steps)
        told = {**a_try.told, "last": last, "worker": self.executor.worker, "reason": reason}
        return self.executor.move(a_try.task, State.AMBIGUOUS, told, due=NEVER, reason=reason, worker="")

    def _pass_on(self, task: Task, stream: str, reason: str, **saw: object) -> Task:
        told = {"step": task.step, **saw, "stream": stream, "reason": reason, "worker": self.executor.worker}
        wait = self.executor.grace
        return self.executor.move(task, State.QUEUED, told, wait=wait, stream=stream, worker="")
