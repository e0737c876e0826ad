"""One act on all tasks of a selection: which are met, which are left alone, and that it is safe to repeat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis

from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.selection import Selection, parse
from sentinel.core.states import NEVER, State
from sentinel.core.steps import Failed
from sentinel.core.tasks import SECOND, Event, Task, born, moved
from sentinel.errors import Malformed, Tampered, Unavailable
from sentinel.usecases.bulk import ACTS, CHANGED, DAMAGED, Bulk, Order, Swath
from sentinel.usecases.inspect import LOOKED_AT, Inspect
from sentinel.usecases.look import Place
from tests.faults_calls import Faults
from tests.scenario import Target, World, recipe, rule

WHO = ("ann", "the host is back")


@pytest.fixture
def world(client: redis.Redis) -> Iterator[World]:
    """Wire everything, with a rule and a recipe in force."""
    found = World(RedisQueue(client), [Target("tell", "siem")])
    found.push("rule", "errors", rule("errors", "boom"))
    found.push("recipe", "r", recipe("r", "errors", "tell", attempts=1))
    yield found
    found.close()


def put(world: World, name: str, state: State, service: str = "s", **changes: Any) -> Task:
    """Create a task that is in a state, without a way there."""
    cause = {"rule": "r-1", "title": "Rule one", "entries": [{"chain": f"{service}/0", "seq": 0}]}
    now = world.clock()
    blank = Task(name * 26, "r", 1, "d", State.QUEUED, 0, 0, 0, 0, "siem", now, NEVER, cause)
    task, event = born(replace(blank, **changes), world.nonce(), {})
    task = replace(task, state=state)
    assert world.tasks.create(task, event)
    return task


def run(bulk: Bulk, act: str, limit: int = 1000, dry_run: bool = False, **asked: Any) -> Swath:
    """Do one act on a selection, by as many calls as it takes."""
    order = Order(act, Selection(**asked), *WHO, limit, dry_run)
    found = Swath(0, 0)
    while True:
        found += bulk.run(order, found.next)
        if not found.next:
            return found


@pytest.mark.parametrize("act", ACTS)
def test_an_act_reaches_what_it_can_be_done_to(world: World, act: str) -> None:
    """Without states all tasks are met to which the act can be done, and each tells who and why."""
    before = {state: put(world, "abcdefghij"[at], state) for at, state in enumerate(State)}
    found = run(world.bulk(), act)
    assert found == Swath(len(ACTS[act]), len(ACTS[act]))
    for state, task in before.items():
        after = world.tasks.get(task.id)
        assert after is not None
        if state not in ACTS[act]:
            assert after == task
            continue
        told = world.bodies(after)[-1]
        assert (told["from"], told["who"], told["why"]) == (state.value, *WHO)
        assert told["event"] == ("cancelled" if act == "cancel" else "queued")
    if act != "cancel":  # a second call finds nothing: what is done is no longer meant
        assert run(world.bulk(), act) == Swath(0, 0)


def test_what_is_not_possible_is_counted_by_reason(world: World) -> None:
    """States that are named and cannot take the act are matched, told of, and left alone."""
    for at, state in enumerate((State.FAILED, State.SUCCEEDED, State.SUCCEEDED, State.RUNNING)):
        put(world, "abcd"[at], state)
    found = run(world.bulk(), "redrive", states=(State.FAILED, State.SUCCEEDED, State.RUNNING))
    assert (found.matched, found.done) == (4, 1)
    assert found.not_possible == {"it is succeeded": 2, "it is running": 1}
    assert found.json()["more"] is False


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"recipe": "other"}, "b"),
        ({"recipe": "nope"}, ""),
        ({"rule": "r-1"}, "abcde"),
        ({"rule": "Rule one"}, "abcde"),
        ({"rule": "Rule two"}, ""),
        ({"service": "t"}, "c"),
        ({"owner": "t"}, "c"),
        ({"owner": "t", "service": "s"}, ""),
        ({"reason_contains": "no such host"}, "d"),
        ({"created_after": 20 * SECOND}, "e"),
        ({"created_before": 20 * SECOND, "recipe": "other"}, ""),
        ({"states": (State.WAITING,)}, "c"),
    ],
)
def test_a_selection_means_what_it_says(world: World, asked: dict[str, Any], expected: str) -> None:
    """Every key of a filter narrows the selection, and several together narrow it further."""
    put(world, "a", State.QUEUED, created=10 * SECOND)
    put(world, "b", State.QUEUED, recipe="other", created=20 * SECOND - 1)
    put(world, "c", State.WAITING, service="t", created=10 * SECOND)
    put(world, "d", State.QUEUED, reason="step x: no such host here", created=10 * SECOND)
    put(world, "e", State.QUEUED, created=20 * SECOND)
    if asked.get("created_before"):
        asked = {**asked, "created_before": 20 * SECOND - 1}
    assert run(world.bulk(), "cancel", **asked).done == len(expected)
    cancelled = sorted(task.id[0] for task in world.tasks.listing(State.CANCELLED))
    assert "".join(cancelled) == expected


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        {"states": "failed"},
        {"states": ["nope"]},
        {"states": [1]},
        {"recipe": ""},
        {"rule": 5},
        {"service": "x" * 129},
        {"created_after": "yesterday"},
        {"created_before": True},
        {"created_before": -1},
        {"owner": "victim"},
        {"id": "x"},
    ],
)
def test_a_filter_that_is_none_is_refused(told: object) -> None:
    """What is misspelled selects nothing by mistake, and nobody names whose tasks they may touch."""
    with pytest.raises(Malformed, match=r"filter|state is one of"):
        parse(told, "me")


def test_the_owner_is_not_the_filters(world: World) -> None:
    """A filter is narrowed to whose tasks they are, whatever it says."""
    put(world, "a", State.QUEUED, service="victim")
    mine = put(world, "b", State.QUEUED, service="me")
    for told in ({}, {"service": "victim"}, {"recipe": "r"}):
        order = Order("cancel", parse(told, "me"), *WHO, dry_run=True)
        assert world.bulk().run(order).matched == (0 if "service" in told else 1)
    world.bulk().run(Order("cancel", parse({}, "me"), *WHO))
    assert [task.id for task in world.tasks.listing(State.CANCELLED)] == [mine.id]


@pytest.mark.parametrize("changes", [{"act": "fork"}, {"act": "resolve"}, {"limit": 0}, {"limit": 1001}])
def test_an_order_that_is_none_is_refused(changes: dict[str, Any]) -> None:
    """Only acts that need nothing but a reason are done to many at once, a thousand a call."""
    with pytest.raises(Malformed, match=r"act is one of|limit is 1 to"):
        Order(**{"act": "cancel", "wanted": Selection(), "who": "ann", "why": "x", **changes})
    with pytest.raises(Malformed, match="printable"):
        Order("cancel", Selection(), "ann", "")
    with pytest.raises(Malformed, match="next is what"):
        Place.read("x")


def test_a_dry_run_changes_nothing(world: World) -> None:
    """It tells what would be done, and all stays as it was."""
    tasks = [put(world, name, State.FAILED) for name in "abc"]
    assert run(world.bulk(), "redrive", dry_run=True) == Swath(3, 3)
    assert [world.tasks.get(task.id) for task in tasks] == tasks


def test_many_are_done_call_by_call(world: World) -> None:
    """A call does as many as it was told, says that there is more and where, and all are met once."""
    for at in range(25):
        put(world, "abcdefghijklmnopqrstuvwxy"[at], State.FAILED)
    order = Order("redrive", Selection(), *WHO, limit=10)
    found = Swath(0, 0)
    calls: list[tuple[int, object]] = []
    while not calls or found.next:
        swath = world.bulk().run(order, found.next)
        calls.append((swath.done, swath.json()["more"]))
        found += swath
    assert calls == [(10, True), (10, True), (5, False)]
    assert found.done == 25
    assert len(world.tasks.listing(State.QUEUED)) == 25


def test_what_fails_again_is_not_redriven_for_ever(world: World) -> None:
    """A task that is redriven and fails once more while the call goes on is not met by it again."""
    world.targets["tell"].answers = [Failed("no")] * 9
    for at in range(3):
        world.detect(world.store(f"s/{at}", [b'{"message": "boom"}'], t=world.clock.now))
    world.dispatch()
    assert world.drain("siem").failed == 3
    order, found = Order("redrive", Selection(), *WHO, limit=1), Swath(0, 0)
    for _ in range(4):
        found += world.bulk().run(order, found.next)
        world.dispatch()
        world.drain("siem")
        if not found.next:
            break
    assert (found.done, found.next) == (3, "")
    assert len(world.tasks.listing(State.FAILED)) == 3


def test_a_call_ends_in_time(world: World) -> None:
    """Once its time is up a call begins no further task, and says where to go on."""
    for name in "abcd":
        put(world, name, State.FAILED)
    real = world.tasks.move

    def slow(before: Task, after: Task, event: Event) -> None:
        world.clock.sleep(6)
        real(before, after, event)

    world.tasks.move = slow  # type: ignore[method-assign]
    found = world.bulk().run(Order("redrive", Selection(), *WHO))
    assert (found.done, found.json()["more"]) == (2, True)
    rest = world.bulk().run(Order("redrive", Selection(), *WHO), found.next)
    assert rest.done == 2


def test_a_task_that_is_no_longer_meant_is_left_alone(world: World) -> None:
    """The selection is held against the task as it is when it is changed, not as the list had it."""
    task = put(world, "a", State.WAITING)
    running = moved(task, State.RUNNING, world.clock(), world.nonce(), {}, attempt=1)
    world.tasks.move(task, *running)
    stale = [(world.clock.now, task)]
    world.tasks.newest = lambda *_: iter(stale)  # type: ignore[method-assign]
    found = world.bulk().run(Order("cancel", Selection((State.WAITING,)), *WHO))
    assert (found.done, found.not_possible) == (0, {CHANGED: 1})
    assert world.tasks.get(task.id) == running[0]


def test_a_damaged_task_stops_no_other(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A task whose lineage does not fit its state is told of, with an alarm, and the others are done."""
    damaged, _ = put(world, "a", State.FAILED), put(world, "b", State.FAILED)
    real = world.tasks.move

    def move(before: Task, after: Task, event: Event) -> None:
        if before.id == damaged.id:
            raise Tampered(f"task/{before.id}", 1, "fork", "an event stands where the task has none")
        real(before, after, event)

    world.tasks.move = move  # type: ignore[method-assign]
    found = run(world.bulk(), "redrive")
    assert (found.done, found.not_possible) == (1, {DAMAGED: 1})
    assert "tampered" in caplog.text


@pytest.mark.parametrize("applied", [False, True])
def test_whatever_fails_repeating_does_the_rest(client: redis.Redis, applied: bool) -> None:
    """With each call of the store failing in turn, every task is redriven once, and its lineage says so."""
    calls = 0
    for fails in range(1, 40):
        client.flushall()
        faults = Faults(fails=fails.__eq__, applied=applied)
        world = World(RedisQueue(client), [Target("tell", "siem")], faults.wrap)
        for name in "abcd":
            put(world, name, State.FAILED)
        faults.calls = 0
        told = 0
        for _ in range(4):
            try:
                told += run(world.bulk(), "redrive").done
            except Unavailable:
                continue
        for name in "abcd":
            task = world.tasks.get(name * 26)
            assert task is not None
            events = Counter(body["event"] for body in world.bodies(task))
            assert (task.state, events["queued"]) == (State.QUEUED, 2)  # born, and redriven once
        calls = max(calls, fails if faults.calls >= fails else 0)
        # What was done before an answer was lost is not told of, and not done twice.
        assert 4 - applied <= told <= 4
        world.close()
    assert calls > 8


def test_every_task_is_on_a_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many tasks of others lie between, a service comes to all of its own, each once."""
    monkeypatch.setattr("sentinel.usecases.inspect.LOOKED_AT", 5)
    assert LOOKED_AT == 2_000
    names = "abcdefghijklmnopqrs"
    every = [put(world, name, State.QUEUED, "them" if at % 6 else "me") for at, name in enumerate(names)]
    mine = [task.id for task in every][::6]
    inspect = Inspect(world.ledger, lambda: world.tasks)
    page = inspect.tasks(Selection(owner="me"), 2)
    pages = [page]
    while page.next:
        page = inspect.tasks(Selection(owner="me"), 2, page.next)
        pages.append(page)
    found = [task["id"] for each in pages for task in each.tasks]
    assert found == mine[::-1]
    assert all(len(each.tasks) <= 2 for each in pages)
    assert len(pages) > 2
    assert not any(name * 26 in each.next for each in pages for name in names)


def test_tasks_that_changed_at_once_are_all_on_a_page(world: World) -> None:
    """A page may end between tasks of one and the same time, and the next begins behind it."""
    for name in "abcdefg":
        put(world, name, State.QUEUED, created=5 * SECOND)
    inspect = Inspect(world.ledger, lambda: world.tasks)
    found, start = [], ""
    while True:
        page = inspect.tasks(Selection(), 2, start)
        found += [str(task["id"])[0] for task in page.tasks]
        start = page.next
        if not start:
            break
    assert "".join(found) == "abcdefg"
