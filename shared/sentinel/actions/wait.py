"""The action `wait`: let time pass before the next step, without a worker that waits.

When the step is first tried, the end of the wait is fixed and recorded; from then on it is the same instant
whatever is restarted in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from sentinel.actions.following import number, refused
from sentinel.core.recipes import Duration
from sentinel.core.steps import Again, Done, Failed, Outcome, StepRun
from sentinel.core.tasks import SECOND
from sentinel.errors import Malformed

LONGEST = 366 * 86_400 * SECOND


def _instant(value: object) -> int:
    """Read RFC 3339, or what YAML makes of it, as epoch nanoseconds."""
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError("a time is written 2026-05-01T06:00:00Z") from None
    if found.tzinfo is None:
        raise ValueError("a time needs its offset: 2026-05-01T06:00:00Z or +02:00")
    return int(found.timestamp()) * SECOND + found.microsecond * 1000


Instant = Annotated[int, BeforeValidator(_instant)]


class WaitInputs(BaseModel):
    """A step's `with`: `for` a while, or `until` an instant, which may have passed already."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    for_: Duration | None = Field(default=None, alias="for", ge=0, le=LONGEST)
    until: Instant | None = None

    @model_validator(mode="after")
    def _one(self) -> WaitInputs:
        if (self.for_ is None) == (self.until is None):
            raise ValueError("a wait has either for or until")
        return self


class Wait:
    """`clock` is in epoch nanoseconds."""

    name = "wait"
    stream = "action"
    forms: ClassVar[Mapping[str, Any]] = {}  # no input takes what an entry says
    model: ClassVar[type[BaseModel]] = WaitInputs
    Inputs = WaitInputs

    def __init__(self, *, clock: Callable[[], int]) -> None:
        self._clock = clock

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Check a step's `with`."""
        _inputs(inputs)

    def plan(self, run: StepRun) -> Mapping[str, object]:
        """Return what the step would do: how long, or until when, it waits."""
        found = _inputs(run.step.with_)
        if found.until is not None:
            return {"wait_until": _written(found.until)}
        return {"wait_seconds": (found.for_ or 0) / SECOND}

    def perform(self, run: StepRun) -> Outcome:
        """Say when to look again, or that the time has come."""
        try:
            inputs = _inputs(run.step.with_)
        except Malformed as error:
            return Failed(str(error))
        now = self._clock()
        until = number(run.done, "until") or inputs.until or now + (inputs.for_ or 0)
        if now >= until:
            return Done({"waited_until": _written(until)})
        # More than a day ends in another look, and so does a clock that is behind: looks make them differ.
        looks = number(run.done, "looks") + 1
        return Again(f"waits until {_written(until)}", until - now, {"until": until, "looks": looks})


def _inputs(inputs: Mapping[str, Any]) -> WaitInputs:
    try:
        return WaitInputs.model_validate(inputs)
    except ValidationError as error:
        raise refused(Wait.name, error) from None


def _written(instant: int) -> str:
    """Write an instant as RFC 3339 in whole seconds."""
    return datetime.fromtimestamp(instant // SECOND, UTC).isoformat().replace("+00:00", "Z")
