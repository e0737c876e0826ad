"""Moto's DynamoDB with our tables, made from the descriptions that CDK reads too."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

import boto3
from botocore.config import Config
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber

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
    with one_at_a_time(), mock_aws():
        found = client(attempts)
        for name in names:
            found.create_table(**definition(name, TABLES[name]))
        yield found


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let moto carry out one request after the other.

    DynamoDB checks a condition and writes in one step. Moto checks, then writes: with two threads in it both
    may find that the condition holds.
    """
    lock = threading.RLock()
    carry_out = BotocoreStubber.process_request

    def alone(self: BotocoreStubber, request: Any) -> Any:
        with lock:
            return carry_out(self, request)

    with mock.patch.object(BotocoreStubber, "process_request", alone):
        yield


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
