"""Reading all of the tasks' table, for what no index tells: for people who check."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sentinel.adapters.aws_errors import translated

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def owners(client: DynamoDBClient, table: str) -> Iterator[str]:
    """Yield the task of all items, each task once: the items of one come together."""
    last = ""
    for item in _scanned(client, table):
        if item["task"]["S"] != last:
            last = item["task"]["S"]
            yield last


def owner_of(client: DynamoDBClient, table: str, item: str) -> str | None:
    """Return the task of an item with this sort key; None where there is none."""
    found = _scanned(
        client,
        table,
        FilterExpression="#i = :i",
        ExpressionAttributeNames={"#i": "item"},
        ExpressionAttributeValues={":i": {"S": item}},
    )
    return next((each["task"]["S"] for each in found), None)


def _scanned(client: DynamoDBClient, table: str, **asked: Any) -> Iterator[dict[str, Any]]:
    """Yield the keys of items, 1 MB read a page, each consistent."""
    while True:
        with translated():
            page: Any = client.scan(
                TableName=table, ProjectionExpression="task", ConsistentRead=True, **asked
            )
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        asked["ExclusiveStartKey"] = page["LastEvaluatedKey"]
