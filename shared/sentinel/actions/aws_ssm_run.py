"""The action `aws.ssm_run`: run a Systems Manager document on instances and follow it to its end.

The command's comment is the step's effect key, so a step that is taken up again asks for commands with it
before it sends one. What a command prints is never read: its counts and its status are. Statuses are those of
"Understanding command statuses" in the Systems Manager user guide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from string import Template
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from sentinel.actions.aws_step import allow, assumed, granted
from sentinel.actions.following import again, follow, refused
from sentinel.core.grants import Grants, allowed
from sentinel.core.recipes import Duration
from sentinel.core.steps import Done, Failed, Nothing, Outcome, Probed, StepRun
from sentinel.core.tasks import SECOND
from sentinel.errors import Missing, Rejected, Unavailable
from sentinel.ports_aws import AssumedRole, AwsCalls

PAGES = 20  # of 50 commands each that are searched for one of ours
EARLIER = 300 * SECOND  # how far AWS's clock may be behind ours
PLACEHOLDERS = frozenset({"task", "recipe", "step", "key"})  # none holds what a stranger wrote
_WAITING = frozenset({"Pending", "InProgress", "Cancelling"})
_TIMED_OUT = frozenset({"Delivery Timed Out", "Execution Timed Out", "DeliveryTimedOut", "ExecutionTimedOut"})

Instance = Annotated[str, StringConstraints(pattern=r"^(i|mi)-[0-9a-f]{8,17}$")]
TagName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9 _.:/=+@-]{1,100}$")]
TagValue = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9 _.:/=+@-]{1,256}$")]
Share = Annotated[str, StringConstraints(pattern=r"^([0-9]{1,6}|[0-9]{1,2}%|100%)$")]


class RunInputs(BaseModel):
    """A step's `with`: a document, and `instances` or those with all of the `tags`.

    The texts of `parameters` may hold `$task`, `$recipe`, `$step` and `$key`, and nothing of an entry: what
    runs on a machine is not for strangers to write.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    document: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{3,128}$")]
    version: Annotated[str, StringConstraints(pattern=r"^(\$DEFAULT|\$LATEST|[1-9][0-9]{0,5})$")] = "$DEFAULT"
    instances: tuple[Instance, ...] = Field(default=(), max_length=20)
    tags: Mapping[TagName, Annotated[tuple[TagValue, ...], Field(min_length=1, max_length=5)]] = Field(
        default_factory=dict, max_length=5
    )
    parameters: Mapping[str, tuple[str, ...]] = Field(default_factory=dict, max_length=50)
    max_concurrency: Share = "50"
    max_errors: Share = "0"
    within: Duration = Field(default=600 * SECOND, ge=30 * SECOND, le=86_400 * SECOND)

    @model_validator(mode="after")
    def _targets(self) -> RunInputs:
        if bool(self.instances) == bool(self.tags):
            raise ValueError("a command goes to either instances or those with tags")
        for text in (text for texts in self.parameters.values() for text in texts):
            template = Template(text)
            if not template.is_valid() or not PLACEHOLDERS.issuperset(template.get_identifiers()):
                raise ValueError("parameters may hold $task, $recipe, $step and $key; write $$ for a $")
        return self


class SsmRun:
    """Runs through the port; `clock` is in epoch nanoseconds."""

    name = "aws.ssm_run"
    stream = "action"
    forms: ClassVar[Mapping[str, Any]] = {}  # no input takes what an entry says
    model: ClassVar[type[BaseModel]] = RunInputs
    Inputs = RunInputs

    def __init__(self, aws: Callable[[], AwsCalls], grants: Grants, *, clock: Callable[[], int]) -> None:
        self._aws = aws
        self._grants = grants
        self._clock = clock

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Check a step's `with`. Whether the document is allowed shows when it runs."""
        _inputs(inputs)

    def writes(self, inputs: Mapping[str, Any]) -> bool:
        """Say that it does."""
        del inputs
        return True

    def plan(self, run: StepRun) -> Mapping[str, object]:
        """Return what the step would do: which document it would run where."""
        found = _inputs(run.step.with_)
        return {
            "run_document": found.document,
            "version": found.version,
            "targets": list(found.instances) or {name: list(values) for name, values in found.tags.items()},
            "parameters": {name: list(values) for name, values in found.parameters.items()},
            **granted(self._grants, self.name),
        }

    def perform(self, run: StepRun) -> Outcome:
        """Send the command once, or look how far the one that was sent has got."""
        try:
            inputs = _inputs(run.step.with_)
            allowed(inputs.document, self._grants.documents, "SENTINEL_AWS_DOCUMENTS")
            role = self._role(run, inputs)
            sent = self._sent(run, inputs, role)
            if sent is None:
                sent = self._send(run, inputs, role)
            return self._judged(run, inputs, sent)
        except Unavailable as error:
            return again(error)
        except Rejected as error:
            return Failed(str(error))

    def probe(self, run: StepRun) -> Probed:
        """Say whether the command has run; one that still runs is `Nothing`: `perform` finds it."""
        inputs = _inputs(run.step.with_)
        found = self._sent(run, inputs, self._role(run, inputs))
        there = found is not None and found.get("Status") == "Success"
        return Done(_facts(found)) if found is not None and there else Nothing()

    def _role(self, run: StepRun, inputs: RunInputs) -> AssumedRole:
        role = self._grants.role(self.name)
        document = f"arn:{role.partition}:ssm:*:*:document/{inputs.document}"
        fleet = f"arn:{role.partition}:ec2:*:{role.account}:instance/"
        hybrid = f"arn:{role.partition}:ssm:*:{role.account}:managed-instance/"
        send = [allow("ssm:SendCommand", document), allow("ssm:ListCommands", "*")]
        if inputs.instances:
            named = [(fleet if each.startswith("i-") else hybrid) + each for each in inputs.instances]
            return assumed(self._grants, self.name, run, [*send, allow("ssm:SendCommand", named)])
        tags = {f"ssm:resourceTag/{name}": list(values) for name, values in inputs.tags.items()}
        tagged = allow("ssm:SendCommand", [f"{fleet}*", f"{hybrid}*"], StringEquals=tags)
        return assumed(self._grants, self.name, run, [*send, tagged])

    def _sent(self, run: StepRun, inputs: RunInputs, role: AssumedRole) -> Mapping[str, Any] | None:
        """Return the command of an earlier try, if there is one."""
        known = run.done.get("command")
        if isinstance(known, str):
            return self._known(known, role)
        if not run.resumed:
            return None
        return next(
            (each for each in self._listed(run, inputs, role) if each.get("Comment") == run.key), None
        )

    def _known(self, command: str, role: AssumedRole) -> Mapping[str, Any]:
        try:
            found = self._aws().call("ssm", "ListCommands", {"CommandId": command}, role).get("Commands", ())
        except Missing:
            found = ()
        if not found:
            raise Unavailable(f"Systems Manager does not show command {command} yet")
        first: Mapping[str, Any] = found[0]
        return first

    def _listed(self, run: StepRun, inputs: RunInputs, role: AssumedRole) -> Iterator[Mapping[str, Any]]:
        since = datetime.fromtimestamp(max(run.task.created - EARLIER, 0) // SECOND, UTC)
        params: dict[str, object] = {
            "MaxResults": 50,
            "Filters": [
                {"key": "DocumentName", "value": inputs.document},
                {"key": "InvokedAfter", "value": since.strftime("%Y-%m-%dT%H:%M:%SZ")},
            ],
        }
        for _ in range(PAGES):
            answer = self._aws().call("ssm", "ListCommands", params, role)
            yield from answer.get("Commands", ())
            if not answer.get("NextToken"):
                return
            params["NextToken"] = answer["NextToken"]
        raise Unavailable(
            f"more commands ran {inputs.document} since the task began than can be looked through"
        )

    def _send(self, run: StepRun, inputs: RunInputs, role: AssumedRole) -> Mapping[str, Any]:
        facts = {"task": run.task.id, "recipe": run.task.recipe, "step": run.step.id, "key": run.key}
        params = {
            "DocumentName": inputs.document,
            "DocumentVersion": inputs.version,
            "Comment": run.key,
            # A machine that was away does not get the command when nobody follows it any more.
            "TimeoutSeconds": inputs.within // SECOND,
            "MaxConcurrency": inputs.max_concurrency,
            "MaxErrors": inputs.max_errors,
            "Parameters": {
                name: [Template(text).substitute(facts) for text in texts]
                for name, texts in inputs.parameters.items()
            },
        }
        if inputs.instances:
            params["InstanceIds"] = list(inputs.instances)
        else:
            params["Targets"] = [
                {"Key": f"tag:{name}", "Values": list(values)} for name, values in inputs.tags.items()
            ]
        found: Mapping[str, Any] = self._aws().call("ssm", "SendCommand", params, role)["Command"]
        return {**found, "Status": "Pending"}  # what it has become is asked for by the next look

    def _judged(self, run: StepRun, inputs: RunInputs, command: Mapping[str, Any]) -> Outcome:
        status = str(command.get("Status"))
        if status in _WAITING:
            told = f"the command is {status}"
            return follow(run, self._clock(), inputs.within, told, command=str(command["CommandId"]))
        facts = _facts(command)
        if status == "Success" and facts["details"] not in {"No Instances In Tag", "NoInstancesInTag"}:
            return Done(facts)
        where = f"{facts['errors']} of {facts['targets']} instances"
        hint = ": is the agent running there?" if facts["details"] in _TIMED_OUT else ""
        why = f"command {facts['command']} ended as {facts['details']}, errors on {where}{hint}"
        return Failed(why, unsure=True, over=True)


def _facts(command: Mapping[str, Any]) -> dict[str, object]:
    return {
        "command": str(command.get("CommandId", "")),
        "details": re.sub(r"[^A-Za-z ]", "", str(command.get("StatusDetails") or command.get("Status", ""))),
        "targets": int(command.get("TargetCount", 0)),
        "completed": int(command.get("CompletedCount", 0)),
        "errors": int(command.get("ErrorCount", 0)),
    }


def _inputs(inputs: Mapping[str, Any]) -> RunInputs:
    try:
        return RunInputs.model_validate(inputs)
    except ValidationError as error:
        raise refused(SsmRun.name, error) from None
