"""The action `ai.patch`: a patch for what failed, proposed by models, judged by rules, proven by trying it.

Its stages are done by workers with different rights (`patch_course`): the reader sees repositories and no
model, the patcher models and no repository. Each stage is one try; what it found is recorded, so a worker
that dies has the stage done again and none before it, and a replay comes to the same without anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sentinel.actions.following import refused
from sentinel.actions.patch_course import ASK, JUDGE, PROVE, READ, STREAMS, Charged, Course
from sentinel.core.approvals import canonical
from sentinel.core.recipe_fields import Name
from sentinel.core.steps import Again, Done, Failed, Outcome, StepRun
from sentinel.core.tasks import SECOND
from sentinel.errors import Rejected, Unavailable

if TYPE_CHECKING:
    from sentinel.actions.patch_ask import Patcher
    from sentinel.actions.patch_judge import Judge
    from sentinel.actions.patch_prove import Proving
    from sentinel.actions.patch_read import Reader

LOOK = 5 * SECOND  # between two looks at a proof that goes on elsewhere
LAST_LOOK = 30 * SECOND
_WHY = 400  # characters of the reasons that a task tells


class PatchInputs(BaseModel):
    """A step's `with`: names of documents. The models are asked in this order; see docs/models.md."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    repository: Name
    models: tuple[Name, ...] = Field(min_length=1, max_length=5)


class AiPatch:
    """Does one stage a try. The parts are asked for when their stage comes: a worker has only its own."""

    name = "ai.patch"
    stream = STREAMS[READ]
    asks = True
    forms: ClassVar[Mapping[str, Any]] = {}  # no input takes what an entry says
    model: ClassVar[type[BaseModel]] = PatchInputs
    Inputs = PatchInputs

    def __init__(
        self,
        reader: Callable[[], Reader],
        patcher: Callable[[], Patcher],
        judge: Callable[[], Judge],
        proving: Callable[[], Proving],
    ) -> None:
        self._reader = reader
        self._patcher = patcher
        self._judge = judge
        self._proving = proving

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Check a step's `with`."""
        _inputs(inputs)

    def stage_stream(self, done: Mapping[str, Any]) -> str:
        """Name the stream of the stage that follows."""
        return STREAMS[Course.of(done).stage]

    def plan(self, run: StepRun) -> Mapping[str, object]:
        """Return what the step would do: for which repository it would ask whom, and within which bounds."""
        inputs, policy = _inputs(run.step.with_), run.recipe.policy
        return {
            "repository": inputs.repository,
            "models": list(inputs.models),
            "paths": list(policy.paths),
            "at_most": {"usd": policy.max_cost_usd, "tokens": policy.max_tokens},
            "candidates": policy.candidates,
        }

    def perform(self, run: StepRun) -> Outcome:
        """Do the stage that is next."""
        inputs, course = _inputs(run.step.with_), Course.of(run.done)
        question = canonical({"stage": course.stage, "after": course.json(), "inputs": inputs.model_dump()})
        try:
            answer = run.recorded(question.decode(), lambda: self._did(run, course))
        except Unavailable as error:
            return Again(str(error), None)
        except Rejected as error:
            return Failed(f"{course.stage}: {error}", over=True)
        told = orjson.loads(answer)
        if "failed" in told:
            return Failed(str(told["failed"]), over=True)
        if "done" in told:
            return Done(told["done"])
        after, reason = Course.of(told["course"]), str(told["reason"])
        pause = _pause(after, later="later" in told)
        return Again(reason, pause, after.json(), onward=not pause)

    def advance(self, run: StepRun, course: Course) -> tuple[Course, str]:
        """Do a stage; return what follows, and words on it for people. Raises what the stages raise."""
        inputs = _inputs(run.step.with_)
        stages: Mapping[str, Callable[[], tuple[Course, str]]] = {
            READ: lambda: self._reader().read(run, inputs),
            ASK: lambda: self._patcher().ask(run, inputs, course),
            JUDGE: lambda: self._judge().judge(run, course),
            PROVE: lambda: self._proving().prove(run, course),
        }
        return stages[course.stage]()

    def _did(self, run: StepRun, course: Course) -> str:
        """Do a stage and return what came of it as JSON."""
        try:
            after, reason = self.advance(run, course)
        except Charged as error:  # what it took is kept, or tries without an answer would be free
            return canonical({"course": error.course.json(), "reason": str(error), "later": True}).decode()
        if not after.over:
            return canonical({"course": after.json(), "reason": reason}).decode()
        if not after.proven:
            return canonical({"failed": _none(after)}).decode()
        return canonical({"done": self._proving().result(after)}).decode()


def _pause(course: Course, *, later: bool) -> int:
    """Return for how long to wait before what follows: for models, or for a proof that goes on elsewhere."""
    if later:
        return LAST_LOOK
    elsewhere = any(course.candidates[index].handle for index in course.open)
    return min(LOOK * max(course.looks, 1), LAST_LOOK) if course.stage == PROVE and elsewhere else 0


def _none(course: Course) -> str:
    """Say why no candidate is left, without words of a model."""
    if not course.candidates:
        return "no model gave an answer"
    told = [f"candidate {index}: {each.refused}" for index, each in enumerate(course.candidates, 1)]
    return f"no patch is proven: {'; '.join(told)}"[:_WHY]


def _inputs(inputs: Mapping[str, Any]) -> PatchInputs:
    try:
        return PatchInputs.model_validate(inputs)
    except ValidationError as error:
        raise refused(AiPatch.name, error) from None
