"""The action `aws.ecs_update_service`: start a service's tasks anew, or change how many there are.

`UpdateService` takes no key. So the first try only notes which deployment is the service's primary one, the
next asks for the change, and a later one that does not know whether it did sees that the primary deployment
is another than the noted. Somebody else's deployment in that moment counts as the step's: the tasks are as
new.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from sentinel.actions.aws_step import allow, assumed, granted
from sentinel.actions.following import again, follow, number, refused
from sentinel.core.grants import Grants
from sentinel.core.recipes import Duration
from sentinel.core.steps import Again, Done, Failed, Nothing, Outcome, Probed, StepRun
from sentinel.core.tasks import SECOND
from sentinel.errors import Forbidden, Missing, Rejected, Unavailable
from sentinel.ports_aws import AssumedRole, AwsCalls

EcsName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,255}$")]
Service = Mapping[str, Any]


class UpdateInputs(BaseModel):
    """A step's `with`. `desired_count` stays within what the deployment allows for the service."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cluster: EcsName
    service: EcsName
    force_new_deployment: bool = False
    desired_count: int | None = Field(default=None, ge=0, le=10_000)
    within: Duration = Field(default=1800 * SECOND, ge=30 * SECOND, le=86_400 * SECOND)

    @model_validator(mode="after")
    def _some(self) -> UpdateInputs:
        if not self.force_new_deployment and self.desired_count is None:
            raise ValueError("a step has force_new_deployment: true, desired_count, or both")
        return self


class UpdateService:
    """Updates through the port; `clock` is in epoch nanoseconds."""

    name = "aws.ecs_update_service"
    stream = "action"
    forms: ClassVar[Mapping[str, Any]] = {}  # no input takes what an entry says
    model: ClassVar[type[BaseModel]] = UpdateInputs
    Inputs = UpdateInputs

    def __init__(self, aws: Callable[[], AwsCalls], grants: Grants, *, clock: Callable[[], int]) -> None:
        self._aws = aws
        self._grants = grants
        self._clock = clock

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Check a step's `with`. Whether the service is allowed shows when it runs."""
        _inputs(inputs)

    def writes(self, inputs: Mapping[str, Any]) -> bool:
        """Say that it does."""
        del inputs
        return True

    def plan(self, run: StepRun) -> Mapping[str, object]:
        """Return what the step would do to which service."""
        found = _inputs(run.step.with_)
        told: dict[str, object] = {"update_service": f"{found.cluster}/{found.service}"}
        if found.force_new_deployment:
            told["new_deployment"] = True
        if found.desired_count is not None:
            told["desired_count"] = found.desired_count
        return told | granted(self._grants, self.name)

    def perform(self, run: StepRun) -> Outcome:
        """Note what is there, change it, or look whether the service is steady again."""
        try:
            inputs = _inputs(run.step.with_)
            self._permit(inputs)
            role = self._role(run, inputs)
            service = self._describe(inputs, role)
            if "before" not in run.done:
                return _noted(run, inputs, service, self._clock())
            if not run.done.get("begun"):
                if not _there(run, inputs, service):
                    service = self._update(inputs, role)
                return self._follow(run, inputs, "the change has begun", service)
            return self._judged(run, inputs, service)
        except Unavailable as error:
            return again(error)
        except Rejected as error:
            return Failed(str(error))

    def probe(self, run: StepRun) -> Probed:
        """Say whether the change was made and the service is steady; else `perform` sees what is missing."""
        if "before" not in run.done:
            return Nothing()  # nothing is changed before that
        inputs = _inputs(run.step.with_)
        service = self._describe(inputs, self._role(run, inputs))
        there = bool(run.done.get("begun")) or _there(run, inputs, service)
        return Done(_facts(service)) if there and _steady(service, _primary(service)) else Nothing()

    def _permit(self, inputs: UpdateInputs) -> None:
        name = f"{inputs.cluster}/{inputs.service}"
        bounds = self._grants.bounds(name)
        if inputs.desired_count is None:
            return
        low, high = bounds or (0, -1)
        if not low <= inputs.desired_count <= high:
            may = f"{low} to {high} tasks" if bounds else "no other number of tasks"
            raise Forbidden(f"steps may give {name} {may}: change its bounds in SENTINEL_AWS_SERVICES")

    def _role(self, run: StepRun, inputs: UpdateInputs) -> AssumedRole:
        role = self._grants.role(self.name)
        arn = f"arn:{role.partition}:ecs:*:{role.account}:service/{inputs.cluster}/{inputs.service}"
        may = allow(["ecs:DescribeServices", "ecs:UpdateService"], arn)
        return assumed(self._grants, self.name, run, [may])

    def _describe(self, inputs: UpdateInputs, role: AssumedRole) -> Service:
        params = {"cluster": inputs.cluster, "services": [inputs.service]}
        found = self._aws().call("ecs", "DescribeServices", params, role).get("services", ())
        if not found or found[0].get("status") == "INACTIVE":
            raise Missing(f"there is no active service {inputs.cluster}/{inputs.service}")
        first: Service = found[0]
        return first

    def _update(self, inputs: UpdateInputs, role: AssumedRole) -> Service:
        params: dict[str, object] = {"cluster": inputs.cluster, "service": inputs.service}
        if inputs.force_new_deployment:
            params["forceNewDeployment"] = True
        if inputs.desired_count is not None:
            params["desiredCount"] = inputs.desired_count
        found: Service = self._aws().call("ecs", "UpdateService", params, role)["service"]
        return found

    def _follow(self, run: StepRun, inputs: UpdateInputs, why: str, service: Service) -> Outcome:
        primary = str(_primary(service).get("id", ""))
        return follow(run, self._clock(), inputs.within, why, begun=True, deployment=primary)

    def _judged(self, run: StepRun, inputs: UpdateInputs, service: Service) -> Outcome:
        mine = str(run.done.get("deployment", ""))
        primary = _primary(service)
        ours: Service = next((each for each in service.get("deployments", ()) if each.get("id") == mine), {})
        if ours.get("rolloutState") == "FAILED":
            why = f"deployment {mine} failed: ECS took it back; its events say why"
            return Failed(why, unsure=True, over=True)
        if mine and primary.get("id") != mine:
            why = f"deployment {mine} was replaced by another before the service was steady"
            return Failed(why, unsure=True, over=True)
        if _steady(service, primary):
            return Done(_facts(service))
        why = f"{_int(service, 'runningCount')} of {_int(service, 'desiredCount')} tasks run"
        return follow(run, self._clock(), inputs.within, f"the service is not steady yet: {why}")


def _noted(run: StepRun, inputs: UpdateInputs, service: Service, now: int) -> Again:
    told: dict[str, object] = {
        "before": str(_primary(service).get("id", "")),
        "until": now + inputs.within,
        "looks": number(run.done, "looks") + 1,
    }
    return Again("what is there was noted; the change comes next", 0, told)


def _there(run: StepRun, inputs: UpdateInputs, service: Service) -> bool:
    if inputs.desired_count is not None and _int(service, "desiredCount") != inputs.desired_count:
        return False
    return not inputs.force_new_deployment or str(_primary(service).get("id", "")) != run.done.get("before")


def _primary(service: Service) -> Mapping[str, Any]:
    return next((each for each in service.get("deployments", ()) if each.get("status") == "PRIMARY"), {})


def _steady(service: Service, primary: Mapping[str, Any]) -> bool:
    return (
        len(service.get("deployments", ())) <= 1
        and _int(service, "runningCount") == _int(service, "desiredCount")
        and not _int(service, "pendingCount")
        and primary.get("rolloutState", "COMPLETED") == "COMPLETED"
    )


def _int(service: Service, name: str) -> int:
    return int(service.get(name, 0))


def _facts(service: Service) -> dict[str, object]:
    return {
        "deployment": str(_primary(service).get("id", "")),
        "desired": _int(service, "desiredCount"),
        "running": _int(service, "runningCount"),
    }


def _inputs(inputs: Mapping[str, Any]) -> UpdateInputs:
    try:
        return UpdateInputs.model_validate(inputs)
    except ValidationError as error:
        raise refused(UpdateService.name, error) from None
