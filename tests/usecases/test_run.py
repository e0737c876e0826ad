"""Workers, dispatch and sweep, on SQLite in memory and a real Valkey."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import redis

from sentinel.actions.http_call import Inputs as HttpInputs
from sentinel.actions.siem_send import BUDGET
from sentinel.adapters.redis_streams import RedisQueue
from sentinel.adapters.task_json import task_to_json
from sentinel.core.steps import Again, Done, Failed
from sentinel.core.tasks import LEASE, QUEUE_GRACE, SECOND, EffectState, State, Task
from sentinel.errors import Conflict, Forbidden, Tampered, Unavailable
from sentinel.local import loops
from sentinel.siem.splunk import SplunkConfig
from sentinel.usecases.dispatch import Change, dispatch
from sentinel.usecases.run import MARGIN, drain
from tests.scenario import Target, World, correlation, recipe, rule

BOOM = b'{"message": "boom"}'


def _waiting(client: redis.Redis) -> int:
    keys: Any = client.keys("sentinel:{siem}:*")
    return sum(client.xlen(key) for key in keys)


@pytest.fixture
def world(client: redis.Redis) -> Iterator[World]:
    """Wire everything, with a rule in force and no recipe yet."""
    found = World(RedisQueue(client), [Target("tell", "siem"), Target("act", "action")])
    found.push("rule", "errors", rule("errors", "boom"))
    yield found
    found.close()


def _begin(world: World, *uses: str, entries: int = 1, **options: Any) -> None:
    world.push("recipe", "r", recipe("r", "errors", *uses, **options))
    world.detect(world.store("s/0", [BOOM] * entries))


def _again(world: World) -> Task:
    found = world.tasks.get(world.only().id)
    assert found is not None
    return found


def test_a_task_runs_to_its_end(world: World) -> None:
    """A task goes from queued over running to succeeded; its step is given the entry, its result is kept."""
    _begin(world, "tell")
    assert world.dispatch() == 1
    assert world.drain("siem").succeeded == 1
    task = world.only()
    assert (task.state, task.results, task.attempt, task.worker) == (State.SUCCEEDED, {"s0": {"n": 1}}, 1, "")
    (run,) = world.targets["tell"].runs
    assert [(each.chain, each.seq, each.entry) for each in run.entries] == [("s/0", 0, BOOM)]
    assert not run.resumed
    bodies = world.bodies(task)
    assert [body["event"] for body in bodies] == ["queued", "running", "succeeded"]
    assert bodies[1]["worker"] == "w1"
    assert bodies[2]["effect"] == run.key
    assert world.tasks.effects(task.id)[run.key].state is EffectState.DONE


def test_steps_of_another_worker_are_passed_on(world: World) -> None:
    """A step of another worker is queued there, in the same write that ends the step before."""
    _begin(world, "tell", "tell", "act", "tell")
    world.dispatch()
    assert world.drain("siem").queued == 1
    assert (_again(world).stream, _again(world).step) == ("action", 2)
    world.dispatch()
    assert world.drain("action").queued == 1
    world.dispatch()
    assert world.drain("siem").succeeded == 1
    assert [body["event"] for body in world.bodies(world.only())] == [
        *("queued", "running", "running", "queued"),
        *("running", "queued", "running", "succeeded"),
    ]
    assert [len(target.effects) for target in world.targets.values()] == [3, 1]


def test_writes_of_a_task_with_one_step(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """From match to end, one step costs five write requests, and the first attempt reads no effects."""
    calls: list[str] = []
    for name in ("create_all", "move", "record", "effects"):
        real = getattr(world.tasks, name)

        def noted(*args: Any, name: str = name, real: Any = real) -> Any:
            calls.append(name)
            return real(*args)

        monkeypatch.setattr(world.tasks, name, noted)
    _begin(world, "tell")
    world.dispatch()
    world.drain("siem")
    assert world.sweep().again == 0
    assert calls == ["create_all", "move", "record", "record", "move"]


def test_a_waiting_step_is_tried_again_after_its_backoff(world: World) -> None:
    """`Again` makes the task wait below the backoff's ceiling; dispatch leaves it to the sweep."""
    world.targets["tell"].answers = [Again("busy", None), Unavailable("no answer")]
    _begin(world, "tell")
    world.dispatch()
    assert world.drain("siem").waiting == 1
    task = world.only()
    assert (task.state, task.tries, task.reason) == (State.WAITING, 1, "busy")
    assert 0 <= task.due - world.clock.now <= 2 * SECOND
    assert world.dispatch() == 0
    world.clock.sleep(2)
    assert world.sweep().woken == 1
    assert _again(world).due - world.clock.now > QUEUE_GRACE - SECOND
    assert world.bodies(task)[-1]["reason"] == "its time to be tried again has come"
    assert world.drain("siem").waiting == 1
    world.settle()
    runs = world.targets["tell"].runs
    assert [run.resumed for run in runs] == [False, True, True]
    assert len({run.key for run in runs}) == 1


def test_a_try_that_got_something_done_has_not_failed(world: World) -> None:
    """A step that does its work in more parts than it has tries succeeds; each part is handed on."""
    parts = [Again("more to do", 0, {"parts": n}) for n in range(1, 9)]
    world.targets["tell"].answers = [*parts, Again("stuck", 0, {"parts": 8})]
    _begin(world, "tell", attempts=2)
    world.settle()
    task = world.only()
    assert task.state is State.SUCCEEDED
    runs = world.targets["tell"].runs
    assert [run.done for run in runs] == [{}, *({"parts": n} for n in range(1, 9)), {"parts": 8}]
    assert [body["tries"] for body in world.bodies(task) if "tries" in body] == [*[0] * 8, 1]


def test_a_target_may_ask_for_more_time(world: World) -> None:
    """`after` is kept, up to a day; no hint makes a worker start sooner."""
    world.targets["tell"].answers = [Again("busy", 90 * SECOND), Again("busy", 10**18)]
    _begin(world, "tell")
    world.dispatch()
    world.drain("siem")
    world.clock.sleep(80)
    world.queue.add("siem", [world.only().id])
    assert world.drain("siem").skipped == 1
    assert world.sweep().woken == 0
    world.clock.sleep(10)
    world.sweep()
    world.drain("siem")
    assert 86_399 * SECOND < world.only().due - world.clock.now <= 86_400 * SECOND


def test_the_backoff_grows_for_errors_too(world: World) -> None:
    """An action that raises `Unavailable` waits by the recipe's backoff, and no less than the error asks."""
    world.targets["tell"].answers = [Unavailable("away"), Unavailable("away"), Unavailable("away", 100)]
    _begin(world, "tell")
    executor = replace(world.executor("siem"), rng=lambda: 0.999)
    waits = []
    for _ in range(3):
        world.queue.add("siem", [world.only().id])
        assert drain(executor, world.clock.now + 300 * SECOND).waiting == 1
        waits.append((world.only().due - world.clock.now + SECOND // 10) // SECOND)
        world.clock.sleep(waits[-1] + 1)
    assert waits == [2, 4, 100]


def test_entries_of_several_chains_are_read_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment that holds many of a task's entries is read once, also when chains take turns."""
    world.push("rule", "many", correlation("many", "errors", "user", 6))
    world.push("recipe", "r", recipe("r", "many", "tell"))
    entry = b'{"message": "boom", "user": "ann"}'
    segments = world.store("s/0", [entry] * 3) + world.store("s/1", [entry] * 3)
    world.detect(segments)
    world.dispatch()
    reads: list[tuple[str, int]] = []
    real = world.ledger.at

    def noted(chain: str, seq: int) -> Any:
        reads.append((chain, seq))
        return real(chain, seq)

    monkeypatch.setattr(world.ledger, "at", noted)
    places = [("s/0", 0), ("s/1", 0), ("s/0", 1), ("s/1", 1), ("s/0", 2), ("s/1", 2)]
    task = replace(world.only(), cause={"entries": [{"chain": c, "seq": n} for c, n in places]})
    monkeypatch.setattr(world.tasks, "get", lambda _: task)
    assert world.drain("siem").succeeded == 1
    (run,) = world.targets["tell"].runs
    assert [(each.chain, each.seq) for each in run.entries] == places
    assert reads == [("s/0", 0), ("s/1", 0)]


@pytest.mark.parametrize(
    "answer", [Again("busy", 0), Unavailable("no answer", 0)], ids=["again", "unavailable"]
)
def test_attempts_run_out(world: World, client: redis.Redis, answer: Any) -> None:
    """After `attempts` tries the task fails with the reason, and is on the dead-letter stream."""
    world.targets["tell"].answers = [answer] * 9
    _begin(world, "tell", attempts=3)
    world.settle()
    task = world.only()
    assert task.state is State.FAILED
    assert "given up after 3 tries" in task.reason
    assert len(world.targets["tell"].runs) == 3
    rows: Any = client.xrange("sentinel:{dead}")
    assert [fields[b"task"] for _, fields in rows] == [task.id.encode()]
    world.bodies(task)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(Failed("wrong token"), "wrong token"), (Forbidden("host not allowed"), "host not allowed")],
)
def test_a_refusal_is_not_tried_again(world: World, answer: Any, reason: str) -> None:
    """What will not work by waiting fails at once."""
    world.targets["tell"].answers = [answer]
    _begin(world, "tell", "act")
    world.settle()
    assert (world.only().state, len(world.targets["tell"].runs)) == (State.FAILED, 1)
    assert reason in world.only().reason
    assert not world.targets["act"].runs


def test_what_cannot_run_fails_with_what_to_do(world: World) -> None:
    """An unknown action, wrong inputs and a recipe that is not there fail with a reason that helps."""
    world.push("recipe", "a", recipe("a", "errors", "no.such"))
    world.push("recipe", "b", recipe("b", "errors", "tell").replace(b"tell", b"tell, with: {wrong: 1}"))
    world.push("recipe", "c", recipe("c", "errors", "tell"))
    world.detect(world.store("s/0", [BOOM]))
    for task in world.tasks.listing():
        if task.recipe == "c":
            broken = replace(task, recipe_version=7, version=task.version)
            world.tasks._database.connection().execute(
                "UPDATE tasks SET body = replace(body, '\"recipe_version\":1', '\"recipe_version\":7')"
                " WHERE id = ?",
                (broken.id,),
            )
    world.settle()
    reasons = {task.recipe: task.reason for task in world.tasks.listing()}
    assert "no action is called no.such: correct the recipe" in reasons["a"]
    assert "wrong is not a field" in reasons["b"]
    assert "version 7 of recipe c is not in the catalog; push" in reasons["c"]
    assert {task.state for task in world.tasks.listing()} == {State.FAILED}


def test_a_changed_recipe_is_not_run(world: World) -> None:
    """A version whose bytes are not those that the task was made for is not run."""
    _begin(world, "tell")
    connection = world.catalog._database.connection()
    connection.execute("DROP TRIGGER versions_stay")
    body = recipe("r", "errors", "act")
    connection.execute("UPDATE versions SET body = ? WHERE kind = 'recipe'", (body,))
    world.settle()
    assert "changed from outside" in world.only().reason
    assert not world.targets["act"].runs


def test_hints_for_no_task_block_nothing(
    world: World, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Poison is counted and acknowledged, and the task behind it runs; no store is asked for a wild id."""
    asked: list[str] = []
    real = world.tasks.get

    def noted(task_id: str) -> Task | None:
        asked.append(task_id)
        return real(task_id)

    monkeypatch.setattr(world.tasks, "get", noted)
    _begin(world, "tell")
    world.queue.add("siem", ["", "x" * 5000, "a" * 26, "../../etc", "\x00"])
    client.xadd("sentinel:{siem}:normal.0", {"other": "x"})
    world.dispatch()
    found = world.drain("siem")
    assert (found.poison, found.succeeded) == (6, 1)
    assert set(asked) == {"a" * 26, world.only().id}
    assert client.xlen("sentinel:{siem}:normal.0") == 0


def test_late_and_doubled_hints_run_nothing_twice(world: World) -> None:
    """A task runs once however often it is hinted, on whatever stream."""
    _begin(world, "tell")
    task = world.only()
    world.dispatch()
    world.queue.add("siem", [task.id] * 3)
    world.queue.add("action", [task.id])
    assert world.drain("action").skipped == 1
    found = world.drain("siem")
    assert (found.succeeded, found.skipped) == (1, 3)
    assert sum(world.targets["tell"].effects.values()) == 1


class Killed(BaseException):
    """The process is gone: nothing that would catch an error runs."""


def test_a_dead_workers_task_is_taken_over(world: World) -> None:
    """A task whose worker died is left alone while the lease lasts, then resumed with the same key."""

    def die(_: Any) -> Any:
        raise Killed

    world.targets["tell"].answers = [die]
    _begin(world, "tell")
    world.dispatch()
    with pytest.raises(Killed):
        world.drain("siem", worker="dead")
    assert _again(world).state is State.RUNNING
    world.queue.add("siem", [world.only().id])
    assert world.drain("siem").skipped == 1
    assert world.sweep().abandoned == 0
    world.clock.sleep(LEASE / SECOND)
    assert world.sweep().abandoned == 1
    assert world.drain("siem").succeeded == 1
    first, second = world.targets["tell"].runs
    assert (first.key, first.resumed, second.resumed) == (second.key, False, True)
    assert world.only().attempt == 2
    assert [body["event"] for body in world.bodies(world.only())] == [
        *("queued", "running", "waiting", "running", "succeeded"),
    ]


def test_a_worker_takes_over_without_a_sweep(world: World) -> None:
    """A hint for a task whose lease is over is enough."""
    _begin(world, "tell")
    world.dispatch()
    world.targets["tell"].answers = [lambda _: (_ for _ in ()).throw(Killed)]
    with pytest.raises(Killed):
        world.drain("siem", worker="dead")
    world.clock.sleep(LEASE / SECOND)
    world.queue.add("siem", [world.only().id])
    assert world.drain("siem").succeeded == 1


def test_a_step_that_kills_its_worker_is_given_up(world: World) -> None:
    """Lost leases count as tries, so that a deadly step ends."""

    def die(_: Any) -> Any:
        raise Killed

    world.targets["tell"].answers = [die] * 9
    _begin(world, "tell", attempts=2)
    world.dispatch()
    for _ in range(2):
        with pytest.raises(Killed):
            world.drain("siem")
        world.clock.sleep(LEASE / SECOND)
        world.sweep()
    assert world.drain("siem").failed == 1
    assert len(world.targets["tell"].runs) == 2
    assert "given up after 2 tries: the lease ran out" in world.only().reason


def test_a_done_step_is_not_done_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that dies after DONE leaves the step done, even if no try is left."""
    _begin(world, "tell", "tell", attempts=1)
    world.dispatch()
    real = world.tasks.move

    def die_after_first_step(before: Task, after: Task, event: Any) -> None:
        if after.step == 1:
            raise Killed
        real(before, after, event)

    with monkeypatch.context() as patch:
        patch.setattr(world.tasks, "move", die_after_first_step)
        with pytest.raises(Killed):
            world.drain("siem")
    world.settle()
    assert world.only().state is State.SUCCEEDED
    assert sorted(world.targets["tell"].effects.values()) == [1, 1]
    assert "was done before" in [body.get("outcome") for body in world.bodies(world.only())]


def test_a_slow_worker_writes_no_transition(world: World) -> None:
    """A worker that outlived its lease cannot move the task that another has; its effect stays recorded."""

    def slow(_: Any) -> Done:
        world.clock.sleep(LEASE / SECOND)
        world.sweep()
        assert world.drain("siem", worker="w2").succeeded == 1
        return Done({"by": "slow"})

    world.targets["tell"].answers = [slow]
    _begin(world, "tell")
    world.dispatch()
    found = world.drain("siem", seconds=600, worker="w1")
    assert (found.lost, found.succeeded) == (1, 0)
    task = world.only()
    assert (task.state, task.attempt, task.results) == (State.SUCCEEDED, 2, {"s0": {"n": 1}})
    assert len({run.key for run in world.targets["tell"].runs}) == 1
    world.bodies(task)


def test_a_step_is_not_begun_after_the_lease(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that was slow before its step does not begin it."""
    _begin(world, "tell")
    world.dispatch()
    real = world.ledger.at

    def slow(chain: str, seq: int) -> Any:
        world.clock.sleep(LEASE / SECOND + 1)
        return real(chain, seq)

    monkeypatch.setattr(world.ledger, "at", slow)
    assert world.drain("siem").lost == 1
    assert not world.targets["tell"].runs


def test_a_lost_answer_is_not_a_lost_lease(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transition that landed though its answer was lost is recognised, and the worker goes on."""
    _begin(world, "tell")
    world.dispatch()
    real = world.tasks.move

    def deaf(before: Task, after: Task, event: Any) -> None:
        real(before, after, event)
        raise Unavailable("the answer was lost")

    monkeypatch.setattr(world.tasks, "move", deaf)
    assert world.drain("siem").succeeded == 1
    assert sum(world.targets["tell"].effects.values()) == 1


def test_no_step_is_begun_when_time_is_nearly_up(world: World) -> None:
    """A drain ends before its deadline: the task it was at and the hints it had go back to the queue."""

    def long(_: Any) -> Done:
        world.clock.sleep(50)
        return Done({})

    world.targets["tell"].answers = [long]
    _begin(world, "tell", "tell", entries=3)
    world.dispatch()
    found = world.drain("siem", seconds=98)
    assert (found.queued, found.succeeded) == (1, 0)
    states = sorted((task.state, task.step) for task in world.tasks.listing())
    assert states == [("queued", 0), ("queued", 0), ("queued", 1)]
    assert world.drain("siem").succeeded == 2
    assert world.queue.claim("siem", "w", 0, 10) == []
    world.dispatch()
    assert world.drain("siem").succeeded == 1
    assert sum(world.targets["tell"].effects.values()) == 6


def test_no_step_outlasts_the_margin() -> None:
    """What is begun just before the margin ends before the deadline, also when its target answers last."""
    (http,) = [each.le for each in HttpInputs.model_fields["timeout"].metadata if hasattr(each, "le")]
    (hec,) = [each.le for each in SplunkConfig.model_fields["timeout"].metadata if hasattr(each, "le")]
    assert max(http, BUDGET + hec * SECOND) < MARGIN < LEASE
    assert MARGIN < loops.CALL_SECONDS * SECOND / 2


def test_no_time_at_all_takes_nothing(world: World, client: redis.Redis) -> None:
    """A drain that begins too late leaves the queue as it is."""
    _begin(world, "tell")
    world.dispatch()
    assert world.drain("siem", seconds=5).succeeded == 0
    assert _waiting(client) == 1
    assert world.drain("siem").succeeded == 1


def test_a_dead_workers_hints_are_claimed(world: World) -> None:
    """Hints that a dead worker held are taken over by the next drain once they are idle for a lease."""
    import time

    _begin(world, "tell", entries=20)
    world.dispatch()
    assert len(world.queue.take("siem", "worker", 20, 0)) == 20
    executor = replace(world.executor("siem"), lease=SECOND // 5)
    time.sleep(0.25)
    assert drain(executor, world.clock.now + 300 * SECOND).succeeded == 20


def test_one_store_that_is_away_stops_the_drain_and_loses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch is worked through, then the error is raised; later everything is done once."""
    _begin(world, "tell", entries=3)
    world.dispatch()
    real = world.tasks.get
    fails = [world.tasks.listing()[0].id]

    def away(task_id: str) -> Any:
        if task_id in fails:
            fails.remove(task_id)
            raise Unavailable("away")
        return real(task_id)

    monkeypatch.setattr(world.tasks, "get", away)
    with pytest.raises(Unavailable):
        world.drain("siem")
    assert sum(task.state is State.SUCCEEDED for task in world.tasks.listing()) == 2
    (kept,) = world.queue.claim("siem", "w", 0, 10)
    assert real(kept.task_id).state is State.QUEUED  # type: ignore[union-attr]
    world.settle()
    assert sorted(world.targets["tell"].effects.values()) == [1, 1, 1]


def test_a_store_that_is_away_for_long_uses_up_no_tries(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that could not be begun was not tried: however long the ledger is away, its task succeeds."""

    def away(*_: object) -> None:
        raise Unavailable("the ledger is away")

    _begin(world, "tell", attempts=2)
    with monkeypatch.context() as patch:
        patch.setattr(world.ledger, "at", away)
        for _ in range(10):
            world.sweep()
            with suppress(Unavailable):
                world.drain("siem")
            world.clock.sleep(61)
    assert (world.only().state, world.only().tries) == (State.WAITING, 0)
    world.settle()
    assert world.only().state is State.SUCCEEDED


def test_erased_entries_are_left_out(world: World) -> None:
    """A task whose entries are gone from the ledger runs with those that are there."""
    _begin(world, "tell", by=["k"], entries=3)
    world.ledger._db.connection().execute("DELETE FROM segments")
    world.dispatch()
    assert world.drain("siem").succeeded == 1
    assert world.targets["tell"].runs[0].entries == []


def test_a_tampered_entry_fails_its_task_and_is_said(world: World) -> None:
    """A task whose entry cannot be read fails; the others run; the drain ends with `Tampered`."""
    _begin(world, "tell")
    world.detect(world.store("s/1", [BOOM]))
    world.ledger._db.connection().execute("UPDATE segments SET payload = x'00' WHERE chain = 's/0'")
    world.dispatch()
    with pytest.raises(Tampered):
        world.drain("siem")
    assert sorted(task.state for task in world.tasks.listing()) == [State.FAILED, State.SUCCEEDED]
    assert "verify the chain" in next(t.reason for t in world.tasks.listing() if t.reason)


def test_failing_is_not_stopped_by_the_dead_letter_stream(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The task's state is the truth; burying is best effort and the log tells."""

    def away(*_: object) -> None:
        raise Unavailable("away")

    monkeypatch.setattr(world.queue, "bury", away)
    world.targets["tell"].answers = [Failed("no")]
    _begin(world, "tell")
    world.dispatch()
    with caplog.at_level(logging.WARNING):
        assert world.drain("siem").failed == 1
    assert "not on the dead-letter stream" in caplog.text


def test_a_flushed_queue_loses_no_task(world: World, client: redis.Redis) -> None:
    """After FLUSHALL the sweep hints at every task that waits in vain, and they all run."""
    _begin(world, "tell", entries=10)
    world.dispatch()
    client.flushall()
    assert world.drain("siem").succeeded == 0
    assert world.sweep().again == 0
    world.clock.sleep(QUEUE_GRACE / SECOND)
    assert world.sweep().again == 10
    assert world.drain("siem").succeeded == 10


def test_a_stopped_worker_does_not_flood_its_stream(world: World, client: redis.Redis) -> None:
    """A task that nobody takes is hinted at growing intervals, some thirty times in two hours."""
    _begin(world, "tell")
    world.dispatch()
    for _ in range(7200):
        world.clock.sleep(1)
        world.sweep()
    assert 10 < _waiting(client) < 40
    assert world.drain("siem").succeeded == 1
    world.bodies(world.only())


def test_a_sweep_is_bounded_and_gets_on(world: World) -> None:
    """A sweep looks at `limit` tasks at most; the next one finds those behind them."""
    _begin(world, "tell", entries=25)
    world.clock.sleep(20)
    found = [world.sweep(limit=10) for _ in range(4)]
    assert [each.again for each in found] == [10, 10, 5, 0]
    assert [each.more for each in found] == [True, True, False, False]


def test_a_tampered_task_holds_up_no_other(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A task whose state was put back cannot be moved: it is told of, and those behind it are swept."""
    _begin(world, "tell", entries=3)
    first = world.tasks.due(world.clock.now + 20 * SECOND, 1)[0]
    world.clock.sleep(20)
    assert world.sweep().again == 3
    connection = world.tasks._database.connection()
    connection.execute(
        "UPDATE tasks SET body = ?, version = ?, due = ? WHERE id = ?",
        (task_to_json(first), first.version, first.due, first.id),
    )
    world.clock.sleep(301)
    found = world.sweep()
    assert (found.again, found.tampered) == (2, 1)
    assert [r.levelname for r in caplog.records if first.id in r.getMessage()] == ["CRITICAL"]


def test_of_two_sweeps_one_acts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that somebody else moved meanwhile is passed over, and not hinted."""
    _begin(world, "tell")
    world.clock.sleep(20)
    stale = world.tasks.due(world.clock.now, 10)
    assert world.sweep().again == 1
    monkeypatch.setattr(world.tasks, "due", lambda *_: stale)
    second = world.sweep()
    assert (second.again, second.conflicts) == (0, 1)


def test_dispatch_hints_queued_tasks_once(world: World) -> None:
    """One hint a task in a run of changes and one ring a stream; other states are not hinted."""
    rung: list[str] = []

    class Bell:
        def ring(self, worker: str) -> None:
            rung.append(worker)
            raise Unavailable("nobody opens")

    changes = [
        Change("a" * 26, State.QUEUED, "siem"),
        Change("a" * 26, State.QUEUED, "siem"),
        Change("b" * 26, State.WAITING, "siem"),
        Change("c" * 26, State.RUNNING, "siem"),
        Change("d" * 26, State.SUCCEEDED, "siem"),
        Change("e" * 26, State.QUEUED, "action:high.3"),
        Change("f" * 26, State.QUEUED, "action:low.3"),
    ]
    assert dispatch(changes, world.queue, Bell()) == 3
    assert sorted(rung) == ["action", "siem"]
    assert [hint.task_id for hint in world.queue.take("siem", "w", 9, 0)] == ["a" * 26]


def test_a_conflict_that_was_ours_is_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client library that sends a write twice gets `Conflict` from its own first; the worker goes on."""
    _begin(world, "tell")
    world.dispatch()
    real = world.tasks.move

    def twice(before: Task, after: Task, event: Any) -> None:
        real(before, after, event)
        with pytest.raises(Conflict):
            real(before, after, event)
        raise Conflict("sent twice")

    monkeypatch.setattr(world.tasks, "move", twice)
    assert world.drain("siem").succeeded == 1
