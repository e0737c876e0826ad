"""Poison: what is damaged, or raises what nobody expects, keeps nothing else waiting."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.states import State
from sentinel.core.steps import Outcome, StepRun
from sentinel.core.tasks import LEASE, SECOND
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
