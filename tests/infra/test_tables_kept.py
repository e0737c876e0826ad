"""The state stack: what is acknowledged survives."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from sentinel.adapters.dynamodb_tables import TABLES

if TYPE_CHECKING:
    from tests.infra.conftest import Templates


@pytest.mark.parametrize("name", sorted(TABLES))
def test_tables_are_as_described_and_kept(templates: Templates, name: str) -> None:
    """Each table has the keys, indexes, stream and expiry of its description, on demand, and is kept."""
    logical = templates.table(name).rpartition("/")[2]
    resource = templates.of("AWS::DynamoDB::Table")[logical]
    table, described = resource["Properties"], TABLES[name]
    keys = [key for key in (described.partition, described.sort) if key]
    assert [key["AttributeName"] for key in table["KeySchema"]] == [key.name for key in keys]
    types = {
        attribute["AttributeName"]: attribute["AttributeType"] for attribute in table["AttributeDefinitions"]
    }
    assert all(types[key.name] == key.type for key in keys)
    indexes = {
        index["IndexName"]: (
            [key["AttributeName"] for key in index["KeySchema"]],
            index["Projection"]["ProjectionType"],
        )
        for index in table.get("GlobalSecondaryIndexes", [])
    }
    assert indexes == {
        each.name: ([each.partition.name, each.sort.name], each.projection) for each in described.indexes
    }
    assert table.get("StreamSpecification", {}).get("StreamViewType", "") == described.stream
    assert table.get("TimeToLiveSpecification", {}).get("AttributeName", "") == described.ttl
    recovery = table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
    assert recovery == described.recover
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["DeletionProtectionEnabled"] is True
    assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"


def test_the_ledger_can_be_recovered_and_watched() -> None:
    """The ledger's description has recovery and both images: the tripwire needs what an item was before."""
    assert TABLES["ledger"].recover
    assert TABLES["tasks"].recover
    assert TABLES["ledger"].stream == "NEW_AND_OLD_IMAGES"


def test_tables_stand_apart(templates: Templates) -> None:
    """The state stack has the tables and what the doors keep, and the service stack nothing that is kept."""
    kinds = {resource["Type"] for resource in templates.stack("SentinelState")["Resources"].values()}
    assert kinds == {
        "AWS::DynamoDB::Table",
        "AWS::KMS::Key",
        "AWS::S3::Bucket",
        "AWS::S3::BucketPolicy",
        "AWS::SecretsManager::Secret",
    }
    service = templates.stack("SentinelService")["Resources"].values()
    assert not [r for r in service if r["Type"] in kinds]


def test_a_throwaway_deployment_leaves_nothing(synthesize: Callable[..., Templates]) -> None:
    """With `keep` off, the tables and what the doors keep go with their stack."""
    made = synthesize(keep=False)
    for kind in ("AWS::KMS::Key", "AWS::S3::Bucket", "AWS::SecretsManager::Secret"):
        assert {each["DeletionPolicy"] for each in made.of(kind).values()} == {"Delete"}
    for table in synthesize(keep=False).of("AWS::DynamoDB::Table").values():
        assert table["DeletionPolicy"] == "Delete"
        assert table["Properties"]["DeletionProtectionEnabled"] is False


@pytest.mark.nightly
def test_a_customer_key_covers_tables_and_logs(synthesize: Callable[..., Templates]) -> None:
    """With `customer_key`, all tables, function logs and environments use one rotating, kept key."""
    made = synthesize(customer_key=True)
    keys = made.of("AWS::KMS::Key").values()
    (key,) = [each for each in keys if each["Properties"].get("KeyUsage") != "SIGN_VERIFY"]
    assert key["Properties"]["EnableKeyRotation"] is True
    assert key["DeletionPolicy"] == "Retain"
    for table in made.of("AWS::DynamoDB::Table").values():
        assert "KMSMasterKeyId" in table["Properties"]["SSESpecification"]
    service = made.stack("SentinelService")["Resources"].values()
    logs = [resource for resource in service if resource["Type"] == "AWS::Logs::LogGroup"]
    assert logs
    assert all("KmsKeyId" in log["Properties"] for log in logs)
    for function in made.functions().values():
        assert "KmsKeyArn" in function["Properties"]
