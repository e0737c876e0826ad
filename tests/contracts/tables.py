"""Moto's DynamoDB with our tables, made from the descriptions that CDK reads too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from moto import mock_aws

from sentinel.adapters.dynamodb_tables import TABLES, Key, Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

REGION = "eu-central-1"


def client(attempts: int = 1, **config: Any) -> DynamoDBClient:
    """Return a DynamoDB client that sends each request at most `attempts` times."""
    retries: Any = {"mode": "standard", "total_max_attempts": attempts}
    return boto3.client(
        "dynamodb",
        region_name=REGION,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        endpoint_url=config.pop("endpoint_url", None),
        config=Config(retries=retries, **config),
    )


@contextmanager
def dynamodb(*names: str, attempts: int = 1) -> Iterator[DynamoDBClient]:
    """Give a client of a moto account that has the named tables of `TABLES`, under their own names."""
    with mock_aws():
        found = client(attempts)
        for name in names:
            found.create_table(**definition(name, TABLES[name]))
        yield found


def definition(name: str, table: Table) -> Any:
    """Return what CreateTable takes for a table."""
    keys = [table.partition, *([table.sort] if table.sort else [])]
    indexed = [key for index in table.indexes for key in (index.partition, index.sort)]
    found: dict[str, Any] = {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": _schema(keys),
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": kind}
            for name, kind in {key.name: key.type for key in (*keys, *indexed)}.items()
        ],
    }
    if table.indexes:
        found["GlobalSecondaryIndexes"] = [
            {
                "IndexName": index.name,
                "KeySchema": _schema([index.partition, index.sort]),
                "Projection": {"ProjectionType": index.projection},
            }
            for index in table.indexes
        ]
    if table.stream:
        found["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": table.stream}
    return found


def _schema(keys: list[Key]) -> list[dict[str, str]]:
    return [
        {"AttributeName": key.name, "KeyType": kind}
        for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)
    ]
