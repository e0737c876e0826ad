"""The port `Tasks` on DynamoDB: one item for a task's state, one for each event, one for each effect.

Table `tasks` (`dynamodb_tables`): partition key `task`; sort key `item`, which is `state`,
`event#0000000001` or `effect#<key>`. The state item's `bucket` is `<state>#<shard>`, so that one state of
many tasks is spread over four partitions of each index; it has `due` only while the task has not ended.
State and event are written by one transaction. Each call of one has a ClientRequestToken of its own (the
SDK makes it), so what the SDK sends again after a lost reply is carried out once and answered alike, while
a second call is judged anew: `create` says False and `move` says `Conflict`, as on SQLite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from heapq import merge
from itertools import groupby
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from sentinel.adapters import dynamodb_task_scan as scan
from sentinel.adapters.aws_errors import CONDITION, canceled_by, code_of, translated, whole
from sentinel.adapters.dynamodb_tables import BY_CHANGE, BY_STATE
from sentinel.adapters.dynamodb_task_items import (
    EFFECT,
    EVENT,
    SHARDS,
    STATE_ITEM,
    bucket_of,
    event_item,
    event_of,
    event_update,
    state_item,
    task_of,
)
from sentinel.adapters.task_json import effect_to_json, read_effect, readable, readable_first, task_to_json
from sentinel.core.tasks import Effect, EffectState, Event, State, Task, lineage_chain
from sentinel.errors import Conflict, Tampered

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_NEWEST = 50  # tasks that one query of `newest` reads of each partition


class DynamoTasks:
    """Tasks in one table. `client` is a low-level DynamoDB client. See `sentinel.ports.Tasks`."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = whole(client)
        self._table = table

    def create(self, task: Task, event: Event) -> bool:
        """Store a new task with its first event. Return False, changing nothing, where its id exists."""
        put = {"Item": state_item(task, event), "ConditionExpression": "attribute_not_exists(task)"}
        return self._write(put, event)

    def create_all(self, births: Sequence[tuple[Task, Event]]) -> list[bool]:
        """Store new tasks, one transaction each: one for many costs as much and would fail as a whole."""
        return [self.create(task, event) for task, event in births]

    def get(self, task_id: str) -> Task | None:
        """Return a task as it is now: one consistent read."""
        with translated():
            found = self._client.get_item(
                TableName=self._table,
                Key={"task": {"S": task_id}, "item": {"S": STATE_ITEM}},
                ConsistentRead=True,
            )
        return task_of(found["Item"]) if "Item" in found else None

    def move(self, before: Task, after: Task, event: Event) -> None:
        """Replace `before` by `after` and add `event`; `Conflict` where the stored version is another."""
        put = {
            "Item": state_item(after, event),
            "ConditionExpression": "#v = :v",
            "ExpressionAttributeNames": {"#v": "version"},
            "ExpressionAttributeValues": {":v": {"N": str(before.version)}},
        }
        if not self._write(put, event):
            raise Conflict(f"task {before.id} is not at version {before.version} any more")

    def extend(self, task: Task, due: int) -> bool:
        """Put `due` into the stored task, and nothing else; False where its version is another."""
        update: Any = {
            "TableName": self._table,
            "Key": {"task": {"S": task.id}, "item": {"S": STATE_ITEM}},
            "UpdateExpression": "SET due = :due, body = :body",
            "ConditionExpression": "#v = :v",
            "ExpressionAttributeNames": {"#v": "version"},
            "ExpressionAttributeValues": {
                ":due": {"N": str(due)},
                ":body": {"S": task_to_json(replace(task, due=due)).decode()},
                ":v": {"N": str(task.version)},
            },
        }
        return self._holds(lambda: self._client.update_item(**update))

    def lineage(self, task_id: str) -> list[Event]:
        """Return the events of a task, oldest first: a consistent Query."""
        return [event_of(item) for item in self._items(task_id, EVENT)]

    def record(self, effect: Effect, known: int = 0) -> bool:
        """Store an effect's state under `(task, key)`; False for an INTENT that is late: see the port."""
        put: dict[str, Any] = {
            "TableName": self._table,
            "Item": {
                "task": {"S": effect.task_id},
                "item": {"S": EFFECT + effect.key},
                "state": {"S": effect.state.value},
                "attempt": {"N": str(effect.attempt)},
                "body": {"S": effect_to_json(effect).decode()},
            },
        }
        if effect.state is EffectState.INTENT:
            put["ConditionExpression"] = (
                "attribute_not_exists(task) OR"
                " (#s <> :done AND (attribute_not_exists(#a) OR #a IN (:attempt, :known)))"
            )
            put["ExpressionAttributeNames"] = {"#s": "state", "#a": "attempt"}
            put["ExpressionAttributeValues"] = {
                ":done": {"S": EffectState.DONE.value},
                ":attempt": {"N": str(effect.attempt)},
                ":known": {"N": str(known)},
            }
        return self._holds(lambda: self._client.put_item(**put))

    def effects(self, task_id: str) -> dict[str, Effect]:
        """Return a task's effects by key: a consistent Query."""
        items = {item["item"]["S"].removeprefix(EFFECT): item for item in self._items(task_id, EFFECT)}
        return {key: read_effect(task_id, key, item["body"]["S"]) for key, item in items.items()}

    def holder(self, key: str) -> str | None:
        """Return the task that has an effect; reads the whole table."""
        return scan.owner_of(self._client, self._table, EFFECT + key)

    def ids(self) -> Iterator[str]:
        """Yield the id of every task of which there is anything; reads the whole table."""
        return scan.owners(self._client, self._table)

    def rewrite(self, task: Task, effects: Sequence[Effect]) -> bool:
        """See `ports_erasure.ErasableTasks`: one UpdateItem an effect, and one for the state."""
        changed = [(EFFECT + each.key, effect_to_json(each).decode()) for each in effects]
        for item, body in changed:
            if not self._rewritten(task.id, item, body, "attribute_exists(task)"):
                return False
        held = {":v": {"N": str(task.version)}}
        return self._rewritten(task.id, STATE_ITEM, task_to_json(task).decode(), "#v = :v", held)

    def _rewritten(self, task: str, item: str, body: str, condition: str, held: Any = None) -> bool:
        update: Any = {
            "TableName": self._table,
            "Key": {"task": {"S": task}, "item": {"S": item}},
            "UpdateExpression": "SET body = :body",
            "ConditionExpression": condition,
            "ExpressionAttributeValues": {":body": {"S": body}, **(held or {})},
        }
        if held:
            update["ExpressionAttributeNames"] = {"#v": "version"}
        return self._holds(lambda: self._client.update_item(**update))

    def erase_event(self, event: Event, before: Event) -> bool:
        """See `ports_erasure.ErasableTasks`: one UpdateItem."""
        update = event_update(event, before)
        return self._holds(lambda: self._client.update_item(TableName=self._table, **update))

    def compact(self) -> None:
        """See `ports_erasure.ErasableTasks`."""

    def due(self, now: int, limit: int) -> list[Task]:
        """Return unfinished tasks whose `due` is at or before `now`, earliest first."""
        states = [state for state in State if not state.ended]
        query = {
            "IndexName": BY_STATE,
            "KeyConditionExpression": "#b = :b AND due <= :now",
            "ExpressionAttributeValues": {":now": {"N": str(now)}},
        }

        def first(count: int) -> list[tuple[str, Any]]:
            found = self._buckets(states, count, query)
            found.sort(key=lambda item: (int(item["due"]["N"]), item["task"]["S"]))
            return [(item["task"]["S"], item["body"]["S"]) for item in found[:count]]

        return readable_first(first, limit)

    def listing(self, state: State | None = None, limit: int = 100) -> list[Task]:
        """Return tasks, newest change first, of one state or of all."""
        query = {
            "IndexName": BY_CHANGE,
            "KeyConditionExpression": "#b = :b",
            "ExpressionAttributeValues": {},
            "ScanIndexForward": False,
        }
        found = self._buckets(list(State) if state is None else [state], limit, query)
        found.sort(key=lambda item: (-int(item["changed"]["N"]), item["task"]["S"]))
        return [task_of(item) for item in found[:limit]]

    def newest(self, states: Sequence[State], until: int) -> Iterator[tuple[int, Task]]:
        """Yield (changed, task) of some states, newest change first: every partition's pages, merged."""
        buckets = (bucket_of(state, shard) for state in states for shard in range(SHARDS))
        return merge(*(self._newest(each, until) for each in buckets), key=lambda it: (-it[0], it[1].id))

    def _newest(self, bucket: str, until: int) -> Iterator[tuple[int, Task]]:
        """Yield one partition's; the index keeps no order among those that changed at the same time."""
        items = self._pages(
            size=_NEWEST,
            IndexName=BY_CHANGE,
            KeyConditionExpression="#b = :b AND changed <= :u",
            ExpressionAttributeNames={"#b": "bucket"},
            ExpressionAttributeValues={":b": {"S": bucket}, ":u": {"N": str(until)}},
            ScanIndexForward=False,
        )
        for changed, same in groupby(items, key=lambda item: int(item["changed"]["N"])):
            rows = sorted((item["task"]["S"], item["body"]["S"]) for item in same)
            yield from ((changed, task) for task in readable(rows))

    def walk(self, state: State, until: int) -> Iterator[Task]:
        """Yield every task of one state that changed by `until`, partition by partition, oldest first."""
        for shard in range(SHARDS):
            found = self._pages(
                IndexName=BY_CHANGE,
                KeyConditionExpression="#b = :b AND changed <= :u",
                ExpressionAttributeNames={"#b": "bucket"},
                ExpressionAttributeValues={":b": {"S": bucket_of(state, shard)}, ":u": {"N": str(until)}},
            )
            yield from readable((item["task"]["S"], item["body"]["S"]) for item in found)

    def _write(self, put_state: dict[str, Any], event: Event) -> bool:
        """Write state and event together; False where the state's condition does not hold."""
        put_event = {"Item": event_item(event), "ConditionExpression": "attribute_not_exists(task)"}
        puts: Any = [{"Put": {"TableName": self._table, **put}} for put in (put_state, put_event)]
        try:
            with translated():
                self._client.transact_write_items(TransactItems=puts)
        except ClientError as error:
            reasons = canceled_by(error)
            if reasons[:1] == [CONDITION]:
                return False
            if reasons[:2] == ["", CONDITION]:
                # The task says that this event is still to come: it was put back, or its lineage added to.
                chain = lineage_chain(event.task_id)
                raise Tampered(chain, event.seq, "fork", "an event stands where the task has none") from None
            raise
        return True

    def _holds(self, write: Callable[[], object]) -> bool:
        """Write one item; False where its condition does not hold."""
        try:
            with translated():
                write()
        except ClientError as error:
            if code_of(error) != "ConditionalCheckFailedException":
                raise
            return False
        return True

    def _items(self, task_id: str, prefix: str) -> Iterator[dict[str, Any]]:
        return self._pages(
            KeyConditionExpression="task = :t AND begins_with(#i, :p)",
            ExpressionAttributeNames={"#i": "item"},
            ExpressionAttributeValues={":t": {"S": task_id}, ":p": {"S": prefix}},
            ConsistentRead=True,
        )

    def _buckets(self, states: Iterable[State], limit: int, query: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the first `limit` items of every bucket, each task once: as it is at its newest version.

        Between two queries a task may move from a bucket to another, and so be in both answers.
        """
        newest: dict[str, dict[str, Any]] = {}
        for bucket in (bucket_of(state, shard) for state in states for shard in range(SHARDS)):
            values = {**query["ExpressionAttributeValues"], ":b": {"S": bucket}}
            names = {"#b": "bucket"}
            asked = {**query, "ExpressionAttributeValues": values, "ExpressionAttributeNames": names}
            for item in self._pages(limit, **asked):
                seen = newest.setdefault(item["task"]["S"], item)
                if int(seen["version"]["N"]) < int(item["version"]["N"]):
                    newest[item["task"]["S"]] = item
        return list(newest.values())

    def _pages(
        self, limit: int | None = None, size: int | None = None, **query: Any
    ) -> Iterator[dict[str, Any]]:
        """Yield a query's items, 1 MB or `size` items a page, at most `limit`."""
        left = limit
        while left is None or left > 0:
            most = left or size
            asked = query if most is None else {**query, "Limit": most}
            with translated():
                page: Any = self._client.query(TableName=self._table, **asked)
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]
            left = None if left is None else left - len(page["Items"])
