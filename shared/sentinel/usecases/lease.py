"""The steps of one task under one lease: which is next, what is known of its effect, and what came of it.

An at-most-once step that was begun and whose outcome is not known is asked about before it is done again: its
action probes the target where it can. Where it cannot, or the target cannot tell, the task becomes ambiguous
and a person decides (`usecases.control`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sentinel.core.chosen import passed_over
from sentinel.core.states import State
from sentinel.core.steps import (
    Again,
    Ask,
    Done,
    Failed,
    Matched,
    Nothing,
    Outcome,
    Staged,
    StepRun,
    stream_of,
)
from sentinel.core.task_trace import step_parent
from sentinel.core.tasks import SECOND, Effect, EffectState, Task, overdue, step_key
from sentinel.errors import Conflict, Malformed, Rejected, Tampered, Unavailable
from sentinel.usecases.asking import Asking
from sentinel.usecases.evidence import matched
from sentinel.usecases.heartbeat import Heartbeat
from sentinel.usecases.outcomes import Outcomes
from sentinel.usecases.recall import Recall
from sentinel.usecases.resolve import resolved
from sentinel.usecases.tries import ABSENT, AWAY, GIVEN_UP, NOT_ASKED, REFUSED, TAMPERED, TIME_UP, Try

OTHERS = "step {} is of another worker"
PASSED_OVER = "was passed over"  # a choice before it listed it, and chose another one
LONGEST_STEP = 600 * SECOND  # a try of a step that names no timeout: an action may hang


@dataclass(slots=True)
class Lease(Outcomes):
    """One lease of one task."""

    effects: Mapping[str, Effect]
    _entries: list[Matched] | None = field(default=None)
    _recall: Recall | None = field(default=None)

    def steps(self, task: Task, until: int) -> Task:
        """Do steps until the task is no longer ours to run, or `until` has passed."""
        begun = False
        while task.state is State.RUNNING:
            now = self.executor.clock()
            if overdue(task, now):
                return self.executor.expire(task, now)
            if begun and now >= until:
                return self._pass_on(task, self.executor.stream, TIME_UP)
            task = self._step(task)
            begun = True
        return task

    def _step(self, task: Task) -> Task:
        step = self.recipe.steps[task.step]
        action = self.executor.actions.get(step.uses)
        if action is None:
            why = f"no action is called {step.uses}: correct the recipe, or deploy a version that has it"
            return self.executor.fail(task, {"step": step.id, "answer": ABSENT}, f"step {step.id}: {why}")
        if passed_over(self.recipe, step.id, task.results):
            return self._done(Try(task, step, action, "", None), {"passed_over": True}, PASSED_OVER)
        if not isinstance(action, Staged) and action.stream != self.executor.stream:
            return self._pass_on(task, action.stream, OTHERS.format(step.id))
        try:
            step = resolved(task, step, action, self._read)
        except Unavailable as error:
            self._put_off(Try(task, step, action, "", None), error)
            raise
        except Malformed as error:
            return self.executor.fail(task, {"step": step.id}, f"step {step.id}: {error}")
        key = step_key(task, step.id, step.with_)
        return self._carry_out(Try(task, step, action, key, self.effects.get(key)))

    def _carry_out(self, a_try: Try) -> Task:
        known = a_try.known
        if known is not None and known.state is EffectState.DONE:
            return self._done(a_try, known.result, "was done before")
        stream = stream_of(a_try.action, a_try.before)
        if stream != self.executor.stream:
            return self._pass_on(a_try.task, stream, OTHERS.format(a_try.step.id))
        if a_try.unsure:
            return self._ask(a_try)
        return self._do(a_try)

    def _do(self, a_try: Try) -> Task:
        task, step = a_try.task, a_try.step
        if task.tries >= self.recipe.retry.attempts:
            why = GIVEN_UP.format(step.id, task.tries, task.reason)
            return self.executor.fail(task, a_try.told, why)
        try:
            stopped = self._asking.stopped(a_try)
            if stopped is not None:
                return stopped
            self._begin(a_try)
        except Malformed as error:
            return self.executor.fail(task, a_try.having(answer=REFUSED).told, f"step {step.id}: {error}")
        except Unavailable as error:
            self._put_off(a_try, error, **a_try.settled())
            raise
        return self._act(a_try)

    def _act(self, a_try: Try) -> Task:
        task, step = a_try.task, a_try.step
        outcome = self._perform(a_try)
        a_try = self._having_asked(a_try)
        match outcome:
            case Done(result):
                # Also when the lease ran out meanwhile: it is true, and spares the next worker the step.
                self._record(a_try, EffectState.DONE, result)
                return self._done(a_try, result, "done")
            case Failed() as outcome:
                why = f"step {step.id}: {outcome.reason}"
                if outcome.done is not None:
                    self._record(a_try, EffectState.INTENT, outcome.done)
                told = a_try.answered(outcome).told
                return self.executor.fail(task, told, why, **a_try.settled(outcome))
            case Again() as outcome:
                return self._again(a_try.answered(outcome), outcome)
            case Ask() as outcome:
                return self._ask_people(a_try, outcome)

    @property
    def _asking(self) -> Asking:
        return Asking(self.executor, self.recipe, self._read)

    def _ask_people(self, a_try: Try, outcome: Ask) -> Task:
        try:
            return self._asking.ask(a_try.task, outcome)
        except Unavailable as error:
            self._put_off(a_try, error)
            raise

    def _ask(self, a_try: Try) -> Task:
        """Find out what became of an effect that was begun, and go on from there."""
        task = a_try.task
        if why := a_try.unaskable(self.recipe.retry.attempts):
            return self._ambiguous(a_try, why)
        try:
            self._read(task)
        except Unavailable as error:
            self._put_off(a_try, error)
            raise
        try:
            with self._heartbeat(a_try) as heart:
                found = a_try.probe(self._run(a_try, heart))
        except Unavailable as error:
            a_try, why = a_try.having(probed=AWAY), NOT_ASKED.format(error)
            if task.tries + 1 >= self.recipe.retry.attempts:
                return self._ambiguous(a_try, why)
            wait = max(self._backoff(task), int(error.retry_after * SECOND))
            return self._wait(a_try, task.tries + 1, why, wait)
        if heart.lost:
            raise Conflict(f"task {task.id} was moved while its target was asked")
        match found:
            case Done(result):
                self._record(a_try, EffectState.DONE, result)
                return self._done(a_try, result, "was found done")
            case Nothing():
                sure = replace(task, settled=task.attempt - 1)
                return self._do(replace(a_try.having(probed="nothing"), task=sure))
            case unknown:
                return self._ambiguous(a_try.having(probed="unknown"), unknown.reason)

    def _begin(self, a_try: Try) -> None:
        """Record that the effect is about to happen; nothing of it has when this raises."""
        a_try.action.check(a_try.step.with_)
        self._read(a_try.task)
        # Reading can take long, and so can writing: neither may carry us past the lease.
        self._hold(a_try)
        if a_try.known is None or a_try.step.at_most_once:
            self._record(a_try, EffectState.INTENT, a_try.before)
            self._hold(a_try)

    def _perform(self, a_try: Try) -> Outcome:
        outcome: Outcome
        with self._heartbeat(a_try) as heart:
            try:
                outcome = a_try.action.perform(self._run(a_try, heart))
            except Unavailable as error:
                # Its `retry_after` is mostly a default, so it only keeps the backoff from being shorter.
                wait = max(self._backoff(a_try.task), int(error.retry_after * SECOND))
                outcome = Again(str(error), wait, unsure=not error.unsent)
            except Rejected as error:
                outcome = Failed(str(error))
        if heart.lost and not isinstance(outcome, Done):
            raise Conflict(f"task {a_try.task.id} was moved during step {a_try.step.id}")
        if heart.over and isinstance(outcome, Again):
            if outcome.done:  # it is kept, but does not make this try a good one
                self._record(a_try, EffectState.INTENT, outcome.done)
            return replace(outcome, reason=f"it took longer than its timeout: {outcome.reason}", done={})
        return outcome

    def _heartbeat(self, a_try: Try) -> Heartbeat:
        to = self.executor
        return Heartbeat(
            to.tasks, a_try.task, to.clock, to.lease, to.clock(), a_try.step.timeout or LONGEST_STEP
        )

    def _having_asked(self, a_try: Try) -> Try:
        recall = self._recall
        return a_try.having(asked=recall.digest) if recall and recall.digest else a_try

    def _run(self, a_try: Try, heart: Heartbeat) -> StepRun:
        to, task = self.executor, a_try.task
        self._recall = Recall(
            *(task.id, a_try.key, a_try.step.id, task.attempt, self.effects, to.tasks.record, to.clock)
        )
        return StepRun(
            a_try.task,
            self.recipe,
            a_try.step,
            a_try.key,
            self._read(a_try.task),
            a_try.known is not None,
            a_try.before,
            heart.stopped,
            step_parent(a_try.task.id, a_try.task.cause, a_try.step.id, a_try.task.attempt),
            self._recall,
        )

    def _hold(self, a_try: Try) -> None:
        if self.executor.clock() >= a_try.task.due:
            raise Conflict(f"the lease of task {a_try.task.id} ran out before step {a_try.step.id}")

    def _read(self, task: Task) -> list[Matched]:
        """Read the entries that set the task off; those that were erased since are left out."""
        if self._entries is None:
            try:
                self._entries = matched(self.executor.ledger, task)
            except Tampered as error:
                why = f"entry {error.seq} of {error.chain} cannot be read: {error.kind}"
                self.executor.fail(task, {"answer": TAMPERED}, f"{why}; verify the chain")
                raise
        return self._entries
