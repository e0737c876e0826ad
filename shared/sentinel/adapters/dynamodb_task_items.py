"""The items of the table `tasks` in DynamoDB's low-level form; what they are is told by `dynamodb_tasks`."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from sentinel.adapters.task_json import read_task, task_to_json
from sentinel.core.tasks import Event, State, Task

SHARDS = 4
STATE_ITEM = "state"
EVENT = "event#"
EFFECT = "effect#"


def state_item(task: Task, event: Event) -> dict[str, Any]:
    """Return the item of a task's state, low-level form.

    Dispatch reads `state`, `stream` (the task's line, from which it hints without reading the body) and
    `version`.
    """
    item = {
        "task": {"S": task.id},
        "item": {"S": STATE_ITEM},
        "bucket": {"S": bucket_of(task.state, sha256(task.id.encode()).digest()[0] % SHARDS)},
        "changed": {"N": str(event.t)},
        "state": {"S": task.state.value},
        "stream": {"S": task.line},
        "version": {"N": str(task.version)},
        "body": {"S": task_to_json(task).decode()},
    }
    if not task.state.ended:
        item["due"] = {"N": str(task.due)}
    return item


def task_of(item: dict[str, Any]) -> Task:
    """Return the task of a state item in low-level form, also from an image of the table's stream.

    Raises `Tampered` for an item that we cannot have written.
    """
    return read_task(item["task"]["S"], item["body"]["S"])


def bucket_of(state: State, shard: int) -> str:
    """Name one of the partitions that a state is spread over in the indexes."""
    return f"{state.value}#{shard}"


def event_item(event: Event) -> dict[str, Any]:
    """Return the item of a lineage event, low-level form."""
    return {
        "task": {"S": event.task_id},
        "item": {"S": f"{EVENT}{event.seq:010d}"},
        "t": {"N": str(event.t)},
        "nonce": {"B": event.nonce},
        "entry": {"B": event.entry},
        "head": {"B": event.head},
    }


def event_update(event: Event, before: Event) -> dict[str, Any]:
    """Return the UpdateItem that puts an event's nonce and entry in the place of those of `before`."""
    made, stored = event_item(event), event_item(before)
    return {
        "Key": {name: stored[name] for name in ("task", "item")},
        "UpdateExpression": "SET #n = :n, #e = :e",
        "ConditionExpression": "#e = :before",
        "ExpressionAttributeNames": {"#n": "nonce", "#e": "entry"},
        "ExpressionAttributeValues": {
            ":n": made["nonce"],
            ":e": made["entry"],
            ":before": stored["entry"],
        },
    }


def event_of(item: dict[str, Any]) -> Event:
    """Return the event of an item in low-level form."""
    return Event(
        task_id=item["task"]["S"],
        seq=int(item["item"]["S"].removeprefix(EVENT)),
        t=int(item["t"]["N"]),
        nonce=bytes(item["nonce"]["B"]),
        entry=bytes(item["entry"]["B"]),
        head=bytes(item["head"]["B"]),
    )
