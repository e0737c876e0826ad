"""k8s.rollout_restart and terraform.plan against servers of this machine that behave like the real ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from sentinel.actions.k8s_rollout_restart import EFFECT, RolloutRestart
from sentinel.actions.terraform_plan import TerraformPlan
from sentinel.adapters.hosts import Hosts
from sentinel.adapters.http import HttpClient
from sentinel.core.grants import Grants
from sentinel.core.steps import Again, Done, Failed, Nothing
from sentinel.core.tasks import SECOND
from sentinel.errors import Malformed, Missing, Unavailable
from tests.action_targets import Clock, drive
from tests.loopback import Asked, Loopback, Told
from tests.steps import step_run

K8S = {"cluster": "prod", "namespace": "shop", "deployment": "cart"}
TFE = {"workspace": "ws-abcdefgh12345678", "token": "tfe"}


class Tokens:
    """Secrets in memory; no cluster has an authority of its own."""

    def get(self, name: str) -> str:
        if name.endswith(".ca"):
            raise Missing(f"there is no secret {name}")
        return "canary-token"


class Cluster:
    """A deployment as Kubernetes has it: a changed template begins a rollout, which each look moves on."""

    def __init__(self) -> None:
        self.generation = 1
        self.annotations: dict[str, str] = {}
        self.updated = self.replicas = 3
        self.rollouts = 0
        self.stuck = False
        self.fault: Callable[[int], Told | None] = lambda _: None
        self.server = Loopback(self._answer)

    def _answer(self, asked: Asked) -> Told:
        number = len(self.server.asked)
        if asked.headers.get("Authorization") != "Bearer canary-token":
            return Told(401, b"canary")
        if asked.path.partition("?")[0] != "/apis/apps/v1/namespaces/shop/deployments/cart":
            return Told(404, b"canary")
        fault = self.fault(number)
        if fault is not None and not fault.lost:
            return fault
        if asked.method == "PATCH":
            self._patch(asked)
        elif self.updated < 3 and not self.stuck:
            self.updated += 1
        return fault or Told(200, orjson.dumps(self._object()))

    def _patch(self, asked: Asked) -> None:
        if asked.headers["Content-Type"] != "application/strategic-merge-patch+json":
            raise AssertionError(asked.headers)
        wanted = orjson.loads(asked.body)["spec"]["template"]["metadata"]["annotations"]
        if self.annotations | wanted != self.annotations:  # Kubernetes: the same template is no change
            self.annotations |= wanted
            self.generation += 1
            self.rollouts += 1
            self.updated = 0

    def _object(self) -> dict[str, Any]:
        reason = "ProgressDeadlineExceeded" if self.stuck else "NewReplicaSetAvailable"
        return {
            "kind": "Deployment",
            "metadata": {"generation": self.generation},
            "spec": {"replicas": 3, "template": {"metadata": {"annotations": self.annotations}}},
            "status": {
                "observedGeneration": self.generation,
                "replicas": 3,
                "updatedReplicas": self.updated,
                "availableReplicas": 3,
                "conditions": [{"type": "Progressing", "reason": reason}],
            },
        }


class Terraform:
    """Runs as HCP Terraform has them: each look moves a run on, and the search finds more than it should."""

    STATES: tuple[str, ...] = (
        "pending",
        "plan_queued",
        "planning",
        "cost_estimating",
        "policy_checking",
        "planned_and_finished",
    )

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = [self._run("run-other", "Sentinel task x, effect " + "0" * 64)]
        self.states = self.STATES
        self.fault: Callable[[int], Told | None] = lambda _: None
        self.server = Loopback(self._answer)

    @property
    def made(self) -> int:
        """How many runs were made."""
        return len(self.runs) - 1

    def _run(self, name: str, message: str) -> dict[str, Any]:
        return {
            "id": name,
            "type": "runs",
            "attributes": {"status": "pending", "message": message, "has-changes": True, "plan-only": True},
        }

    def _answer(self, asked: Asked) -> Told:
        number = len(self.server.asked)
        if asked.headers.get("Authorization") != "Bearer canary-token":
            return Told(401, b"canary")
        fault = self.fault(number)
        if fault is not None and not fault.lost:
            return fault
        told = self._told(asked)
        return fault or told

    def _told(self, asked: Asked) -> Told:
        parts = urlsplit(asked.path)
        if asked.method == "POST" and parts.path == "/api/v2/runs":
            data = orjson.loads(asked.body)["data"]
            assert data["attributes"]["plan-only"] is True
            if data["relationships"]["workspace"]["data"]["id"] != TFE["workspace"]:
                return Told(404, b"canary")
            self.runs.append(self._run(f"run-{len(self.runs)}", data["attributes"]["message"]))
            return Told(201, orjson.dumps({"data": self.runs[-1]}))
        if parts.path == f"/api/v2/workspaces/{TFE['workspace']}/runs":
            assert parse_qs(parts.query)["search[basic]"]
            return Told(200, orjson.dumps({"data": self.runs[::-1]}))
        run = next(each for each in self.runs if parts.path == f"/api/v2/runs/{each['id']}")
        status = self.states.index(run["attributes"]["status"])
        run["attributes"]["status"] = self.states[min(status + 1, len(self.states) - 1)]
        return Told(200, orjson.dumps({"data": run}))


def _grants(cluster: int = 1, terraform: int = 1) -> Grants:
    return Grants(
        clusters={"prod": f"http://127.0.0.1:{cluster}"},
        deployments=("prod/shop/*",),
        workspaces=("ws-abcdefgh*",),
        terraform=f"http://127.0.0.1:{terraform}",
    )


@pytest.fixture
def http() -> Iterator[HttpClient]:
    """Give a client that may call this machine."""
    client = HttpClient(Hosts(["127.0.0.1"], private=True))
    yield client
    client.close()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Serve a cluster."""
    found = Cluster()
    yield found
    found.server.stop()


@pytest.fixture
def terraform() -> Iterator[Terraform]:
    """Serve Terraform's API."""
    found = Terraform()
    yield found
    found.server.stop()


@pytest.fixture
def clock() -> Clock:
    """Give a clock that stands."""
    return Clock()


@pytest.fixture
def restart(http: HttpClient, cluster: Cluster, clock: Clock) -> RolloutRestart:
    """Give the action before its cluster."""
    return RolloutRestart(http, Tokens(), _grants(cluster=cluster.server.port), clock=clock)


@pytest.fixture
def plan(http: HttpClient, terraform: Terraform, clock: Clock) -> TerraformPlan:
    """Give the action before its server."""
    return TerraformPlan(http, Tokens(), _grants(terraform=terraform.server.port), clock=clock)


LOST = Told(lost=True)
BUSY = Told(429, b"canary", {"Retry-After": "3"})
GONE = Told(503, b"canary")
CONFLICT = Told(409, b"canary")
HTML = Told(200, b"<html>canary</html>")


def _at(number: int, told: Told) -> Callable[[int], Told | None]:
    return lambda asked: told if asked == number else None


def test_pods_are_started_anew_and_waited_for(
    restart: RolloutRestart, cluster: Cluster, clock: Clock
) -> None:
    """One patch, then looks until all pods are new and ready."""
    found, told = drive(restart, K8S, clock)
    assert found == Done({"generation": 2, "ready": 3})
    assert [asked.method for asked in cluster.server.asked] == ["PATCH", "GET", "GET", "GET"]
    assert cluster.annotations[EFFECT] == step_run(restart.name, K8S).key
    assert len(told) == 3


@pytest.mark.parametrize("told", [LOST, BUSY, GONE, CONFLICT, HTML])
@pytest.mark.parametrize("at", range(1, 5))
def test_pods_are_started_anew_once(
    restart: RolloutRestart, cluster: Cluster, clock: Clock, at: int, told: Told
) -> None:
    """Whichever answer is lost, refused or broken, one rollout begins."""
    cluster.fault = _at(at, told)
    found, _ = drive(restart, K8S, clock)
    assert isinstance(found, Done)
    assert cluster.rollouts == 1


def test_a_rollout_that_is_stuck_fails(restart: RolloutRestart, cluster: Cluster, clock: Clock) -> None:
    """Kubernetes says itself when it gives up; else `within` does."""
    cluster.stuck = True
    found, _ = drive(restart, K8S, clock)
    assert isinstance(found, Failed)
    assert "progress deadline" in found.reason


def test_pods_that_somebody_else_restarts_are_not_ours(
    restart: RolloutRestart, cluster: Cluster, clock: Clock
) -> None:
    """Where another step takes over while these pods come up, this one fails and says so."""
    first = restart.perform(step_run(restart.name, K8S))
    assert isinstance(first, Again)
    cluster.annotations[EFFECT] = "f" * 64
    found = restart.perform(step_run(restart.name, K8S, resumed=True, done=first.done))
    assert isinstance(found, Failed)
    assert "somebody else" in found.reason


def test_a_probe_asks_for_the_pods(restart: RolloutRestart, cluster: Cluster, clock: Clock) -> None:
    """They are there when the deployment has this step's key and nothing is left to wait for."""
    run = step_run(restart.name, K8S, resumed=True)
    assert restart.probe(run) == Nothing()
    restart.perform(run)
    assert restart.probe(run) == Nothing()
    drive(restart, K8S, clock)
    assert isinstance(restart.probe(run), Done)
    cluster.fault = lambda _: GONE
    with pytest.raises(Unavailable):
        restart.probe(run)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (Told(401, b"canary"), "its token is not valid"),
        (Told(403, b"canary"), "may not get and patch"),
        (Told(404, b"canary"), "no such deployment"),
        (Told(415, b"canary"), "does not take the patch"),
        (Told(302, b"", {"Location": "http://127.0.0.1/"}), "does not take the patch"),
    ],
)
def test_a_cluster_that_refuses_fails_the_step(
    restart: RolloutRestart, cluster: Cluster, told: Told, words: str
) -> None:
    """A refusal says what to change and quotes nothing of the answer."""
    cluster.fault = lambda _: told
    found = restart.perform(step_run(restart.name, K8S))
    assert isinstance(found, Failed)
    assert words in found.reason
    assert "canary" not in found.reason


def test_a_plan_is_made_and_followed(plan: TerraformPlan, terraform: Terraform, clock: Clock) -> None:
    """One plan-only run, looked at until it is over; its result says whether there are changes."""
    found, _ = drive(plan, TFE, clock)
    assert found == Done({"run": "run-1", "status": "planned_and_finished", "changes": True})
    assert terraform.made == 1


@pytest.mark.parametrize("told", [LOST, BUSY, GONE, HTML])
@pytest.mark.parametrize("at", range(1, 8))
def test_a_plan_is_made_once(
    plan: TerraformPlan, terraform: Terraform, clock: Clock, at: int, told: Told
) -> None:
    """Whichever answer is lost, refused or broken, one run is made: it is searched by the effect key.

    An answer that is none counts as lost where it stands in the place of a run, as a proxy's does.
    """
    terraform.fault = _at(at, told)
    found, _ = drive(plan, TFE, clock)
    assert isinstance(found, Done)
    assert terraform.made == 1


@pytest.mark.parametrize(
    "status", ["errored", "canceled", "discarded", "policy_soft_failed", "force_canceled"]
)
def test_a_run_that_ends_badly_fails(
    plan: TerraformPlan, terraform: Terraform, clock: Clock, status: str
) -> None:
    """Each state that ends a run without a plan fails the step, by its name."""
    terraform.states = ("pending", "planning", status)
    found, _ = drive(plan, TFE, clock)
    assert isinstance(found, Failed)
    assert found.reason == f"run run-1 ended as {status}: its page says why"
    assert found.over


def test_a_run_that_does_not_end_is_given_up(plan: TerraformPlan, terraform: Terraform, clock: Clock) -> None:
    """`within` ends the looks."""
    terraform.states = ("pending", "planning")
    began = clock.now
    found, _ = drive(plan, {**TFE, "within": "5m"}, clock)
    assert isinstance(found, Failed)
    assert found.reason == "gave up after 300 s: the run is planning"
    assert (found.over, found.done) == (False, {"id": "run-1"})
    assert clock.now - began == 300 * SECOND


@pytest.mark.parametrize("status", [401, 404, 409, 422, 400])
def test_a_server_that_refuses_fails_the_step(plan: TerraformPlan, terraform: Terraform, status: int) -> None:
    """A refusal says what to change and quotes nothing of the answer."""
    terraform.fault = lambda _: Told(status, b"canary")
    found = plan.perform(step_run(plan.name, TFE))
    assert isinstance(found, Failed)
    assert f"Terraform answered {status}: " in found.reason
    assert "canary" not in found.reason


def test_a_probe_asks_for_the_run(plan: TerraformPlan, terraform: Terraform, clock: Clock) -> None:
    """Of all runs that the search finds, the one whose message ends in the key counts, once it is over."""
    run = step_run(plan.name, TFE, resumed=True)
    assert plan.probe(run) == Nothing()
    drive(plan, TFE, clock)
    assert isinstance(plan.probe(run), Done)


OUTSIDE: Mapping[str, tuple[str, dict[str, Any], str]] = {
    "another namespace": ("k8s", {**K8S, "namespace": "kube-system"}, "SENTINEL_K8S_DEPLOYMENTS"),
    "another cluster": ("k8s", {**K8S, "cluster": "test"}, "SENTINEL_K8S_DEPLOYMENTS"),
    "another workspace": (
        "tfe",
        {**TFE, "workspace": "ws-00000000ffffffff"},
        "SENTINEL_TERRAFORM_WORKSPACES",
    ),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_is_not_listed_is_not_touched(
    restart: RolloutRestart, plan: TerraformPlan, cluster: Cluster, terraform: Terraform, name: str
) -> None:
    """A recipe chooses among what the deployment lists, and nothing is asked of anything else."""
    which, inputs, words = OUTSIDE[name]
    action = restart if which == "k8s" else plan
    found = action.perform(step_run(action.name, inputs))
    assert isinstance(found, Failed)
    assert words in found.reason
    assert not cluster.server.asked
    assert not terraform.server.asked


@pytest.mark.parametrize(
    ("which", "inputs", "words"),
    [
        ("k8s", {**K8S, "namespace": "shop/../x"}, "namespace: "),
        ("k8s", {**K8S, "namespace": "Shop"}, "namespace: "),
        ("k8s", {**K8S, "deployment": "cart?x=1"}, "deployment: "),
        ("k8s", {**K8S, "deployment": ".."}, "deployment: "),
        ("k8s", {**K8S, "token": "x"}, "token: Extra inputs"),
        ("tfe", {**TFE, "workspace": "ws-1/../../x"}, "workspace: "),
        ("tfe", {**TFE, "workspace": "shop"}, "workspace: "),
        ("tfe", {**TFE, "token": "../x"}, "token: "),
        ("tfe", {**TFE, "within": "1s"}, "within: "),
    ],
)
def test_inputs_that_could_lead_elsewhere_are_refused(
    restart: RolloutRestart, plan: TerraformPlan, which: str, inputs: dict[str, Any], words: str
) -> None:
    """Names become parts of a path: nothing that could be another path is one."""
    action = restart if which == "k8s" else plan
    with pytest.raises(Malformed) as told:
        action.check(inputs)
    assert words in str(told.value)
