"""CloudWatch Logs by hand: signatures are botocore's, the wire is moto's, limits the reference's."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from sentinel_client import _aws
from sentinel_client._aws import Chain, Keys, signed
from sentinel_client._connection import Shut, Unreachable
from sentinel_client._types import Batch, Later, Sent
from sentinel_client.transports.cloudwatch import (
    BYTES,
    EVENTS,
    OVERHEAD,
    SPAN,
    CloudWatchTransport,
    rejected,
    spans,
)
from tests.loopback import Asked, Loopback, Told

PRODUCER = "py-0011223344556677"
NOW = 1_764_000_000.0
ACCESS, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
KEYS = {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET}


@pytest.mark.parametrize("token", ["", "session/token+with=signs"])
@pytest.mark.parametrize("body", [b"{}", b'{"message":"\xc3\xa4  b"}', bytes(range(256))])
def test_the_signature_is_that_of_botocore(token: str, body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signature Version 4: the same headers are proven by the same signature."""
    moment = datetime.datetime.fromtimestamp(NOW, datetime.UTC)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: moment)
    headers = {
        "Host": "logs.eu-central-1.amazonaws.com",
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": "Logs_20140328.PutLogEvents",
    }
    request = AWSRequest("POST", "https://logs.eu-central-1.amazonaws.com/", dict(headers), body)
    keys = Keys(ACCESS, SECRET, token)
    SigV4Auth(Credentials(keys.access, keys.secret, token or None), "logs", "eu-central-1").add_auth(request)
    ours = signed(keys, "eu-central-1", "logs", headers, body, NOW)
    assert ours["Authorization"] == request.headers["Authorization"]
    assert keys.secret not in repr((keys, ours))


@pytest.fixture
def moto() -> Iterator[tuple[str, Any]]:
    """A server that hands each action on to boto3, with moto behind it, which check its parameters."""
    from moto import mock_aws

    with mock_aws():
        logs = boto3.client("logs", "eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")

        def answer(asked: Asked) -> Told:
            headers = {name.lower(): value for name, value in asked.headers.items()}
            action = headers["x-amz-target"].removeprefix("Logs_20140328.")
            name = {"PutLogEvents": "put_log_events", "CreateLogStream": "create_log_stream"}.get(action)
            try:
                told = getattr(logs, name or "create_log_group")(**json.loads(asked.body))
            except ClientError as failed:
                return error(failed.response["Error"]["Code"])
            del told["ResponseMetadata"]
            return Told(200, json.dumps(told).encode())

        server = Loopback(answer)
        yield f"http://127.0.0.1:{server.port}", logs
        server.stop()
        logs.close()


def transport(url: str, **options: Any) -> CloudWatchTransport:
    """Return a transport with credentials of its own."""
    options = {"create": True, "region": "eu-central-1", "chain": Chain(KEYS), **options}
    return CloudWatchTransport("shop", endpoint=url, **options)


def entries(*times: float) -> list[bytes]:
    """Return entries of these times."""
    return [json.dumps({"time": moment, "n": number}).encode() for number, moment in enumerate(times)]


def batch(*times: float, first: int = 0) -> Batch:
    """Return a batch of entries of these times."""
    return Batch(PRODUCER, first, len(times), entries(*times))


def test_events_are_written_in_order_to_a_stream_that_is_made(moto: tuple[str, Any]) -> None:
    """Group and stream are made where they are missing; events have their own times and bodies."""
    now = float(int(time.time()))
    url, logs = moto
    sender = transport(url)
    sent = batch(now - 1, now - 3, now - 2.5)
    assert sender.send(sent, 20.0) == Sent()
    assert sender.send(batch(now, first=3), 20.0) == Sent()
    sender.close()
    found = logs.get_log_events(logGroupName="shop", logStreamName=PRODUCER, startFromHead=True)["events"]
    assert [each["timestamp"] for each in found] == [int((now - at) * 1000) for at in (3, 2.5, 1, 0)]
    assert [json.loads(each["message"])["n"] for each in found] == [1, 2, 0, 0]


def test_a_group_is_made_only_where_that_is_wanted(moto: tuple[str, Any]) -> None:
    """Without `create` a missing group is told by its name, and the batch waits for it."""
    url, logs = moto
    sender = transport(url, create=False, stream="web")
    found = sender.send(batch(time.time()), 20.0)
    assert isinstance(found, Later)
    assert found.why == "there is no log group shop"
    logs.create_log_group(logGroupName="shop")
    assert sender.send(batch(time.time()), 20.0) == Sent()
    sender.close()
    assert logs.describe_log_streams(logGroupName="shop")["logStreams"][0]["logStreamName"] == "web"


def test_a_batch_of_all_limits_fits_one_request() -> None:
    """Whatever entries a batch has, with 26 bytes for each event it is within a request's 1,048,576."""
    assert CloudWatchTransport.max_bytes + EVENTS * OVERHEAD <= BYTES
    assert CloudWatchTransport.max_entries <= EVENTS


def test_no_request_spans_a_day() -> None:
    """Events are sorted, and cut where a request would span 24 hours or more."""
    hour = 3_600_000
    events = [(at * hour, place, "") for place, at in enumerate((50, 0, 23, 24, 1, 74))]
    parts = spans(events)
    assert [[at // hour for at, _, _ in part] for part in parts] == [[0, 1, 23], [24], [50], [74]]
    assert all(part[-1][0] - part[0][0] < SPAN for part in parts)


def test_events_that_are_not_taken_are_named() -> None:
    """Ends are exclusive, the beginning inclusive (API Reference, RejectedLogEventsInfo)."""
    part = [(at, 9 - at, "") for at in range(10)]
    told = {"tooOldLogEventEndIndex": 2, "expiredLogEventEndIndex": 1, "tooNewLogEventStartIndex": 8}
    assert rejected(part, told) == [9, 8, 1, 0]
    assert rejected(part, None) == []
    assert rejected(part, {"tooOldLogEventEndIndex": "x"}) == []


@pytest.fixture
def service() -> Iterator[Loopback]:
    """A stand-in whose answers a test sets."""
    made = Loopback(lambda _asked: Told(200, b"{}"))
    yield made
    made.stop()


def error(kind: str, status: int = 400) -> Told:
    """Answer with an error of AWS JSON 1.1."""
    return Told(status, json.dumps({"__type": f"com.amazonaws.logs#{kind}", "message": "hunter2"}).encode())


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (error("ThrottlingException"), "400 ThrottlingException"),
        (error("ServiceUnavailableException", 500), "500 ServiceUnavailableException"),
        (error("AccessDeniedException"), "refuses the credentials: AccessDeniedException"),
        (error("ExpiredTokenException"), "refuses the credentials: ExpiredTokenException"),
        (error("InvalidParameterException"), "400 InvalidParameterException"),
        (Told(503, b"<html>hunter2"), "503"),
        (Told(lost=True), "does not answer"),
    ],
)
def test_what_it_answers(service: Loopback, told: Told, why: str) -> None:
    """An error ends no batch: its reason has status and kind, and nothing else of the answer."""
    service.answer = lambda _: told
    sender = transport(f"http://127.0.0.1:{service.port}")
    found = sender.send(batch(NOW), 20.0)
    sender.close()
    assert isinstance(found, Later)
    assert why in found.why
    assert "hunter2" not in found.why


def test_refused_events_are_counted(service: Loopback) -> None:
    """Events that are too old are refused for good; the others are stored."""
    told = {"rejectedLogEventsInfo": {"tooOldLogEventEndIndex": 1}}
    service.answer = lambda _: Told(200, json.dumps(told).encode())
    sender = transport(f"http://127.0.0.1:{service.port}")
    assert sender.send(batch(NOW, NOW - 10), 20.0) == Sent({}, 1, (1,))
    sender.close()


def test_a_request_that_was_answered_is_not_sent_again(service: Loopback) -> None:
    """Of a batch that takes three requests, those before the one that failed are done within this process."""
    answers = iter([Told(200, b"{}"), Told(500)])
    service.answer = lambda _: next(answers, Told(200, b"{}"))
    sender = transport(f"http://127.0.0.1:{service.port}")
    days = batch(NOW, NOW - 2 * 86_400, NOW - 4 * 86_400)
    assert isinstance(sender.send(days, 20.0), Later)
    assert sender.send(days, 20.0) == Sent()
    sender.close()
    sent = [json.loads(asked.body)["logEvents"][0]["timestamp"] for asked in service.asked]
    first, second, third = sorted(set(sent))
    assert sent == [first, second, second, third]


def metadata(asked: Asked) -> Told:
    """Answer as container and instance metadata services do."""
    keys = {"AccessKeyId": "A", "SecretAccessKey": "S", "Token": "T", "Expiration": "2025-11-24T18:00:00Z"}
    told = Told(200, json.dumps(keys).encode())
    if asked.path == "/latest/api/token" and asked.method == "PUT":
        return Told(200, b"proof") if "X-Aws-Ec2-Metadata-Token-Ttl-Seconds" in asked.headers else Told(400)
    if asked.path.startswith("/latest/"):
        if asked.headers.get("X-Aws-Ec2-Metadata-Token") != "proof":
            return Told(401)
        return Told(200, b"role\n") if asked.path.endswith("security-credentials/") else told
    if asked.path == "/guarded":
        return told if asked.headers.get("Authorization") == "hush" else Told(403)
    return told if asked.path == "/v2/credentials/7" else Told(404)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Callable[..., Chain]]:
    """Make chains whose metadata services are one stand-in."""
    server = Loopback(lambda asked: metadata(_titled(asked)))
    url = f"http://127.0.0.1:{server.port}"
    (tmp_path / "token").write_text("hush\n")

    def chain(clock: Callable[[], float] = lambda: 0.0, **environ: str) -> Chain:
        told = {name: value.format(url=url, folder=tmp_path) for name, value in environ.items()}
        made = Chain(told, clock, url, url)
        made.asked = server.asked  # type: ignore[attr-defined]
        return made

    yield chain
    server.stop()


def _titled(asked: Asked) -> Asked:
    return Asked(asked.method, asked.path, {n.title(): v for n, v in asked.headers.items()}, asked.body)


@pytest.mark.parametrize(
    ("environ", "keys"),
    [
        (KEYS, Keys(ACCESS, SECRET)),
        ({**KEYS, "AWS_SESSION_TOKEN": "t"}, Keys(ACCESS, SECRET, "t")),
        ({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/7"}, None),
        (
            {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}/guarded",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN": "hush",
            },
            None,
        ),
        (
            {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}/guarded",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "{folder}/token",
            },
            None,
        ),
        ({}, None),
    ],
    ids=["environment", "with a session", "ECS", "container", "container with a file", "instance"],
)
def test_where_credentials_come_from(
    host: Callable[..., Chain], environ: dict[str, str], keys: Keys | None
) -> None:
    """Environment, then container, then instance by IMDSv2, as in the SDKs."""
    assert host(**environ).keys() == (keys or Keys("A", "S", "T", 1_764_007_200.0))


def test_credentials_are_kept_until_shortly_before_their_end(host: Callable[..., Chain]) -> None:
    """They are fetched once, again five minutes before they end, and after they were refused."""
    now = [0.0]
    chain = host(lambda: now[0], AWS_CONTAINER_CREDENTIALS_RELATIVE_URI="/v2/credentials/7")
    asked = chain.asked  # type: ignore[attr-defined]
    for moment, questions in (
        (0.0, 1),
        (1_764_007_200.0 - _aws.EARLY - 1, 1),
        (1_764_007_200.0 - _aws.EARLY, 2),
    ):
        now[0] = moment
        chain.keys()
        assert len(asked) == questions
    now[0] = 0.0
    chain.forget()
    chain.keys()
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({"AWS_EC2_METADATA_DISABLED": "true"}, "IMDS is disabled"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://evil.example/x"}, "neither https"),
        ({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/nothing"}, "no role"),
        (
            {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}/x",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/no/file",
            },
            "cannot be read",
        ),
    ],
)
def test_where_there_are_none(host: Callable[..., Chain], environ: dict[str, str], why: str) -> None:
    """What is wrong is told in words; a stranger is never asked in the clear."""
    with pytest.raises(Shut, match=why):
        host(**environ).keys()


def test_nobody_answers_for_credentials() -> None:
    """Off AWS the batch waits, and the reason says why."""
    chain = Chain({}, imds="http://127.0.0.1:1")
    with pytest.raises(Unreachable, match="no AWS credentials"):
        chain.keys()
    sender = transport("http://127.0.0.1:1", chain=chain)
    assert isinstance(sender.send(batch(NOW), 5.0), Later)


def test_a_region_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a region there is no address, and a region holds none of somebody else's."""
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    for region in ("", "x/y", "evil.example"):
        with pytest.raises(ValueError, match="region"):
            CloudWatchTransport("shop", region=region)
    shown = [CloudWatchTransport("g", region=each)._connection.host for each in ("eu-west-1", "cn-north-1")]
    assert shown == ["logs.eu-west-1.amazonaws.com", "logs.cn-north-1.amazonaws.com.cn"]
