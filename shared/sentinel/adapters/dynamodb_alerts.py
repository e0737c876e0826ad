"""The port `Alerts` on DynamoDB: one item an alert, replaced by one conditional PutItem.

Table `alerts` (`dynamodb_tables`): partition key `alert`; the index `newest` has the partitions
`SERVICE#STATUS`, each in the order of `seen`, which is the time in 20 digits and the id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from sentinel.adapters.aws_errors import code_of, translated, whole
from sentinel.adapters.dynamodb_tables import NEWEST
from sentinel.ports_alerts import StoredAlert

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_PAGE = 100


class DynamoAlerts:
    """Alerts in one table. `client` is a low-level DynamoDB client. See `sentinel.ports_alerts.Alerts`."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = whole(client)
        self._table = table

    def load(self, ids: Sequence[str]) -> dict[str, StoredAlert]:
        """Return those of these alerts that are stored, by id: one consistent read each."""
        found: dict[str, StoredAlert] = {}
        for each in ids:
            with translated():
                item = self._client.get_item(
                    TableName=self._table, Key={"alert": {"S": each}}, ConsistentRead=True
                ).get("Item")
            if item:
                found[each] = _alert(item)
        return found

    def store(self, alerts: Sequence[StoredAlert]) -> set[str]:
        """Store each alert whose version is still the stored one: one write each; return the others' ids."""
        return {alert.id for alert in alerts if not self._stored(alert)}

    def newest(
        self, service: str, status: str, before: tuple[int, str] | None = None
    ) -> Iterator[StoredAlert]:
        """Yield a service's alerts of one status, the newest first, by pages of the index."""
        condition, values = "shelf = :s", {":s": {"S": f"{service}#{status}"}}
        if before is not None:
            condition += " AND seen < :b"
            values[":b"] = {"S": _seen(*before)}
        query: dict[str, Any] = {
            "TableName": self._table,
            "IndexName": NEWEST,
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": values,
            "ScanIndexForward": False,
            "Limit": _PAGE,
        }
        while True:
            with translated():
                page: Any = self._client.query(**query)
            yield from map(_alert, page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def everything(self) -> Iterator[StoredAlert]:
        """See `ports_erasure.ErasableAlerts`: reads the whole table."""
        scan: dict[str, Any] = {"TableName": self._table, "ConsistentRead": True}
        while True:
            with translated():
                page: Any = self._client.scan(**scan)
            yield from map(_alert, page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            scan["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def drop(self, alert_id: str, version: int) -> bool:
        """See `ports_erasure.ErasableAlerts`."""
        try:
            with translated():
                self._client.delete_item(
                    TableName=self._table,
                    Key={"alert": {"S": alert_id}},
                    ConditionExpression="attribute_not_exists(alert) OR #v = :v",
                    ExpressionAttributeNames={"#v": "version"},
                    ExpressionAttributeValues={":v": {"N": str(version)}},
                )
        except ClientError as error:
            if code_of(error) != "ConditionalCheckFailedException":
                raise
            return False
        return True

    def compact(self) -> None:
        """See `ports_erasure.ErasableAlerts`."""

    def _stored(self, alert: StoredAlert) -> bool:
        put: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(alert)"}
        if alert.version:
            put = {
                "ConditionExpression": "#v = :v",
                "ExpressionAttributeNames": {"#v": "version"},
                "ExpressionAttributeValues": {":v": {"N": str(alert.version)}},
            }
        try:
            with translated():
                self._client.put_item(TableName=self._table, Item=_item(alert), **put)
        except ClientError as error:
            if code_of(error) != "ConditionalCheckFailedException":
                raise
            return False
        return True


def _seen(seen: int, alert_id: str) -> str:
    return f"{seen:020d}#{alert_id}"


def _item(alert: StoredAlert) -> dict[str, Any]:
    return {
        "alert": {"S": alert.id},
        "shelf": {"S": f"{alert.service}#{alert.status}"},
        "seen": {"S": _seen(alert.seen, alert.id)},
        "body": {"B": alert.body},
        "version": {"N": str(alert.version + 1)},
    }


def _alert(item: Any) -> StoredAlert:
    service, _, status = item["shelf"]["S"].rpartition("#")
    seen = int(item["seen"]["S"].partition("#")[0])
    version = int(item["version"]["N"])
    return StoredAlert(item["alert"]["S"], service, status, seen, bytes(item["body"]["B"]), version)
