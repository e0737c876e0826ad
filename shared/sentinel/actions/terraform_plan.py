"""The action `terraform.plan`: a plan-only run in HCP Terraform or Terraform Enterprise, followed to its end.

Such a run cannot be applied ("Runs" of the API documentation, `plan-only`). Its message ends in the effect
key, by which a step that is taken up again searches for it before it makes one. Nothing is read of a plan but
whether it has changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar
from urllib.parse import urlencode

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from sentinel.actions.following import again, follow, refused
from sentinel.actions.http_call import wait
from sentinel.core.grants import Grants, allowed
from sentinel.core.recipes import Duration
from sentinel.core.steps import Again, Done, Failed, Nothing, Outcome, Probed, StepRun
from sentinel.core.tasks import SECOND
from sentinel.errors import BadAnswer, Rejected, Unavailable
from sentinel.ports import Http, HttpRequest, HttpResponse, Secrets
from sentinel.siem.sink import SecretName

MEDIA = "application/vnd.api+json"
TIMEOUT = 10.0
_LATER = frozenset({408, 425, 429})
# Of the documented run states those after which nothing follows in a plan-only run.
_OVER = frozenset({"planned_and_finished"})
_FAILED = frozenset({"errored", "canceled", "force_canceled", "discarded", "policy_soft_failed"})

Run = Mapping[str, Any]


class PlanInputs(BaseModel):
    """A step's `with`. `token` is the name of the secret that is an API token."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workspace: Annotated[str, StringConstraints(pattern=r"^ws-[A-Za-z0-9]{8,32}$")]
    token: SecretName
    within: Duration = Field(default=1800 * SECOND, ge=30 * SECOND, le=86_400 * SECOND)


class TerraformPlan:
    """Asks through the port; `clock` is in epoch nanoseconds."""

    name = "terraform.plan"
    stream = "action"
    forms: ClassVar[Mapping[str, Any]] = {}  # no input takes what an entry says
    model: ClassVar[type[BaseModel]] = PlanInputs
    Inputs = PlanInputs

    def __init__(self, http: Http, secrets: Secrets, grants: Grants, *, clock: Callable[[], int]) -> None:
        self._http = http
        self._secrets = secrets
        self._grants = grants
        self._clock = clock

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Check a step's `with`. Whether the workspace is allowed shows when it runs."""
        _inputs(inputs)

    def plan(self, run: StepRun) -> Mapping[str, object]:
        """Return what the step would do: in which workspace it would plan."""
        found = _inputs(run.step.with_)
        return {
            "plan_only_run": found.workspace,
            "server": self._grants.terraform,
            "token": f"{{secret: {found.token}}}",
        }

    def perform(self, run: StepRun) -> Outcome:
        """Make the run once, or look how far it has got."""
        try:
            inputs = _inputs(run.step.with_)
            allowed(inputs.workspace, self._grants.workspaces, "SENTINEL_TERRAFORM_WORKSPACES")
            known = run.done.get("id")
            if isinstance(known, str):
                response = self._send(inputs, "GET", f"/runs/{known}")
            else:
                found = self._found(run, inputs) if run.resumed else None
                if found is not None:
                    return self._judged(run, inputs, found)
                response = self._send(inputs, "POST", "/runs", _wanted(run, inputs))
            return self._answered(run, inputs, response)
        except Unavailable as error:
            return again(error)
        except Rejected as error:
            return Failed(str(error))

    def probe(self, run: StepRun) -> Probed:
        """Say whether the run of an earlier attempt is over; one that is not is found by `perform`."""
        found = self._found(run, _inputs(run.step.with_))
        over = found is not None and _facts(found)["status"] in _OVER
        return Done(_facts(found)) if found is not None and over else Nothing()

    def _found(self, run: StepRun, inputs: PlanInputs) -> Run | None:
        query = urlencode({"search[basic]": run.key, "page[size]": 20})
        response = self._send(inputs, "GET", f"/workspaces/{inputs.workspace}/runs?{query}")
        if response.status != 200:
            raise BadAnswer(f"Terraform answered {response.status} when it was asked for the run")
        listed = _data(response)
        if not isinstance(listed, list):
            raise BadAnswer("Terraform's list of runs is none")
        # The search is one for people, and fuzzy.
        ours = (each for each in listed if isinstance(each, dict) and _message(each).endswith(run.key))
        return next(ours, None)

    def _send(self, inputs: PlanInputs, method: str, path: str, body: bytes = b"") -> HttpResponse:
        headers = {"Authorization": f"Bearer {self._secrets.get(inputs.token)}", "Content-Type": MEDIA}
        url = f"{self._grants.terraform}/api/v2{path}"
        return self._http.send(HttpRequest(method, url, headers, body, TIMEOUT))

    def _answered(self, run: StepRun, inputs: PlanInputs, response: HttpResponse) -> Outcome:
        status = response.status
        if status in _LATER or status >= 500:
            after = wait(response, self._clock())
            return Again(f"Terraform answered {status}", after, unsure=status >= 500)
        if status not in {200, 201}:
            why = {
                401: "the token is not valid",
                404: "the workspace is not there, or the token may not plan in it",
                409: "the workspace does not take runs now",
                422: "the workspace has no configuration to plan",
            }.get(status, "it does not take the run")
            return Failed(f"Terraform answered {status}: {why}")
        found = _data(response)
        if not isinstance(found, dict) or not isinstance(found.get("id"), str):
            return Again("Terraform's answer is none", None, unsure=True)
        return self._judged(run, inputs, found)

    def _judged(self, run: StepRun, inputs: PlanInputs, found: Run) -> Outcome:
        facts = _facts(found)
        name, status = facts["run"], facts["status"]
        if status in _FAILED:
            return Failed(f"run {name} ended as {status}: its page says why", unsure=True, over=True)
        if status in _OVER:
            return Done(facts)
        return follow(run, self._clock(), inputs.within, f"the run is {status}", id=name)


def _wanted(run: StepRun, inputs: PlanInputs) -> bytes:
    attributes = {"plan-only": True, "message": f"Sentinel task {run.task.id}, effect {run.key}"}
    workspace = {"data": {"type": "workspaces", "id": inputs.workspace}}
    return orjson.dumps(
        {"data": {"type": "runs", "attributes": attributes, "relationships": {"workspace": workspace}}}
    )


def _facts(found: Run) -> dict[str, object]:
    attributes = found.get("attributes") or {}
    status = str(attributes.get("status", ""))
    return {
        "run": "".join(each for each in str(found.get("id", ""))[:40] if each.isalnum() or each == "-"),
        "status": status if status.replace("_", "").isalpha() and len(status) < 40 else "unknown",
        "changes": attributes.get("has-changes") is True,
    }


def _message(found: Run) -> str:
    return str((found.get("attributes") or {}).get("message", ""))


def _data(response: HttpResponse) -> object:
    try:
        found = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return None
    return found.get("data") if isinstance(found, dict) else None


def _inputs(inputs: Mapping[str, Any]) -> PlanInputs:
    try:
        return PlanInputs.model_validate(inputs)
    except ValidationError as error:
        raise refused(TerraformPlan.name, error) from None
