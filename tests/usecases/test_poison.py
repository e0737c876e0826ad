"""Poison: what is damaged, or raises what nobody expects, keeps nothing else waiting."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest
import redis
import zstandard

from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.states import State
from sentinel.core.steps import Again, Outcome, StepRun
from sentinel.core.tasks import LEASE, SECOND, Task
from sentinel.entrypoints.workers import Guard
from sentinel.errors import Forbidden, Tampered
from sentinel.usecases.run import drain
from tests.approvals import ALICE, AskingWorld, approving_recipe
from tests.faults_calls import Killed
from tests.scenario import ProbedTarget, Target, World, recipe, rule

BOOM = b'{"message": "boom"}'


@pytest.fixture
def world(client: redis.Redis) -> Iterator[World]:
    """Wire everything, with targets that can be asked and not."""
    found = World(RedisQueue(client), [Target("tell", "siem"), ProbedTarget("seen", "siem")])
    found.push("rule", "errors", rule("errors", "boom"))
    yield found
    found.close()


def _begin(world: World, *uses: str, count: int = 1, **options: str) -> None:
    world.push("recipe", "r", recipe("r", "errors", *uses, **options))  # type: ignore[arg-type]
    world.detect(world.store("s/0", [BOOM] * count))
    world.dispatch()


def _die(_: StepRun) -> Outcome:
    raise Killed


@pytest.mark.parametrize("error", [Killed(), Forbidden("no"), KeyError("bug")])
def test_a_probe_that_never_answers_well_is_not_asked_for_ever(
    world: World, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target whose asking kills the worker, refuses or fails is asked as often as its step is tried."""
    _begin(world, "seen", step="effect: at-most-once", attempts=3)  # type: ignore[arg-type]
    seen = world.targets["seen"]
    assert isinstance(seen, ProbedTarget)
    seen.answers = [_die]
    asked = []

    def probe(run: StepRun) -> Outcome:
        asked.append(run)
        raise error

    monkeypatch.setattr(seen, "probe", probe)
    with pytest.raises(Killed):
        world.drain("siem")
    for _ in range(12):
        world.clock.sleep(2 * LEASE / SECOND)
        world.sweep()
        try:
            world.drain("siem")
        except (Killed, KeyError):
            continue
    task = world.only()
    assert task.state is State.AMBIGUOUS, (task.state, task.tries, task.reason)
    assert 1 <= len(asked) <= 3
    assert len(seen.runs) == 1


def test_a_fault_of_ours_keeps_no_other_hint_of_the_batch_waiting(world: World) -> None:
    """An action that raises what no action may keeps the tasks behind it waiting for no lease."""
    _begin(world, "tell", count=5)

    def bug(run: StepRun) -> Outcome:
        raise KeyError("bug")

    world.targets["tell"].answers = [bug]
    guard = Guard("siem")
    drained = drain(world.executor("siem"), world.clock.now + 300 * SECOND, guard=guard)
    assert (drained.succeeded, drained.skipped) == (4, 1)
    assert isinstance(guard.error, KeyError)
    states = sorted(task.state.value for task in world.tasks.listing())
    assert states == ["running", *["succeeded"] * 4]
    world.settle()
    assert {task.state for task in world.tasks.listing()} == {State.SUCCEEDED}


def test_a_task_that_cannot_be_made_keeps_no_other_from_being_made(world: World) -> None:
    """Of many matches of one segment those are made whose tasks are not damaged, and the damage is told."""
    world.push("recipe", "r", recipe("r", "errors", "tell"))
    segments = world.store("s/0", [BOOM] * 5)
    (first, *_) = world.detect(segments).tasks
    with world.tasks._database.transaction() as connection:
        connection.execute("DELETE FROM tasks")
        connection.execute("DELETE FROM events WHERE task <> ?", (first,))
    detector = world.new_detector()
    with pytest.raises(Tampered):
        detector.detect(segments)
    assert len(world.tasks.listing()) == 4


def test_damaged_tasks_at_the_front_keep_no_other_from_the_sweep(world: World) -> None:
    """However many tasks cannot be read or moved, those that are due behind them are looked after."""
    _begin(world, "tell", count=8)
    tasks = sorted(world.tasks.listing(), key=lambda task: (task.due, task.id))
    with world.tasks._database.transaction() as connection:
        for task in tasks[:3]:
            connection.execute("UPDATE tasks SET body = x'7b' WHERE id = ?", (task.id,))
        for task in tasks[3:6]:
            connection.execute(
                "INSERT INTO events (task, seq, t, nonce, entry, head) VALUES (?, 1, 0, x'', x'7b7d', x'')",
                (task.id,),
            )
    world.clock.sleep(60)
    world.sweep(limit=2)
    assert not world.sweep(limit=2).more
    for task in tasks[6:]:
        assert len(world.tasks.lineage(task.id)) > 1


def test_a_task_that_waits_for_people_has_no_place(client: redis.Redis) -> None:
    """With a limit of one a second task comes to its question while the first one waits for its answer."""
    world = AskingWorld(RedisQueue(client), [Target("act", "siem")])
    world.push("rule", "errors", rule("errors", "boom"))
    body = approving_recipe("uses: act").replace(b"steps:", b"concurrency: [{most: 1}]\nsteps:")
    world.push("recipe", "r", body)
    world.detect(world.store("s/0", [b'{"message": "boom", "user": {"id": "u-1"}}'] * 3))
    for _ in range(4):
        world.run()
        world.sweep()
        world.clock.sleep(16)
    assert [task.state for task in world.tasks.listing()] == [State.AWAITING_APPROVAL] * 3
    for task in world.tasks.listing():
        world.approve(task, ALICE)
    world.settle()
    assert [task.state for task in world.tasks.listing()] == [State.SUCCEEDED] * 3
    world.close()


def test_a_purge_ends_while_more_comes_than_it_cancels(world: World) -> None:
    """Tasks that are made while a purge runs are not its business, so that it ends."""
    _begin(world, "tell", count=3)
    walk, more = world.tasks.walk, iter(range(1_000))

    def flooded(state: State, until: int) -> Iterator[Task]:
        for task in walk(state, until):
            yield task
            if (number := next(more, None)) is None:
                raise AssertionError("the purge does not end")
            world.clock.sleep(1)
            world.detect(world.store(f"more/{number}", [BOOM, BOOM], t=world.clock.now))

    world.tasks.walk = flooded  # type: ignore[method-assign]
    assert world.queues().purge("all", "ann", "a flood")["cancelled"] >= 3  # type: ignore[operator]


@pytest.mark.parametrize(
    "damaged",
    [
        {"holders": {"a": ["1", "2", "3", 4]}, "line": [], "turns": [], "tail": 0, "checked": 0},
        {"holders": {}, "line": [["a", "b", "c", "d", "e"]], "turns": [], "tail": 0, "checked": 0},
        {"holders": {}, "line": [], "turns": [[1]], "tail": 0, "checked": 0},
    ],
)
def test_a_damaged_gate_starts_anew(world: World, damaged: dict[str, object]) -> None:
    """A gate of the right form with wrong types in it stops neither worker nor sweep."""
    raw = zstandard.ZstdCompressor().compress(orjson.dumps(damaged))
    assert world.counters.store("place/recipe/r", raw, 0, world.clock.now // SECOND + 10_000)
    _begin(world, "tell", count=3, flow="concurrency: [{most: 1}]")
    world.settle()
    assert [task.state for task in world.tasks.listing()] == [State.SUCCEEDED] * 3


@pytest.mark.parametrize(
    "damaged", [b"[9e99,[]]", b"[1e300,[]]", b'[1,[["a",1]]]', b"{}", b'[1,{"ab":1}]', b"[[],[]]"]
)
def test_a_damaged_rate_starts_anew(world: World, damaged: bytes) -> None:
    """A rate's state that nobody can have written stops neither worker nor sweep."""
    assert world.counters.store("rate/recipe/r", damaged, 0, world.clock.now // SECOND + 10_000)
    _begin(world, "tell", count=3, flow="rate: {most: 10, every: 1m}")
    world.settle()
    assert [task.state for task in world.tasks.listing()] == [State.SUCCEEDED] * 3


def test_a_catalog_that_was_tampered_with_keeps_no_held_task_from_being_looked_at(world: World) -> None:
    """A task whose recipe cannot be read any more fails, with the reason, also one that was held."""
    _begin(world, "tell", count=2, flow="concurrency: [{most: 1}]")
    world.targets["tell"].answers = [Again("busy", 60 * SECOND)]
    world.drain("siem")
    with world.catalog._database.transaction() as connection:
        connection.execute("DROP TRIGGER versions_stay")
        connection.execute("UPDATE versions SET body = x'ff' WHERE kind = 'recipe'")
    world.playbook._versions.clear()
    world.settle()
    assert {task.state for task in world.tasks.listing()} == {State.FAILED}
