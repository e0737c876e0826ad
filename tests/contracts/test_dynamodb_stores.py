"""What the stores on DynamoDB promise beyond their ports: what is sent, resent, refused and streamed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from sentinel.adapters import dynamodb_catalog, dynamodb_task_items
from sentinel.adapters.dynamodb_catalog import DynamoCatalog
from sentinel.adapters.dynamodb_counters import DynamoCounters
from sentinel.adapters.dynamodb_tables import DISPATCH_FILTER, TABLES
from sentinel.adapters.dynamodb_task_items import state_item, task_of
from sentinel.adapters.dynamodb_tasks import DynamoTasks
from sentinel.core.tasks import Effect, EffectState, Event, State, Task, verify_lineage
from sentinel.errors import Conflict, TooLarge, Unavailable
from sentinel.ports import Document
from tests.contracts.lost_requests import BrokenWire, Fault
from tests.contracts.made_tasks import T, created, step
from tests.contracts.tables import client, dynamodb

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.fixture
def dynamo() -> Iterator[DynamoDBClient]:
    """Give a client that sends once."""
    with dynamodb(*TABLES) as found:
        yield found


@pytest.fixture
def patient(dynamo: DynamoDBClient, monkeypatch: pytest.MonkeyPatch) -> DynamoDBClient:
    """Give a client that sends up to three times, without pauses."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    return client(attempts=3)


def test_a_resent_transaction_has_its_first_token(patient: DynamoDBClient) -> None:
    """The SDK sends a transaction again under the same ClientRequestToken, so DynamoDB carries it out once.

    Moto does not know tokens: it answers the second one by the condition, as DynamoDB would after ten
    minutes. Either way the task has moved once and reading tells.
    """
    tasks, wire = DynamoTasks(patient, "tasks"), BrokenWire(patient)
    task, event = created("t1")
    assert tasks.create(task, event)
    after, event = step(task, State.RUNNING)
    wire.fault, wire.left = "lost", 1
    with pytest.raises(Conflict):
        tasks.move(task, after, event)
    create, *moves = [json.loads(body) for body in wire.bodies]
    assert len(moves) == 2
    assert moves[0] == moves[1]
    assert moves[0]["ClientRequestToken"] != create["ClientRequestToken"]
    assert tasks.get("t1") == after
    assert verify_lineage("t1", tasks.lineage("t1"), after.head) == 2


def test_a_resent_count_is_counted_once(patient: DynamoDBClient) -> None:
    """Where the SDK sends a count again whose reply was lost, it is told that it was stored, once."""
    counters, wire = DynamoCounters(patient, "counters"), BrokenWire(patient)
    wire.fault, wire.left = "lost", 1
    assert counters.store("k", b"1", 0, 2_000_000_000) is True
    wire.left = 2
    assert counters.store("k", b"2", 1, 2_000_000_000) is True
    assert counters.load("k") == (b"2", 2)
    assert counters.store("k", b"2", 1, 2_000_000_000) is False


@pytest.mark.parametrize("fault", ["unsent", "lost"])
def test_resent_pushes_end_where_one_would(patient: DynamoDBClient, fault: Fault) -> None:
    """A push or retirement one of whose requests the SDK sends twice has happened once."""
    catalog, wire = DynamoCatalog(patient, "catalog"), BrokenWire(patient)
    wire.fault = fault
    for number in range(1, 4):
        wire.skip, wire.left = number - 1, 1
        assert catalog.push("rule", "r", b"%d" % number).version == number
    wire.skip, wire.left = 1, 1
    catalog.retire("rule", "r")
    assert catalog.revision() == "4"
    assert catalog.active("rule") == []


def test_writes_are_one_request(dynamo: DynamoDBClient) -> None:
    """Creating, moving, recording and counting are one request each, and none of them reads."""
    tasks, counters, wire = (
        DynamoTasks(dynamo, "tasks"),
        DynamoCounters(dynamo, "counters"),
        BrokenWire(dynamo),
    )
    task, event = created("t1")
    tasks.create(task, event)
    tasks.move(task, *step(task, State.RUNNING))
    tasks.record(Effect("t1", "k", EffectState.INTENT, "s", T))
    counters.store("k", b"1", 0, 2_000_000_000)
    assert len(wire.bodies) == 4


def every_request(dynamo: DynamoDBClient, fault: Fault, failing: int, forever: bool) -> bool:
    """Run a task's life with request number `failing` broken; return whether that request was reached.

    Each operation recovers as the port says: create and record are sent again, a move is read again.
    """
    tasks, wire = DynamoTasks(dynamo, "tasks"), BrokenWire(dynamo)
    name = f"t-{fault}-{failing}-{forever}"
    wire.fault, wire.skip, wire.left = fault, failing, 4 if forever else 1
    task, event = created(name)
    acknowledged: list[Event] = []
    for _ in range(6):
        with contextlib.suppress(Unavailable):
            tasks.create(task, event)
            acknowledged.append(event)
            break
    for to in (State.RUNNING, State.WAITING, State.RUNNING, State.SUCCEEDED):
        after, event = step(task, to)
        for _ in range(6):
            with contextlib.suppress(Unavailable):
                found = tasks.get(name)
                assert found in (task, after)
                if found == task:
                    tasks.move(task, after, event)
                acknowledged.append(event)
                break
        task = after
    reached = wire.left < (4 if forever else 1)
    wire.skip = wire.left = 0
    assert tasks.get(name) == task
    assert tasks.lineage(name) == acknowledged
    assert verify_lineage(name, acknowledged, task.head) == 5
    return reached


@pytest.mark.parametrize("fault", ["unsent", "lost"])
@pytest.mark.parametrize("forever", [False, True])
def test_whatever_request_fails_the_lineage_verifies(
    dynamo: DynamoDBClient, fault: Fault, forever: bool
) -> None:
    """Break the first request, then the second, ... once or several times: nothing is lost or doubled."""
    failing = 0
    while every_request(client(), fault, failing, forever):
        failing += 1
    assert failing >= 9


def raced(catalog: DynamoCatalog, monkeypatch: pytest.MonkeyPatch, times: int, race: Any) -> None:
    """Let `race` happen between the reads and the transaction of the next `times` changes."""
    real, left = catalog._changed, [times]

    def changed(writes: list[dict[str, Any]], document: Document, *, active: bool) -> bool:
        if left[0]:
            left[0] -= 1
            race(left[0])
        return real(writes, document, active=active)

    monkeypatch.setattr(catalog, "_changed", changed)


def test_a_push_between_reading_and_writing_is_kept(
    dynamo: DynamoDBClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who finds that another push was faster pushes after it: both are versions, in that order."""
    catalog, other = DynamoCatalog(dynamo, "catalog"), DynamoCatalog(dynamo, "catalog")
    raced(catalog, monkeypatch, 2, lambda left: other.push("rule", "r", b"other %d" % left))
    assert catalog.push("rule", "r", b"mine").version == 3
    bodies = [found.body for n in (1, 2, 3) if (found := catalog.version("rule", "r", n))]
    assert bodies == [b"other 1", b"other 0", b"mine"]
    assert [found.version for found in catalog.active("rule")] == [3]


def test_a_retirement_between_reading_and_writing(
    dynamo: DynamoDBClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A push that a retirement overtakes is decided anew, and so is a retirement that a push overtakes."""
    catalog, other = DynamoCatalog(dynamo, "catalog"), DynamoCatalog(dynamo, "catalog")
    other.push("rule", "r", b"a")
    raced(catalog, monkeypatch, 1, lambda _: other.retire("rule", "r"))
    assert catalog.push("rule", "r", b"b").version == 2
    raced(catalog, monkeypatch, 1, lambda _: other.push("rule", "r", b"c"))
    catalog.retire("rule", "r")
    assert catalog.active("rule") == []


def test_pushing_against_everybody_gives_up(dynamo: DynamoDBClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is overtaken again and again says Unavailable rather than going on for ever."""
    catalog, other = DynamoCatalog(dynamo, "catalog"), DynamoCatalog(dynamo, "catalog")
    monkeypatch.setattr(dynamodb_catalog, "_ROUNDS", 3)
    raced(catalog, monkeypatch, 3, lambda left: other.push("rule", "r", b"other %d" % left))
    with pytest.raises(Unavailable, match="keep pushing"):
        catalog.push("rule", "r", b"mine")
    raced(catalog, monkeypatch, 3, lambda left: other.push("rule", "r", b"another %d" % left))
    with pytest.raises(Unavailable, match="keep pushing"):
        catalog.retire("rule", "r")


def test_what_no_item_can_hold_is_too_large(dynamo: DynamoDBClient) -> None:
    """An item over 400 KB is refused by name, in a transaction and outside, and nothing is written."""
    tasks, counters = DynamoTasks(dynamo, "tasks"), DynamoCounters(dynamo, "counters")
    with pytest.raises(TooLarge, match="400 KB"):
        tasks.create(*created("t1", reason="x" * 500_000))
    with pytest.raises(TooLarge, match="400 KB"):
        counters.store("k", bytes(500_000), 0, 2_000_000_000)
    assert tasks.get("t1") is None
    assert tasks.lineage("t1") == []


def test_lineage_and_due_follow_the_pages(dynamo: DynamoDBClient) -> None:
    """More than one answer's worth (1 MB) of events or of due tasks comes back whole."""
    tasks = DynamoTasks(dynamo, "tasks")
    task, event = created("t1", reason="x" * 1000)
    tasks.create(task, event)
    for seq in range(1, 5):
        filler = replace(event, seq=seq, entry=bytes(300_000))
        dynamo.put_item(TableName="tasks", Item=dynamodb_task_items.event_item(filler))
    assert [event.seq for event in tasks.lineage("t1")] == [0, 1, 2, 3, 4]
    for number in range(20):
        big, event = created(f"big{number}", due=T + number, reason="x" * 300_000)
        dynamo.put_item(TableName="tasks", Item=state_item(big, event))
    assert [found.id for found in tasks.due(T + 20, 100)] == sorted(
        ["t1", *(f"big{number}" for number in range(20))],
        key=lambda name: (int(name[3:]) if name != "t1" else 0, name),
    )
    assert [found.id for found in tasks.due(T + 20, 3)] == ["big0", "t1", "big1"]


def test_a_task_seen_in_two_buckets_counts_once(
    dynamo: DynamoDBClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that moves while the buckets are read one after another is given once, as it is newest."""
    tasks = DynamoTasks(dynamo, "tasks")
    task, event = created("t1")
    tasks.create(task, event)
    real = tasks._pages
    moved: list[tuple[Task, Event]] = []

    def pages(limit: int | None = None, **query: Any) -> Iterator[dict[str, Any]]:
        found = list(real(limit, **query))
        if found and not moved:
            moved.append(step(task, State.RUNNING, now=T + 1))
            tasks.move(task, *moved[0])
        return iter(found)

    monkeypatch.setattr(tasks, "_pages", pages)
    assert tasks.listing() == [moved[0][0]]


def test_only_unfinished_tasks_are_in_the_index_of_due(dynamo: DynamoDBClient) -> None:
    """A task that has ended leaves the index that the sweep reads, so that the sweep stays cheap."""
    tasks = DynamoTasks(dynamo, "tasks")
    task, event = created("t1")
    tasks.create(task, event)
    assert dynamo.scan(TableName="tasks", IndexName="by_state")["Count"] == 1
    for to in (State.RUNNING, State.SUCCEEDED):
        after, event = step(task, to)
        tasks.move(task, after, event)
        task = after
    assert dynamo.scan(TableName="tasks", IndexName="by_state")["Count"] == 0
    assert dynamo.scan(TableName="tasks", IndexName="by_change")["Count"] == 1


def test_buckets_are_spread(dynamo: DynamoDBClient) -> None:
    """Tasks of one state go to four partitions of an index, by a hash of their id."""
    event = created("t")[1]
    buckets = {state_item(created(f"t{n}")[0], event)["bucket"]["S"] for n in range(64)}
    assert buckets == {f"queued#{shard}" for shard in range(4)}


def matches(pattern: Any, value: Any) -> bool:
    """Match as Lambda's event filters do: every key of the pattern, a list holds what a leaf may be."""
    if isinstance(pattern, list):
        return value in pattern
    return all(key in value and matches(each, value[key]) for key, each in pattern.items())


def test_dispatch_is_woken_by_queued_tasks_only(dynamo: DynamoDBClient) -> None:
    """The filter lets through the states of queued tasks, whole, each with the line of its hints."""
    tasks = DynamoTasks(dynamo, "tasks")
    task, event = created("t1", priority="high", share=3)
    tasks.create(task, event)
    tasks.record(Effect("t1", "k", EffectState.INTENT, "s", T))
    tasks.move(task, *step(task, State.RUNNING))
    records = stream(dynamo, "tasks")
    assert len(records) == 5
    assert all("OldImage" not in record["dynamodb"] for record in records)
    passed = [record["dynamodb"]["NewImage"] for record in records if matches(DISPATCH_FILTER, record)]
    assert [(task_of(image), image["stream"]["S"]) for image in passed] == [(task, "siem:high.3")]


def stream(dynamo: DynamoDBClient, table: str) -> list[dict[str, Any]]:
    """Return all records of a table's stream."""
    # Moto knows the streams' regional address only, not that of an account.
    config = Config(account_id_endpoint_mode="disabled")
    streams: Any = boto3.client("dynamodbstreams", region_name=dynamo.meta.region_name, config=config)
    arn = dynamo.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    shards = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    found: list[dict[str, Any]] = []
    for shard in shards:
        iterator = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        found += streams.get_records(ShardIterator=iterator)["Records"]
    return found


def test_a_missing_table_is_a_fault_of_the_deployment(dynamo: DynamoDBClient) -> None:
    """No such table: the error goes through and names itself; retrying would never help."""
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        DynamoTasks(dynamo, "nope").get("t1")
    with pytest.raises(ClientError, match="ResourceNotFound"):
        DynamoCounters(dynamo, "nope").store("k", b"", 0, 1)


def test_the_key_of_a_task_is_its_own(dynamo: DynamoDBClient) -> None:
    """Tasks whose ids begin alike have lineages and effects of their own."""
    tasks = DynamoTasks(dynamo, "tasks")
    for name in ("t1", "t11", "t1#"):
        tasks.create(*created(name))
        tasks.record(replace(Effect("", "k", EffectState.INTENT, "s", T), task_id=name))
    assert [event.task_id for event in tasks.lineage("t1")] == ["t1"]
    assert tasks.effects("t1")["k"].task_id == "t1"
