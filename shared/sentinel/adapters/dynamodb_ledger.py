"""The ledger on DynamoDB: one item a segment, one conditional PutItem an append.

Table `ledger` (`dynamodb_tables`): partition key `chain`, sort key `first`. The item of a chain's first
segment also has `genesis`, the key of a sparse index that lists the chains. What is archived gets `expires`
(`DynamoExpiring`), by which DynamoDB drops it. What else is updated is a payload, by an erasure, which no
function's role may. No code here can delete an item.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from sentinel.adapters.aws_errors import code_of, translated, whole
from sentinel.core.segment import Segment
from sentinel.errors import Tampered
from sentinel.ports import SlotTaken

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

GENESIS = "1"


def to_item(segment: Segment) -> dict[str, Any]:
    """Return a segment as a DynamoDB item in low-level form."""
    item: dict[str, Any] = {
        "chain": {"S": segment.chain},
        "first": {"N": str(segment.first)},
        "count": {"N": str(segment.count)},
        "prev": {"B": segment.prev},
        "head": {"B": segment.head},
        "t": {"N": str(segment.t)},
        "payload": {"B": segment.payload},
        "codec": {"N": str(segment.codec)},
        "recent": {"B": segment.recent},
        "tree": {"B": segment.tree},
    }
    if segment.key:
        item["key"] = {"S": segment.key}
    if segment.first == 0:
        item["genesis"] = {"S": GENESIS}
    return item


def from_item(item: dict[str, Any]) -> Segment:
    """Return the segment of a DynamoDB item in low-level form, bytes already decoded.

    Raises `Tampered` for an item that is no segment: nothing of ours writes one.
    """
    chain, first = item["chain"]["S"], 0  # keys: every item of the table has them, but `first` may be 1.5
    try:
        first = int(item["first"]["N"])
        return Segment(
            chain=chain,
            first=first,
            count=int(item["count"]["N"]),
            prev=bytes(item["prev"]["B"]),
            head=bytes(item["head"]["B"]),
            t=int(item["t"]["N"]),
            payload=bytes(item["payload"]["B"]),
            codec=int(item["codec"]["N"]),
            recent=bytes(item["recent"]["B"]),
            # A segment of a version before trees has none; the next append to its chain makes up for it.
            tree=bytes(item["tree"]["B"]) if "tree" in item else b"",
            key=item["key"]["S"] if "key" in item else "",
        )
    except (KeyError, ValueError) as error:
        raise Tampered(chain, first, "item", f"it is no segment: {error}") from None


class DynamoLedger:
    """`ports.Ledger` on one table. `client` is a low-level DynamoDB client, `writes` the one that writes."""

    def __init__(self, client: DynamoDBClient, table: str, writes: DynamoDBClient | None = None) -> None:
        self._client = whole(client)
        self._writes = whole(writes) if writes else self._client
        self._table = table

    def append(self, segment: Segment) -> None:
        """See `ports.Ledger`. The SDK's own retries send the same bytes to the same slot: they are safe."""
        try:
            with translated():
                self._writes.put_item(
                    TableName=self._table,
                    Item=to_item(segment),
                    ConditionExpression="attribute_not_exists(chain)",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            taken: Any = error.response
            raise SlotTaken(from_item(taken["Item"])) from None

    def head(self, chain: str) -> Segment | None:
        """See `ports.Ledger`: one consistent Query, newest first, limit 1."""
        return self._newest(
            KeyConditionExpression="chain = :c", ExpressionAttributeValues={":c": {"S": chain}}
        )

    def at(self, chain: str, seq: int) -> Segment | None:
        """See `ports.Ledger`: one consistent Query for the newest segment that begins at or before `seq`."""
        found = self._newest(
            KeyConditionExpression="chain = :c AND #f <= :s",
            ExpressionAttributeNames={"#f": "first"},
            ExpressionAttributeValues={":c": {"S": chain}, ":s": {"N": str(seq)}},
        )
        return found if found and found.first <= seq < found.first + found.count else None

    def read(self, chain: str, first: int = 0, limit: int | None = None) -> Iterator[Segment]:
        """See `ports.Ledger`: consistent Queries, 1 MB a page."""
        items = self._pages(
            KeyConditionExpression="chain = :c AND #f >= :s",
            ExpressionAttributeNames={"#f": "first"},
            ExpressionAttributeValues={":c": {"S": chain}, ":s": {"N": str(first)}},
            ConsistentRead=True,
            **({"Limit": limit} if limit else {}),
        )
        return map(from_item, itertools.islice(items, limit))

    def chains(self) -> Iterator[str]:
        """See `ports.Ledger`: the sparse index has one item a chain; it may lag by a second or two."""
        items = self._pages(
            IndexName="chains",
            KeyConditionExpression="genesis = :g",
            ExpressionAttributeValues={":g": {"S": GENESIS}},
        )
        return (item["chain"]["S"] for item in items)

    def replace(self, segment: Segment, before: Segment) -> bool:
        """See `ports_erasure.ErasableSegments`: one conditional UpdateItem."""
        sets = "SET payload = :p, codec = :c"
        values: dict[str, Any] = {":p": {"B": segment.payload}}
        values |= {":c": {"N": str(segment.codec)}, ":h": {"B": before.head}, ":b": {"B": before.payload}}
        names = {"#h": "head"}
        if segment.key:
            sets, names = sets + ", #k = :k", {**names, "#k": "key"}
            values[":k"] = {"S": segment.key}
        update: dict[str, Any] = {
            "TableName": self._table,
            "Key": {"chain": {"S": before.chain}, "first": {"N": str(before.first)}},
            "UpdateExpression": sets,
            "ConditionExpression": "#h = :h AND payload = :b",
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
        }
        try:
            with translated():
                self._client.update_item(**update)
        except ClientError as error:
            if code_of(error) != "ConditionalCheckFailedException":
                raise
            # The SDK may have sent it twice, after a lost answer.
            stored = self.at(before.chain, before.first)
            held = (stored.head, stored.payload) if stored else None
            return held == (before.head, segment.payload)
        return True

    def compact(self) -> None:
        """See `ports_erasure.ErasableSegments`."""

    def _pages(self, **query: Any) -> Iterator[dict[str, Any]]:
        while True:
            with translated():
                page: dict[str, Any] = dict(self._client.query(TableName=self._table, **query))
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _newest(self, **query: Any) -> Segment | None:
        with translated():
            page: dict[str, Any] = dict(
                self._client.query(
                    TableName=self._table, ConsistentRead=True, ScanIndexForward=False, Limit=1, **query
                )
            )
        return from_item(page["Items"][0]) if page["Items"] else None


class DynamoExpiring:
    """`ports_log.Expiring` on the same table: UpdateItem of one attribute, which is all that its role may."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = whole(client)
        self._table = table

    def expire(self, chain: str, first: int, seconds: int) -> None:
        """See `ports_log.Expiring`. Where there is no item none is made."""
        try:
            with translated():
                self._client.update_item(
                    TableName=self._table,
                    Key={"chain": {"S": chain}, "first": {"N": str(first)}},
                    UpdateExpression="SET expires = if_not_exists(expires, :e)",
                    ConditionExpression="attribute_exists(chain)",
                    ExpressionAttributeValues={":e": {"N": str(seconds)}},
                )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise

    def unmarked(self, chain: str, end: int) -> list[int]:
        """See `ports_log.Expiring`: consistent Queries, newest first."""
        query: dict[str, Any] = {
            "KeyConditionExpression": "chain = :c AND #f < :e",
            "ExpressionAttributeNames": {"#f": "first"},
            "ExpressionAttributeValues": {":c": {"S": chain}, ":e": {"N": str(end)}},
            "ProjectionExpression": "#f, expires",
            "ConsistentRead": True,
            "ScanIndexForward": False,
            "Limit": 25,
        }
        found: list[int] = []
        while True:
            with translated():
                page: dict[str, Any] = dict(self._client.query(TableName=self._table, **query))
            for item in page["Items"]:
                if "expires" in item:
                    return found
                found.append(int(item["first"]["N"]))
            if "LastEvaluatedKey" not in page:
                return found
            query |= {"ExclusiveStartKey": page["LastEvaluatedKey"], "Limit": 1_000}
