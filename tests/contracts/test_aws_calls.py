"""`AwsCalls` on moto and on servers of this machine: roles, credentials that end, and what errors mean."""

from __future__ import annotations

import datetime
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import botocore.session
import orjson
import pytest
from moto import mock_aws

from sentinel.adapters.aws_calls import AHEAD, MAX_BODY, MAX_CLIENTS, SESSION_SECONDS, SteppedCalls
from sentinel.core.tasks import SECOND
from sentinel.errors import BadAnswer, Forbidden, Malformed, Missing, SentinelError, TimedOut, Unavailable
from sentinel.ports_aws import AssumedRole
from tests.action_targets import ACCOUNT, REGION, Clock

POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sns:Publish","Resource":"*"}]}'
ROLE = AssumedRole(f"arn:aws:iam::{ACCOUNT}:role/tell", "sentinel-mfrggzdfmztwq2lknnwg23tpoa", POLICY)
CANARY = "canary-9c1d"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the process credentials and a region, and nothing that another test left."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)


@pytest.fixture
def clock() -> Clock:
    """Give a clock that begins at the real time, since STS says when credentials end."""
    return Clock(int(datetime.datetime.now(datetime.UTC).timestamp()) * SECOND)


@pytest.fixture
def aws(clock: Clock) -> Iterator[tuple[SteppedCalls, list[dict[str, Any]]]]:
    """Give the adapter on moto, and what was asked of STS."""
    with mock_aws():
        calls = SteppedCalls(clock)
        calls._session = botocore.session.get_session()
        asked: list[dict[str, Any]] = []
        calls._session.register(
            "provide-client-params.sts.AssumeRole", lambda params, **_: asked.append(dict(params))
        )
        yield calls, asked


def _publish(calls: SteppedCalls, role: AssumedRole = ROLE) -> str:
    topic = boto3.client("sns", region_name=REGION).create_topic(Name="alerts")["TopicArn"]
    answer = calls.call("sns", "Publish", {"TopicArn": topic, "Message": "m"}, role)
    return str(answer["MessageId"])


def test_a_call_is_made_in_the_role(aws: tuple[SteppedCalls, list[dict[str, Any]]]) -> None:
    """The role is assumed with the session's name and policy, for the shortest time there is."""
    calls, asked = aws
    assert _publish(calls)
    assert asked == [
        {
            "RoleArn": ROLE.arn,
            "RoleSessionName": ROLE.session,
            "Policy": POLICY,
            "DurationSeconds": SESSION_SECONDS,
        }
    ]
    who = calls.call("sts", "GetCallerIdentity", {}, ROLE)["Arn"]
    assert who == f"arn:aws:sts::{ACCOUNT}:assumed-role/tell/{ROLE.session}"


def test_credentials_are_kept_until_shortly_before_they_end(
    aws: tuple[SteppedCalls, list[dict[str, Any]]], clock: Clock
) -> None:
    """One session serves a task's calls; it is renewed while it still has two minutes."""
    calls, asked = aws
    for _ in range(3):
        _publish(calls)
    assert len(asked) == 1
    clock.now += SESSION_SECONDS * SECOND - AHEAD - 5 * SECOND
    _publish(calls)
    assert len(asked) == 1
    clock.now += 10 * SECOND
    _publish(calls)
    assert len(asked) == 2


def test_a_session_is_not_shared(aws: tuple[SteppedCalls, list[dict[str, Any]]]) -> None:
    """Another task, role or policy has a session of its own, and the number of those kept is bounded."""
    calls, asked = aws
    others = [
        ROLE,
        AssumedRole(ROLE.arn, "sentinel-another", POLICY),
        AssumedRole(ROLE.arn, ROLE.session, POLICY.replace("Publish", "Subscribe")),
        AssumedRole(f"{ROLE.arn}2", ROLE.session, POLICY),
    ]
    for role in others:
        _publish(calls, role)
    assert len(asked) == 4
    for number in range(MAX_CLIENTS + 3):
        _publish(calls, AssumedRole(ROLE.arn, f"sentinel-{number}", POLICY))
    assert len(calls._clients) == MAX_CLIENTS


class Endpoint(ThreadingHTTPServer):
    """Answers AWS's protocols: STS gives a role, everything else what `answer` says."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer: Callable[[BaseHTTPRequestHandler], None] = lambda handler: _say(handler, 200, {}, b"{}")
        self.sts = 200
        self.assumed = 0
        self.calls = 0
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Endpoint

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if b"Action=AssumeRole" in body:
            self.server.assumed += 1
            status = self.server.sts
            code = b"AccessDenied" if status == 403 else b"Odd"
            _say(self, status, {}, _ROLE if status == 200 else _REFUSED % code)
            return
        self.server.calls += 1
        self.server.answer(self)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


_ROLE = b"""<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>A</AccessKeyId>
<SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>
</Credentials></AssumeRoleResult></AssumeRoleResponse>"""
_REFUSED = b"<ErrorResponse><Error><Code>%s</Code><Message>canary-9c1d</Message></Error></ErrorResponse>"


def _say(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """Serve what stands for AWS."""
    server = Endpoint()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
    yield server
    server.shutdown()
    server.server_close()


def _refuse(status: int, code: str) -> Callable[[BaseHTTPRequestHandler], None]:
    body = orjson.dumps({"__type": code, "message": CANARY, "Message": CANARY})
    return lambda handler: _say(handler, status, {"x-amzn-errortype": code}, body)


def _hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def _cut(handler: BaseHTTPRequestHandler) -> None:
    _say(handler, 200, {"Content-Length": "100"}, b'{"services"')
    handler.close_connection = True


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (_refuse(400, "ThrottlingException"), Unavailable, "Throttling"),
        (_refuse(429, "TooManyRequestsException"), Unavailable, "TooManyRequests"),
        (_refuse(400, "ExpiredTokenException"), Unavailable, "ExpiredToken"),
        (_refuse(500, "ServerException"), Unavailable, "ServerException"),
        (_refuse(503, "Odd"), BadAnswer, "Odd"),
        (_refuse(400, "AccessDeniedException"), Forbidden, "trust policy"),
        (_refuse(403, "UnrecognizedClientException"), Forbidden, "not allowed"),
        (_refuse(400, "ClusterNotFoundException"), Missing, "does not exist"),
        (_refuse(400, "InvalidParameterException"), Malformed, "is refused"),
        (_refuse(400, "Odd"), Malformed, "Odd"),
        (_hang_up, BadAnswer, "gave no answer"),
        (_cut, BadAnswer, ""),
        (lambda handler: _say(handler, 200, {}, b"<html>"), BadAnswer, "not whole"),
        (lambda handler: _say(handler, 200, {}, b'{"services":['), BadAnswer, "not whole"),
        (_refuse(404, "ResourceNotFoundException"), Missing, "does not exist"),
    ],
)
def test_an_error_says_what_to_do(
    endpoint: Endpoint, clock: Clock, answer: Callable[[BaseHTTPRequestHandler], None], kind: type, words: str
) -> None:
    """Each answer is one of our errors; AWS's code is told, its text never; nothing is sent twice."""
    endpoint.answer = answer
    calls = SteppedCalls(clock)
    with pytest.raises(SentinelError) as told:
        calls.call("ecs", "DescribeServices", {"services": ["x"]}, ROLE, 1.0)
    assert type(told.value) is kind
    assert words in str(told.value)
    assert "ecs:DescribeServices" in str(told.value) or kind is Unavailable
    assert CANARY not in str(told.value)
    assert endpoint.calls == 1
    with pytest.raises(SentinelError):
        calls.call("ecs", "DescribeServices", {"services": ["x"]}, ROLE, 1.0)
    assert (
        endpoint.assumed == 2
    )  # whatever was wrong, it is not with these credentials that it is tried again


def test_a_slow_answer_has_an_end(endpoint: Endpoint, clock: Clock) -> None:
    """A call that is not answered within its time is `TimedOut`: it may have been carried out."""
    gone = threading.Event()

    def slow(handler: BaseHTTPRequestHandler) -> None:
        gone.wait(60)
        _hang_up(handler)

    endpoint.answer = slow
    with pytest.raises(TimedOut, match="did not answer in time"):
        SteppedCalls(clock).call("ecs", "DescribeServices", {"services": ["x"]}, ROLE, 1.0)
    gone.set()


def test_nobody_listening_is_plain_unavailable(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    """Where nothing was sent, nothing can have happened."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="cannot be reached") as told:
        SteppedCalls(clock).call("sns", "Publish", {"Message": "m"}, ROLE)
    assert type(told.value) is Unavailable


def test_a_role_that_does_not_trust_us_is_named(endpoint: Endpoint, clock: Clock) -> None:
    """A refused AssumeRole names the role and what has to change; a lost one leaves nothing unsure."""
    endpoint.sts = 403
    said = f"AssumeRole of {re.escape(ROLE.arn)} is not allowed .*trust policy"
    with pytest.raises(Forbidden, match=said) as told:
        SteppedCalls(clock).call("sns", "Publish", {"Message": "m"}, ROLE)
    assert CANARY not in str(told.value)
    endpoint.sts = 500
    with pytest.raises(Unavailable) as lost:
        SteppedCalls(clock).call("sns", "Publish", {"Message": "m"}, ROLE)
    assert type(lost.value) is Unavailable
    assert endpoint.calls == 0


@pytest.mark.parametrize("size", [0, 5, MAX_BODY, MAX_BODY + 1, 3 * MAX_BODY])
def test_a_streamed_body_is_bounded(endpoint: Endpoint, clock: Clock, size: int) -> None:
    """A function may answer 6 MB; what is read of it is bounded, and the answer counts all the same."""
    endpoint.answer = lambda handler: _say(handler, 200, {}, b"x" * size)
    answer = SteppedCalls(clock).call("lambda", "Invoke", {"FunctionName": "f"}, ROLE)
    assert answer["Payload"] == b"x" * min(size, MAX_BODY)
    assert answer["StatusCode"] == 200


def test_a_body_that_breaks_off_changes_nothing(endpoint: Endpoint, clock: Clock) -> None:
    """The status is known by then: that the function has run is not in doubt."""

    def broken(handler: BaseHTTPRequestHandler) -> None:
        _say(handler, 200, {"Content-Length": "100"}, b"x")
        handler.close_connection = True

    endpoint.answer = broken
    answer = SteppedCalls(clock).call("lambda", "Invoke", {"FunctionName": "f"}, ROLE)
    assert answer["StatusCode"] == 200
    assert answer["Payload"] in {b"", b"x"}


def test_without_credentials_it_is_said(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    """A laptop without AWS says so, and tries nothing else."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    with pytest.raises(Forbidden, match="no AWS credentials"):
        SteppedCalls(clock).call("sns", "Publish", {"Message": "m"}, ROLE)


def test_parameters_that_are_none_are_refused(aws: tuple[SteppedCalls, list[dict[str, Any]]]) -> None:
    """What the operation does not take is refused before it is sent, unquoted."""
    with pytest.raises(Malformed, match="sns:Publish: the parameters") as told:
        aws[0].call("sns", "Publish", {"Messages": CANARY}, ROLE)
    assert CANARY not in str(told.value)
