"""siem.send to S3 end to end: each finding once in the bucket, whatever becomes of replies and workers."""

from __future__ import annotations

import datetime
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import orjson
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ReadTimeoutError
from moto import mock_aws

from sentinel import actions, siem
from sentinel.actions.siem_send import PARKED
from sentinel.adapters.append_files import AppendFiles
from sentinel.adapters.aws_calls import SteppedCalls
from sentinel.adapters.hosts import Hosts
from sentinel.adapters.http import HttpClient
from sentinel.adapters.secrets_file import FileSecrets
from sentinel.core.grants import Grants, Role
from sentinel.core.steps import Action, Again, Done, Nothing, Outcome, Probing
from sentinel.core.tasks import SECOND
from sentinel.siem.s3 import S3Sink
from tests.action_targets import ACCOUNT, REGION
from tests.steps import step_run

BUCKET = "example-findings"
ROLE = Role(f"arn:aws:iam::{ACCOUNT}:role/findings", "aws", ACCOUNT)


class Bucket:
    """A deployment that puts into a bucket. `fail` says what becomes of which put, counted from 1."""

    def __init__(self, folder: Path) -> None:
        self.s3 = boto3.client("s3", region_name=REGION)
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.fail: dict[int, int | None] = {}
        self.puts: list[Any] = []
        self.assumed: list[dict[str, Any]] = []
        self.folder = folder
        self.sinks = self.configured()
        self.grants = Grants(roles={"siem.send": ROLE}, buckets=(BUCKET,))

    def configured(self, **more: str) -> dict[str, siem.SinkConfig]:
        """Push a sink document."""
        body = {"sinks": {"it": {"kind": "s3", "bucket": BUCKET, **more}}}
        self.sinks = siem.load("sinks", json.dumps(body).encode())
        return self.sinks

    @property
    def action(self) -> Action:
        """The action, in a process of its own each time."""
        calls = SteppedCalls(lambda: int(datetime.datetime.now(datetime.UTC).timestamp()) * SECOND, REGION)
        calls._session = botocore.session.get_session()
        events = calls._session.get_component("event_emitter")
        events.register_first("before-send.s3.PutObject", self._refused)
        events.register_last("before-send.s3.PutObject", self._lost)
        events.register(
            "provide-client-params.sts.AssumeRole", lambda params, **_: self.assumed.append(dict(params))
        )
        return actions.build(
            HttpClient(Hosts([])),
            AppendFiles(self.folder / "files"),
            FileSecrets(self.folder / "secrets"),
            lambda: self.sinks,
            aws=lambda: calls,
            grants=self.grants,
            clock=lambda: 0,
            sleep=lambda _: None,
        )["siem.send"]

    def _refused(self, request: Any, **_: object) -> AWSResponse | None:
        self.puts.append(request)
        status = self.fail.get(len(self.puts))
        if not status:
            return None
        code = {503: "SlowDown", 403: "AccessDenied", 409: "ConditionalRequestConflict"}[status]
        body = f"<Error><Code>{code}</Code><Message>canary</Message></Error>".encode()
        headers = HTTPHeaders()
        headers["content-length"] = str(len(body))
        return AWSResponse(request.url, status, headers, _Raw(body))

    def _lost(self, request: Any, **_: object) -> None:
        if self.fail.get(len(self.puts), 200) is None:
            raise ReadTimeoutError(endpoint_url=request.url)

    def send(self, count: int = 3, previous: Outcome | None = None, **more: Any) -> Outcome:
        """Carry the step out by a fresh process."""
        if isinstance(previous, Again):
            done = orjson.loads(orjson.dumps(previous.done))
            more |= {"done": done, "resumed": True, "tries": 1}
        entries = [b'{"n":%d}' % number for number in range(count)]
        found = self.action.perform(step_run("siem.send", {"to": ["it"]}, entries, **more))
        assert "canary" not in repr(found)
        return found

    @property
    def objects(self) -> dict[str, list[dict[str, Any]]]:
        """The findings of each object, by key."""
        found = {}
        for each in self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", []):
            data = self.s3.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read()
            found[each["Key"]] = [orjson.loads(line) for line in gzip.decompress(data).splitlines()]
        return found

    @property
    def sequences(self) -> list[int]:
        """The places of all findings in the bucket, sorted."""
        return sorted(each["metadata"]["sequence"] for lines in self.objects.values() for each in lines)


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        """Yield the body at once."""
        yield self._body


@pytest.fixture
def it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """Give a bucket; objects hold 1,000 findings at most, so that a step has several."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setattr(S3Sink, "max_events", 1_000)
    with mock_aws():
        yield Bucket(tmp_path)


def test_findings_arrive_in_objects_of_their_day(it: Bucket) -> None:
    """2,500 entries are three objects below the day's folder, with their type and encoding."""
    assert it.send(2500) == Done({"delivered": 2500, "sinks": ["it"]})
    assert it.sequences == list(range(2500))
    assert sorted(map(len, it.objects.values())) == [500, 1000, 1000]
    for key in it.objects:
        assert key.startswith("sentinel/detection_finding/day=2024-11-24/")
        head = it.s3.head_object(Bucket=BUCKET, Key=key)
        assert (head["ContentType"], head["ContentEncoding"]) == ("application/x-ndjson", "gzip")


def test_the_session_may_put_there_and_no_more(it: Bucket) -> None:
    """One session a task, narrowed to the day's folder of the sink."""
    it.send(2500)
    assert len(it.assumed) == 1
    assert it.assumed[0]["RoleArn"] == ROLE.arn
    assert it.assumed[0]["RoleSessionName"] == "sentinel-mfrggzdfmztwq2lknnwg23tpoa"
    allowed = json.loads(it.assumed[0]["Policy"])["Statement"]
    assert allowed[0] == {
        "Effect": "Allow",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{BUCKET}/sentinel/detection_finding/day=2024-11-24/*",
    }
    assert [each["Action"] for each in allowed[1:]] == ["kms:GenerateDataKey"]


@pytest.mark.parametrize("lost", [{1}, {2}, {3}, {1, 2, 3, 4}, {1, 3, 5}], ids=str)
def test_lost_replies_leave_each_finding_once(it: Bucket, lost: set[int]) -> None:
    """Whichever replies are lost, the same objects come again under the same names and change nothing."""
    it.fail = dict.fromkeys(lost)
    found = it.send(2500)
    tries = 1
    while isinstance(found, Again):
        assert not found.unsure
        found = it.send(2500, found)
        tries += 1
    assert found == Done({"delivered": 2500, "sinks": ["it"]})
    assert tries > 1
    assert it.sequences == list(range(2500))
    assert len(it.objects) == 3


def test_a_worker_that_died_doubles_nothing(it: Bucket) -> None:
    """A step that is taken up with nothing recorded puts the same objects, which are there and stay."""
    it.send(1500)
    first = min(it.objects)
    it.s3.put_object(Bucket=BUCKET, Key=first, Body=gzip.compress(b'{"metadata":{"sequence":0}}'))
    assert isinstance(it.action, Probing)
    assert it.action.probe(step_run("siem.send", {"to": ["it"]})) == Nothing()
    assert it.send(1500, resumed=True) == Done({"delivered": 1500, "sinks": ["it"]})
    assert len(it.objects) == 2
    assert it.objects[first] == [{"metadata": {"sequence": 0}}]  # what is there is left as it is


@pytest.mark.parametrize("status", [503, 409])
def test_a_bucket_that_is_busy_gets_it_later(it: Bucket, status: int) -> None:
    """SlowDown, and a conflict with a put at the same time, pass by themselves."""
    it.fail = {1: status}
    found = it.send()
    assert isinstance(found, Again)
    assert found.after is None
    assert it.send(3, found) == Done({"delivered": 3, "sinks": ["it"]})
    assert it.sequences == [0, 1, 2]


def test_what_the_deployment_does_not_allow_is_not_tried(it: Bucket) -> None:
    """A bucket that is not listed, or no role: the step waits and says which setting."""
    it.configured(bucket="another-bucket")
    _parked(it.send(), "steps may not touch another-bucket: add it to SENTINEL_AWS_BUCKETS to allow it")
    it.configured()
    it.grants = Grants(buckets=(BUCKET,))
    _parked(it.send(), "siem.send is off: grant a role: add siem.send=ROLE_ARN to SENTINEL_AWS_ROLES")
    assert it.puts == []


def test_a_bucket_that_is_not_there_or_closed_waits_for_a_person(it: Bucket) -> None:
    """The reason has AWS's code and none of its text."""
    it.fail = {1: 403}
    _parked(it.send(), "s3:PutObject is not allowed (AccessDenied)")
    it.grants = Grants(roles={"siem.send": ROLE}, buckets=("gone-*",))
    it.configured(bucket="gone-bucket")
    _parked(it.send(), "s3:PutObject: its target does not exist (NoSuchBucket)")


def test_a_plan_names_the_object(it: Bucket) -> None:
    """What would be put, and where; nothing is."""
    planned = orjson.loads(orjson.dumps(it.action.plan(step_run("siem.send", {"to": ["it"]}))))
    told = planned["sinks"][0]["requests"]
    assert len(told) == 1
    assert told[0]["object"].startswith(f"s3://{BUCKET}/sentinel/detection_finding/day=2024-11-24/")
    assert len(told[0]["lines"].splitlines()) == 3
    assert it.puts == []


def _parked(found: Outcome, words: str) -> None:
    assert isinstance(found, Again)
    assert words in found.reason
    assert found.after == int(PARKED * SECOND)
