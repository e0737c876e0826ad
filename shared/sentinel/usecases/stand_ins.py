"""What stands in for the world in a replay: actions, gates, ledger and recipes that answer what was recorded.

An action's name, stream and the forms of its inputs are its own, so that inputs and effect keys come from the
recipe and the ledger once more; what it did is not done again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sentinel.core.approvals import ACTION
from sentinel.core.recipes import Recipe
from sentinel.core.segment import Segment
from sentinel.core.states import State
from sentinel.core.step_inputs import Form
from sentinel.core.steps import (
    Action,
    Again,
    Asking,
    Done,
    Failed,
    Nothing,
    Outcome,
    Probed,
    Probing,
    StepRun,
    Unknown,
    needs_approval,
    stream_of,
    writes,
)
from sentinel.core.tasks import Effect, Task
from sentinel.errors import Malformed, Unavailable
from sentinel.ports import Ledger
from sentinel.usecases.flow import Hold
from sentinel.usecases.recall import Recall, answer_of, key_of
from sentinel.usecases.stage import MARK, OTHERWISE, Deviation, Interrupted, Script, Unplayed, away, result_of
from sentinel.usecases.tries import AGAIN, AWAY, FAILED, GIVEN_UP, LOST, NOT_ASKED, REFUSED, UNREADABLE


@dataclass
class StandIn:
    """An action that answers what was recorded of it."""

    script: Script
    real: Action

    @property
    def name(self) -> str:
        """The action's own."""
        return self.real.name

    @property
    def stream(self) -> str:
        """The action's own."""
        return self.real.stream

    def stage_stream(self, done: Mapping[str, object]) -> str:
        """Name the stream of the action's own stage."""
        return stream_of(self.real, done)

    @property
    def forms(self) -> Mapping[str, Form]:
        """The action's own."""
        return self.real.forms

    @property
    def needs_approval(self) -> bool:
        """Whether the action itself does."""
        return needs_approval(self.real)

    def writes(self, inputs: Mapping[str, Any]) -> bool:
        """Whether a step of the action itself does."""
        return writes(self.real, inputs)

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Refuse what was refused."""
        del inputs
        body = self.script.body
        if body.get("answer") == REFUSED:
            self.script.answered = True
            raise Malformed(_after(body, f"step {body['step']}: "))

    def plan(self, run: StepRun) -> Mapping[str, object]:
        """Return what the action itself plans: that sends nothing, and people are shown it."""
        return self.real.plan(run)

    def perform(self, run: StepRun) -> Outcome:
        """Return what came of the try."""
        script = self.script
        body, wait = script.body, _wait(script)
        script.answered = True
        step, uses, unsure = run.step.id, run.step.uses, bool(body.get("unsure"))
        if body.get("outcome") == "done":
            return Done(result_of(script, step))
        if body.get("answer") == FAILED:
            kept = {MARK: script.at} if body.get("kept") else None
            return Failed(_after(body, f"step {step}: "), unsure, bool(body.get("over")), kept)
        if body.get("event") == State.AWAITING_APPROVAL:
            raise Unplayed(f"event {script.at}: {OTHERWISE}")
        if body.get("answer") != AGAIN:
            raise Deviation(f"event {script.at}: step {step} would be done now, and was not")
        reason = _after(body, GIVEN_UP.format(step, body.get("tries"), ""))
        if body["event"] == "ambiguous":
            reason = reason.removesuffix(f"; {LOST.format(uses)}")
        return Again(reason, wait, self._progress(run, body), unsure, body.get("idle") is True)

    def _progress(self, run: StepRun, body: Mapping[str, object]) -> Mapping[str, object]:
        """Return something that is new, or not, as what was got done was."""
        if not body.get("progress"):
            return {}
        return {MARK: self.script.at} if body.get("tries") == run.task.tries else run.done


class ProbedStandIn(StandIn):
    """One whose target can be asked."""

    def probe(self, run: StepRun) -> Probed:
        """Return what the target said."""
        script = self.script
        body = script.body
        if body.get("probed") == "nothing":
            return Nothing()
        if body.get("probed") == AWAY:
            raise away(script, NOT_ASKED.format(""))
        script.answered = True
        if body.get("outcome") == "was found done":
            return Done(result_of(script, run.step.id))
        if body.get("probed") == "unknown":
            return Unknown(str(body.get("reason", "")))
        raise Deviation(
            f"event {script.at}: the target of step {run.step.id} would be asked now, and was not"
        )


@dataclass
class AnsweredStandIn(StandIn):
    """An action whose outcome follows from what it asks: the real one, with the answers that it had."""

    answers: Mapping[str, Effect] = field(default_factory=dict)

    def perform(self, run: StepRun) -> Outcome:
        """Do the step, but for what it does outside."""
        script, keep, asked = self.script, run.recorded, Counter[str]()
        failed = script.body.get("answer") in {AGAIN, FAILED}
        script.answered = True

        def recorded(question: str, ask: Callable[[], str]) -> str:
            del ask
            answer = answer_of(self.answers.get(key_of(run.key, question, asked[question])), question)
            asked[question] += 1
            # A later try may have an answer to what this one had none to: then all that it had are told.
            over = failed and isinstance(keep, Recall) and keep.digest == script.body.get("asked", "")
            if answer is None or over:
                raise _NoAnswer(f"event {script.at}: step {run.step.id} would ask what it did not ask")
            return keep(question, lambda: answer)

        try:
            return self.real.perform(replace(run, recorded=recorded))
        except _NoAnswer:
            if not failed:
                raise
            return super().perform(run)  # it was asked, and did not answer


class _NoAnswer(Deviation):
    """A question that no answer is kept of."""


class AskingStandIn(StandIn):
    """The action that asks people: it does nothing outside, so it is the real one."""

    def perform(self, run: StepRun) -> Outcome:
        """Ask."""
        self.script.answered = True
        return self.real.perform(run)

    def probe(self, run: StepRun) -> Probed:
        """Say that asking has left nothing outside."""
        del run
        return Nothing()


def _wait(script: Script) -> int:
    due = script.body.get("due")
    return due - script.events[script.at].t if isinstance(due, int) else 0


def _after(body: Mapping[str, object], prefix: str) -> str:
    return str(body.get("reason", "")).removeprefix(prefix)


@dataclass
class Cast(Mapping[str, Action]):
    """The actions of a deployment, each stood in for. `absent` are those that there were not."""

    script: Script
    real: Mapping[str, Action]
    absent: frozenset[str] = frozenset()

    def __getitem__(self, name: str) -> Action:
        if name in self.absent:
            raise KeyError(name)
        real = self.real[name]
        if name == ACTION:
            return AskingStandIn(self.script, real)
        if isinstance(real, Asking) and real.asks:
            return AnsweredStandIn(self.script, real, self.script.answers)
        return (ProbedStandIn if isinstance(real, Probing) else StandIn)(self.script, real)

    def __iter__(self) -> Iterator[str]:
        return iter(set(self.real) - self.absent)

    def __len__(self) -> int:
        return len(set(self.real) - self.absent)


@dataclass
class Entries:
    """The ledger as a worker reads it, away when it was."""

    script: Script
    real: Ledger

    def at(self, chain: str, seq: int) -> Segment | None:
        """Return the segment that holds an entry."""
        if self.script.body.get("answer") == AWAY and self.script.reads_fail(self.script.body):
            raise away(self.script)
        try:
            return self.real.at(chain, seq)
        except Unavailable as error:
            raise Interrupted(error) from None


@dataclass
class Recipes:
    """The playbook as a worker reads it. `read` raises `Rejected` for what the catalog does not have."""

    script: Script
    read: Callable[[str, int], Recipe]

    def recipe(self, recipe_id: str, version: int) -> Recipe:
        """Return one version of a recipe, or refuse it as it was."""
        at = self.script.at + 1
        if at < self.script.end and self.script.bodies[at].get("answer") == UNREADABLE:
            raise Malformed(str(self.script.bodies[at].get("reason", "")))
        try:
            return self.read(recipe_id, version)
        except Unavailable as error:
            raise Interrupted(error) from None


@dataclass
class ToldGates:
    """Gates that hold what was held."""

    script: Script

    def enter(self, task: Task, recipe: Recipe, now: int) -> Hold | None:
        """Return what held the task."""
        del task, recipe, now
        body = self.script.body
        if "held" not in body:
            return None
        ticket = body.get("ticket")
        until = self.script.events[self.script.at].t + _wait(self.script)
        return Hold(str(body["held"]), until, str(body["reason"]), ticket if isinstance(ticket, int) else 0)

    def held(self, task: Task) -> None:
        """Give nothing back."""
        del task

    def left(self, task: Task) -> None:
        """Give nothing back."""
        del task

    def look(self, tasks: Sequence[Task], now: int) -> dict[str, int]:
        """Hold nothing."""
        del tasks, now
        return {}


class Nowhere:
    """A queue and a doorbell of nobody."""

    def add(self, *_: object) -> None:
        """Drop hints."""

    def ring(self, worker: str) -> None:
        """Wake nobody."""

    def bury(self, task_id: str, reason: str) -> None:
        """Bury nothing."""
