"""What a task costs in AWS: its requests to DynamoDB, counted on the wire, and the units they are billed as.

The application is the one of the functions, with its tables in moto and its queue in a real Valkey. One task
runs from its entry's change record over detection, dispatch and worker to its success; every request that
botocore sends meanwhile is counted. Units are worked out from the items that were sent, as DynamoDB bills
them: a write unit for each begun kilobyte, twice that in a transaction, and once more for each index that
changes, twice where an index's key changes (the old item is removed and a new one added). moto bills nothing,
so that arithmetic is here and tested.
"""

from __future__ import annotations

import base64
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.tasks_tree import RULE
from sentinel.adapters.dynamodb_ledger import to_item
from sentinel.adapters.dynamodb_tables import TABLES, Index
from sentinel.adapters.dynamodb_task_items import state_item
from sentinel.adapters.dynamodb_tasks import DynamoTasks
from sentinel.bootstrap import App
from sentinel.core.segment import Batch
from sentinel.entrypoints import feeds, workers
from sentinel.local.feeds import record
from sentinel.settings import Settings
from tests.contracts.tables import REGION, dynamodb
from tests.valkey import running

Item = Mapping[str, Mapping[str, Any]]
KILOBYTE = 1024
WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem"})
TABLE_SETTINGS: dict[str, Any] = {
    f"{name}_table": name for name in ("ledger", "tasks", "catalog", "counters", "registry", "alerts")
}
AWS = {"AWS_DEFAULT_REGION": REGION, "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


@dataclass
class Bill:
    """The requests of some work, by operation, and the write units of their items and of the indexes."""

    requests: Counter[str] = field(default_factory=Counter)
    table_units: int = 0
    index_units: int = 0
    largest: int = 0
    _stored: dict[tuple[str, ...], Item] = field(default_factory=dict)

    @property
    def writes(self) -> int:
        """How many write requests there were."""
        return sum(count for name, count in self.requests.items() if name in WRITES)

    @property
    def reads(self) -> int:
        """How many read requests there were."""
        return self.requests.total() - self.writes

    @property
    def units(self) -> int:
        """All write units."""
        return self.table_units + self.index_units

    def add(self, operation: str, body: Mapping[str, Any]) -> None:
        """Count one request as it was sent."""
        self.requests[operation] += 1
        if operation == "PutItem":
            self._put(body["TableName"], body["Item"], 1)
        elif operation == "TransactWriteItems":
            for each in body["TransactItems"]:
                self._put(each["Put"]["TableName"], each["Put"]["Item"], 2)
        elif operation in WRITES:
            raise NotImplementedError(f"{operation} is not billed here yet")

    def restart(self) -> None:
        """Forget what was counted; what is stored stays."""
        self.requests, self.table_units, self.index_units, self.largest = Counter(), 0, 0, 0

    def _put(self, table: str, item: Item, factor: int) -> None:
        about = TABLES[table]
        keys = [key.name for key in (about.partition, about.sort) if key]
        place = (table, *(json.dumps(item[name]) for name in keys))
        self.largest = max(self.largest, size(item))
        self.table_units += factor * units(item)
        self.index_units += sum(index_units(index, self._stored.get(place), item) for index in about.indexes)
        self._stored[place] = item


def size(item: Item) -> int:
    """Return the bytes of an item as DynamoDB counts them: names and values; numbers are about half as long.

    >>> size({"id": {"S": "abc"}, "n": {"N": "1234"}})
    9
    """
    return sum(len(name.encode()) + _value(value) for name, value in item.items())


def _value(value: Mapping[str, Any]) -> int:
    [(kind, it)] = value.items()
    if kind == "N":
        return (len(it.lstrip("-")) + 1) // 2 + 1
    return len(base64.b64decode(it)) if kind == "B" else len(it.encode())


def units(item: Item) -> int:
    """Return the write units of an item outside of a transaction."""
    return -(-size(item) // KILOBYTE)


def index_units(index: Index, before: Item | None, after: Item) -> int:
    """Return the write units that an index takes when an item comes to be as it is `after`."""
    names = (index.partition.name, index.sort.name)

    def projected(item: Item | None) -> Item | None:
        if item is None or any(name not in item for name in names):
            return None
        return item if index.projection == "ALL" else {name: item[name] for name in names}

    old, new = projected(before), projected(after)
    if old is None or new is None:
        return sum(units(each) for each in (old, new) if each is not None)
    if any(old[name] != new[name] for name in names):
        return units(old) + units(new)
    return max(units(old), units(new)) if old != new else 0


@contextmanager
def counted(folder: Path, steps: int) -> Iterator[tuple[App, Bill, DynamoTasks]]:
    """Give the application on tables in moto, with a recipe of so many steps, and what it is billed.

    Looking at the tasks by the third is not counted.
    """
    folder.mkdir(parents=True)
    tables = dynamodb(*TABLE_SETTINGS.values())
    with patch.dict(os.environ, AWS), running(folder) as server, tables as uncounted:
        app = App(replace(Settings(redis_url=server.url, log_level="ERROR"), **TABLE_SETTINGS))
        bill = Bill()

        def sent(request: Any, **_: object) -> None:
            operation = request.headers["X-Amz-Target"].decode().rpartition(".")[2]
            bill.add(operation, json.loads(request.body))

        app.catalog.push("rule", "boom", RULE)
        waits = ", ".join(f"{{id: s{n}, uses: wait, with: {{for: 0s}}}}" for n in range(steps))
        app.catalog.push("recipe", "r", f"id: r\non: {{rule: boom}}\nsteps: [{waits}]\n".encode())
        for client in (app.dynamodb, app.dynamodb_once):
            client.meta.events.register_first("before-send", sent)
        yield app, bill, DynamoTasks(uncounted, "tasks")


def run_one(app: App, bill: Bill, tasks: DynamoTasks, number: int) -> None:
    """Take an entry in, then run its task to its end, as the functions do, and bill that."""
    batch = Batch(number.to_bytes(16, "big"), [b'{"message": "boom"}'], {"service": "bench"})
    app.appender.append(f"bench-{number}/0", batch)
    segment = app.ledger.head(f"bench-{number}/0")
    assert segment is not None
    bill.restart()
    keys = {"chain": {"S": segment.chain}, "first": {"N": "0"}}
    assert feeds.detect(app, [record(1, "INSERT", keys, to_item(segment), "ledger")]) == 1
    (task,) = tasks.listing(limit=1)
    state = {"task": {"S": task.id}, "item": {"S": "state"}}
    image = {**state_item(task, tasks.lineage(task.id)[-1])}
    assert feeds.dispatch(app, [record(2, "INSERT", state, image, "tasks")]) == 1
    answer = workers.worker("action")(app, lambda: 100.0)
    assert answer["succeeded"] == 1, answer


def bill_of(folder: Path, steps: int) -> Bill:
    """Return what one task of a recipe with `steps` steps is billed in a warm application."""
    with counted(folder, steps) as (app, bill, tasks):
        for number in (1, 2):  # the first one reads the catalog
            run_one(app, bill, tasks, number)
        return bill


def cost(folder: Path, of: Callable[[Path, int], Bill] = bill_of) -> dict[str, float]:
    """Return the figures of a task with one step, and the units of one with three."""
    one, three = of(folder / "one", 1), of(folder / "three", 3)
    print(dict(one.requests), one.table_units, one.index_units, one.largest)
    return {
        "write_requests": one.writes,
        "write_units": one.units,
        "write_requests_3_steps": three.writes,
        "write_units_3_steps": three.units,
    }
