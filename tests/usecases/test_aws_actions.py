"""The actions in AWS, on moto and with replies that are lost: each effect once, wherever the worker dies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from io import BytesIO
from typing import Any
from zipfile import ZipFile

import boto3
import orjson
import pytest
from moto import mock_aws
from moto.awslambda_simple.models import lambda_simple_backends
from moto.sns.models import sns_backends

from sentinel.actions.aws_ecs_update_service import UpdateService
from sentinel.actions.aws_invoke_lambda import MAX_ENTRIES, MAX_PAYLOAD, InvokeLambda, payload
from sentinel.actions.aws_ssm_run import SsmRun
from sentinel.actions.notify import Notify
from sentinel.adapters.aws_calls import SteppedCalls
from sentinel.core.grants import Grants
from sentinel.core.steps import Again, Done, Failed, Nothing
from sentinel.core.tasks import SECOND
from sentinel.errors import Malformed
from sentinel.ports_aws import AssumedRole
from tests.action_targets import ACCOUNT, FAULTS, GRANTS, REGION, TOPIC, Clock, Faulty, drive
from tests.steps import step_run

SSM = {"document": "Shop-Restart", "instances": ["i-0123456789abcdef0"]}
ECS = {"cluster": "shop", "service": "cart", "force_new_deployment": True}
LAMBDA = {"function": "restart-cart"}
REAL = SteppedCalls(time.time_ns)  # of all tests: making clients is what takes long


@cache
def client(service: str) -> Any:
    """Return the tests' own client of a service."""
    return boto3.client(service, region_name=REGION)  # type: ignore[call-overload] # any service


@pytest.fixture
def clock() -> Clock:
    """Give a clock at the real time, since moto's STS says when credentials end."""
    return Clock(int(time.time()) * SECOND)


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Iterator[SteppedCalls]:
    """Give the adapter on moto, where tasks of services run at once."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("MOTO_ECS_SERVICE_RUNNING", "2")
    with mock_aws(config={"lambda": {"use_docker": False}}):
        yield REAL


def _code() -> bytes:
    data = BytesIO()
    with ZipFile(data, "w") as archive:
        archive.writestr("f.py", "def f(event, context): pass")
    return data.getvalue()


@pytest.fixture
def function(real: SteppedCalls) -> None:
    """Make the function that steps run."""
    trust = '{"Version":"2012-10-17","Statement":[]}'
    role = client("iam").create_role(RoleName="f", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    client("lambda").create_function(
        FunctionName="restart-cart", Runtime="python3.13", Role=role, Handler="f.f", Code={"ZipFile": _code()}
    )


@pytest.fixture
def service(real: SteppedCalls) -> Any:
    """Make the services that steps touch; return ECS's client."""
    ecs = client("ecs")
    ecs.create_cluster(clusterName="shop")
    ecs.register_task_definition(family="t", containerDefinitions=[{"name": "c", "image": "i", "memory": 64}])
    for name in ("cart", "web"):
        ecs.create_service(cluster="shop", serviceName=name, taskDefinition="t", desiredCount=2)
    return ecs


def _ssm(calls: Any, clock: Clock) -> SsmRun:
    return SsmRun(lambda: calls, GRANTS, clock=clock)


def _ecs(calls: Any, clock: Clock) -> UpdateService:
    return UpdateService(lambda: calls, GRANTS, clock=clock)


def test_a_function_is_run_and_its_answer_kept_nowhere(real: SteppedCalls, function: None) -> None:
    """The payload names the task and the effect key; the result is the status and the version."""
    lambda_simple_backends[ACCOUNT][REGION].lambda_simple_results_queue.append('{"canary": 1}')
    calls = Faulty(real)
    found, told = drive(InvokeLambda(lambda: calls, GRANTS), LAMBDA)
    assert found == Done({"status": 200, "version": ""})  # moto names no version
    assert not told
    ((_, _, params, role),) = calls.calls
    given = orjson.loads(params["Payload"])
    assert given["key"] == step_run("aws.invoke_lambda", LAMBDA).key
    assert given["entries"] == [{"chain": "checkout/0", "seq": number} for number in range(3)]
    assert role.session == "sentinel-mfrggzdfmztwq2lknnwg23tpoa"


@pytest.mark.parametrize("how", FAULTS)
def test_a_function_whose_reply_was_lost_gets_the_same_key(
    real: SteppedCalls, function: None, how: str
) -> None:
    """Lambda cannot be asked, so the function is run again, with the very bytes of the first time."""
    calls = Faulty(real, 1, how)
    found, told = drive(InvokeLambda(lambda: calls, GRANTS), LAMBDA)
    assert isinstance(found, Done)
    first, second = (params for _, _, params, _ in calls.calls)
    assert first == second
    assert [getattr(each, "unsure", None) for each in told] == {"refused": [False], "killed": []}.get(
        how, [True]
    )


class Scripted:
    """`AwsCalls` that answers as it is told, for what moto cannot be brought to."""

    def __init__(self, *answers: Mapping[str, Any]) -> None:
        self._answers = list(answers)
        self.operations: list[str] = []

    def call(
        self,
        service: str,
        operation: str,
        params: Mapping[str, Any],
        role: AssumedRole,
        timeout: float = 10.0,
    ) -> Mapping[str, Any]:
        self.operations.append(operation)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@pytest.mark.parametrize(("choice", "kind"), [("fail", Failed), ("retry", Again)])
def test_an_error_of_the_function_means_what_the_recipe_says(choice: str, kind: type) -> None:
    """It ran, and how far is not known."""
    calls = Scripted({"StatusCode": 200, "FunctionError": "Unhandled", "Payload": b"canary"})
    action = InvokeLambda(lambda: calls, GRANTS)
    found = action.perform(step_run(action.name, {**LAMBDA, "on_error": choice}))
    assert isinstance(found, kind)
    assert isinstance(found, Failed | Again)
    assert found.unsure
    assert "canary" not in repr(found)


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [b"x"],
        [b"{}"] * (MAX_ENTRIES + 5),
        [b"\xff" * 250_000] * 3,
        [b'"\\' * 30_000] * 9,
        [b"x" * 199_000],
    ],
)
def test_a_payload_is_bounded(entries: list[bytes]) -> None:
    """However many and large the entries are, the payload fits, is JSON, and says how many there were."""
    found = payload(step_run("aws.invoke_lambda", LAMBDA, entries), "entry")
    assert len(found) <= MAX_PAYLOAD
    told = orjson.loads(found)
    assert told["count"] == len(entries)
    assert len(told["entries"]) <= min(len(entries), MAX_ENTRIES)


def test_a_command_is_sent_and_followed(real: SteppedCalls, clock: Clock) -> None:
    """A command is sent once and looked at until it has ended; what it says is counts and a status."""
    calls = Faulty(real)
    found, told = drive(_ssm(calls, clock), SSM, clock)
    assert isinstance(found, Done)
    assert (found.result["targets"], found.result["errors"]) == (1, 0)
    assert [name for _, name, _, _ in calls.calls] == ["SendCommand", "ListCommands"]
    assert len(told) == 1


@pytest.mark.parametrize("how", FAULTS)
@pytest.mark.parametrize("at", range(1, 6))
def test_a_command_is_sent_once_whichever_reply_is_lost(
    real: SteppedCalls, clock: Clock, at: int, how: str
) -> None:
    """Wherever a reply is lost or the worker dies, one command runs: a later try finds it by its comment."""
    calls = Faulty(real, at, how)
    found, _ = drive(_ssm(calls, clock), SSM, clock)
    assert isinstance(found, Done)
    commands = client("ssm").list_commands()["Commands"]
    assert [each["Comment"] for each in commands] == [step_run("aws.ssm_run", SSM).key]


def test_a_probe_finds_the_command(real: SteppedCalls, clock: Clock) -> None:
    """Before it is sent there is nothing; after that it is done, though nothing was recorded."""
    action = _ssm(real, clock)
    resumed = step_run(action.name, SSM, resumed=True)
    assert action.probe(resumed) == Nothing()
    assert isinstance(action.perform(step_run(action.name, SSM)), Again)
    found = action.probe(resumed)
    assert isinstance(found, Done)
    assert found.result["command"]


COMMAND = {"CommandId": "c" * 36, "TargetCount": 3, "CompletedCount": 3, "ErrorCount": 1}


@pytest.mark.parametrize(
    ("status", "details", "words"),
    [
        ("Failed", "Failed", "ended as Failed, errors on 1 of 3 instances"),
        ("TimedOut", "Delivery Timed Out", "is the agent running there?"),
        ("Cancelled", "Cancelled", "ended as Cancelled"),
        ("Failed", "Incomplete", "ended as Incomplete"),
        ("Success", "No Instances In Tag", "ended as No Instances In Tag"),
        ("Failed", "<canary> 1", "ended as canary"),
    ],
)
def test_a_command_that_did_not_succeed_fails(status: str, details: str, words: str, clock: Clock) -> None:
    """Every status that ends a command but success fails the step, in Systems Manager's words."""
    sent = {"Command": COMMAND}
    calls = Scripted(sent, {"Commands": [{**COMMAND, "Status": status, "StatusDetails": details}]})
    found, _ = drive(_ssm(calls, clock), SSM, clock)
    assert isinstance(found, Failed)
    assert words in found.reason
    assert found.over


def test_a_command_that_does_not_end_is_given_up(clock: Clock) -> None:
    """Looks are no failed tries, and `within` ends them."""
    calls = Scripted({"Command": COMMAND}, {"Commands": [{**COMMAND, "Status": "InProgress"}]})
    began = clock.now
    found, told = drive(_ssm(calls, clock), {**SSM, "within": "10m"}, clock)
    assert isinstance(found, Failed)
    assert found.reason == "gave up after 600 s: the command is InProgress"
    assert clock.now - began == 600 * SECOND
    assert len(told) < 30


def test_a_command_that_is_not_shown_yet_is_waited_for(clock: Clock) -> None:
    """Systems Manager shows a command a moment after it took it."""
    waiting: Mapping[str, Any] = {"Commands": []}
    calls = Scripted({"Command": COMMAND}, waiting, {"Commands": [{**COMMAND, "Status": "Success"}]})
    found, told = drive(_ssm(calls, clock), SSM, clock)
    assert isinstance(found, Done)
    assert "does not show command" in told[-1].reason  # type: ignore[union-attr] # an Again
    assert calls.operations.count("SendCommand") == 1


def test_more_commands_than_can_be_searched_are_not_guessed_about(clock: Clock) -> None:
    """A list without an end is a reason to ask again, never to send a second command."""
    calls = Scripted({"Commands": [COMMAND], "NextToken": "t"})
    found = _ssm(calls, clock).perform(step_run("aws.ssm_run", SSM, resumed=True))
    assert isinstance(found, Again)
    assert set(calls.operations) == {"ListCommands"}


@pytest.mark.parametrize(
    "inputs", [ECS, {**ECS, "desired_count": 4}, {**ECS, "force_new_deployment": False, "desired_count": 4}]
)
def test_a_service_is_updated_and_followed(
    real: SteppedCalls, service: Any, clock: Clock, inputs: dict[str, Any]
) -> None:
    """One update, and the step is done when the service is steady."""
    calls = Faulty(real)
    found, _ = drive(_ecs(calls, clock), inputs, clock)
    assert isinstance(found, Done)
    assert calls.named("UpdateService") == 1
    now = service.describe_services(cluster="shop", services=["cart"])["services"][0]
    assert found.result["desired"] == now["desiredCount"] == inputs.get("desired_count", 2)
    assert found.result["deployment"] == now["deployments"][0]["id"]


@pytest.mark.parametrize("how", FAULTS)
@pytest.mark.parametrize("at", range(1, 7))
def test_a_service_is_updated_once_whichever_reply_is_lost(
    real: SteppedCalls, service: Any, clock: Clock, at: int, how: str
) -> None:
    """Wherever a reply is lost or the worker dies, tasks are started anew once."""
    calls = Faulty(real, at, how)
    found, _ = drive(_ecs(calls, clock), ECS, clock)
    assert isinstance(found, Done)
    refused = how == "refused" and at == 3  # then the first update did not arrive
    assert calls.named("UpdateService") == 1 + refused


def _service(*deployments: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    found = {"status": "ACTIVE", "desiredCount": 2, "runningCount": 2, "pendingCount": 0, **more}
    return {
        "services": [{**found, "deployments": list(deployments)}],
        "service": {**found, "deployments": list(deployments)},
    }


OLD = {"id": "ecs-svc/1", "status": "PRIMARY", "rolloutState": "COMPLETED"}
NEW = {"id": "ecs-svc/2", "status": "PRIMARY", "rolloutState": "IN_PROGRESS"}
GONE = {**OLD, "status": "ACTIVE"}


@pytest.mark.parametrize(
    ("then", "words"),
    [
        (_service({**NEW, "rolloutState": "FAILED", "status": "ACTIVE"}, OLD), "deployment ecs-svc/2 failed"),
        (_service({**NEW, "id": "ecs-svc/3"}, {**NEW, "status": "ACTIVE"}), "was replaced by another"),
        ({"services": [], "failures": [{"reason": "MISSING"}]}, "there is no active service"),
        (_service(OLD, status="INACTIVE"), "there is no active service"),
    ],
)
def test_a_deployment_that_does_not_end_well_fails(then: Mapping[str, Any], words: str, clock: Clock) -> None:
    """A deployment that was taken back or replaced, and a service that is gone, fail the step."""
    calls = Scripted(_service(OLD), _service(OLD), _service(NEW, GONE), then)
    found, _ = drive(_ecs(calls, clock), ECS, clock)
    assert isinstance(found, Failed)
    assert words in found.reason
    assert found.over is ("deployment ecs-svc/2" in found.reason)


@pytest.mark.parametrize(
    "unsteady",
    [
        _service(NEW, GONE),
        _service({**NEW, "rolloutState": "IN_PROGRESS"}),
        _service({**NEW, "rolloutState": "COMPLETED"}, runningCount=1),
        _service({**NEW, "rolloutState": "COMPLETED"}, pendingCount=1),
    ],
)
def test_a_service_is_steady_when_nothing_is_left_to_do(unsteady: Mapping[str, Any], clock: Clock) -> None:
    """Old deployments, missing or pending tasks are waited for, until `within` has passed."""
    calls = Scripted(_service(OLD), _service(OLD), _service(NEW, GONE), unsteady)
    found, _ = drive(_ecs(calls, clock), {**ECS, "within": "5m"}, clock)
    assert isinstance(found, Failed)
    assert "gave up after 300 s: the service is not steady yet" in found.reason
    steady = _service({**NEW, "rolloutState": "COMPLETED"})
    calls = Scripted(_service(OLD), _service(OLD), _service(NEW, GONE), unsteady, steady)
    assert isinstance(drive(_ecs(calls, clock), ECS, clock)[0], Done)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({**ECS, "service": "other"}, "may not touch shop/other: add it to SENTINEL_AWS_SERVICES"),
        ({**ECS, "cluster": "prod"}, "may not touch prod/cart"),
        ({**ECS, "desired_count": 7}, "shop/cart 1 to 6 tasks"),
        ({**ECS, "desired_count": 0}, "shop/cart 1 to 6 tasks"),
        ({**ECS, "service": "web", "desired_count": 3}, "shop/web no other number of tasks"),
    ],
)
def test_a_service_outside_of_the_list_is_not_touched(
    inputs: dict[str, Any], words: str, clock: Clock
) -> None:
    """Neither another service nor a number of tasks beyond the bounds is asked for."""
    calls = Scripted({})
    found, _ = drive(_ecs(calls, clock), inputs, clock)
    assert isinstance(found, Failed)
    assert words in found.reason
    assert not calls.operations


@pytest.mark.parametrize("topic", [TOPIC, f"{TOPIC}.fifo"])
def test_a_topic_is_told(real: SteppedCalls, topic: str, clock: Clock) -> None:
    """The message is published; a FIFO topic gets the effect key, so that the second is dropped."""
    sns = client("sns")
    attributes = {"FifoTopic": "true"} if topic.endswith(".fifo") else {}
    sns.create_topic(Name=topic.rpartition(":")[2], Attributes=attributes)
    action = Notify(None, None, lambda: real, GRANTS, clock=clock)  # type: ignore[arg-type] # neither is used
    inputs = {"to": "sns", "topic": topic, "note": "See the runbook."}
    found, _ = drive(action, inputs)
    assert isinstance(found, Done)
    (sent,) = sns_backends[ACCOUNT][REGION].topics[topic].sent_notifications
    _, text, title, _, group = sent
    assert title == "Sentinel high: A burst"
    assert text.splitlines()[-1] == "See the runbook."
    assert group == ("tell" if topic.endswith(".fifo") else None)


@pytest.mark.parametrize("action", ["aws.invoke_lambda", "aws.ssm_run", "aws.ecs_update_service", "notify"])
def test_an_action_without_a_role_is_off(action: str, clock: Clock) -> None:
    """What is listed and has no role fails with the words that say how to grant one."""
    everything = Grants(functions=("*",), documents=("*",), services={"*": (0, 9)}, topics=("*",))
    calls = Scripted({})
    made: dict[str, Callable[[], Any]] = {
        "aws.invoke_lambda": lambda: InvokeLambda(lambda: calls, everything),
        "aws.ssm_run": lambda: SsmRun(lambda: calls, everything, clock=clock),
        "aws.ecs_update_service": lambda: UpdateService(lambda: calls, everything, clock=clock),
        "notify": lambda: Notify(None, None, lambda: calls, everything, clock=clock),  # type: ignore[arg-type]
    }
    inputs: dict[str, Any] = {
        "aws.invoke_lambda": LAMBDA,
        "aws.ssm_run": SSM,
        "aws.ecs_update_service": ECS,
        "notify": {"to": "sns", "topic": TOPIC},
    }
    found = made[action]().perform(step_run(action, inputs[action]))
    assert isinstance(found, Failed)
    assert found.reason == f"{action} is off: grant a role: add {action}=ROLE_ARN to SENTINEL_AWS_ROLES"
    assert not calls.operations


@pytest.mark.parametrize(
    ("action", "inputs", "words"),
    [
        ("aws.invoke_lambda", {"function": "a b"}, "function: "),
        ("aws.invoke_lambda", {"function": "*"}, "function: "),
        ("aws.invoke_lambda", {"function": "f", "timeout": "31s"}, "timeout: "),
        ("aws.ssm_run", {"document": "Shop-Restart"}, "either instances or"),
        ("aws.ssm_run", {**SSM, "tags": {"a": ["b"]}}, "either instances or"),
        ("aws.ssm_run", {**SSM, "instances": ["i-*"]}, "instances"),
        ("aws.ssm_run", {**SSM, "instances": ["i-0123456789abcdef0"] * 21}, "instances"),
        ("aws.ssm_run", {"document": "Shop-Restart", "tags": {"a": ["${aws:username}"]}}, "tags"),
        ("aws.ssm_run", {"document": "Shop-Restart", "tags": {"a": ["*"]}}, "tags"),
        ("aws.ssm_run", {"document": "Shop-Restart", "tags": {"a": []}}, "tags"),
        ("aws.ssm_run", {**SSM, "parameters": {"commands": ["echo $title"]}}, "parameters may hold $task"),
        ("aws.ssm_run", {**SSM, "parameters": {"commands": ["echo $"]}}, "write $$ for a $"),
        ("aws.ssm_run", {**SSM, "document": "arn:aws:ssm:::document/x"}, "document: "),
        ("aws.ssm_run", {**SSM, "within": "29s"}, "within: "),
        ("aws.ecs_update_service", {"cluster": "shop", "service": "cart"}, "force_new_deployment: true"),
        ("aws.ecs_update_service", {**ECS, "cluster": "*"}, "cluster: "),
        ("aws.ecs_update_service", {**ECS, "desired_count": -1}, "desired_count: "),
        ("notify", {"to": "sns", "topic": "alerts"}, "topic: "),
        ("notify", {"to": "sns", "topic": f"{TOPIC}*"}, "topic: "),
        ("notify", {"to": "sns", "webhook": "hook"}, "to: sns with topic"),
        ("notify", {"to": "slack", "topic": TOPIC}, "to: slack goes with webhook"),
    ],
)
def test_inputs_that_make_no_sense_are_refused(
    action: str, inputs: dict[str, Any], words: str, clock: Clock
) -> None:
    """`check` names what to change; wildcards and policy variables are no names."""
    made: dict[str, Any] = {
        "aws.invoke_lambda": InvokeLambda,
        "aws.ssm_run": SsmRun,
        "aws.ecs_update_service": UpdateService,
        "notify": Notify,
    }
    with pytest.raises(Malformed, match=action.replace(".", r"\.")) as told:
        made[action].check(object(), inputs)
    assert words in str(told.value)
