"""Data keys in AWS: `ports_log.DataKeys` by KMS and one DynamoDB table.

APIs: KMS `GenerateDataKey` and `Decrypt` (2014-11-01) by a symmetric key that never leaves it, with the
encryption context `{"chain", "key"}`: KMS authenticates it, its log shows it, and policies can be conditioned
on it. Table `keys` (`dynamodb_tables`): partition key `chain`, sort key `id`, with `made` (epoch nanoseconds)
and `wrapped`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from sentinel.adapters.aws_errors import code_of, translated, whole
from sentinel.errors import Forbidden, Missing, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# KMS's own words for what passes by itself, beside those of `aws_errors`.
_PASSING = frozenset({"KeyUnavailableException", "DependencyTimeoutException", "KMSInternalException"})


class KmsDataKeys:
    """Data keys in one table. `master` is the KMS key: its id, ARN or alias."""

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        kms: Any,
        master: str,
        clock: Callable[[], int],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._client = whole(client)
        self._table = table
        self._kms = kms
        self._master = master
        self._clock = clock
        self._entropy = entropy

    def make(self, chain: str) -> tuple[str, bytes]:
        """See `ports_log.DataKeys`."""
        key = self._entropy(16).hex()
        made = self._ask(
            "generate_data_key", KeyId=self._master, KeySpec="AES_256", EncryptionContext=_context(chain, key)
        )
        item: dict[str, Any] = {
            "chain": {"S": chain},
            "id": {"S": key},
            "made": {"N": str(self._clock())},
            "wrapped": {"B": bytes(made["CiphertextBlob"])},
        }
        try:
            with translated():
                # The SDK may send it again after a lost answer: then the condition fails, and it is stored.
                self._client.put_item(
                    TableName=self._table,
                    Item=item,
                    ConditionExpression="attribute_not_exists(id) OR #w = :w",
                    ExpressionAttributeNames={"#w": "wrapped"},
                    ExpressionAttributeValues={":w": item["wrapped"]},
                )
        except ClientError as error:
            raise _forbidden(error) from None
        return key, bytes(made["Plaintext"])

    def open(self, chain: str, key: str) -> bytes:
        """See `ports_log.DataKeys`."""
        try:
            with translated():
                item: Any = self._client.get_item(
                    TableName=self._table, Key=_place(chain, key), ConsistentRead=True
                ).get("Item")
        except ClientError as error:
            raise _forbidden(error) from None
        if item is None:
            raise Missing("this data key was destroyed")
        wrapped = bytes(item["wrapped"]["B"])
        found = self._ask(
            "decrypt", KeyId=self._master, CiphertextBlob=wrapped, EncryptionContext=_context(chain, key)
        )
        return bytes(found["Plaintext"])

    def destroy(self, chain: str, key: str) -> None:
        """See `ports_log.DataKeys`."""
        try:
            with translated():
                self._client.delete_item(TableName=self._table, Key=_place(chain, key))
        except ClientError as error:
            raise _forbidden(error) from None

    def ids(self, chain: str) -> list[tuple[str, int]]:
        """See `ports_log.DataKeys`."""
        query: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "chain = :c",
            "ExpressionAttributeValues": {":c": {"S": chain}},
            "ConsistentRead": True,
        }
        found: list[tuple[str, int]] = []
        while True:
            try:
                with translated():
                    page: dict[str, Any] = dict(self._client.query(**query))
            except ClientError as error:
                raise _forbidden(error) from None
            found += [(item["id"]["S"], int(item["made"]["N"])) for item in page["Items"]]
            if "LastEvaluatedKey" not in page:
                return sorted(found, key=lambda each: (each[1], each[0]))
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _ask(self, operation: str, **arguments: object) -> dict[str, Any]:
        try:
            with translated():
                found: dict[str, Any] = getattr(self._kms, operation)(**arguments)
        except ClientError as error:
            code = code_of(error)
            if code in _PASSING:
                raise Unavailable(f"KMS: {code}", 1.0) from None
            raise Forbidden(f"the key of data keys in KMS may not be used for this ({code})") from None
        return found


def _context(chain: str, key: str) -> dict[str, str]:
    return {"chain": chain, "key": key}


def _place(chain: str, key: str) -> Any:
    return {"chain": {"S": chain}, "id": {"S": key}}


def _forbidden(error: ClientError) -> Exception:
    if code_of(error) == "AccessDeniedException":
        return Forbidden("the table of data keys may not be used for this")
    return error
