"""One try of one step, and what the lineage tells of it: enough to play it again without the world.

The facts that a replay needs besides time, nonce and reason: `known`, the effect as the worker found it
(state and attempt; none where there was none), `probed`, what the target said when it was asked, `answer`,
what became of the try where that is not `outcome`, and `progress`, whether it has got something done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sentinel.core.recipes import Step
from sentinel.core.steps import Action, Again, Failed, Probed, Probing, StepRun, Unknown
from sentinel.core.task_trace import step_span
from sentinel.core.tasks import Effect, Task
from sentinel.errors import Rejected

# Answers: what became of a try.
AGAIN, FAILED = "again", "failed"
REFUSED = "refused"  # by the action's check: nothing was begun
ABSENT = "absent"  # there was no such action
AWAY = "away"  # a store, or a target that was asked, did not answer
UNREADABLE = "unreadable"  # the recipe
TAMPERED = "tampered"  # an entry
STRANGERS = "strangers"  # they alone set the task off, and the step writes: nothing was begun

LOST = "the outcome of an earlier try is not known, and {} cannot ask its target"
NOT_ASKED = "its target could not be asked: {}"
TIME_UP = "the worker's time is up"
GIVEN_UP = "step {}: given up after {} tries: {}"


@dataclass(frozen=True, slots=True)
class Try:
    """One try of one step. `known` is the effect as an earlier attempt recorded it, `saw` is told of it."""

    task: Task
    step: Step
    action: Action
    key: str
    known: Effect | None
    saw: Mapping[str, object] = field(default_factory=dict)

    @property
    def told(self) -> dict[str, object]:
        """What the lineage tells of it, whatever comes of it."""
        span = step_span(self.task.id, self.step.id, self.task.attempt)
        told: dict[str, object] = {"step": self.step.id, "span": span}
        if self.key:  # none while its inputs are not known
            told["effect"] = self.key
        if self.known:
            told["known"] = [self.known.state.value, self.known.attempt]
        return {**told, **self.saw}

    @property
    def unsure(self) -> bool:
        """Whether it may not be begun before its target was asked: an earlier try may have had the effect."""
        return self.step.at_most_once and self.known is not None and self.known.attempt > self.task.settled

    def unaskable(self, attempts: int) -> str:
        """Return why its target cannot be asked what became of it; "" where it can."""
        if not isinstance(self.action, Probing):
            return LOST.format(self.step.uses)
        # Asking may kill its worker, too, and is not tried for ever.
        return NOT_ASKED.format(self.task.reason) if self.task.tries > attempts else ""

    def probe(self, run: StepRun) -> Probed:
        """Ask its target; one that refuses to be asked cannot tell. Raises `Unavailable`."""
        assert isinstance(self.action, Probing)  # noqa: S101 - see `unaskable`
        try:
            return self.action.probe(run)
        except Rejected as error:
            return Unknown(NOT_ASKED.format(error))

    @property
    def before(self) -> Mapping[str, object]:
        """What an earlier try has got done of it."""
        return self.known.result if self.known else {}

    def having(self, **saw: object) -> Try:
        """Return it with more that is told of it."""
        return replace(self, saw={**self.saw, **saw})

    def answered(self, outcome: Again | Failed) -> Try:
        """Return it with what is told of an outcome besides its reason."""
        saw: dict[str, object] = {"answer": AGAIN if isinstance(outcome, Again) else FAILED}
        if outcome.unsure:
            saw["unsure"] = True
        if isinstance(outcome, Again):
            saw |= {"progress": True} if outcome.done else {}
            saw |= {"idle": True} if outcome.idle else {}
        if isinstance(outcome, Failed):
            saw |= {"kept": True} if outcome.done is not None else {}
            saw |= {"over": True} if outcome.over else {}
        return self.having(**saw)

    def settled(self, outcome: Again | Failed | None = None) -> dict[str, Any]:
        """Return the change of a task by what is known of this try's effect: none was left, or it is over.

        Written with the transition: of an effect that is over a person has to know before it is begun anew.
        """
        if isinstance(outcome, Failed) and outcome.over:
            counts = self.task.anew
            return {"anew": {**counts, self.step.id: counts.get(self.step.id, 0) + 1}}
        sure = self.step.at_most_once and not (outcome and outcome.unsure)
        return {"settled": self.task.attempt} if sure else {}
