"""The transparency log in AWS: checkpoints that nobody can take away, and one function that signs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from infra.config import BadOption
from tests.infra.test_door_rights import operations, verbs

if TYPE_CHECKING:
    from tests.infra.conftest import Resource, Templates


READ = {"archive", "control", "detect", "seal"}  # who holds something against what was signed


def bucket(templates: Templates, name: str) -> tuple[str, Resource]:
    """Return the logical id of one of the log's buckets, and the bucket."""
    begins = {"Checkpoints": "LogCheckpoints", "Archive": "ArchiveBucket"}[name]
    found = [each for each in templates.of("AWS::S3::Bucket").items() if each[0].startswith(begins)]
    ((logical, resource),) = found
    return logical, resource


def policy(templates: Templates, logical: str) -> list[dict[str, Any]]:
    """Return the statements of a bucket's own policy."""
    ((found,),) = [
        [each["Properties"]["PolicyDocument"]["Statement"]]
        for each in templates.of("AWS::S3::BucketPolicy").values()
        if each["Properties"]["Bucket"] == {"Ref": logical}
    ]
    statements: list[dict[str, Any]] = found
    return statements


def key(templates: Templates) -> tuple[str, Resource]:
    """Return the ARN that stands for the log's key, and the key."""
    ((name, found),) = [
        each for each in templates.of("AWS::KMS::Key").items() if each[0].startswith("LogKey")
    ]
    return f"arn:aws:{name}:Arn", found


def test_checkpoints_are_locked(templates: Templates) -> None:
    """Object Lock is on, in compliance mode, for 400 days by default; the bucket stays."""
    _, found = bucket(templates, "Checkpoints")
    lock = found["Properties"]["ObjectLockConfiguration"]
    assert found["Properties"]["ObjectLockEnabled"] is True
    assert lock["ObjectLockEnabled"] == "Enabled"
    assert lock["Rule"]["DefaultRetention"] == {"Mode": "COMPLIANCE", "Days": 400}
    assert found["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
    assert found["DeletionPolicy"] == found["UpdateReplacePolicy"] == "Retain"
    assert "LifecycleConfiguration" not in found["Properties"]


@pytest.mark.parametrize("name", ["Checkpoints", "Archive"])
def test_buckets_are_private(templates: Templates, name: str) -> None:
    """Encrypted, TLS only, closed to the public, without lists of rights; nobody is let in by a policy."""
    logical, found = bucket(templates, name)
    about = found["Properties"]
    assert about["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert len(about["PublicAccessBlockConfiguration"]) == 4
    assert set(about["PublicAccessBlockConfiguration"].values()) == {True}
    assert about["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    statements = policy(templates, logical)
    assert {each["Effect"] for each in statements} == {"Deny"}
    assert {"Bool": {"aws:SecureTransport": "false"}} in [each.get("Condition") for each in statements]


def test_nobody_deletes_or_replaces_a_checkpoint(templates: Templates) -> None:
    """The bucket denies both to everybody, whatever a role allows; no retention is bypassed or set."""
    logical, _ = bucket(templates, "Checkpoints")
    by_sid = {each["Sid"]: each for each in policy(templates, logical) if "Sid" in each}
    kept, once = by_sid["NobodyDeletesACheckpoint"], by_sid["NobodyWritesOverACheckpoint"]
    for each in (kept, once):
        assert each["Principal"] == {"AWS": "*"}
        assert templates.text(each["Resource"]) == f"arn:aws:{logical}:Arn/*"
    assert "Condition" not in kept
    assert {
        "s3:DeleteObject",
        "s3:DeleteObjectVersion",
        "s3:BypassGovernanceRetention",
        "s3:PutObjectRetention",
    } <= set(kept["Action"])
    assert once["Action"] == "s3:PutObject"
    assert once["Condition"] == {
        "Null": {"s3:if-none-match": "true"},
        "Bool": {"s3:ObjectCreationOperation": "true"},
    }


def test_nobody_deletes_what_was_archived(templates: Templates) -> None:
    """The archive's own policy denies it to everybody; tiles, which can be made anew, are let be."""
    logical, _ = bucket(templates, "Archive")
    (found,) = [each for each in policy(templates, logical) if "Delete" in str(each["Action"])]
    assert (found["Effect"], found["Principal"]) == ("Deny", {"AWS": "*"})
    assert found["Action"] == ["s3:DeleteObject", "s3:DeleteObjectVersion"]
    assert found["Resource"] == {"Fn::Join": ["", [{"Fn::GetAtt": [logical, "Arn"]}, "/archive/*"]]}
    assert "Condition" not in found


def test_only_seal_signs_and_puts_checkpoints(templates: Templates) -> None:
    """Of all functions one may sign and put, below the log's folder; what proves may read, and no more."""
    arn, _ = key(templates)
    for operation in operations("kms"):
        expected = {"Sign": {"seal"}, "GetPublicKey": READ}.get(operation, set())
        assert verbs(templates, f"kms:{operation}", arn) == expected, operation
    rights = {
        "Checkpoints": {"PutObject": {"seal"}, "GetObjectVersion": READ},
        "Archive": {"PutObject": {"seal"}, "GetObject": READ},
    }
    objects = ("GetObject", "GetObjectVersion", "PutObject", "DeleteObject", "DeleteObjectVersion")
    more = ("PutObjectRetention", "PutObjectLegalHold", "BypassGovernanceRetention", "PutObjectAcl")
    for name, expected_by in rights.items():
        logical, _ = bucket(templates, name)
        top = f"arn:aws:{logical}:Arn"
        for action in (*objects, *more):
            expected = expected_by.get(action, set())
            assert verbs(templates, f"s3:{action}", f"{top}/log/x/y") == expected, (name, action)
            assert not verbs(templates, f"s3:{action}", f"{top}/elsewhere"), (name, action)
        for action in ("PutBucketPolicy", "PutBucketObjectLockConfiguration", "PutLifecycleConfiguration"):
            assert not verbs(templates, f"s3:{action}", top)


def test_lists_are_of_the_log_alone(templates: Templates) -> None:
    """Who lists a bucket of the log lists what is below its folder."""
    for verb in ("seal", "control"):
        role = templates.role_of(templates.functions()[verb])
        for name, action in (("Checkpoints", "s3:ListBucketVersions"), ("Archive", "s3:ListBucket")):
            logical, _ = bucket(templates, name)
            found = [
                each
                for each in templates.statements(role)
                if each["Action"] == action and templates.text(each["Resource"]) == f"arn:aws:{logical}:Arn"
            ]
            folders = [{"StringLike": {"s3:prefix": "log/*"}}]
            if name == "Archive":  # what was archived is read there, too
                folders.append({"StringLike": {"s3:prefix": "archive/*"}})
            conditions = [each["Condition"] for each in found]
            assert sorted(conditions, key=str) == sorted(folders, key=str)


def test_the_key_is_of_ed25519_and_kept(templates: Templates) -> None:
    """A key that KMS made, which never leaves it, and stays when the stack goes."""
    _, found = key(templates)
    assert found["Properties"]["KeySpec"] == "ECC_NIST_EDWARDS25519"
    assert found["Properties"]["KeyUsage"] == "SIGN_VERIFY"
    assert found["Properties"].get("Origin", "AWS_KMS") == "AWS_KMS"
    assert found["DeletionPolicy"] == found["UpdateReplacePolicy"] == "Retain"


def test_sealing_may_take_as_long_as_a_function_can(templates: Templates) -> None:
    """A chain whose tiles were lost is verified from its beginning; nothing is reserved for that."""
    found = templates.functions()["seal"]["Properties"]
    assert found["Timeout"] == 900
    assert "VpcConfig" not in found
    assert "ReservedConcurrentExecutions" not in found


@pytest.mark.nightly
def test_retention_and_concurrency_are_options(synthesize: Callable[..., Templates]) -> None:
    """Checkpoints are kept for as long as the option says; concurrency is reserved where it is asked for."""
    made = synthesize(checkpoint_days=3_650, seal_concurrency=1)
    lock = bucket(made, "Checkpoints")[1]["Properties"]["ObjectLockConfiguration"]
    assert lock["Rule"]["DefaultRetention"] == {"Mode": "COMPLIANCE", "Days": 3_650}
    assert made.functions()["seal"]["Properties"]["ReservedConcurrentExecutions"] == 1


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("log_name", ""),
        ("log_name", "has space"),
        ("log_name", "a+b"),
        ("log_name", "../up"),
        ("log_name", "a//b"),
        ("log_name", "a/"),
        ("log_name", "x" * 101),
        ("checkpoint_days", 0),
        ("checkpoint_days", 36_501),
        ("seal_concurrency", -1),
    ],
)
def test_what_cannot_be_deployed_is_refused(option: str, value: object) -> None:
    """Names that no checkpoint can have, and times that S3 does not take, are refused by name."""
    from infra.config import Deployment

    with pytest.raises(BadOption, match=option):
        Deployment.from_context({f"sentinel:{option}": value})
