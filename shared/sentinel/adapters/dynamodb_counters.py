"""The port `Counters` on DynamoDB: one item a key, replaced by one conditional PutItem.

Table `counters` (`dynamodb_tables`): partition key `key`, and `expires`, by which DynamoDB forgets. Each
call of `store` signs what it writes with a token: where the SDK sends a request again whose reply was lost,
the token tells that it was this very call that was faster, and nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from botocore.exceptions import ClientError

from sentinel.adapters.aws_errors import code_of, translated, whole

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def _token() -> bytes:
    return uuid4().bytes


class DynamoCounters:
    """Counters in one table. `client` is a low-level DynamoDB client. See `sentinel.ports.Counters`.

    `token` returns 16 bytes that no other call of any process gets.
    """

    def __init__(self, client: DynamoDBClient, table: str, token: Callable[[], bytes] = _token) -> None:
        self._client = whole(client)
        self._table = table
        self._token = token

    def load(self, key: str) -> tuple[bytes, int]:
        """Return (state, version); (b"", 0) where there is none: one consistent read."""
        with translated():
            found = self._client.get_item(
                TableName=self._table, Key={"key": {"S": key}}, ConsistentRead=True
            ).get("Item")
        return (bytes(found["state"]["B"]), int(found["version"]["N"])) if found else (b"", 0)

    def store(self, key: str, state: bytes, version: int, expires: int) -> bool:
        """Replace the state if its version is still `version`; return False where it is not."""
        token = self._token()
        item: dict[str, Any] = {
            "key": {"S": key},
            "state": {"B": state},
            "version": {"N": str(version + 1)},
            "expires": {"N": str(expires)},
            "token": {"B": token},
        }
        condition: dict[str, Any] = {
            "ConditionExpression": "attribute_not_exists(#k)",
            "ExpressionAttributeNames": {"#k": "key"},
        }
        if version:
            condition = {
                "ConditionExpression": "#v = :v",
                "ExpressionAttributeNames": {"#v": "version"},
                "ExpressionAttributeValues": {":v": {"N": str(version)}},
            }
        try:
            with translated():
                self._client.put_item(
                    TableName=self._table,
                    Item=item,
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    **condition,
                )
        except ClientError as error:
            if code_of(error) != "ConditionalCheckFailedException":
                raise
            response: Any = error.response
            return bool(response.get("Item", {}).get("token", {}).get("B") == token)
        return True

    def walk(self, prefix: str) -> Iterator[tuple[str, bytes, int]]:
        """See `ports_erasure.ErasableCounters`: reads the whole table."""
        scan: dict[str, Any] = {
            "TableName": self._table,
            "FilterExpression": "begins_with(#k, :p)",
            "ExpressionAttributeNames": {"#k": "key"},
            "ExpressionAttributeValues": {":p": {"S": prefix}},
            "ConsistentRead": True,
        }
        while True:
            with translated():
                page: dict[str, Any] = dict(self._client.scan(**scan))
            for item in page["Items"]:
                yield item["key"]["S"], bytes(item["state"]["B"]), int(item["version"]["N"])
            if "LastEvaluatedKey" not in page:
                return
            scan["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def drop(self, key: str, version: int) -> bool:
        """See `ports_erasure.ErasableCounters`."""
        try:
            with translated():
                self._client.delete_item(
                    TableName=self._table,
                    Key={"key": {"S": key}},
                    ConditionExpression="attribute_not_exists(#k) OR #v = :v",
                    ExpressionAttributeNames={"#k": "key", "#v": "version"},
                    ExpressionAttributeValues={":v": {"N": str(version)}},
                )
        except ClientError as error:
            if code_of(error) != "ConditionalCheckFailedException":
                raise
            return False
        return True

    def compact(self) -> None:
        """See `ports_erasure.ErasableCounters`."""
