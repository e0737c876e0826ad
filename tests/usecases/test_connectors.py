"""Connectors are asked over the ports of steps: buckets, accounts, where they lead, and their secrets."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import boto3
import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from moto import mock_aws

from sentinel import accounts, siem
from sentinel.accounts import AccountConfig
from sentinel.actions import connector_places
from sentinel.actions.connectors import MOST, Connectors
from sentinel.adapters.append_files import AppendFiles
from sentinel.adapters.aws_calls import SteppedCalls
from sentinel.adapters.hosts import Hosts
from sentinel.adapters.http import HttpClient
from sentinel.adapters.secrets_file import FileSecrets
from sentinel.adapters.tls_streams import TlsStreams
from sentinel.core.grants import Grants, Role
from sentinel.core.tasks import SECOND
from sentinel.ports import HttpRequest, HttpResponse
from sentinel.ports_aws import AwsCalls
from sentinel.siem.check import Finding, Level, Question, Sound, Wrong, refused
from tests.action_targets import ACCOUNT, REGION
from tests.contracts.test_sinks import document
from tests.loopback import Loopback, Told

BUCKET = "example-findings"
ROLE = Role(f"arn:aws:iam::{ACCOUNT}:role/findings", "aws", ACCOUNT)
GRANTS = Grants(roles={"siem.send": ROLE}, buckets=(BUCKET, "not-there"))


def connectors(
    folder: Path, grants: Grants | None = None, aws: Callable[[], AwsCalls] | None = None
) -> Connectors:
    """Return what asks, in a deployment with one secret."""
    (folder / "secrets").mkdir()
    (folder / "secrets" / "key").write_text("canary-4f6d1c")
    (folder / "secrets" / "key").chmod(0o600)
    hosts = Hosts(["127.0.0.1"], private=True)
    return Connectors(
        HttpClient(hosts, max_idle=0),
        AppendFiles(folder / "files"),
        TlsStreams(hosts),
        FileSecrets(folder / "secrets"),
        aws or (lambda: pytest.fail("nothing here is in AWS")),
        grants or Grants(),
    )


class Aws:
    """An account of AWS. `fail` says which operations are refused, and with what status."""

    def __init__(self) -> None:
        self.s3 = boto3.client("s3", region_name=REGION)
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.fail: dict[str, int] = {}
        self.policies: list[Mapping[str, Any]] = []
        self.asked: list[str] = []
        self.calls = SteppedCalls(lambda: 1_000 * SECOND, REGION)
        self.calls._session = botocore.session.get_session()
        events = self.calls._session.get_component("event_emitter")
        events.register_first("before-send", self._before)
        events.register("provide-client-params.sts.AssumeRole", self._assumed)

    def _assumed(self, params: Mapping[str, Any], **_: object) -> None:
        self.policies.append(json.loads(params["Policy"]))

    def _before(self, request: Any, event_name: str, **_: object) -> AWSResponse | None:
        operation = event_name.rpartition(".")[2]
        self.asked.append(operation)
        if operation not in self.fail:
            return None
        return AWSResponse(request.url, self.fail[operation], HTTPHeaders(), _Raw(operation))


class _Raw:
    def __init__(self, operation: str) -> None:
        denied = b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"
        self._body = b"" if operation == "HeadBucket" else denied

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        """Yield the body, of which the answer to a HEAD has none."""
        yield self._body


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """Give the account."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield Aws()


def bucket(name: str) -> siem.SinkConfig:
    """Return a sink of a bucket."""
    return siem.load("x", json.dumps({"sinks": {"it": {"kind": "s3", "bucket": name}}}).encode())["it"]


def test_a_bucket_is_looked_at_in_a_session_that_can_put_nothing(aws: Aws, tmp_path: Path) -> None:
    """The role is assumed and the bucket is headed; the session's policy has nothing that writes."""
    it = connectors(tmp_path, GRANTS, lambda: aws.calls)
    assert isinstance(it.sink(bucket(BUCKET)), Sound)
    assert list(dict.fromkeys(aws.asked)) == ["AssumeRole", "GetCallerIdentity", "HeadBucket"]
    statements = [each for policy in aws.policies for each in policy["Statement"]]
    assert {(each["Action"], each["Resource"]) for each in statements} == {
        ("s3:ListBucket", f"arn:aws:s3:::{BUCKET}")
    }
    assert aws.s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def test_what_is_wrong_with_a_bucket(aws: Aws, tmp_path: Path) -> None:
    """Not there, not granted, no role; that the role may not look is as it should be, and is said."""
    it = connectors(tmp_path, GRANTS, lambda: aws.calls)
    assert level(it.sink(bucket("not-there"))) is Level.PLACE
    found = it.sink(bucket("not-granted"))
    assert level(found) is Level.ALLOWED
    assert "SENTINEL_AWS_BUCKETS" in found.words
    aws.fail = {"HeadBucket": 403}
    found = it.sink(bucket(BUCKET))
    assert isinstance(found, Sound)
    assert "may not look at the bucket" in found.words
    aws.fail = {"HeadBucket": 405}
    assert level(it.sink(bucket(BUCKET))) is Level.PLACE
    aws.fail = {"HeadBucket": 503}
    assert level(it.sink(bucket(BUCKET))) is Level.CONNECT
    aws.fail = {"GetCallerIdentity": 403}
    assert level(it.sink(bucket(BUCKET))) is Level.CREDENTIALS
    (tmp_path / "other").mkdir()
    nobody = connectors(tmp_path / "other", Grants(buckets=(BUCKET,)), lambda: aws.calls)
    assert level(nobody.sink(bucket(BUCKET))) is Level.ALLOWED


def level(found: Sound | Wrong) -> Level | None:
    """Return what is wrong, None for nothing."""
    return found.level if isinstance(found, Wrong) else None


class Quiet(AccountConfig):
    """An account that cannot be asked."""

    kind: Literal["quiet"]
    url: str = "https://quiet.example.com/api"


class Asked(AccountConfig):
    """An account that signs in, and is then asked who it is."""

    kind: Literal["asked"]
    url: str

    def check(self, secret: str) -> Question:
        """Sign in."""
        return Question(HttpRequest("POST", f"{self.url}/token", {"Authorization": secret}), self._then)

    def _then(self, response: HttpResponse) -> Finding:
        if response.status == 401:
            return refused(401, "the sign-in")
        if response.body == b"again":
            return self.check("canary")
        return Question(HttpRequest("GET", f"{self.url}/me"), lambda _: Sound("it knows who we are"))


def test_an_account_is_asked_where_its_kind_can_be(tmp_path: Path) -> None:
    """Question by question, to an end; a kind without says so, and a secret that is not there is told."""
    it = connectors(tmp_path)
    found = it.account(Quiet(kind="quiet", token="key"))
    assert isinstance(found, Sound)
    assert "cannot be asked" in found.words
    assert level(it.account(Quiet(kind="quiet", token="none"))) is Level.SECRET
    answers = [Told(200, b"token"), Told(200), Told(401)]
    server = Loopback(lambda _: answers.pop(0) if answers else Told(200, b"again"))
    asked = Asked(kind="asked", token="key", url=f"http://127.0.0.1:{server.port}")
    assert it.account(asked) == Sound("it knows who we are")
    assert [each.path for each in server.asked] == ["/token", "/me"]
    assert level(it.account(asked)) is Level.CREDENTIALS
    assert level(it.account(asked)) is Level.PRODUCT  # it goes round in circles, and an end is made
    assert len(server.asked) == 3 + MOST
    server.stop()


def test_accounts_by_cloud_or_site_lead_somewhere() -> None:
    """Where no URL is written down, the host that cloud or site means is told."""
    body = b"""accounts:
  edr: {kind: falcon, cloud: eu-1, token: t}
  dd: {kind: datadog, site: datadoghq.eu, token: t}
"""
    told = {name: connector_places.of_account(each) for name, each in accounts.load("a", body).items()}
    assert told == {"edr": "api.eu-1.crowdstrike.com", "dd": "api.datadoghq.eu"}


def test_kinds_of_accounts_ask_as_the_contract_says() -> None:
    """What a kind calls `check` takes a secret, and nothing else: it is known by its name alone."""
    asked = []
    for kind in (Quiet, Asked, *accounts.ACCOUNTS.values()):
        if hasattr(kind, "check"):
            asked.append(kind)
            assert list(inspect.signature(kind.check).parameters) == ["self", "secret"]
    assert Asked in asked
    assert Quiet not in asked


def test_where_connectors_lead() -> None:
    """Hosts with their ports, files and buckets; no path of a URL, which may hold what is secret."""
    places = {
        "crowdstrike": "abc.ingest.us-1.crowdstrike.com",
        "datadog": "http-intake.logs.datadoghq.eu",
        "elastic": "es.example.com:9200",
        "file": "alerts/main.ndjson",
        "microsoft_sentinel": "alerts-x1.westeurope-1.ingest.monitor.azure.com",
        "s3": "s3://example-findings",
        "splunk": "hec.example.com:8088",
        "syslog": "syslog.example.com:6514",
    }
    for kind, place in places.items():
        assert connector_places.of_sink(siem.load("x", document(kind).encode())["it"]) == place
    assert connector_places.of_account(Quiet(kind="quiet", token="key")) == "quiet.example.com"
    assert connector_places.of_account(Asked(kind="asked", token="key", url="https://a.example.com")) == (
        "a.example.com"
    )


def test_whether_a_secret_is_there(tmp_path: Path) -> None:
    """Yes, no, unreadable, and none that would be needed: never what it is."""
    it = connectors(tmp_path)
    assert (it.secret("key"), it.secret("none"), it.secret("")) == ("yes", "no", "none needed")
    (tmp_path / "secrets" / "key").chmod(0o644)
    assert it.secret("key") == "unreadable"
