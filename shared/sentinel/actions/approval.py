"""The action `approval`: people say yes before the task goes on.

It asks and does nothing else; who may answer, and what exactly they are asked, is `usecases.approve`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from sentinel.actions.following import refused
from sentinel.core.approvals import MAX_NEEDS, SERVICE
from sentinel.core.recipes import Duration
from sentinel.core.steps import Ask, Nothing, Outcome, Probed, StepRun
from sentinel.core.tasks import MAX_REASON, SECOND

SHORTEST, LONGEST = 60 * SECOND, 30 * 86_400 * SECOND
MAX_BY = 50
# A person or a group: an author's id (`core.access.Author`). A service: its id behind `service:`.
Approvers = Annotated[
    str, StringConstraints(pattern=r"^(service:[^\s\x00-\x1f]{1,128}|[A-Za-z0-9][A-Za-z0-9._@-]{0,99})$")
]


class ApprovalInputs(BaseModel):
    """A step's `with`: `needs` different ones of `by` have to approve, within a time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: tuple[Approvers, ...] = Field(min_length=1, max_length=MAX_BY)
    needs: int = Field(default=1, ge=1, le=MAX_NEEDS)
    within: Duration = Field(default=8 * 3600 * SECOND, ge=SHORTEST, le=LONGEST)
    message: str = Field(default="", max_length=MAX_REASON)

    @model_validator(mode="after")
    def _reachable(self) -> ApprovalInputs:
        if len(set(self.by)) != len(self.by):
            raise ValueError("by: somebody is named twice, and counts once")
        if not self.message.isprintable():
            raise ValueError("message: is one line of printable characters")
        if all(each.startswith(SERVICE) for each in self.by) and len(self.by) < self.needs:
            raise ValueError(f"needs: {self.needs} of {len(self.by)} services can never be reached")
        return self


class Approval:
    """Asks people."""

    name = "approval"
    stream = "action"
    forms: ClassVar[Mapping[str, Any]] = {}  # no input takes what an entry says
    model: ClassVar[type[BaseModel]] = ApprovalInputs
    Inputs = ApprovalInputs

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Check a step's `with`."""
        _inputs(inputs)

    def plan(self, run: StepRun) -> Mapping[str, object]:
        """Return what the step would do: whom it asks, how many of them, and for how long."""
        found = _inputs(run.step.with_)
        return {"ask": list(found.by), "needs": found.needs, "within_seconds": found.within // SECOND}

    def perform(self, run: StepRun) -> Outcome:
        """Ask."""
        found = _inputs(run.step.with_)
        return Ask(found.by, found.needs, found.within, found.message)

    def probe(self, run: StepRun) -> Probed:
        """Say that asking has left nothing outside: it may be asked again."""
        del run
        return Nothing()


def _inputs(inputs: Mapping[str, Any]) -> ApprovalInputs:
    try:
        return ApprovalInputs.model_validate(inputs)
    except ValidationError as error:
        raise refused(Approval.name, error) from None
