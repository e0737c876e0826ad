"""The action `aws.invoke_lambda`: run a Lambda function and wait for its end.

The payload carries the step's effect key, the same in every attempt: a function that remembers keys acts
once. Lambda itself cannot be asked whether an invocation took place, and one whose reply was lost may be
running still, so the step is at least once. What the function answers is looked at by nobody.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sentinel.actions.aws_step import allow, assumed, granted
from sentinel.actions.following import again, refused
from sentinel.core.grants import Grants, allowed
from sentinel.core.recipes import Duration
from sentinel.core.steps import Again, Done, Failed, Outcome, StepRun
from sentinel.core.tasks import SECOND
from sentinel.errors import Rejected, Unavailable
from sentinel.ports_aws import AssumedRole, AwsCalls

MAX_ENTRIES = 100
MAX_PAYLOAD = 200_000  # bytes; Lambda takes 6 MB
_NAME = r"[A-Za-z0-9_-]{1,64}(?::(?:\$LATEST|[A-Za-z0-9_-]{1,128}))?"
_FUNCTION = re.compile(rf"(?:arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{{12}}:function:)?{_NAME}")


class InvokeInputs(BaseModel):
    """A step's `with`. `include: entry` hands the entries over, else where they are in the ledger."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    function: str
    include: Literal["entry", "place"] = "place"
    timeout: Duration = Field(default=20 * SECOND, ge=SECOND, le=30 * SECOND)
    on_error: Literal["fail", "retry"] = "fail"

    @field_validator("function")
    @classmethod
    def _function(cls, function: str) -> str:
        if not _FUNCTION.fullmatch(function):
            raise ValueError("a function is a name, name:alias, or a function's whole ARN")
        return function


class InvokeLambda:
    """Invokes through the port."""

    name = "aws.invoke_lambda"
    stream = "action"
    forms: ClassVar[Mapping[str, Any]] = {}  # no input takes what an entry says
    model: ClassVar[type[BaseModel]] = InvokeInputs
    Inputs = InvokeInputs

    def __init__(self, aws: Callable[[], AwsCalls], grants: Grants) -> None:
        self._aws = aws
        self._grants = grants

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Check a step's `with`. Whether the function is allowed shows when it runs."""
        _inputs(inputs)

    def writes(self, inputs: Mapping[str, Any]) -> bool:
        """Say that it does."""
        del inputs
        return True

    def plan(self, run: StepRun) -> Mapping[str, object]:
        """Return what the step would do: which function it would run, with how many entries."""
        found = _inputs(run.step.with_)
        return {
            "invoke": found.function,
            "include": found.include,
            "entries": min(len(run.entries), MAX_ENTRIES),
            "at_most_seconds": found.timeout // SECOND,
            **granted(self._grants, self.name),
        }

    def perform(self, run: StepRun) -> Outcome:
        """Invoke the function once and judge the answer by its status, never by its body."""
        try:
            inputs = _inputs(run.step.with_)
            allowed(inputs.function, self._grants.functions, "SENTINEL_AWS_FUNCTIONS")
            answer = self._aws().call(
                "lambda",
                "Invoke",
                {
                    "FunctionName": inputs.function,
                    "InvocationType": "RequestResponse",
                    "Payload": payload(run, inputs.include),
                    **_context(run),
                },
                self._role(run, inputs.function),
                inputs.timeout / SECOND,
            )
        except Unavailable as error:
            return again(error)
        except Rejected as error:
            return Failed(str(error))
        if answer.get("FunctionError"):
            # It ran, and nobody but it knows how far.
            told = "the function ended with an error: its log says which"
            return Again(told, None, unsure=True) if inputs.on_error == "retry" else Failed(told, unsure=True)
        return Done({"status": answer.get("StatusCode", 0), "version": answer.get("ExecutedVersion", "")})

    def _role(self, run: StepRun, function: str) -> AssumedRole:
        role = self._grants.role(self.name)
        arn = function
        if not function.startswith("arn:"):
            arn = f"arn:{role.partition}:lambda:*:{role.account}:function:{function}"
        return assumed(self._grants, self.name, run, [allow("lambda:InvokeFunction", arn)])


def _inputs(inputs: Mapping[str, Any]) -> InvokeInputs:
    try:
        return InvokeInputs.model_validate(inputs)
    except ValidationError as error:
        raise refused(InvokeLambda.name, error) from None


def _context(run: StepRun) -> dict[str, str]:
    """Return the trace context beside the payload, which has to be the same in every attempt."""
    if not run.traceparent:
        return {}
    told = orjson.dumps({"custom": {"traceparent": run.traceparent}})
    return {"ClientContext": b64encode(told).decode()}


def payload(run: StepRun, include: str) -> bytes:
    """Return what a function is given: JSON of at most `MAX_PAYLOAD` bytes.

    `entries` are the first that fit, with `text` where they are included; `count` is how many there are.
    """
    cause = run.task.cause
    told: dict[str, object] = {
        "task": run.task.id,
        "recipe": run.task.recipe,
        "step": run.step.id,
        "key": run.key,
        **{name: str(cause.get(name, ""))[:500] for name in ("rule", "title", "level")},
        "count": len(run.entries),
    }
    left = MAX_PAYLOAD - len(orjson.dumps(told)) - 20
    entries = []
    for each in run.entries[:MAX_ENTRIES]:
        place: dict[str, object] = {"chain": each.chain, "seq": each.seq}
        if include == "entry":
            place["text"] = each.entry.decode(errors="replace")
        entry = orjson.dumps(place)
        left -= len(entry) + 1
        if left < 0:
            break
        entries.append(orjson.Fragment(entry))
    return orjson.dumps({**told, "entries": entries})
