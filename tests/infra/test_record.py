"""Who may sign with the log's key: two functions, and by its own policy nobody else; who erases only asks."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from cryptography.hazmat.primitives import serialization

from infra.ledger import ATTRIBUTES
from sentinel.adapters.lambda_recorder import READ_SECONDS
from sentinel.adapters.log_key_file import FileLogKey
from sentinel.bootstrap import App
from sentinel.bootstrap_encryption import FEED_SECONDS
from sentinel.core.access import Service, encode
from sentinel.core.tasks import SECOND, Effect, EffectState
from sentinel.entrypoints.recording import record
from sentinel.ports_doors import Record
from sentinel.settings import Settings
from sentinel.usecases.encryption import USED
from sentinel.usecases.erase import MARGIN
from sentinel.usecases.erase_from import Wish
from sentinel.usecases.ingest import Origin
from tests.contracts.secret_stores import aws_client
from tests.contracts.tables import REGION, dynamodb
from tests.infra.conftest import ACCOUNT
from tests.infra.test_alarms import alarms
from tests.infra.test_door_rights import operations
from tests.infra.test_function_settings import environ
from tests.infra.test_log import key
from tests.scenario import rule

if TYPE_CHECKING:
    from tests.infra.conftest import Resource, Templates

NAME = "sentinel-dev-eu-central-1-record"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{NAME}"


def eraser(made: Templates) -> str:
    """Return the role of who erases."""
    (name,) = [each for each in made.of("AWS::IAM::Role") if each.startswith("Erasure")]
    return name


def signers(made: Templates) -> set[str]:
    """Return who of all roles may sign with the log's key: functions by their folders."""
    arn, _ = key(made)
    functions = {made.role_of(function): verb for verb, function in made.functions().items()}
    roles = made.of("AWS::IAM::Role")
    return {functions.get(role, role) for role in roles if made.allows(role, "kms:Sign", arn)}


def fence(made: Templates) -> tuple[list[Resource], list[str]]:
    """Return the statements of the log's key's own policy, and the roles that its fence lets through."""
    _, found = key(made)
    statements = found["Properties"]["KeyPolicy"]["Statement"]
    (few,) = [each for each in statements if each["Effect"] == "Deny"]
    assert (few["Action"], few["Principal"], few["Resource"]) == ("kms:Sign", {"AWS": "*"}, "*")
    ((operator, condition),) = few["Condition"].items()
    assert operator == "ArnNotEquals"
    ((name, roles),) = condition.items()
    assert name == "aws:PrincipalArn"
    return statements, [made.text(each) for each in (roles if isinstance(roles, list) else [roles])]


@pytest.mark.parametrize("erases", [True, False])
def test_only_what_seals_and_what_records_sign(
    erases: bool, templates: Templates, erasing: Templates
) -> None:
    """Of all roles of all stacks: those two functions', and where nobody may erase the one that seals."""
    made = erasing if erases else templates
    expected = {"seal", "record"} if erases else {"seal"}
    assert signers(made) == expected
    statements, let_through = fence(made)
    roles = made.of("AWS::IAM::Role")
    named = {roles[made.role_of(made.functions()[verb])]["Properties"]["RoleName"] for verb in expected}
    assert set(let_through) == {f"arn:aws:iam::{ACCOUNT}:role/{each}" for each in named}
    assert len(let_through) == len(expected)
    # Beside the fence the account's own administrators, as everywhere; nobody is named.
    (whole,) = [each for each in statements if each["Effect"] == "Allow"]
    assert made.text(whole["Principal"]["AWS"]) == f"arn:aws:iam::{ACCOUNT}:root"
    assert ("record" in made.functions()) == erases


def test_no_role_gets_round_the_fence(erasing: Templates) -> None:
    """None may change the key's policy, grant its use, or sign with every key."""
    arn, _ = key(erasing)
    for role in erasing.of("AWS::IAM::Role"):
        for operation in operations("kms") - {"Sign", "GetPublicKey"}:
            assert not erasing.allows(role, f"kms:{operation}", arn), (role, operation)


def test_what_records_can_do_nothing_else(erasing: Templates) -> None:
    """Its log, traces, and the log's key: neither tables nor buckets, secrets, networks, other functions."""
    function = erasing.functions()["record"]
    arn, _ = key(erasing)
    found = {
        action: {erasing.text(each) for each in _listed(statement["Resource"])}
        for statement in erasing.statements(erasing.role_of(function))
        for action in _listed(statement["Action"])
    }
    logs = f"arn:aws:{function['Properties']['LoggingConfig']['LogGroup']['Ref']}:Arn"
    assert found == {
        "logs:CreateLogStream": {logs},
        "logs:PutLogEvents": {logs},
        "xray:PutTelemetryRecords": {"*"},
        "xray:PutTraceSegments": {"*"},
        "kms:GetPublicKey": {arn},
        "kms:Sign": {arn},
    }
    assert "VpcConfig" not in function["Properties"]
    settings = Settings.from_environ(environ(erasing, function))
    default = Settings()
    changed = {name for name in Settings.__slots__ if getattr(settings, name) != getattr(default, name)}
    assert changed == {"ledger_table", "log_key"}  # the log's name is the default one


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_who_erases_may_call_it_and_no_other_does(erasing: Templates) -> None:
    """Of all that Lambda can do the role may invoke that one function; no other role may."""
    function = erasing.functions()["record"]["Properties"]
    assert function["FunctionName"] == NAME
    role = eraser(erasing)
    may = {name for name in _lambda() if erasing.allows(role, f"lambda:{name}", FUNCTION)}
    assert may == {"InvokeFunction"}
    (statement,) = [each for each in erasing.statements(role) if "lambda:InvokeFunction" in str(each)]
    assert erasing.text(statement["Resource"]) == FUNCTION
    logical = next(
        name for name, each in erasing.of("AWS::Lambda::Function").items() if each["Properties"] is function
    )
    for other in set(erasing.of("AWS::IAM::Role")) - {role}:
        for arn in (FUNCTION, f"arn:aws:{logical}:Arn"):
            assert not erasing.allows(other, "lambda:InvokeFunction", arn), other
    called = [each["Properties"]["FunctionName"] for each in erasing.of("AWS::Lambda::Permission").values()]
    assert not [each for each in called if logical in str(each)]  # nor does a service of AWS


def _lambda() -> set[str]:
    return operations("lambda") - {"Invoke", "InvokeAsync"} | {"InvokeFunction", "InvokeFunctionUrl"}


def test_the_command_is_told_of_it_and_waits_long_enough(erasing: Templates) -> None:
    """An output describes the setting; the client hears the function's answer also at its last moment."""
    output = erasing.stack("SentinelService")["Outputs"]["RecordFunction"]
    assert output["Description"] == "SENTINEL_RECORD_FUNCTION"
    assert erasing.functions()["record"]["Properties"]["Timeout"] < READ_SECONDS


def test_asking_for_what_is_not_signed_raises_an_alarm(erasing: Templates, templates: Templates) -> None:
    """Only a program that is not ours asks for such."""

    def watched(made: Templates) -> list[tuple[object, object]]:
        return [
            (each["Dimensions"][0]["Value"], each["Threshold"])
            for each in alarms(made)
            if each["MetricName"] == "refused"
        ]

    assert watched(erasing) == [("record", 1)]
    assert watched(templates) == []


def named(params: dict[str, Any]) -> set[str]:
    """Return the attributes that an UpdateItem names: in its key and in its expressions."""
    names = params.get("ExpressionAttributeNames", {})
    text = f"{params['UpdateExpression']} {params['ConditionExpression']}"
    words = set(re.findall(r"(?<![:#\w])[a-z]\w*(?!\w*\()", text))
    return {*params["Key"], *names.values(), *words - {"attribute_exists"}}


@dataclass
class Calls:
    """What a process asked of AWS: (action as IAM names it, ARN of what it is about)."""

    made: Templates
    key: str
    data_key: str
    buckets: dict[str, str]
    seen: set[tuple[str, str]] = field(default_factory=set)
    updated: dict[str, set[str]] = field(default_factory=dict)  # attributes that updates name, by table

    def __call__(self, params: dict[str, Any], model: Any, **_: object) -> None:
        """Note a call."""
        service, operation = model.service_model.endpoint_prefix, model.name
        self.seen.add(getattr(self, f"_{service}")(operation, params))

    def _dynamodb(self, operation: str, params: dict[str, Any]) -> tuple[str, str]:
        index = f"/index/{params['IndexName']}" if "IndexName" in params else ""
        if operation == "UpdateItem":
            self.updated.setdefault(params["TableName"], set()).update(named(params))
        return f"dynamodb:{operation}", self.made.table(params["TableName"]) + index

    def _s3(self, operation: str, params: dict[str, Any]) -> tuple[str, str]:
        bucket = self.buckets[params["Bucket"]]
        if operation == "ListObjectsV2":
            return "s3:ListBucket", bucket
        return f"s3:{operation.replace('Head', 'Get')}", f"{bucket}/{params['Key']}"

    def _kms(self, operation: str, params: dict[str, Any]) -> tuple[str, str]:
        return f"kms:{operation}", self.key if params.get("KeyId") == "log-key" else self.data_key

    def _lambda(self, operation: str, params: dict[str, Any]) -> tuple[str, str]:
        assert operation == "Invoke"
        return "lambda:InvokeFunction", params["FunctionName"]


@pytest.fixture
def calls(erasing: Templates) -> Calls:
    """Notes calls, by the resources of the templates."""
    (data_key,) = [each for each in erasing.of("AWS::KMS::Key") if each.startswith("DataKey")]
    (archive,) = [each for each in erasing.of("AWS::S3::Bucket") if each.startswith("Archive")]
    return Calls(erasing, key(erasing)[0], f"arn:aws:{data_key}:Arn", {"kept": f"arn:aws:{archive}:Arn"})


TABLES = ("ledger", "tasks", "catalog", "counters", "alerts", "registry", "keys")


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Settings]:
    """Give the settings of whoever erases in a moto account with our tables, and an archive."""
    for name, value in {"ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "x", "DEFAULT_REGION": REGION}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with dynamodb(*TABLES):
        where = {"LocationConstraint": REGION}
        aws_client("s3").create_bucket(Bucket="kept", CreateBucketConfiguration=where)
        tables: dict[str, Any] = {f"{name}_table": name for name in TABLES}
        yield Settings(
            home=str(tmp_path),
            log_key="log-key",
            record_function=FUNCTION,
            archive_bucket="kept",
            data_key=aws_client("kms").create_key()["KeyMetadata"]["KeyId"],
            **tables,
        )


def answered(app: App, function: App) -> None:
    """Let a process's AWS have the log's key, and the function, which moto has not; that runs `function`."""
    public = serialization.load_der_public_key(
        bytes.fromhex("302a300506032b6570032100") + function.log_signer.public_key()
    ).public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    class Answer:
        status_code = 200

    class Body:
        def __init__(self, raw: bytes) -> None:
            self._raw = raw

        def read(self, most: int) -> bytes:
            return self._raw[:most]

    def invoked(params: dict[str, Any], **_: object) -> object:
        told = record(function, orjson.loads(params["body"]))
        return Answer(), {"StatusCode": 200, "Payload": Body(orjson.dumps(told))}

    app._session.register("before-call.lambda.Invoke", invoked)
    app._session.register("before-call.kms.GetPublicKey", lambda **_: (Answer(), {"PublicKey": public}))


def filled(app: App) -> None:
    """Put a batch into an encrypted chain, archive it as well, and let a task quote it."""
    app.registry.put(Record(Service.KIND, "shop", encode(Service("shop", encryption="own"))))
    app.catalog.push("rule", "boom", rule("boom", "boom"))
    recipe = b"id: tell\non: {rule: boom}\nsteps: [{id: s, uses: siem.send, with: {to: [x]}}]\n"
    app.catalog.push("recipe", "tell", recipe)
    origin = Origin("shop", "/v1/entries", "r1", encryption="own")
    app.ingest.entries(origin, b'{"message":"boom"}\n{"n":1}', {})
    app.ingest.entries(replace(origin, request_id="r2"), b'{"n":2}', {})
    (task_id,) = app.detector.detect(app.ledger.read("shop/0")).tasks
    told: dict[str, object] = {"text": "boom"}
    app.tasks.record(Effect(task_id, "k", EffectState.DONE, "s", time.time_ns(), told, 0))
    app.control.cancel(task_id, "ada", "it is over")
    app.archive.store("shop/0", list(app.table.read("shop/0"))[:1])


def test_an_erasure_calls_nothing_but_what_its_role_may(
    erasing: Templates, account: Settings, calls: Calls, tmp_path: Path
) -> None:
    """Every call of an erasure, from the plan to the end of the data key, is one of the role's rights.

    Its record is signed by the function; the command itself asks the key for its public half alone.
    """
    FileLogKey(tmp_path / "log.key", create=True)
    function = App(Settings(home=str(tmp_path), log=account.log))
    filled(App(account))
    app = App(account)
    app._session.register("before-parameter-build", calls)
    answered(app, function)
    wish = Wish("shop/0", 0, 0, "request 12", "ada")
    first = app.eraser.erase(wish)
    assert first.forgotten.counts == {"tasks": 1, "events": 1}
    later = time.time_ns() + max(USED + MARGIN, FEED_SECONDS * SECOND) + SECOND
    done = replace(app.eraser, clock=lambda: later).erase(wish)
    assert (done.keys, done.forgotten.unfinished) == (1, [])
    assert done.record == first.record

    # Of what it updates it may name just these attributes.
    told = {
        each["Resource"]["Fn::GetAtt"][0]: each["Condition"]
        for each in erasing.statements(eraser(erasing))
        if each["Action"] == "dynamodb:UpdateItem"
    }
    (of_tasks,) = [each for name, each in told.items() if name.startswith("Tasks")]
    allowed = {"dynamodb:Attributes": sorted(calls.updated["tasks"])}
    assert of_tasks == {"ForAllValues:StringEquals": allowed, "Null": {"dynamodb:Attributes": "false"}}
    assert "head" not in calls.updated["tasks"]
    assert calls.updated["ledger"] == set(ATTRIBUTES)

    role = eraser(erasing)
    refused = {each for each in calls.seen if not erasing.allows(role, *each)}
    assert refused == set()
    assert {each for each in calls.seen if each[0].startswith(("kms", "lambda"))} == {
        ("lambda:InvokeFunction", FUNCTION),
        ("kms:GetPublicKey", calls.key),
        ("kms:Decrypt", calls.data_key),
        ("kms:GenerateDataKey", calls.data_key),
    }
    for action in ("dynamodb:UpdateItem", "s3:PutObject", "dynamodb:DeleteItem"):
        assert action in {name for name, _ in calls.seen}, action
