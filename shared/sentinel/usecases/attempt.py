"""One try of one step of a task: what is known of its effect, and what the lineage tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sentinel.core.recipes import Step
from sentinel.core.steps import Action, Again, Failed
from sentinel.core.task_trace import step_span
from sentinel.core.tasks import Effect, Task


@dataclass(frozen=True, slots=True)
class Try:
    """`key` is the effect's; `known` is the effect as an earlier attempt recorded it."""

    task: Task
    step: Step
    action: Action
    key: str
    known: Effect | None

    @property
    def told(self) -> dict[str, object]:
        """What the lineage tells of it, whatever comes of it."""
        effect = {"effect": self.key} if self.key else {}  # none while its inputs are not known
        span = step_span(self.task.id, self.step.id, self.task.attempt)
        return {"step": self.step.id, "span": span, **effect}

    @property
    def unsure(self) -> bool:
        """Whether it may not be begun before its target was asked: an earlier try may have had the effect."""
        return self.step.at_most_once and self.known is not None and self.known.attempt > self.task.settled

    @property
    def before(self) -> Mapping[str, object]:
        """What an earlier try has got done of it."""
        return self.known.result if self.known else {}

    def settled(self, outcome: Again | Failed | None = None) -> dict[str, Any]:
        """Return the change of a task by what is known of this try's effect: none was left, or it is over.

        Written with the transition: of an effect that is over a person has to know before it is begun anew.
        """
        if isinstance(outcome, Failed) and outcome.over:
            counts = self.task.anew
            return {"anew": {**counts, self.step.id: counts.get(self.step.id, 0) + 1}}
        sure = self.step.at_most_once and not (outcome and outcome.unsure)
        return {"settled": self.task.attempt} if sure else {}

    def ended(self, outcome: Failed) -> dict[str, object]:
        """Return what the lineage tells of a try that failed for good, besides its reason."""
        kept = {"kept": True} if outcome.done is not None else {}
        return {**kept, **({"over": True} if outcome.over else {})}
