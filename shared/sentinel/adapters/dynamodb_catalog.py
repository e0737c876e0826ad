"""The port `Catalog` on DynamoDB: active documents under their kind, every version under its document.

Table `catalog` (`dynamodb_tables`): partition key `kind`, sort key `id`. The active version of a rule is
at (`rule`, its id), each of its versions at (`rule#<id>`, the number in ten digits), and the revision at
(`revision`, `revision`). When rules became active or were retired is at (`activations#rule`, the time in
twenty digits, `#` and the rule's id). A push or a retirement is one transaction, conditional on what it has
read; who finds that somebody else was faster reads again and decides anew, so no push is lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from sentinel.adapters.aws_errors import CONDITION, canceled_by, translated, whole
from sentinel.adapters.catalog_kind import check_kind
from sentinel.errors import Unavailable
from sentinel.ports import Activation, Document

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_ROUNDS = 10
_REVISION = {"kind": {"S": "revision"}, "id": {"S": "revision"}}


class DynamoCatalog:
    """Documents in one table. `client` is a low-level DynamoDB client. See `sentinel.ports.Catalog`.

    `clock` is in epoch nanoseconds.
    """

    def __init__(self, client: DynamoDBClient, table: str, clock: Callable[[], int] = time.time_ns) -> None:
        self._client = whole(client)
        self._table = table
        self._clock = clock

    def push(self, kind: str, doc_id: str, body: bytes) -> Document:
        """Make `body` the active version of a document; the same body again changes nothing.

        The body of the newest version gets no new number: after `retire` it becomes active again as it was.
        Raises `Unavailable` where others are always faster; pushing again is safe.
        """
        check_kind(kind)
        digest = sha256(body).hexdigest()
        for _ in range(_ROUNDS):
            active, newest = self._active(kind, doc_id), self._newest(kind, doc_id)
            writes = []
            if newest is None or newest.digest != digest:
                newest = Document(kind, doc_id, newest.version + 1 if newest else 1, digest, body)
                writes.append(self._put(_version_key(newest), newest, None))
            elif active and active.version == newest.version:
                return newest
            writes.append(self._put(_active_key(kind, doc_id), newest, active))
            if self._changed(writes, newest, active=True):
                return newest
        raise Unavailable(f"others keep pushing {kind} {doc_id}")

    def retire(self, kind: str, doc_id: str) -> None:
        """Take a document out of the active set; its versions stay. Nothing where it is not active."""
        check_kind(kind)
        for _ in range(_ROUNDS):
            active = self._active(kind, doc_id)
            if active is None:
                return
            delete = {"TableName": self._table, "Key": _active_key(kind, doc_id), **_condition(active)}
            if self._changed([{"Delete": delete}], active, active=False):
                return
        raise Unavailable(f"others keep pushing {kind} {doc_id}")

    def active(self, kind: str) -> list[Document]:
        """Return the active version of every document of a kind, by id: a consistent Query."""
        check_kind(kind)
        return [_document(kind, item["id"]["S"], item) for item in self._query(kind)]

    def version(self, kind: str, doc_id: str, version: int) -> Document | None:
        """Return one version of a document, active or not."""
        check_kind(kind)
        item = self._get(_version_key(Document(kind, doc_id, version, "", b"")))
        return _document(kind, doc_id, item) if item else None

    def activations(self, kind: str) -> list[Activation]:
        """Return what became active or was retired, and when, in order of time: a consistent Query."""
        found = []
        for item in self._query(f"activations#{check_kind(kind)}"):
            t, _, doc_id = item["id"]["S"].partition("#")
            version, active = int(item["version"]["N"]), bool(item["active"]["BOOL"])
            found.append(Activation(kind, doc_id, version, active, int(t)))
        return found

    def revision(self) -> str:
        """Return a token that changes with every push or retire: one consistent read of a small item."""
        item = self._get(_REVISION)
        return str(item["n"]["N"]) if item else "0"

    def _active(self, kind: str, doc_id: str) -> Document | None:
        item = self._get(_active_key(kind, doc_id))
        return _document(kind, doc_id, item) if item else None

    def _newest(self, kind: str, doc_id: str) -> Document | None:
        item = next(self._query(f"{kind}#{doc_id}", ScanIndexForward=False, Limit=1), None)
        return _document(kind, doc_id, item) if item else None

    def _get(self, key: dict[str, Any]) -> dict[str, Any] | None:
        with translated():
            found: Any = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        item: dict[str, Any] | None = found.get("Item")
        return item

    def _query(self, partition: str, **more: Any) -> Iterator[dict[str, Any]]:
        query: dict[str, Any] = {
            "KeyConditionExpression": "kind = :k",
            "ExpressionAttributeValues": {":k": {"S": partition}},
            "ConsistentRead": True,
            **more,
        }
        while True:
            with translated():
                page: Any = self._client.query(TableName=self._table, **query)
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _put(self, key: dict[str, Any], document: Document, seen: Document | None) -> dict[str, Any]:
        item = {
            **key,
            "version": {"N": str(document.version)},
            "digest": {"S": document.digest},
            "body": {"B": document.body},
        }
        return {"Put": {"TableName": self._table, "Item": item, **_condition(seen)}}

    def _told(self, document: Document, active: bool) -> dict[str, Any]:
        item = {
            "kind": {"S": f"activations#{document.kind}"},
            "id": {"S": f"{self._clock():020d}#{document.id}"},
            "version": {"N": str(document.version)},
            "active": {"BOOL": active},
        }
        return {"Put": {"TableName": self._table, "Item": item}}

    def _changed(self, writes: list[dict[str, Any]], document: Document, *, active: bool) -> bool:
        """Carry `writes` out together with a new revision and the time of it.

        Returns False where a condition does not hold.
        """
        revise = {
            "TableName": self._table,
            "Key": _REVISION,
            "UpdateExpression": "ADD n :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }
        items: Any = [*writes, {"Update": revise}, self._told(document, active)]
        try:
            with translated():
                self._client.transact_write_items(TransactItems=items)
        except ClientError as error:
            if CONDITION in canceled_by(error):
                return False
            raise
        return True


def _condition(seen: Document | None) -> dict[str, Any]:
    """Return the condition that an item is still as it was seen."""
    if seen is None:
        return {"ConditionExpression": "attribute_not_exists(kind)"}
    return {
        "ConditionExpression": "#v = :v",
        "ExpressionAttributeNames": {"#v": "version"},
        "ExpressionAttributeValues": {":v": {"N": str(seen.version)}},
    }


def _active_key(kind: str, doc_id: str) -> dict[str, Any]:
    return {"kind": {"S": kind}, "id": {"S": doc_id}}


def _version_key(document: Document) -> dict[str, Any]:
    return {"kind": {"S": f"{document.kind}#{document.id}"}, "id": {"S": f"{document.version:010d}"}}


def _document(kind: str, doc_id: str, item: dict[str, Any]) -> Document:
    version, digest = int(item["version"]["N"]), item["digest"]["S"]
    return Document(kind, doc_id, version, digest, bytes(item["body"]["B"]))
