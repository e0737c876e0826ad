"""Damage in what is stored: every changed byte that a hash covers is found, and told where it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import orjson
import pytest
import redis

from examples import check_trace
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.core.segment import Segment
from sentinel.core.tasks import Task
from sentinel.usecases.proofs import Wish
from sentinel.usecases.verify_tasks import verify_tasks
from tests.scenario import World
from tests.traced import eventful, in_dynamodb, new_world, tracing


@pytest.fixture
def world(client: redis.Redis) -> Iterator[World]:
    """Wire everything."""
    found = new_world(client)
    yield found
    found.close()


@pytest.fixture
def task(world: World) -> Task:
    """Have a task with a retry, a doubt and three effects."""
    return eventful(world)


def rows(world: World, statement: str, *values: Any) -> list[Any]:
    """Change or read the store of tasks behind everybody's back."""
    with world.tasks._database.transaction() as connection:
        return connection.execute(statement, values).fetchall()


def flipped(raw: bytes, at: int) -> bytes:
    """Return bytes with one bit turned."""
    return raw[:at] + bytes([raw[at] ^ 1 << at % 8]) + raw[at + 1 :]


def damage(world: World, task: Task) -> list[tuple[str, int, str]]:
    """Return what a trace of a task tells as damaged; that is what verifying all tasks tells, too."""
    trace = tracing(world).of_task(task.id, Wish())
    found = [(each["chain"], each["seq"], each["kind"]) for each in trace["damage"]]
    assert trace["whole"] is not bool(found)
    if found:
        with pytest.raises((check_trace.Broken, ValueError)):
            check_trace.check(orjson.loads(orjson.dumps(trace)))
    return found


def test_what_is_whole_is_told_so(world: World, task: Task) -> None:
    """Nothing is found where nothing was changed."""
    assert damage(world, task) == []
    found = verify_tasks(world.tasks).json()
    assert (found["tasks"], found["events"], found["effects"], found["verified"]) == (
        1,
        task.version,
        3,
        True,
    )


@pytest.mark.parametrize("column", ["entry", "nonce", "head", "t"])
def test_every_bit_of_a_lineage_counts(world: World, task: Task, column: str) -> None:
    """A turned bit of any event is found at that very event, or for a head that is chained on at the next."""
    chain = f"task/{task.id}"
    for seq, before in rows(world, f"SELECT seq, {column} FROM events ORDER BY seq"):
        places = range(0, len(before), 7) if isinstance(before, bytes) else range(0, 60, 7)
        for at in places:
            after = flipped(before, at) if isinstance(before, bytes) else before ^ 1 << at
            rows(world, f"UPDATE events SET {column} = ? WHERE seq = ?", after, seq)
            assert damage(world, task)[0] == (chain, seq, "hash")
            assert not verify_tasks(world.tasks).whole
        rows(world, f"UPDATE events SET {column} = ? WHERE seq = ?", before, seq)
    assert damage(world, task) == []


@pytest.mark.parametrize(
    ("statement", "seq", "kind"),
    [
        ("DELETE FROM events WHERE seq = 2", 2, "hash"),
        ("DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)", -1, "missing"),
        ("DELETE FROM events", 0, "missing"),
        ("UPDATE events SET seq = 99 WHERE seq = 1", 1, "hash"),
        ("DELETE FROM tasks", 0, "missing"),
    ],
)
def test_what_is_gone_is_found(world: World, task: Task, statement: str, seq: int, kind: str) -> None:
    """Events, all of them, or the state: what is left tells that the rest is gone."""
    rows(world, statement)
    count = task.version if "tasks" in statement else task.version - 1
    assert damage(world, task)[0] == (
        f"task/{task.id}",
        count if seq < 0 or "tasks" in statement else seq,
        kind,
    )
    assert not verify_tasks(world.tasks).whole


@pytest.mark.parametrize(
    ("old", "new", "seq", "kind"),
    [
        ('"state":"succeeded"', '"state":"failed"', -1, "state"),
        ('"recipe_version":1', '"recipe_version":2', -1, "state"),
        ('"seq":4', '"seq":5', -1, "state"),
        ('"trace":"0af', '"trace":"1af', -1, "state"),
        ('"status":201', '"status":200', -2, "state"),
        ('"resolved":"happened"', '"resolved":"', 0, "payload"),
    ],
)
def test_a_changed_state_is_found(world: World, task: Task, old: str, new: str, seq: int, kind: str) -> None:
    """What a task's state says is held against its lineage; one that cannot be read says so."""
    ((body,),) = rows(world, "SELECT body FROM tasks")
    assert body.decode().count(old) == 1
    rows(world, "UPDATE tasks SET body = ?", body.decode().replace(old, new).encode())
    found = damage(world, task)
    at = {-1: task.version - 1, -2: [b.get("outcome") for b in _bodies(world, task)].index("done")}.get(
        seq, seq
    )
    assert found[0] == (f"task/{task.id}", at, kind)
    assert not verify_tasks(world.tasks).whole


def _bodies(world: World, task: Task) -> list[dict[str, Any]]:
    return [event.body for event in world.tasks.lineage(task.id)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"state":"done"', '"state":"intent"'),
        ('"status":201', '"status":200'),
        ('"step":"s0"', '"step":"s2"'),
        ('"key":"', '"key":"0'),
        ('"sinks":["splunk"]', '"sinks":["splunk"'),
    ],
)
def test_a_changed_effect_is_found(world: World, task: Task, old: str, new: str) -> None:
    """The state, result, step and key of an effect are held against what the lineage tells of it."""
    ((key, body),) = rows(world, "SELECT key, body FROM effects WHERE CAST(body AS TEXT) LIKE '%\"s0\"%'")
    assert body.decode().count(old) == 1
    rows(world, "UPDATE effects SET body = ? WHERE key = ?", body.decode().replace(old, new).encode(), key)
    found = damage(world, task)
    told = [body.get("outcome") for body in _bodies(world, task)].index("done")
    assert found[0] in {(f"task/{task.id}", told, "effect"), (f"task/{task.id}", 0, "effect")}
    assert not verify_tasks(world.tasks).whole


def test_an_effect_that_is_gone_or_foreign_is_found(world: World, task: Task) -> None:
    """One that the lineage tells of has to be there; one that is there has to be the recipe's."""
    ((key, body),) = rows(world, "SELECT key, body FROM effects WHERE CAST(body AS TEXT) LIKE '%\"s2\"%'")
    rows(world, "DELETE FROM effects WHERE key = ?", key)
    assert damage(world, task)[0][2] == "effect"
    rows(world, "INSERT INTO effects (task, key, body) VALUES (?, ?, ?)", task.id, key, body)
    assert damage(world, task) == []
    other = body.decode().replace(key, "f" * 64).encode()
    rows(world, "INSERT INTO effects (task, key, body) VALUES (?, ?, ?)", task.id, "f" * 64, other)
    assert damage(world, task)[0][2] == "effect"


def test_effects_without_a_task_are_found(world: World, task: Task) -> None:
    """Where state and lineage were taken away together, what is left of the effects tells."""
    rows(world, "DELETE FROM tasks")
    rows(world, "DELETE FROM events")
    assert damage(world, task)[0] == (f"task/{task.id}", 0, "missing")
    assert verify_tasks(world.tasks).damaged == 1


def test_all_damaged_tasks_are_counted_and_the_others_verified(world: World, task: Task) -> None:
    """One damaged task keeps no other from being verified."""
    from tests.traced import forked

    others = [forked(world, task, number) for number in range(1, 4)]
    rows(world, "UPDATE events SET nonce = zeroblob(32) WHERE task = ?", others[1].id)
    rows(world, "UPDATE tasks SET body = 'x' WHERE id = ?", others[2].id)
    found = verify_tasks(world.tasks)
    assert (found.tasks, found.damaged) == (4, 2)
    assert {each.chain for each in found.damage} == {f"task/{others[1].id}", f"task/{others[2].id}"}


@pytest.mark.parametrize("name", [each.name for each in fields(Segment) if each.compare])
def test_a_changed_segment_is_found(world: World, task: Task, name: str) -> None:
    """Whatever is changed of the entry's segment, or of one behind it, shows in the trace, and where."""
    whole = list(world.ledger.read("shop/0"))
    for number in (1, 2):
        for at in (0, -1):
            changed = replace(whole[number], **{name: _changed(getattr(whole[number], name), at)})
            ledger = SqliteLedger(":memory:")
            for each in (*whole[:number], changed, *whole[number + 1 :]):
                ledger.append(each)
            trace = tracing(world, ledger).of_task(task.id, Wish())
            if (name, number) in {("prev", 1), ("chain", 2)}:
                continue  # `verify` tells of what is before, and written heads of an end that was cut off
            assert trace["damage"], (name, number, at)
            assert trace["damage"][0]["chain"] == "shop/0"
            assert trace["damage"][0]["seq"] in {3, 4, 5, 7}
            if name in {"payload", "head", "t"}:
                assert trace["entries"][0]["proven"] is (number == 2)


def _changed(value: Any, at: int) -> Any:
    if isinstance(value, bytes):
        return flipped(value, at % len(value))
    return f"{value}x" if isinstance(value, str) else value + 1


def test_damage_in_tables_is_found(world: World, task: Task) -> None:
    """On DynamoDB, too: a changed event, effect, state and segment are told where they are."""
    with in_dynamodb(world) as (ledger, tasks, client):
        assert verify_tasks(tasks).json()["events"] == task.version
        items = client.scan(TableName="tasks")["Items"]
        for item in items:
            changed = dict(item)
            if "entry" in item:
                changed["entry"] = {"B": flipped(bytes(item["entry"]["B"]), 5)}
                at, kind = int(item["item"]["S"].removeprefix("event#")), "hash"
            elif item["item"]["S"] == "state":
                changed["body"] = {"S": item["body"]["S"].replace("succeeded", "cancelled")}
                at, kind = task.version - 1, "state"
            elif '"done"' in item["body"]["S"]:
                changed["body"] = {"S": item["body"]["S"].replace('"done"', '"intent"')}
                at, kind = -1, "effect"
            else:
                continue
            client.put_item(TableName="tasks", Item=changed)
            (first, *_) = tracing(world, ledger, tasks).of_task(task.id, Wish())["damage"]
            assert first["kind"] == kind
            assert first["seq"] == at or at < 0
            assert verify_tasks(tasks).damaged == 1
            client.put_item(TableName="tasks", Item=item)
        assert verify_tasks(tasks).whole
        (item,) = [it for it in client.scan(TableName="ledger")["Items"] if it["first"]["N"] == "3"]
        item["payload"] = {"B": flipped(bytes(item["payload"]["B"]), 30)}
        client.put_item(TableName="ledger", Item=item)
        (found,) = tracing(world, ledger, tasks).of_task(task.id, Wish())["damage"]
        assert (found["chain"], found["seq"]) == ("shop/0", 3)
        client.delete_item(TableName="tasks", Key={"task": {"S": task.id}, "item": {"S": "state"}})
        assert verify_tasks(tasks).damage[0].kind == "missing"
