"""The action `k8s.rollout_restart`: start a deployment's pods anew, as `kubectl rollout restart` does.

It is one strategic merge patch of the pod template's annotations, so that no client library is needed. The
annotations hold the effect key and the task's time, the same in every attempt: a patch that was lost and is
sent again changes nothing, and no second rollout begins. When it is over is told by the status, read as
`kubectl rollout status` reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from sentinel.actions.following import afresh, again, follow, refused
from sentinel.actions.http_call import wait
from sentinel.core.grants import Grants, allowed
from sentinel.core.recipes import Duration, Name
from sentinel.core.steps import Again, Done, Failed, Nothing, Outcome, Probed, StepRun, traced
from sentinel.core.tasks import SECOND
from sentinel.errors import Forbidden, Missing, Rejected, Unavailable
from sentinel.ports import Http, HttpRequest, HttpResponse, Secrets

EFFECT = "sentinel/effect"  # an annotation: the key of the newest step that restarted the pods
RESTARTED = "kubectl.kubernetes.io/restartedAt"  # what kubectl writes, so that its users see it
TIMEOUT = 10.0
_LATER = frozenset({408, 409, 425, 429})  # 409: somebody else changed it at the same moment

Label = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Subdomain = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
Object = Mapping[str, Any]


class RestartInputs(BaseModel):
    """A step's `with`. The cluster's token and authority are the secrets `k8s.CLUSTER.token` and `.ca`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cluster: Name
    namespace: Label
    deployment: Subdomain
    within: Duration = Field(default=900 * SECOND, ge=30 * SECOND, le=86_400 * SECOND)

    @property
    def name(self) -> str:
        """The deployment as the deployment's list has it."""
        return f"{self.cluster}/{self.namespace}/{self.deployment}"


class RolloutRestart:
    """Patches through the port; `clock` is in epoch nanoseconds."""

    name = "k8s.rollout_restart"
    stream = "action"
    forms: ClassVar[Mapping[str, Any]] = {}  # no input takes what an entry says
    model: ClassVar[type[BaseModel]] = RestartInputs
    Inputs = RestartInputs

    def __init__(self, http: Http, secrets: Secrets, grants: Grants, *, clock: Callable[[], int]) -> None:
        self._http = http
        self._secrets = secrets
        self._grants = grants
        self._clock = clock

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Check a step's `with`. Whether the deployment is allowed shows when it runs."""
        _inputs(inputs)

    def writes(self, inputs: Mapping[str, Any]) -> bool:
        """Say that it does."""
        del inputs
        return True

    def plan(self, run: StepRun) -> Mapping[str, object]:
        """Return what the step would do: which pods it would start anew."""
        found = _inputs(run.step.with_)
        server = self._grants.clusters.get(found.cluster)
        return {"rollout_restart": found.name, **({"server": server} if server else {})}

    def perform(self, run: StepRun) -> Outcome:
        """Send the patch, or look how far the rollout is."""
        try:
            inputs = _inputs(run.step.with_)
            allowed(inputs.name, self._grants.deployments, "SENTINEL_K8S_DEPLOYMENTS")
            if run.done.get("begun"):
                response = self._send(run, inputs, "GET")
            else:
                response = self._send(run, inputs, "PATCH", _patch(run))
        except Unavailable as error:
            return again(error)
        except Rejected as error:
            return Failed(str(error))
        if not 200 <= response.status < 300:
            return self._refused(response)
        return self._judged(run, inputs, response)

    def probe(self, run: StepRun) -> Probed:
        """Say whether the pods that this step asked for are there; else the patch changes nothing twice."""
        response = self._send(run, _inputs(run.step.with_), "GET")
        if response.status != 200:
            raise Unavailable(f"the cluster answered {response.status}")
        found = _object(response)
        return Done(_facts(found)) if _effect(found) == run.key and not _waits(found) else Nothing()

    def _send(self, run: StepRun, inputs: RestartInputs, method: str, body: bytes = b"") -> HttpResponse:
        server = self._grants.clusters.get(inputs.cluster)
        if server is None:
            raise Forbidden(f"cluster {inputs.cluster} is not known: add it to SENTINEL_K8S_CLUSTERS")
        headers = {
            "Authorization": f"Bearer {self._secrets.get(f'k8s.{inputs.cluster}.token')}",
            "Accept": "application/json",
        }
        path = f"/apis/apps/v1/namespaces/{inputs.namespace}/deployments/{inputs.deployment}"
        if body:
            headers["Content-Type"] = "application/strategic-merge-patch+json"
            path += "?fieldManager=sentinel"
        return self._http.send(
            HttpRequest(
                method, server + path, traced(run, headers), body, TIMEOUT, self._authority(inputs.cluster)
            )
        )

    def _authority(self, cluster: str) -> str:
        try:
            return self._secrets.get(f"k8s.{cluster}.ca")
        except Missing:
            return ""  # then the system's authorities vouch for it, as for a managed cluster's public name

    def _refused(self, response: HttpResponse) -> Outcome:
        status = response.status
        if status in _LATER or status >= 500:
            after = wait(response, self._clock())
            return Again(f"the cluster answered {status}", after, unsure=status >= 500)
        why = {
            401: "its token is not valid",
            403: "its token may not get and patch deployments there",
            404: "there is no such deployment",
        }.get(status, "it does not take the patch")
        return Failed(f"the cluster answered {status}: {why}")

    def _judged(self, run: StepRun, inputs: RestartInputs, response: HttpResponse) -> Outcome:
        found = _object(response)
        if not found:
            return Again("the cluster's answer is none", None, unsure=True)
        if _effect(found) != run.key:
            why = "the pods were started anew by somebody else before these were ready"
            return Failed(why, unsure=True, over=True)
        waits = _waits(found)
        if waits == STUCK:
            # It may still get on, once what it waits for is mended: a redrive looks at the same one again.
            return Failed(f"the rollout is stuck: {waits}", unsure=True, done=afresh(run, begun=True))
        if waits:
            return follow(run, self._clock(), inputs.within, waits, begun=True)
        return Done(_facts(found))


STUCK = "the deployment's progress deadline has passed"


def _patch(run: StepRun) -> bytes:
    at = datetime.fromtimestamp(run.task.created // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    annotations = {RESTARTED: at, EFFECT: run.key}
    return orjson.dumps({"spec": {"template": {"metadata": {"annotations": annotations}}}})


def _waits(found: Object) -> str:
    """Say what a rollout waits for, by the rules of `kubectl rollout status`; empty where it is over."""
    status, wanted = found.get("status") or {}, int((found.get("spec") or {}).get("replicas", 1))
    if int((found.get("metadata") or {}).get("generation", 0)) > int(status.get("observedGeneration", 0)):
        return "the change was not seen yet"
    for each in status.get("conditions") or ():
        if each.get("type") == "Progressing" and each.get("reason") == "ProgressDeadlineExceeded":
            return STUCK
    updated, there = int(status.get("updatedReplicas", 0)), int(status.get("replicas", 0))
    ready = int(status.get("availableReplicas", 0))
    if updated < wanted:
        return f"{updated} of {wanted} pods are new"
    if there > updated:
        return f"{there - updated} old pods are still there"
    return f"{ready} of {updated} new pods are ready" if ready < updated else ""


def _effect(found: Object) -> str:
    template = (found.get("spec") or {}).get("template") or {}
    return str(((template.get("metadata") or {}).get("annotations") or {}).get(EFFECT, ""))


def _facts(found: Object) -> dict[str, object]:
    status = found.get("status") or {}
    return {
        "generation": int((found.get("metadata") or {}).get("generation", 0)),
        "ready": int(status.get("availableReplicas", 0)),
    }


def _object(response: HttpResponse) -> Object:
    try:
        found = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) and found.get("kind") == "Deployment" else {}


def _inputs(inputs: Mapping[str, Any]) -> RestartInputs:
    try:
        return RestartInputs.model_validate(inputs)
    except ValidationError as error:
        raise refused(RolloutRestart.name, error) from None
