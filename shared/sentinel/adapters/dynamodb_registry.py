"""The port `Registry` on DynamoDB: one item a record, replaced by one conditional PutItem.

Table `registry` (`dynamodb_tables`): partition key `kind`, sort key `id`, and `expires`, by which DynamoDB
forgets. Each put signs what it writes with a token: where the SDK sends a request again whose reply was
lost, the token tells that it was this very call that was faster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from botocore.exceptions import ClientError

from sentinel.adapters.aws_errors import code_of, translated, whole
from sentinel.adapters.registry_keys import check, storable
from sentinel.ports_doors import Record

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def _token() -> bytes:
    return uuid4().bytes


class DynamoRegistry:
    """Records in one table. `client` is a low-level DynamoDB client. See `sentinel.ports_doors.Registry`.

    `token` returns 16 bytes that no other call of any process gets.
    """

    def __init__(self, client: DynamoDBClient, table: str, token: Callable[[], bytes] = _token) -> None:
        self._client = whole(client)
        self._table = table
        self._token = token

    def get(self, kind: str, record_id: str) -> Record | None:
        """Return a record as it is now, or None: one consistent read."""
        if not storable(kind, record_id):
            return None
        with translated():
            found: Any = self._client.get_item(
                TableName=self._table, Key=_key(kind, record_id), ConsistentRead=True
            )
        return _record(found["Item"]) if "Item" in found else None

    def put(self, record: Record) -> bool:
        """Store a record if the stored version is still `record.version`; False where it is not."""
        check(record)
        token = self._token()
        item: dict[str, Any] = {
            **_key(record.kind, record.id),
            "body": {"B": record.body},
            "version": {"N": str(record.version + 1)},
            "service": {"S": record.service},
            "token": {"B": token},
        }
        if record.expires:
            item["expires"] = {"N": str(record.expires)}
        try:
            with translated():
                self._client.put_item(
                    TableName=self._table,
                    Item=item,
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    **_condition(record.version),
                )
        except ClientError as error:
            if code_of(error) != "ConditionalCheckFailedException":
                raise
            response: Any = error.response
            return bool(response.get("Item", {}).get("token", {}).get("B") == token)
        return True

    def listing(self, kind: str, service: str = "") -> list[Record]:
        """Return all records of a kind by id, or those of one service: a consistent Query."""
        query: dict[str, Any] = {
            "KeyConditionExpression": "kind = :k",
            "ExpressionAttributeValues": {":k": {"S": kind}},
            "ConsistentRead": True,
        }
        if service:
            query["FilterExpression"] = "service = :s"
            query["ExpressionAttributeValues"][":s"] = {"S": service}
        found: list[Record] = []
        while True:
            with translated():
                page: Any = self._client.query(TableName=self._table, **query)
            found += map(_record, page["Items"])
            if "LastEvaluatedKey" not in page:
                return found
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def drop(self, kind: str, record_id: str) -> None:
        """Take a record away; nothing where there is none."""
        if not storable(kind, record_id):
            return
        with translated():
            self._client.delete_item(TableName=self._table, Key=_key(kind, record_id))


def _condition(version: int) -> dict[str, Any]:
    """Return the condition that a stored record still has this version."""
    if not version:
        return {"ConditionExpression": "attribute_not_exists(kind)"}
    return {
        "ConditionExpression": "#v = :v",
        "ExpressionAttributeNames": {"#v": "version"},
        "ExpressionAttributeValues": {":v": {"N": str(version)}},
    }


def _key(kind: str, record_id: str) -> dict[str, Any]:
    return {"kind": {"S": kind}, "id": {"S": record_id}}


def _record(item: dict[str, Any]) -> Record:
    return Record(
        kind=item["kind"]["S"],
        id=item["id"]["S"],
        body=bytes(item["body"]["B"]),
        version=int(item["version"]["N"]),
        service=item["service"]["S"],
        expires=int(item["expires"]["N"]) if "expires" in item else 0,
    )
