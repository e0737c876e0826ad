"""A recorded run in which everything happens replays without a difference: on SQLite and on DynamoDB.

Retries, a lost lease, waits, a redrive, all verdicts on an ambiguous effect, a cancelled and an expired task,
a target that is asked, a correlation, schedules. Whatever is then changed of what was recorded shows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import orjson
import pytest
import redis

from sentinel.adapters.dynamodb_tasks import DynamoTasks
from sentinel.adapters.redis_streams import RedisQueue
from sentinel.adapters.task_json import task_to_json
from sentinel.core.signing import Unsigned
from sentinel.core.states import State
from sentinel.core.steps import Again, Failed, Outcome, StepRun, Unknown
from sentinel.core.tasks import LEASE_OVER, SECOND, EffectState, Event, Task, event_after
from sentinel.errors import Unavailable
from sentinel.usecases.fork import Wish
from sentinel.usecases.reenact import Reenact
from sentinel.usecases.replay import Replay
from sentinel.usecases.replayed import Replayed
from sentinel.usecases.schedule import Scheduler, Timetable
from sentinel.usecases.timetabled import is_scheduled, time_of
from tests.contracts.tables import dynamodb
from tests.faults_calls import Faults, Killed
from tests.scenario import START, ProbedTarget, Target, World, correlation, recipe, rule
from tests.usecases.test_effect_faults import DynamoWorld

HOUR = 3600 * SECOND
BEGIN = START - START % HOUR + HOUR
END = BEGIN + 2 * HOUR
ANN = ("ann", "looked at the target")
AT_MOST = "effect: at-most-once"
WORDS = {
    "plain": (("tell", "act"), ""),
    "busy": (("act",), ""),
    "dies": (("act", "tell"), ""),
    "hopeless": (("act",), ""),
    "maybe": (("seen", "act"), AT_MOST),
    "blind": (("act",), AT_MOST),
    "given": (("act",), AT_MOST),
    "twice": (("act", "tell"), AT_MOST),
    "dull": (("act",), ""),
    "hurry": (("act",), ""),
    "absent": (("none",), ""),
}


class Run:
    """The world of one recorded run."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.clock = world.clock
        self.clock.now = BEGIN
        timetable = Timetable(world.catalog, Unsigned(), world.clock, 0)
        self.scheduler = Scheduler(
            timetable, world._tasks, world._counters, world.actions, world.clock, world.nonce
        )

    def push(self) -> None:
        """Put everything in force, and let the scheduler see it."""
        for name, (uses, step) in WORDS.items():
            self.world.push("rule", name, rule(name, name))
            timeout = "200s" if name == "hurry" else "1h"
            self.world.push("recipe", name, recipe(name, name, *uses, step=step, attempts=3, timeout=timeout))
        self.world.push("rule", "odd", rule("odd", "odd"))
        self.world.push("rule", "many", correlation("many", "odd", "user", 3, "5m"))
        self.world.push("recipe", "many", recipe("many", "many", "tick"))
        clock = 'id: clock\non: {schedule: {cron: "*/10 * * * *"}}\nsteps: [{id: a, uses: tick}]\n'
        self.world.push("recipe", "clock", clock.encode())
        self.scheduler.fire()
        self.clock.sleep(120)

    def log(self, word: str, count: int = 1) -> list[str]:
        """Store entries with a word, and have them detected; return the ids of new tasks."""
        self.clock.sleep(1)
        body = orjson.dumps({"message": word, "user": "bob"})
        stored = self.world.store(f"s/{self.clock.now}", [body] * count, t=self.clock.now)
        return self.world.new_detector().detect(stored).tasks

    def work(self, pause: float = 16) -> None:
        """Let everything run once, whoever dies."""
        self.clock.sleep(pause)
        for part in (
            self.scheduler.fire,
            self.world.sweep,
            self.world.dispatch,
            lambda: self.world.drain("siem"),
            lambda: self.world.drain("action"),
        ):
            with suppress(Killed, Unavailable):
                part()

    def task(self, name: str) -> Task:
        """Return the one task of a recipe."""
        (found,) = [task for task in self.world.tasks.listing(None, 1000) if task.recipe == name]
        return found

    def answers(self, name: str, *answers: Any) -> None:
        """Say what a target answers next."""
        self.world.targets[name].answers = list(answers)


def die(_: StepRun) -> Outcome:
    """Take the worker along."""
    raise Killed


def record(run: Run) -> None:
    """Live through everything."""
    run.push()
    run.log("plain")
    run.log("odd", 3)
    run.work()
    run.work()
    run.log("busy")
    alone = [Again("left alone", 5 * SECOND, idle=True)] * 3  # as often as the recipe has attempts
    first, slow = Again("busy", 5 * SECOND, {"parts": 1}), Again("slow", None)
    run.answers("act", *alone, first, Unavailable("away"), slow)
    for _ in range(9):
        run.work()
    run.log("dies")
    run.answers("act", die)
    run.work()
    run.work(61)
    run.work()
    run.log("hopeless")
    run.answers("act", Failed("no such host"))
    run.work()
    run.world.control().redrive(run.task("hopeless").id, *ANN)
    run.answers("act", Again("busy", 600 * SECOND))
    run.work()
    run.world.control().retry(run.task("hopeless").id, *ANN)
    run.work()
    maybe(run)
    verdicts(run)
    run.log("dull")
    run.answers("act", Again("busy", 900 * SECOND))
    run.work()
    run.world.control().cancel(run.task("dull").id, *ANN)
    run.log("hurry")
    run.answers("act", Again("busy", 900 * SECOND))
    run.work()
    run.log("absent")
    run.work(201)
    run.world.settle()
    while run.clock.now < END:
        run.work(200)
    run.world.settle()


def maybe(run: Run) -> None:
    """Ask a target: it says nothing, then that it cannot tell, then that it has the effect."""
    seen = run.world.targets["seen"]
    assert isinstance(seen, ProbedTarget)
    for probes in ([Unavailable("away"), None], [Unknown("the index is being built")]):
        run.log("maybe")

        def lost(step: StepRun) -> Outcome:
            seen.effects[step.key] += 1
            return Again("no answer", SECOND, unsure=True)

        seen.answers, seen.probes = [lost], [each for each in probes if each]
        for _ in range(6):
            run.work()
    (left,) = run.world.tasks.listing(State.AMBIGUOUS, 10)
    run.world.control().resolve(left.id, "happened", *ANN)
    run.log("maybe")
    seen.answers = [lambda _: Again("no answer", SECOND, unsure=True)]  # and it has nothing
    for _ in range(4):
        run.work()


def verdicts(run: Run) -> None:
    """Have a person say what became of effects of which nobody knows."""
    for name, verdict in (("blind", "happened"), ("given", "failed"), ("twice", "again")):
        run.log(name)
        run.answers("act", Unavailable("lost") if name != "twice" else die)
        run.work()
        run.work(61)
        run.work()
        assert run.task(name).state is State.AMBIGUOUS
        run.world.control().resolve(run.task(name).id, verdict, *ANN)
        run.work()


def targets() -> list[Target]:
    """Return the targets of a run."""
    return [
        Target("tell", "siem"),
        ProbedTarget("seen", "siem"),
        Target("act", "action"),
        Target("tick", "action"),
    ]


@pytest.fixture
def run(client: redis.Redis) -> Iterator[Run]:
    """Give a recorded run on SQLite."""
    client.flushall()
    made = Run(World(RedisQueue(client), targets()))
    record(made)
    yield made
    made.world.close()


@pytest.fixture(params=["sqlite", pytest.param("dynamodb", marks=pytest.mark.nightly)])
def recorded(request: pytest.FixtureRequest, client: redis.Redis) -> Iterator[Run]:
    """Give a recorded run on each kind of store."""
    if request.param == "sqlite":
        yield request.getfixturevalue("run")
        return
    client.flushall()
    with dynamodb("tasks") as dynamo:
        world = DynamoWorld(RedisQueue(client), targets())
        world.use(DynamoTasks(dynamo, "tasks"), Faults())
        made = Run(world)
        record(made)
        yield made
        world.close()


def replay(run: Run, **changes: Any) -> Replay:
    """Return the use case on a run's stores."""
    world = run.world
    made = Replay(world.ledger, world.catalog, world.tasks, world.clock, actions=world.actions)
    return replace(made, **changes)


def compared(run: Run, **changes: Any) -> Replayed:
    """Compare the whole run."""
    return replay(run, **changes).compare(BEGIN, END)


def test_everything_that_happened_happens_again(recorded: Run) -> None:
    """No task is missing, unexpected or different: each lives once more, to the same heads and state."""
    run = recorded
    found = compared(run)
    assert found.differences == []
    assert (found.older, found.doubtful, found.waiting, found.notes) == (0, 0, 0, [])
    tasks = run.world.tasks.listing(None, 1000)
    made = [task.recipe for task in tasks if not is_scheduled(task) or time_of(task) < END]
    assert set(made) == {*WORDS, "many", "clock"}
    assert (made.count("maybe"), made.count("clock")) == (3, 11)  # the first time was before it was pushed
    assert found.reenacted == found.recorded == found.asked == len(made)
    told = [body for task in run.world.tasks.listing(None, 1000) for body in run.world.bodies(task)]
    met = {(body.get("outcome"), body.get("answer"), body.get("probed")) for body in told}
    assert met >= {
        ("done", None, None),
        ("was found done", None, None),
        ("done", None, "nothing"),
        (None, "again", None),
        (None, "failed", None),
        (None, "absent", None),
        (None, None, "away"),
        (None, None, "unknown"),
    }
    assert {body["event"] for body in told} >= {"succeeded", "failed", "cancelled", "expired", "ambiguous"}
    assert {body["verdict"] for body in told if "verdict" in body} == {"happened", "again", "failed"}
    assert any(body.get("reason") == LEASE_OVER for body in told)
    assert any(body.get("progress") for body in told)
    assert sum(body.get("idle", False) for body in told) == 3
    assert run.task("busy").state == State.SUCCEEDED


def test_forks_are_asked_for_by_people(run: Run) -> None:
    """A fork of an entry's task, of a schedule's and of a fork live once more, and belong to a task."""
    world = run.world
    by_clock = next(task for task in world.tasks.listing(None, 1000) if is_scheduled(task))
    of_entry = world.forking().fork(run.task("hopeless").id, Wish(*ANN, request="again"))
    forks = [
        of_entry,
        world.forking().fork(by_clock.id, Wish(*ANN)),
        world.forking().fork(of_entry.id, Wish(*ANN)),
    ]
    world.settle()
    found = replay(run).compare(BEGIN, run.clock.now)
    assert found.differences == []
    assert {fork.id for fork in forks} <= {task.id for task in world.tasks.listing(State.SUCCEEDED, 1000)}
    assert found.reenacted == found.recorded
    with world.tasks._database.transaction() as connection:
        connection.execute("DELETE FROM tasks WHERE id = ?", (of_entry.id,))
    (difference,) = replay(run).compare(BEGIN, run.clock.now).differences
    assert (difference.what, difference.task) == ("different", forks[2].id)
    assert difference.why[0] == "the task that it is a fork of is not there"


@pytest.mark.parametrize("change", [{"fork": 7}, {"fork_of": "a" * 26}, {"title": "another"}])
def test_a_fork_that_does_not_fit_its_task_shows(run: Run, change: dict[str, object]) -> None:
    """A task cannot be passed off as a fork, nor a fork as another task's."""
    fork = run.world.forking().fork(run.task("hopeless").id, Wish(*ANN))
    stored = replace(fork, cause={**fork.cause, **change})
    with run.world.tasks._database.transaction() as connection:
        connection.execute("UPDATE tasks SET body = ? WHERE id = ?", (task_to_json(stored), fork.id))
    (difference,) = replay(run).compare(BEGIN, run.clock.now).differences
    assert (difference.what, difference.task) == ("different", fork.id)


def test_a_fork_is_asked_for_by_nobody(run: Run) -> None:
    """What a person forked, of a rule's task or a schedule's, is re-enacted, and is not unexpected."""
    parents = [lived(run, "plain"), next(task for task in everything(run) if is_scheduled(task))]
    forks = [run.world.forking().fork(each.id, Wish(*ANN)) for each in parents]
    for _ in range(3):
        run.work()
    for each in forks:
        fork = run.world.tasks.get(each.id)
        assert fork is not None
        assert fork.state is State.SUCCEEDED
        assert replay(run).compare(BEGIN, run.clock.now).differences == []
        rewrite(run, replace(fork, results={"s0": {"n": 7}}))
        (difference,) = replay(run).compare(BEGIN, run.clock.now).differences
        assert (difference.what, difference.task) == ("different", fork.id)
        rewrite(run, fork)


def rewrite(run: Run, task: Task) -> None:
    """Store a task's state as it is given, past all conditions."""
    with run.world.tasks._database.transaction() as connection:
        connection.execute("UPDATE tasks SET body = ? WHERE id = ?", (task_to_json(task), task.id))


def everything(run: Run) -> list[Task]:
    """Return all tasks."""
    return run.world.tasks.listing(None, 1000)


def lived(run: Run, name: str) -> Task:
    """Return a task that has lived long."""
    tasks = [task for task in run.world.tasks.listing(None, 1000) if task.recipe == name]
    return max(tasks, key=lambda task: task.version)


CHANGED: dict[str, Any] = {
    "results": {"s0": {"n": 7}},
    "attempt": 9,
    "tries": 4,
    "step": 5,
    "settled": 3,
    "reason": "another",
    "deadline": 1,
    "stream": "siem",
    "priority": "high",
    "worker": "eve",
    "due": 5,
    "share": 3,
    "held": "pause",
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_state_that_does_not_follow_shows(run: Run, name: str) -> None:
    """A stored state is no part of any hash; all of it follows from the lineage, so that a change shows."""
    task = lived(run, "busy")
    rewrite(run, replace(task, **{name: CHANGED[name]}))
    (difference,) = compared(run).differences
    assert (difference.what, difference.task) == ("different", task.id)
    assert any(name in why or (name == "results" and "result" in why) for why in difference.why)


def rewritten(events: list[Event], task: Task, at: int, **facts: object) -> tuple[Task, list[Event]]:
    """Return a lineage with an event told in another way, and every hash after it made anew."""
    made = events[:at]
    for event in events[at:]:
        body = dict(event.body)
        body.update(facts if event.seq == at else {})
        for name in ("event", "seq", "t"):
            del body[name]
        before = replace(task, version=event.seq, head=made[-1].head.hex() if made else "")
        made.append(event_after(before, str(event.body["event"]), event.t, event.nonce, body))
    return replace(task, head=made[-1].head.hex()), made


def test_every_fact_of_every_event_counts(run: Run) -> None:
    """A lineage that was written anew from some event on, with right hashes, shows at that event.

    What only the world knows can be told in any way that makes sense: that is what hashes are for.
    """
    world = run.world
    by = Reenact(world.ledger, world.actions, world.playbook.recipe)
    found = 0
    for task in world.tasks.listing(None, 1000):
        events = world.tasks.lineage(task.id)
        for at, event in enumerate(events):
            for name, value in event.body.items():
                if name in {"event", "seq", "t"}:
                    continue
                other: Any = "x" if isinstance(value, str) else [] if isinstance(value, list) else 77
                changed, lineage = rewritten(events, task, at, **{name: other})
                wrong = list(by.differences(changed, lineage, world.tasks.effects(task.id), []))
                known_to_the_world = name in {"worker", "reason", "due", "who", "why", "tries"} or (
                    # What made a task, and for what place, is compared with the rules themselves.
                    at == 0
                )
                assert wrong or known_to_the_world, (event.entry, name)
                found += bool(wrong)
    assert found > 500


def test_an_effect_that_is_gone_shows(run: Run) -> None:
    """Effects that the lineage tells of are recorded, and those that are done as done."""
    world = run.world
    by = Reenact(world.ledger, world.actions, world.playbook.recipe)
    task = lived(run, "maybe")
    events, effects = world.tasks.lineage(task.id), world.tasks.effects(task.id)
    assert list(by.differences(task, events, effects, [])) == []
    assert any(effect.state is EffectState.DONE for effect in effects.values())
    for key, effect in effects.items():
        without = {other: each for other, each in effects.items() if other != key}
        assert "is not recorded" in next(iter(by.differences(task, events, without, [])))
        if effect.state is EffectState.INTENT:
            continue
        undone = {**effects, key: dataclasses.replace(effect, state=EffectState.INTENT)}
        assert "recorded as not done" in next(iter(by.differences(task, events, undone, [])))


def test_other_code_shows(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the code would decide in another way now, the first event that differs is named."""
    from sentinel.usecases import outcomes

    monkeypatch.setattr(outcomes, "LONGEST_WISH", 3 * SECOND)
    (waited,) = [each for each in compared(run).differences if each.recipe == "busy"]
    assert waited.why[0].endswith(": would tell another due now")


def test_a_lineage_of_an_earlier_version_is_no_difference(run: Run) -> None:
    """What tells too little is counted, and checked as far as it can be."""
    world = run.world
    task = lived(run, "busy")
    events = world.tasks.lineage(task.id)
    old: list[Event] = []
    for event in events:
        body = {name: value for name, value in event.body.items() if name not in {"due", "event", "seq", "t"}}
        before = replace(task, version=event.seq, head=old[-1].head.hex() if old else "")
        old.append(event_after(before, str(event.body["event"]), event.t, event.nonce, body))
    with world.tasks._database.transaction() as connection:
        changed = task_to_json(replace(task, head=old[-1].head.hex()))
        connection.execute("UPDATE tasks SET body = ? WHERE id = ?", (changed, task.id))
        for event in old:
            connection.execute(
                "UPDATE events SET entry = ?, head = ? WHERE task = ? AND seq = ?",
                (event.entry, event.head, task.id, event.seq),
            )
    found = compared(run)
    assert (found.differences, found.older) == ([], 1)


def test_replaying_does_nothing(run: Run) -> None:
    """No action runs, nothing is written, no target is asked."""
    before = {name: len(target.runs) for name, target in run.world.targets.items()}
    states = run.world.tasks.listing(None, 1000)
    compared(run)
    assert {name: len(target.runs) for name, target in run.world.targets.items()} == before
    assert run.world.tasks.listing(None, 1000) == states
