"""A deployment that makes patches: who reads, who asks models, who proposes, who tries; each apart."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import pytest

from infra.archive import ARCHIVE
from infra.blobs import ASKED, BLOBS, JOBS, REPORTS
from infra.log import LOG
from infra.workers import PATCHING
from sentinel.adapters import codebuild
from sentinel.core.pauses import PATCHING as STREAMS
from sentinel.core.secret_kinds import MODEL, PUBLISH, READ
from sentinel.core.tasks import SECOND
from sentinel.settings import Settings
from sentinel.usecases.run import MARGINS
from tests.infra.conftest import ACCOUNT, IMAGES
from tests.infra.test_function_settings import REDIS, WORKER, environ
from tests.infra.test_rights import RIGHTS

if TYPE_CHECKING:
    from tests.infra.conftest import Resource, Templates

PATCHERS = {f"work_{stream}" for stream in STREAMS}
SECRETS = f"arn:aws:secretsmanager:eu-central-1:{ACCOUNT}:secret:sentinel/dev/"
GET, PUT = "s3:GetObject", "s3:PutObject"


def bucket(templates: Templates) -> tuple[str, Resource]:
    """Return the ARN that stands for the bucket of blobs, and the bucket."""
    ((name, found),) = [
        each for each in templates.of("AWS::S3::Bucket").items() if each[0].startswith("Blobs")
    ]
    return f"arn:aws:{name}:Arn", found


def denied(templates: Templates, role: str, action: str, resource: str) -> bool:
    """Say whether a role is denied an action on a resource."""
    return any(
        statement["Effect"] == "Deny"
        and action in _listed(statement["Action"])
        and any(fnmatchcase(resource, templates.text(each)) for each in _listed(statement["Resource"]))
        for statement in templates.statements(role)
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def may(templates: Templates, action: str, resource: str) -> set[str]:
    """Return the functions that may do an action on a resource."""
    roles = {verb: templates.role_of(each) for verb, each in templates.functions().items()}
    return {
        verb
        for verb, role in roles.items()
        if templates.allows(role, action, resource) and not denied(templates, role, action, resource)
    }


def prover(templates: Templates) -> str:
    """Return the role of the build project."""
    (project,) = templates.of("AWS::CodeBuild::Project").values()
    role: str = project["Properties"]["ServiceRole"]["Fn::GetAtt"][0]
    return role


def test_without_patches_nothing_of_them_is_there(templates: Templates) -> None:
    """By default there is no worker of patches, no bucket of blobs and no build project."""
    assert not PATCHERS & set(templates.functions())
    assert not templates.of("AWS::CodeBuild::Project")
    assert not [name for name in templates.of("AWS::S3::Bucket") if name.startswith("Blobs")]
    assert not [each for each in templates.functions().values() if "BLOBS" in str(each)]


def test_each_kind_of_secret_has_one_reader(patches: Templates) -> None:
    """No role has both a model's and a repository's secrets, and whoever reads cannot log in to propose."""
    for kind, reader in ((READ, "work_read"), (MODEL, "work_ai"), (PUBLISH, "work_git")):
        assert may(patches, "secretsmanager:GetSecretValue", f"{SECRETS}{kind}x-AbCdEf") == {reader}
    sinks = may(patches, "secretsmanager:GetSecretValue", f"{SECRETS}splunk-AbCdEf")
    assert sinks == {"deliver", "work_siem", "work_action"}


@pytest.mark.parametrize("verb", sorted(PATCHERS))
def test_workers_of_patches_have_the_tables_of_workers(patches: Templates, verb: str) -> None:
    """They take tasks as other workers do, and may do nothing else with any table."""
    role = patches.role_of(patches.functions()[verb])
    for table, expected in RIGHTS["work_action"].items():
        arn = patches.table(table)
        names = {"GetItem", "PutItem", "Query", "UpdateItem", "DeleteItem", "BatchWriteItem", "Scan"}
        assert {each for each in names if patches.allows(role, f"dynamodb:{each}", arn)} == expected
    assert not patches.allows(role, "dynamodb:GetItem", patches.table("alerts"))


def test_what_is_handed_on_is_written_by_two_and_read_by_those_who_show_it(patches: Templates) -> None:
    """Who asks models sees what was masked and no more; who proposes reads that, and people are shown it."""
    arn = bucket(patches)[0]
    blob = f"{arn}/{BLOBS}{'a' * 64}"
    assert may(patches, PUT, blob) == {"work_read"}
    assert may(patches, GET, blob) == {"work_read", "work_git", "control", "approve", "work_action"}
    asked = f"{arn}/{ASKED}{'a' * 64}"
    for action in (PUT, GET):
        assert may(patches, action, asked) == {"work_read", "work_ai"}
    assert not may(patches, "s3:DeleteObject", blob)
    assert not may(patches, GET, f"{arn}/other")
    for verb in may(patches, "s3:ListBucket", arn):
        for each in patches.statements(patches.role_of(patches.functions()[verb])):
            if "s3:ListBucket" in _listed(each["Action"]):
                assert each["Condition"]["StringLike"]["s3:prefix"] in {
                    f"{BLOBS}*",
                    f"{ASKED}*",
                    f"{JOBS}*",
                    f"{REPORTS}*",
                    f"{LOG}*",  # of the archive's bucket: proofs are made of tiles
                    f"{ARCHIVE}*",
                }


def test_the_build_alone_writes_reports(patches: Templates) -> None:
    """A report is what a build saw: no function may write one. A job is the reader's, and read by builds."""
    arn, _ = bucket(patches)
    role = prover(patches)
    assert may(patches, PUT, f"{arn}/{REPORTS}1") == set()
    assert may(patches, GET, f"{arn}/{REPORTS}1") == {"work_read"}
    assert may(patches, PUT, f"{arn}/{JOBS}1") == {"work_read"}
    writers = [
        each for each in patches.of("AWS::IAM::Role") if patches.allows(each, PUT, f"{arn}/{REPORTS}1")
    ]
    assert writers == [role]
    assert patches.allows(role, GET, f"{arn}/{JOBS}1")
    for action in (GET, PUT):
        assert not patches.allows(role, action, f"{arn}/{BLOBS}1")
    assert not patches.allows(role, PUT, f"{arn}/{JOBS}1")
    assert (BLOBS, JOBS, REPORTS) == ("blobs/", codebuild.JOBS, codebuild.REPORTS)


def test_the_build_may_do_nothing_else(patches: Templates) -> None:
    """What a build's role may do: read jobs, write reports and its log, pull the images that are named."""
    allowed: dict[str, set[str]] = {}
    for statement in patches.statements(prover(patches)):
        assert statement["Effect"] == "Allow"
        for action in _listed(statement["Action"]):
            allowed.setdefault(action.split(":")[0], set()).add(action.split(":")[1])
    assert allowed == {
        "logs": {"CreateLogStream", "PutLogEvents"},
        "s3": {"GetObject", "PutObject"},
        "ecr": {
            "BatchCheckLayerAvailability",
            "BatchGetImage",
            "GetAuthorizationToken",
            "GetDownloadUrlForLayer",
        },
    }
    named = f"arn:aws:ecr:eu-central-1:{ACCOUNT}:repository/prove"
    assert patches.allows(prover(patches), "ecr:BatchGetImage", named)
    assert not patches.allows(prover(patches), "ecr:BatchGetImage", f"{named}2")


def test_the_reader_alone_has_patches_tried(patches: Templates) -> None:
    """Builds are begun, looked at and stopped by the one worker, of the one project."""
    ((name, project),) = patches.of("AWS::CodeBuild::Project").items()
    arn = f"arn:aws:{name}:Arn"
    for action in ("StartBuild", "BatchGetBuilds", "StopBuild"):
        assert may(patches, f"codebuild:{action}", arn) == {"work_read"}
    for action in ("UpdateProject", "CreateProject", "RetryBuild"):
        assert may(patches, f"codebuild:{action}", arn) == set()
    told = project["Properties"]
    assert told["Source"]["Type"] == "NO_SOURCE"
    (command,) = json.loads(told["Source"]["BuildSpec"])["phases"]["build"]["commands"]
    assert re.fullmatch(r"python -I -m sentinel\.entrypoints\.build", command)
    assert told["Environment"]["Image"] == IMAGES
    assert told["Environment"]["ImagePullCredentialsType"] == "SERVICE_ROLE"


def test_the_bucket_is_private_and_forgets(patches: Templates) -> None:
    """Nobody outside, nothing without TLS, no versions; what is in it goes by itself, the bucket stays."""
    arn, found = bucket(patches)
    told = found["Properties"]
    assert all(told["PublicAccessBlockConfiguration"].values())
    assert len(told["PublicAccessBlockConfiguration"]) == 4
    assert "VersioningConfiguration" not in told
    assert found["DeletionPolicy"] == "Retain"
    days = {rule["Prefix"]: rule["ExpirationInDays"] for rule in told["LifecycleConfiguration"]["Rules"]}
    assert days == {BLOBS: 90, ASKED: 90, JOBS: 7, REPORTS: 7}
    assert {rule["Status"] for rule in told["LifecycleConfiguration"]["Rules"]} == {"Enabled"}
    (policy,) = [
        each["Properties"]["PolicyDocument"]["Statement"]
        for each in patches.of("AWS::S3::BucketPolicy").values()
        if patches.text(each["Properties"]["Bucket"]) in arn
    ]
    assert {each["Effect"] for each in policy} == {"Deny"}
    assert any(each["Condition"].get("Bool") == {"aws:SecureTransport": "false"} for each in policy)


def test_their_settings_are_what_they_use(patches: Templates) -> None:
    """The bucket is told to those who use it, the project to the one that has patches tried."""
    functions = patches.functions()
    told = {verb: Settings.from_environ(environ(patches, each)) for verb, each in functions.items()}
    with_blobs = {verb for verb, each in told.items() if each.blobs_bucket}
    assert with_blobs == PATCHERS | {"control", "approve", "work_action"}
    assert {verb for verb, each in told.items() if each.prove_project} == {"work_read"}
    assert told["work_read"].prove_images == IMAGES
    for verb in PATCHERS:
        names = {
            name.removeprefix("SENTINEL_").lower()
            for name in functions[verb]["Properties"]["Environment"]["Variables"]
        }
        allowed = WORKER | REDIS | {"blobs_bucket", "prove_project", "prove_images", "powertools_log_level"}
        assert names <= allowed, verb


def test_they_are_rung_and_have_time(patches: Templates) -> None:
    """Dispatch and sweep ring them by their streams; a call has more than twice the margin."""
    functions = patches.functions()
    for caller in ("dispatch", "sweep"):
        rings = environ(patches, functions[caller])["SENTINEL_WORKER_FUNCTIONS"]
        assert [pair.partition("=")[0] for pair in rings.split(",")] == ["siem", "action", *STREAMS]
    for stream in STREAMS:
        assert functions[f"work_{stream}"]["Properties"]["Timeout"] * SECOND > 2 * MARGINS[stream]
    assert set(PATCHING) == set(STREAMS) == set(MARGINS)


def test_one_function_has_the_sdks(patches: Templates) -> None:
    """The layer with the SDKs of models is listed by the function that asks them, and by no other."""
    counts = {verb: len(each["Properties"]["Layers"]) for verb, each in patches.functions().items()}
    assert {verb for verb, count in counts.items() if count != 2} == {"work_ai"}
    assert counts["work_ai"] == 3


def _rules(templates: Templates) -> Iterator[str]:
    for stack in templates.stacks.values():
        for resource in stack["Resources"].values():
            for each in resource.get("Metadata", {}).get("cdk_nag", {}).get("rules_to_suppress", []):
                yield each["id"].partition("[")[0].removeprefix("AwsSolutions-")


def test_what_is_accepted_of_the_build_is_written_down(patches: Templates, templates: Templates) -> None:
    """Of the rules of cdk-nag three more are accepted, all of the build project."""
    assert set(_rules(patches)) - set(_rules(templates)) == {"CB3", "CB4", "CB5"}


def test_a_customer_key_is_for_what_patches_store_too(synthesize: Any) -> None:
    """With a key of the deployment the bucket uses it, and who uses the bucket may use it through S3."""
    made = synthesize(patches=True, prove_images=IMAGES, customer_key=True)
    (encryption,) = bucket(made)[1]["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    roles = [prover(made), *(made.role_of(made.functions()[verb]) for verb in sorted(PATCHERS))]
    for role in roles:
        via = {
            json.dumps(each["Condition"]["StringEquals"]["kms:ViaService"])
            for each in made.statements(role)
            if "kms:Decrypt" in _listed(each["Action"])
        }
        assert any("s3." in each for each in via), role
