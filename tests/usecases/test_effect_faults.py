"""At-most-once effects, and what a person does, under a fault at every port call: on SQLite and on DynamoDB.

Each call of each port fails once, unsent or with its answer lost, or kills whoever made it; with DynamoDB
those of the tasks alone and with a step fewer, since moto is slow. A person looks at the target of what is
ambiguous and says what is there. In the end every effect has happened once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import redis

from sentinel.adapters.dynamodb_tables import TABLES
from sentinel.adapters.dynamodb_tasks import DynamoTasks
from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.states import State
from sentinel.core.steps import Again, Failed, Outcome, StepRun
from sentinel.core.tasks import LEASE, SECOND, Task
from sentinel.errors import Conflict, Unavailable
from sentinel.usecases.dispatch import Change, dispatch
from tests.contracts.tables import definition, dynamodb
from tests.faults_calls import Faults, Killed
from tests.replays import reenact_all
from tests.sampling import taken
from tests.scenario import ProbedTarget, Target, World, recipe, rule

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Fault = tuple[int, type[BaseException], bool]  # the call that fails, how, and whether it was carried out
WHO = ("ann", "looked at the target")


class DynamoWorld(World):
    """The world with its tasks in DynamoDB; its feed tells of what is queued, again and again."""

    def use(self, tasks: DynamoTasks, faults: Faults) -> None:
        """Keep tasks there."""
        self.tasks.close()
        self.tasks = tasks  # type: ignore[assignment]
        self._tasks = faults.wrap("tasks", tasks)

    def dispatch(self) -> int:
        queued = self.tasks.listing(State.QUEUED)
        changes = [Change(task.id, task.state, task.line) for task in queued]
        return dispatch(changes, self.queue, self._doorbell)

    def close(self) -> None:
        for store in (self.catalog, self.counters):
            store.close()
        self.ledger._db.close()


@dataclass
class Stage:
    """Where scenarios are played, each in a world of its own. Without `dynamo`, on SQLite."""

    client: redis.Redis
    dynamo: DynamoDBClient | None
    played: int = 0
    task_id: str = ""
    faults: Faults = field(default_factory=Faults)

    @contextmanager
    def world(self, *uses: str) -> Iterator[World]:
        """Give a world with one task of an at-most-once recipe. No call fails yet."""
        self.client.flushall()
        self.faults = Faults()
        targets = [Target("blind", "siem"), ProbedTarget("seen", "siem"), Target("act", "action")]
        if self.dynamo is None:
            world = World(RedisQueue(self.client), targets, self.faults.wrap)
        else:
            world = DynamoWorld(RedisQueue(self.client), targets)
            world.use(self._table(), self.faults)
        world.push("rule", "errors", rule("errors", "boom"))
        document = recipe("r", "errors", *uses, step="effect: at-most-once", attempts=9, timeout="1d")
        world.push("recipe", "r", document)
        (self.task_id,) = world.new_detector().detect(world.store("s/0", [b'{"message": "boom"}'])).tasks
        yield world
        world.close()

    def _table(self) -> DynamoTasks:
        assert self.dynamo is not None
        self.played += 1
        name = f"tasks{self.played}"
        self.dynamo.create_table(**{**definition("tasks", TABLES["tasks"]), "TableName": name})
        return DynamoTasks(self.dynamo, name)

    def arm(self, fault: Fault | None) -> None:
        """Let one call from now on go wrong, or count them only."""
        self.faults.calls = 0
        if fault is not None:
            call, self.faults.error, self.faults.applied = fault
            self.faults.fails = {call}.__contains__

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        self.faults.fails = lambda _: False


@pytest.fixture(params=["sqlite", pytest.param("dynamodb", marks=pytest.mark.nightly)])
def stage(request: pytest.FixtureRequest, client: redis.Redis) -> Iterator[Stage]:
    """Give a stage on each kind of store."""
    if request.param == "sqlite":
        yield Stage(client, None)
        return
    with dynamodb() as dynamo:
        yield Stage(client, dynamo)


def _get(world: World, task_id: str) -> Task:
    found = world.tasks.get(task_id)
    assert found is not None
    return found


def _run(world: World, task_id: str, rounds: int = 12) -> Task:
    """Let feeds, schedules and workers run until the task has ended or is a person's."""
    for turn in range(rounds):
        for part in (world.dispatch, lambda: world.drain("siem"), lambda: world.drain("action"), world.sweep):
            with suppress(Unavailable, Killed):
                part()
        task = _get(world, task_id)
        if task.state.ended or task.state.personal:
            return task
        world.clock.sleep(16 if turn % 2 else LEASE / SECOND)
    raise AssertionError(_get(world, task_id))


def _look(world: World, task: Task) -> Task:
    """Have a person look at the target of what is ambiguous, and say what is there, until nothing is."""
    while task.state is State.AMBIGUOUS:
        key = str(world.bodies(task)[-1]["effect"])
        there = any(target.effects[key] for target in world.targets.values())
        world.control().resolve(task.id, "happened" if there else "again", *WHO)
        task = _run(world, task.id)
    return task


def _check(world: World, task: Task) -> None:
    assert task.state is State.SUCCEEDED, task.reason
    counts = [count for target in world.targets.values() for count in target.effects.values()]
    assert counts == [1] * len(task.results)
    assert reenact_all(world.tasks, world.ledger, world.actions, world.playbook.recipe) == 1
    ends = [body["event"] for body in world.bodies(task) if State(str(body["event"])).ended]
    assert ends == ["succeeded"]


def _every_fault(stage: Stage, play: Callable[[Fault | None], None]) -> int:
    """Play a scenario once as it is, and once for each way in which each of its calls can fail.

    On DynamoDB two of three calls fail in one of the ways, in turn, on SQLite each in one or two.
    """
    play(None)
    calls = stage.faults.calls
    ways = [(error, applied) for error in (Unavailable, Killed) for applied in (False, True)]
    for call in range(1, calls + 1):
        for error, applied in taken(ways, 6 if stage.dynamo else 3, call):
            play((call, error, applied))
    return calls


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_fault_doubles_an_at_most_once_effect(stage: Stage) -> None:
    """Whichever call fails, each of three effects happens once, after a person has looked where needed."""
    met: set[State] = set()

    def play(fault: Fault | None) -> None:
        with stage.world("blind", "seen", *([] if stage.dynamo else ["act"])) as world:
            # One target is busy, one loses its answer after it has acted: both are met on the way.
            seen = world.targets["seen"]

            def lost(run: StepRun) -> Outcome:
                seen.effects[run.key] += 1
                return Again("no answer", SECOND, unsure=True)

            world.targets["blind"].answers, seen.answers = [Again("busy", SECOND)], [lost]
            stage.arm(fault)
            task = _run(world, stage.task_id)
            stage.heal()
            met.add(task.state)
            _check(world, _look(world, task) if fault else task)

    assert _every_fault(stage, play) > 20
    assert met == {State.SUCCEEDED, State.AMBIGUOUS}  # some faults left it to a person, and most did not


Act = Callable[[World, Task], object]
ACTS: dict[str, tuple[list[Outcome | Exception], Act, State]] = {
    "cancel": ([Again("busy", 0)], lambda w, t: w.control().cancel(t.id, *WHO), State.CANCELLED),
    "retry": ([Again("busy", 0)], lambda w, t: w.control().retry(t.id, *WHO), State.QUEUED),
    "redrive": ([Failed("no")], lambda w, t: w.control().redrive(t.id, *WHO), State.QUEUED),
    "happened": (
        [Unavailable("lost")],
        lambda w, t: w.control().resolve(t.id, "happened", *WHO),
        State.SUCCEEDED,
    ),
    "again": ([Unavailable("lost")], lambda w, t: w.control().resolve(t.id, "again", *WHO), State.QUEUED),
    "failed": ([Unavailable("lost")], lambda w, t: w.control().resolve(t.id, "failed", *WHO), State.FAILED),
}


@pytest.mark.parametrize("name", ACTS)
def test_an_act_is_done_once_or_not_at_all(stage: Stage, name: str) -> None:
    """Whichever call fails, a person's act is in the lineage once when it is said again until it is taken."""
    answers, act, after = ACTS[name]

    def play(fault: Fault | None) -> None:
        with stage.world("blind") as world:
            world.targets["blind"].answers = list(answers)
            world.dispatch()
            world.drain("siem")
            task = _get(world, stage.task_id)
            stage.arm(fault)
            with suppress(Unavailable, Killed):
                act(world, task)
            stage.heal()
            if fault is not None:
                with suppress(Conflict):  # it was done
                    act(world, task)
            task = _get(world, task.id)
            assert task.state is after
            told = [body for body in world.bodies(task) if "who" in body]
            assert [(body["who"], body["why"]) for body in told] == [WHO]
            reenact_all(world.tasks, world.ledger, world.actions, world.playbook.recipe)

    assert _every_fault(stage, play) > 1
