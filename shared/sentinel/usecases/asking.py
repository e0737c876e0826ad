"""Asking people before a task goes on: what a worker does when a step asks, and before each that follows.

A step behind an approval is begun only while it is what was approved. Its part of what was shown is gathered
anew each time and compared; where it differs, or nobody has approved it, people are asked again, and what
they had approved is void.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sentinel.core.approvals import ACTION, Asked, Verdict, asked_for, digest
from sentinel.core.recipes import Recipe
from sentinel.core.states import State
from sentinel.core.steps import Ask, Matched, StepRun, needs_approval, writes
from sentinel.core.tasks import MAX_REASON, Event, Task
from sentinel.errors import Malformed
from sentinel.usecases.gather import Gathering, Question
from sentinel.usecases.resolve import given
from sentinel.usecases.strangers import ALONE, seen_by_somebody
from sentinel.usecases.tries import STRANGERS, Try

if TYPE_CHECKING:
    from sentinel.usecases.execute import Executor

NOBODY = "nobody has approved it"
UNASKED = "{} needs approval, and no step before it asks: put one that uses approval before it"
UNSEEN = "{} needs approval, and nobody could see what it would do when they were asked: correct the recipe"
APPROVERS = "an approver"  # what has changed where one was removed; no step is called so


@dataclass(frozen=True, slots=True)
class Doubt:
    """A step is not to be begun: what changed since it was approved, and by which step it was to be."""

    step: int
    changed: tuple[str, ...]
    void: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asking:
    """One worker's questions about the tasks of one recipe. `read` gives the entries of a task."""

    executor: Executor
    recipe: Recipe
    read: Callable[[Task], Sequence[Matched]]

    @property
    def _gathering(self) -> Gathering:
        return Gathering(self.executor.actions, self.read, self.executor.tasks.lineage)

    def stopped(self, a_try: Try) -> Task | None:
        """Return the task after what keeps its step from being begun; None where nothing does.

        Raises as `doubt` does.
        """
        task, step = a_try.task, a_try.step
        doubt = self.doubt(task)
        if doubt is not None:
            return self.again(task, doubt)
        if not self._strange(a_try):
            return None
        told = a_try.having(answer=STRANGERS).told
        return self.executor.fail(task, told, f"step {step.id}: {ALONE}")

    def _strange(self, a_try: Try) -> bool:
        """Say whether the step would write by the word of strangers alone; what was begun goes on."""
        if a_try.known is not None or not writes(a_try.action, a_try.step.with_):
            return False
        to, task = self.executor, a_try.task
        return to.strangers(task, self.read(task)) and not seen_by_somebody(to.tasks.lineage(task.id))

    def doubt(self, task: Task) -> Doubt | None:
        """Return why the task's next step may not be begun; None where it may. Raises as gathering does.

        Raises `Malformed` where it needs approval and its recipe does not ask for that, however the recipe
        came into the catalog.
        """
        here, grave = self.recipe.steps[task.step], self._grave(task)
        before = [index for index in range(task.step) if self.recipe.steps[index].uses == ACTION]
        if not before or here.uses == ACTION:
            if grave:
                raise Malformed(UNASKED.format(here.uses))
            return None
        asked = self._approved(task, self.recipe.steps[before[-1]].id, grave)
        if asked is None:
            return Doubt(before[-1], (NOBODY,))
        question = Question.of(asked, self.recipe)
        differs = [] if asked.standing(self.executor.removed()) == asked else [APPROVERS]
        if digest(self._gathering.about(task, self.recipe, question)) != asked.about:
            differs.append("task")
        part = self._gathering.part(task, self.recipe, task.step, question)
        if digest(part) != asked.parts.get(here.id):
            differs.append(here.id)
        if differs:
            return Doubt(before[-1], tuple(differs), asked.approvers)
        if grave and "plan" not in part:
            raise Malformed(UNSEEN.format(here.uses))
        return None

    def _approved(self, task: Task, step: str, grave: bool) -> Asked | None:
        """Return what was approved by a step; for what needs approval, as the lineage tells it, too."""
        asked = Asked.of(task.asked)
        if asked is None or asked.step != step or task.results.get(step) != asked.result():
            return None
        return asked if not grave or _told(self.executor.tasks.lineage(task.id), asked) else None

    def _grave(self, task: Task) -> bool:
        action = self.executor.actions.get(self.recipe.steps[task.step].uses)
        return action is not None and needs_approval(action)

    def ask(self, task: Task, ask: Ask) -> Task:
        """Ask, as the task's own step wants it."""
        return self._move(replace(task, settled=0), task.step, task.step + 1, ask, {})

    def again(self, task: Task, doubt: Doubt) -> Task:
        """Ask anew about what is left from the task's step on; the approvals that it had are void."""
        step = given(task, self.recipe.steps[doubt.step])
        action = self.executor.actions.get(step.uses)
        ask = action.perform(StepRun(task, self.recipe, step, "", (), resumed=False)) if action else None
        if not isinstance(ask, Ask):
            raise Malformed(f"step {step.id} asks nobody: correct the recipe")
        facts: dict[str, object] = {"changed": list(doubt.changed), "void": list(doubt.void)}
        return self._move(task, doubt.step, task.step, ask, facts)

    def _move(self, task: Task, step: int, following: int, ask: Ask, facts: dict[str, object]) -> Task:
        makers = self._gathering.makers(task, self.recipe)
        shown = self._gathering.shown(task, self.recipe, Question(step, following, ask, makers, task.head))
        now = self.executor.clock()
        until = now + ask.within
        asked = asked_for(shown, self.recipe.steps[step].id, following, until, makers)
        reason = f"waits for the approval of {asked.missing}"
        if "changed" in facts:
            reason = f"what was approved is not what would be done now; {reason}"
        told = {
            "step": asked.step,
            "digest": asked.digest,
            "by": list(asked.by),
            "needs": asked.needs,
            "until": until,
            "covers": list(asked.parts),
            **facts,
            "worker": self.executor.worker,
        }
        results = {name: each for name, each in task.results.items() if name != asked.step}
        changes: dict[str, Any] = {
            "step": step,
            "tries": 0,
            "results": results,
            "settled": task.settled,
            "worker": "",
        }
        after = self.executor.move(
            task,
            State.AWAITING_APPROVAL,
            told,
            now=now,
            due=until,
            reason=reason[:MAX_REASON],
            asked=asked.json(),
            **changes,
        )
        self.executor.gates.left(after)  # people take hours: others may have its place until then
        return after


def _told(events: Sequence[Event], asked: Asked) -> bool:
    """Say whether a lineage tells of enough approvals of what is asked, each by its own event."""
    said = {
        body.get("who")
        for body in (event.body for event in events)
        if body.get("verdict") == Verdict.APPROVE and body.get("digest") == asked.digest
    }
    return asked.enough and said.issuperset(asked.approvers)
