"""The contract of `ports.Tasks`, on SQLite and on DynamoDB."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import orjson
import pytest

from sentinel.adapters.dynamodb_task_items import state_item
from sentinel.adapters.dynamodb_tasks import DynamoTasks
from sentinel.adapters.sqlite_tasks import SqliteTasks
from sentinel.adapters.task_json import effect_from_json, effect_to_json, task_from_json, task_to_json
from sentinel.core.states import NEVER, By
from sentinel.core.tasks import SECOND, Effect, EffectState, State, Task, verify_lineage
from sentinel.errors import Conflict, Tampered, Unavailable
from sentinel.ports import Tasks
from sentinel.ports_audit import AuditedTasks
from tests.contracts.lost_requests import BrokenDisk, BrokenWire, Fault
from tests.contracts.made_tasks import T, created, step
from tests.contracts.tables import dynamodb

STORES = ["sqlite", "dynamodb"]


@pytest.fixture(params=STORES)
def broken(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Tasks, BrokenDisk | BrokenWire]]:
    """Give a store, and what breaks it on demand."""
    if request.param == "sqlite":
        store = SqliteTasks(tmp_path / "tasks.db")
        yield store, BrokenDisk(store._database)
        store.close()
        return
    with dynamodb("tasks") as client:
        yield DynamoTasks(client, "tasks"), BrokenWire(client)


@pytest.fixture
def tasks(broken: tuple[Tasks, BrokenDisk | BrokenWire]) -> Tasks:
    """Give a store that works."""
    return broken[0]


def begun(tasks: Tasks, name: str, due: int = T, now: int = T) -> Task:
    """Create a task and return it."""
    task, event = created(name, due, now)
    assert tasks.create(task, event)
    return task


def verified(tasks: Tasks, name: str) -> int:
    """Check a task's lineage against its head; return how many events it has."""
    task = tasks.get(name)
    assert task is not None
    return verify_lineage(name, tasks.lineage(name), task.head)


def test_task_comes_back_as_it_was(tasks: Tasks) -> None:
    """What was created is read back equal, every field, text of any language, its event byte for byte."""
    task, event = created("t1", results={"a": {"b": [1, 2.5, None, "ß\u0000𝄞"]}}, reason="名", worker="w")
    assert tasks.create(task, event)
    assert tasks.get("t1") == task
    assert tasks.lineage("t1") == [event]
    assert verified(tasks, "t1") == 1


def test_mappings_that_are_not_dicts_are_stored(tasks: Tasks) -> None:
    """A task's mappings may be read-only views; they come back equal as values."""
    task, event = created("t1", results=MappingProxyType({"a": MappingProxyType({"b": 1})}))
    assert tasks.create(task, event)
    found = tasks.get("t1")
    assert found is not None
    assert found.results == {"a": {"b": 1}}


def test_creating_twice_is_creating_once(tasks: Tasks) -> None:
    """An id that exists is refused by False, also with the very same task, and nothing changes."""
    task = begun(tasks, "t1")
    other, event = created("t1", by="b", reason="another")
    assert tasks.create(other, event) is False
    assert tasks.create(*created("t1")) is False
    assert tasks.get("t1") == task
    assert verified(tasks, "t1") == 1
    assert [found.id for found in tasks.listing()] == ["t1"]


def test_many_are_created_as_one_is(tasks: Tasks) -> None:
    """Each of many is created or refused by itself: what exists stays as it is, and hinders no other."""
    there = begun(tasks, "t1")
    births = [created(name, by="b") for name in ("t0", "t1", "t2", "t0")]
    assert tasks.create_all(births) == [True, False, True, False]
    assert tasks.get("t1") == there
    assert [tasks.get(name) for name in ("t0", "t2")] == [births[0][0], births[2][0]]
    assert [verified(tasks, name) for name in ("t0", "t1", "t2")] == [1, 1, 1]
    assert tasks.create_all([]) == []


@pytest.mark.parametrize("skip", [0, 1])
@pytest.mark.parametrize("fault", ["unsent", "lost"])
def test_after_unavailable_many_can_be_created_again(
    broken: tuple[Tasks, BrokenDisk | BrokenWire], fault: Fault, skip: int
) -> None:
    """Whatever was created before the fault, creating all of them again leaves each there once."""
    tasks, wire = broken
    births = [created(f"t{number}") for number in range(3)]
    wire.fault, wire.left = fault, 1
    wire.skip = skip if isinstance(wire, BrokenWire) else 0  # on SQLite all of them are one write
    with pytest.raises(Unavailable):
        tasks.create_all(births)
    tasks.create_all(births)
    assert [tasks.get(task.id) for task, _ in births] == [task for task, _ in births]
    assert [verified(tasks, task.id) for task, _ in births] == [1, 1, 1]


def test_unknown_ids_are_nothing(tasks: Tasks) -> None:
    """A task that was never created has no state, no lineage and no effects, and cannot be moved."""
    assert tasks.get("nope") is None
    assert tasks.lineage("nope") == []
    assert tasks.effects("nope") == {}
    assert tasks.due(T, 10) == []
    assert tasks.listing() == []
    task, _ = created("nope")
    with pytest.raises(Conflict):
        tasks.move(task, *step(task, State.RUNNING))
    assert tasks.get("nope") is None
    assert tasks.lineage("nope") == []


def test_move_writes_state_and_event(tasks: Tasks) -> None:
    """A move replaces the state and adds its event; the lineage ends where the task says."""
    task = begun(tasks, "t1")
    for to in (State.RUNNING, State.WAITING, State.RUNNING, State.QUEUED, State.RUNNING, State.SUCCEEDED):
        after, event = step(task, to, due=task.due + SECOND, attempt=task.attempt + 1)
        tasks.move(task, after, event)
        task = after
    assert tasks.get("t1") == task
    assert [event.seq for event in tasks.lineage("t1")] == list(range(7))
    assert verified(tasks, "t1") == 7


def test_lineage_is_in_order_beyond_ten_events(tasks: Tasks) -> None:
    """Events come oldest first by number, not by text."""
    task = begun(tasks, "t1")
    for number in range(11):
        after, event = step(task, State.WAITING if number % 2 else State.RUNNING)
        tasks.move(task, after, event)
        task = after
    assert verified(tasks, "t1") == 12


def test_of_two_movers_one_wins(tasks: Tasks) -> None:
    """Who moves from a version that is not stored any more gets Conflict, and leaves no trace."""
    task = begun(tasks, "t1")
    first, event = step(task, State.RUNNING, by="a")
    tasks.move(task, first, event)
    with pytest.raises(Conflict, match="t1"):
        tasks.move(task, *step(task, State.RUNNING, by="b"))
    with pytest.raises(Conflict):
        tasks.move(task, first, event)
    assert tasks.get("t1") == first
    assert verified(tasks, "t1") == 2


def test_a_fork_of_the_lineage_is_tampering(broken: tuple[Tasks, BrokenDisk | BrokenWire]) -> None:
    """A state that was put back behind our back shows at the next move, which changes nothing."""
    tasks, _ = broken
    task = begun(tasks, "t1")
    running, event = step(task, State.RUNNING)
    tasks.move(task, running, event)
    put_back(tasks, task)
    with pytest.raises(Tampered) as caught:
        tasks.move(task, *step(task, State.RUNNING, by="b"))
    assert (caught.value.chain, caught.value.seq, caught.value.kind) == ("task/t1", 1, "fork")
    assert tasks.lineage("t1")[1] == event
    assert tasks.get("t1") == task


def put_back(tasks: Tasks, task: Task) -> None:
    """Do what no code of ours does: write an old state over a newer one."""
    if isinstance(tasks, SqliteTasks):
        with tasks._database.transaction() as connection:
            values = (task.version, task_to_json(task))
            connection.execute("UPDATE tasks SET version = ?, body = ?", values)
        return
    assert isinstance(tasks, DynamoTasks)
    _, event = created(task.id)
    tasks._client.put_item(TableName="tasks", Item=state_item(task, event))


def test_effects_are_replaced_by_key(tasks: Tasks) -> None:
    """An effect's newest state stands under its key; recording it again changes nothing; tasks are apart."""
    begin = Effect("t1", "k1", EffectState.INTENT, "tell", T)
    done = Effect("t1", "k1", EffectState.DONE, "tell", T + 1, {"status": 200, "名": ["é"]})
    other = Effect("t1", "k2", EffectState.INTENT, "pr", T)
    for effect in (begin, other, Effect("t2", "k1", EffectState.INTENT, "tell", T), done, done):
        tasks.record(effect)
    assert tasks.effects("t1") == {"k1": done, "k2": other}
    assert set(tasks.effects("t2")) == {"k1"}


def test_a_late_intent_does_not_undo_what_is_done(tasks: Tasks) -> None:
    """A worker that was paused before its INTENT and wakes after another's DONE changes nothing."""
    done = Effect("t1", "k1", EffectState.DONE, "tell", T + 1, {"status": 200})
    tasks.record(done)
    tasks.record(Effect("t1", "k1", EffectState.INTENT, "tell", T + 2, {"half": 1}))
    assert tasks.effects("t1") == {"k1": done}
    begun = Effect("t1", "k2", EffectState.INTENT, "tell", T)
    further = Effect("t1", "k2", EffectState.INTENT, "tell", T + 1, {"half": 1})
    tasks.record(begun)
    tasks.record(further)
    assert tasks.effects("t1")["k2"] == further


def test_an_intent_replaces_only_what_its_worker_has_read(tasks: Tasks) -> None:
    """Of two workers that both believe to have a task, the second finds the INTENT of the first."""
    second = Effect("t1", "k", EffectState.INTENT, "tell", T, {"half": 1}, attempt=2)
    assert tasks.record(second)
    assert tasks.record(second)
    for late in (1, 3):
        assert not tasks.record(Effect("t1", "k", EffectState.INTENT, "tell", T + 1, attempt=late))
        assert not tasks.record(Effect("t1", "k", EffectState.INTENT, "tell", T + 1, attempt=late), known=1)
    assert tasks.effects("t1") == {"k": second}
    third = Effect("t1", "k", EffectState.INTENT, "tell", T + 2, attempt=3)
    assert tasks.record(third, known=2)
    assert tasks.record(third, known=2)
    assert tasks.effects("t1") == {"k": third}
    done = Effect("t1", "k", EffectState.DONE, "tell", T + 3, {"status": 200}, attempt=1)
    assert tasks.record(done)
    assert not tasks.record(replace(third, attempt=4), known=3)
    assert tasks.effects("t1") == {"k": done}


def test_an_extended_lease_changes_nothing_else(tasks: Tasks) -> None:
    """`extend` moves `due` of the stored task: no event, no version, and it can be done again."""
    task = begun(tasks, "t1", now=T)
    begun(tasks, "t2", now=T + 1)
    running, event = step(task, State.RUNNING, due=T + 5)
    tasks.move(task, running, event)
    for _ in range(2):
        assert tasks.extend(running, T + 9)
    assert tasks.get("t1") == replace(running, due=T + 9)
    assert verified(tasks, "t1") == 2
    assert [task.id for task in tasks.due(T + 8, 10)] == ["t2"]
    assert [task.id for task in tasks.due(T + 9, 10)] == ["t2", "t1"]
    assert [task.id for task in tasks.listing()] == ["t2", "t1"]
    waiting, event = step(running, State.WAITING, due=T + 6)
    tasks.move(running, waiting, event)
    assert tasks.get("t1") == waiting


def test_a_lease_that_was_lost_is_not_extended(tasks: Tasks) -> None:
    """Who holds an older version than the stored one extends nothing, nor does a task that is not there."""
    task = begun(tasks, "t1")
    running, event = step(task, State.RUNNING, due=T + 5)
    tasks.move(task, running, event)
    cancelled, event = step(running, State.CANCELLED, due=T + 1, move_by=By.PERSON)
    tasks.move(running, cancelled, event)
    assert tasks.extend(running, T + 9) is False
    assert tasks.get("t1") == cancelled
    assert tasks.due(T + 99, 10) == []
    assert tasks.extend(created("nope")[0], T + 9) is False
    assert tasks.get("nope") is None


@pytest.mark.parametrize("state", [state for state in State if state is not State.QUEUED])
def test_every_state_is_stored(tasks: Tasks, state: State) -> None:
    """A task of any state comes back as it was, is listed under it, and is due unless it has ended."""
    born, _ = created("t1", due=T, deadline=T + 7, settled=2)
    task = replace(born, state=state)
    assert tasks.create(task, created("t1")[1])
    assert tasks.get("t1") == task
    assert [found.id for found in tasks.listing(state)] == ["t1"]
    assert [found.id for found in tasks.due(T, 10)] == ([] if state.ended else ["t1"])


def test_effects_do_not_show_as_lineage(tasks: Tasks) -> None:
    """Effects and events of a task are apart."""
    begun(tasks, "t1")
    tasks.record(Effect("t1", "k", EffectState.INTENT, "tell", T))
    assert verified(tasks, "t1") == 1
    assert set(tasks.effects("t1")) == {"k"}


def test_due_is_unfinished_passed_and_earliest_first(tasks: Tasks) -> None:
    """`due` gives queued, running and waiting tasks whose time has come, by it; the limit cuts the latest."""
    for number in (5, 1, 3, 9):
        begun(tasks, f"t{number}", due=T + number)
    running = begun(tasks, "running")
    taken, event = step(running, State.RUNNING, due=T + 2)
    tasks.move(running, taken, event)
    tasks.move(taken, *step(taken, State.WAITING, due=T + 4))
    held = begun(tasks, "held")
    tasks.move(held, *step(held, State.RUNNING, due=T + 2))
    ended = begun(tasks, "ended")
    last, event = step(ended, State.RUNNING)
    tasks.move(ended, last, event)
    tasks.move(last, *step(last, State.FAILED, due=T))
    assert [task.id for task in tasks.due(T + 5, 10)] == ["t1", "held", "t3", "running", "t5"]
    assert [task.id for task in tasks.due(T + 5, 2)] == ["t1", "held"]
    assert tasks.due(T, 10) == []
    assert tasks.due(T + 5, 0) == []
    assert tasks.due(T + 1, 10)[0] == tasks.get("t1")


def test_listing_is_newest_change_first(tasks: Tasks) -> None:
    """`listing` orders by the last change, whatever `due` is; a state filters; the limit cuts the oldest."""
    found = [begun(tasks, f"t{number}", due=T - number, now=T + number) for number in range(6)]
    tasks.move(found[1], *step(found[1], State.RUNNING, now=T + 10, due=T))
    tasks.move(found[4], *step(found[4], State.RUNNING, now=T + 9, due=T + 10**15))
    assert [task.id for task in tasks.listing()] == ["t1", "t4", "t5", "t3", "t2", "t0"]
    assert [task.id for task in tasks.listing(limit=3)] == ["t1", "t4", "t5"]
    assert [task.id for task in tasks.listing(State.QUEUED)] == ["t5", "t3", "t2", "t0"]
    assert [task.id for task in tasks.listing(State.RUNNING, limit=1)] == ["t1"]
    assert tasks.listing(State.FAILED) == []
    assert tasks.listing(limit=0) == []
    assert tasks.listing(State.RUNNING)[0] == tasks.get("t1")


@pytest.mark.parametrize("fault", ["unsent", "lost"])
def test_after_unavailable_a_create_can_be_repeated(
    broken: tuple[Tasks, BrokenDisk | BrokenWire], fault: Fault
) -> None:
    """A create whose answer did not come is sent again; afterwards the task is there once, with one event."""
    tasks, wire = broken
    task, event = created("t1")
    wire.fault, wire.left = fault, 1
    with pytest.raises(Unavailable) as caught:
        tasks.create(task, event)
    assert caught.value.retry_after > 0
    assert tasks.create(task, event) is (fault == "unsent")
    assert tasks.get("t1") == task
    assert verified(tasks, "t1") == 1


@pytest.mark.parametrize("fault", ["unsent", "lost"])
def test_after_unavailable_a_move_is_read_again(
    broken: tuple[Tasks, BrokenDisk | BrokenWire], fault: Fault
) -> None:
    """A move whose answer did not come is decided by reading: the head says whether it happened."""
    tasks, wire = broken
    task = begun(tasks, "t1")
    after, event = step(task, State.RUNNING)
    wire.fault, wire.left = fault, 1
    with pytest.raises(Unavailable):
        tasks.move(task, after, event)
    found = tasks.get("t1")
    assert found == (after if fault == "lost" else task)
    assert found is not None
    if found.head != event.head.hex():
        tasks.move(found, after, event)
    assert tasks.get("t1") == after
    assert verified(tasks, "t1") == 2


@pytest.mark.parametrize("fault", ["unsent", "lost"])
def test_after_unavailable_an_effect_is_recorded_again(
    broken: tuple[Tasks, BrokenDisk | BrokenWire], fault: Fault
) -> None:
    """Recording is idempotent: after Unavailable the same effect is recorded again."""
    tasks, wire = broken
    effect = Effect("t1", "k", EffectState.DONE, "tell", T, {"status": 200})
    wire.fault, wire.left = fault, 1
    with pytest.raises(Unavailable):
        tasks.record(effect)
    assert tasks.effects("t1") == ({"k": effect} if fault == "lost" else {})
    tasks.record(effect)
    assert tasks.effects("t1") == {"k": effect}


def test_what_an_earlier_version_stored_is_read() -> None:
    """Rows from before deadlines and attempts of effects are tasks and effects without them."""
    task, _ = created("t1")
    row = orjson.loads(task_to_json(task))
    for name in ("deadline", "settled"):
        del row[name]
    assert task_from_json(orjson.dumps(row)) == task
    effect = Effect("t1", "k", EffectState.INTENT, "tell", T)
    body = orjson.loads(effect_to_json(effect))
    del body["attempt"]
    assert effect_from_json(orjson.dumps(body)) == effect


@pytest.mark.parametrize("size", [2, 500])
def test_the_newest_come_first(tasks: Tasks, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """All tasks of some states, each once, by their newest change and then by id, from a time on."""
    monkeypatch.setattr("sentinel.adapters.sqlite_tasks._PAGE", size)
    monkeypatch.setattr("sentinel.adapters.dynamodb_tasks._NEWEST", size)
    for number in range(23):
        begun(tasks, f"task-{number:02}", now=T + number % 7)
    moving = tasks.get("task-05")
    assert moving is not None
    tasks.move(moving, *step(moving, State.RUNNING, now=T + 3, attempt=1))
    at = {f"task-{number:02}": T + number % 7 for number in range(23)} | {"task-05": T + 3}
    expected = sorted(((changed, name) for name, changed in at.items()), key=lambda it: (-it[0], it[1]))

    def newest(states: list[State], until: int = NEVER) -> list[tuple[int, str]]:
        return [(changed, task.id) for changed, task in tasks.newest(states, until)]

    assert newest([State.QUEUED, State.RUNNING]) == expected
    assert newest(list(State), T + 3) == [each for each in expected if each[0] <= T + 3]
    assert newest([State.QUEUED]) == [each for each in expected if each[1] != "task-05"]
    assert newest([State.RUNNING], T + 2) == newest([]) == newest([State.FAILED]) == []


def test_a_damaged_row_hides_no_other(tasks: Tasks, caplog: pytest.LogCaptureFixture) -> None:
    """A task that cannot be read is passed over with an alarm, and all others are listed."""
    for number in range(3):
        begun(tasks, f"task-{number}", now=T + number)
    if isinstance(tasks, SqliteTasks):
        with tasks._database.transaction() as connection:
            connection.execute("UPDATE tasks SET body = 'secret' WHERE id = 'task-1'")
    else:
        assert isinstance(tasks, DynamoTasks)
        item = state_item(*created("task-1", now=T + 1)) | {"body": {"S": "secret"}}
        tasks._client.put_item(TableName="tasks", Item=item)
    assert [task.id for _, task in tasks.newest([State.QUEUED], NEVER)] == ["task-2", "task-0"]
    assert "task/task-1" in caplog.text
    assert "secret" not in caplog.text


def test_a_walk_meets_every_task_of_a_state(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    """More tasks than a page are all met, each once, and none of another state."""
    monkeypatch.setattr("sentinel.adapters.sqlite_tasks._PAGE", 5)
    for number in range(23):
        begun(tasks, f"task-{number}", now=T + number % 7)
    moving = tasks.get("task-5")
    assert moving is not None
    tasks.move(moving, *step(moving, State.RUNNING, attempt=1))
    names = [task.id for task in tasks.walk(State.QUEUED, NEVER)]
    assert len(names) == 22
    assert set(names) == {f"task-{number}" for number in range(23)} - {"task-5"}
    assert [task.id for task in tasks.walk(State.RUNNING, NEVER)] == ["task-5"]
    assert list(tasks.walk(State.FAILED, NEVER)) == []


def effect_of(task: str, key: str) -> Effect:
    """Return an effect that is done."""
    return Effect(task, key, EffectState.DONE, "s", T, {"status": 200}, 1)


def test_an_effect_leads_to_its_task(tasks: AuditedTasks) -> None:
    """Who knows an effect's key finds its task; a key that nobody has, or a part of one, is nobody's."""
    for number in range(3):
        begun(tasks, f"task-{number}")
        tasks.record(effect_of(f"task-{number}", f"{number}" * 64))
    assert tasks.holder("1" * 64) == "task-1"
    assert tasks.holder("1" * 63) is None
    assert tasks.holder("%") is None


def test_every_task_of_which_anything_is_stored_is_named(tasks: AuditedTasks) -> None:
    """Each id once, whatever is left of it: also one of which only an effect is there."""
    names = {f"task-{number:04d}" for number in range(30)}
    for name in names:
        task = begun(tasks, name)
        tasks.move(task, *step(task, State.RUNNING))
        tasks.record(effect_of(name, "a" * 64))
        tasks.record(effect_of(name, "b" * 64))
    tasks.record(effect_of("left", "c" * 64))
    found = list(tasks.ids())
    assert sorted(found) == sorted({*names, "left"})


def test_ids_go_on_over_pages(tmp_path: Path) -> None:
    """More tasks than a page of SQLite's are all named, in order."""
    store = SqliteTasks(tmp_path / "tasks.db")
    for number in range(501):
        begun(store, f"{number:05d}")
    assert list(store.ids()) == [f"{number:05d}" for number in range(501)]
    store.close()


def test_an_effect_that_cannot_be_read_is_tampered(tmp_path: Path) -> None:
    """What we cannot have written under a key is told as damage, on both stores, with its task."""
    store = SqliteTasks(tmp_path / "tasks.db")
    bodies = (b"x", b"{}", b"[]", effect_to_json(effect_of("t1", "b" * 64)))
    with dynamodb("tasks") as client:
        table = DynamoTasks(client, "tasks")
        for body in bodies:
            with store._database.transaction() as connection:
                connection.execute("INSERT OR REPLACE INTO effects VALUES (?, ?, ?)", ("t1", "a" * 64, body))
            item = {"task": {"S": "t1"}, "item": {"S": f"effect#{'a' * 64}"}, "body": {"S": body.decode()}}
            client.put_item(TableName="tasks", Item=item)
            for each in (store, table):
                with pytest.raises(Tampered, match=r"task/t1 .*: effect"):
                    each.effects("t1")
    store.close()
