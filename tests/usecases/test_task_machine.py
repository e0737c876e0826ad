"""No sequence of events, crashes and duplicates leads a task out of its table of states, or leaves it stuck.

A Hypothesis state machine calls the use cases as feeds, schedules, workers and people do, in any order. Any
call of any port may fail, or kill whoever made it, before or after it was carried out. Two workers contend:
while one is at a step, its lease may run out and the other take the task, or a person may act.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.approvals import Verdict
from sentinel.core.segment import Segment
from sentinel.core.selection import Selection
from sentinel.core.states import BIRTHS, CAUSES, NEVER, By, State
from sentinel.core.steps import Again, Done, Failed, Outcome, StepRun
from sentinel.core.tasks import SECOND, EffectState, Task, born, moved
from sentinel.errors import Conflict, Missing, Unavailable
from sentinel.usecases.approve import Decision
from sentinel.usecases.bulk import ACTS, Order
from sentinel.usecases.fork import Wish
from sentinel.usecases.forks import forks_of
from tests.approvals import AskingWorld, approver
from tests.faults_calls import Faults, Killed
from tests.replays import reenact_all
from tests.scenario import ProbedTarget, Target, recipe
from tests.scenario import rule as sigma

ASKS = "approval, with: {by: [alice, bob, 'service:ops'], needs: 2, within: 2m}"
RATED = "rate: {most: 2, every: 1m}\nconcurrency: [{most: 1, per: service}, {most: 1, group: g}]"
# The steps of each recipe, whether they are at most once, its timeout, and how its tasks flow.
RECIPES = {
    "once": (("blind", "seen", "act"), "effect: at-most-once", "", ""),
    "often": (("blind", "seen", "act"), "", "", ""),
    "hurried": (("seen", "blind"), "effect: at-most-once", "200s", ""),
    "short": (("blind",), "effect: at-most-once", "", ""),
    "asking": (("blind", ASKS, "seen", ASKS, "act"), "effect: at-most-once", "", ""),
    "limited": (("blind", "act"), "effect: at-most-once", "", "concurrency: [{most: 1}]"),
    "rated": (("seen",), "effect: at-most-once", "", RATED),
    "quiet": (("seen",), "effect: at-most-once", "", "debounce: {quiet: 20s, most: 2m}"),
    "proposed": (("blind",), "effect: at-most-once", "300s", "propose_for: 2m"),
}
ONE_AT_ONCE = ("limited", "rated")
TARGETS = ("all", "siem", "action", "recipe:limited", "service:s")


@dataclass(frozen=True)
class Fault:
    """What goes wrong during one use case: at its `call`-th call of a port, which was carried out or not."""

    call: int
    deadly: bool
    applied: bool


ANSWERS = st.sampled_from(["good", "busy", "lost", "refused", "away", "dies first", "dies after", "slow"])
FAULTS = st.none() | st.builds(Fault, st.integers(1, 25), st.booleans(), st.booleans())
WHICH = st.integers(0, 5)


class Machine(RuleBasedStateMachine):
    """The use cases; see the module."""

    client: ClassVar[redis.Redis]
    seen: ClassVar[set[tuple[State, State]]] = set()

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.faults = Faults()
        targets = [Target("blind", "siem"), ProbedTarget("seen", "siem"), Target("act", "action")]
        self.world = AskingWorld(RedisQueue(self.client), targets, self.faults.wrap)
        self.version = 0  # of what every step would do
        self.seen_as: dict[str, int] = {}  # which version each digest was seen as
        for target in targets:
            self.plan(target)
        self.allowed: Counter[str] = Counter()  # effects that a person wants again, by task
        self.ended: dict[str, Task] = {}
        self.segments: list[list[Segment]] = []
        self.chains = 0
        for name, (uses, effect, timeout, flow) in RECIPES.items():
            self.world.push("rule", name, sigma(name, name))
            by = ["message"] if "debounce" in flow else []
            document = recipe(name, name, *uses, by=by, attempts=3, step=effect, timeout=timeout, flow=flow)
            self.world.push("recipe", name, document)

    def plan(self, target: Target) -> None:
        """Let a target say what it would do, and hold what it does against what was approved."""
        target.plan = lambda run: {"version": self.version}  # type: ignore[method-assign]
        perform = target.perform

        def performed(run: StepRun) -> Outcome:
            number = int(run.step.id[1:])
            if run.task.recipe == "asking" and number:
                result: Any = run.task.results[f"s{1 if number == 2 else 3}"]
                assert len(set(result["approved_by"])) == 2
                assert self.seen_as[result["digest"]] == self.version
            return perform(run)

        target.perform = performed  # type: ignore[method-assign]

    @contextmanager
    def fault(self, fault: Fault | None) -> Iterator[None]:
        """Let one call go wrong; what comes of that is what the caller would see."""
        self.faults.calls = 0
        if fault:
            self.faults.error = Killed if fault.deadly else Unavailable
            self.faults.applied = fault.applied
            self.faults.fails = {fault.call}.__contains__
        try:
            yield
        except (Killed, Unavailable, Conflict):
            pass
        finally:
            self.faults.fails = lambda _: False

    def tasks(self) -> list[Task]:
        """Return all tasks in the order of their creation."""
        return sorted(self.world.tasks.listing(limit=1000), key=lambda task: (task.created, task.id))

    def some(self, *states: State) -> bool:
        """Whether there is a task in one of some states."""
        return self.one(0, *states) is not None

    def need(self, which: int, *states: State) -> Task:
        """Return one of the tasks in some states, of which there are."""
        found = self.one(which, *states)
        assert found is not None
        return found

    def one(self, which: int, *states: State) -> Task | None:
        """Return one of the tasks in some states."""
        found = [task for task in self.tasks() if task.state in states]
        return found[which % len(found)] if found else None

    @initialize(names=st.lists(st.sampled_from(sorted(RECIPES)), min_size=1, max_size=3))
    def begin(self, names: list[str]) -> None:
        """There is something to do."""
        for name in names:
            self.create(name, None)

    @precondition(lambda self: self.chains < 5)
    @rule(name=st.sampled_from(sorted(RECIPES)), fault=FAULTS)
    def create(self, name: str, fault: Fault | None) -> None:
        """An entry arrives, and the feed calls detection."""
        self.chains += 1
        entry = f'{{"message": "{name}"}}'.encode()
        self.segments.append(self.world.store(f"s/{self.chains}", [entry], t=self.world.clock.now))
        self.detect(fault)

    @rule(fault=FAULTS)
    def detect(self, fault: Fault | None) -> None:
        """The feed gives what it has not had an answer for, and now and then what it has."""
        for run in self.segments:
            with self.fault(fault):
                self.world.new_detector().detect(run)

    @rule(which=WHICH, fault=FAULTS)
    def propose(self, which: int, fault: Fault | None) -> None:
        """A task is proposed, for a minute or for ever."""
        due = NEVER if which % 2 else self.world.clock.now + 60 * SECOND
        made = self.one(which, *State)
        if made is not None and len(self.tasks()) < 6:
            blank = replace(
                made, id="abcdef"[which] * 26, state=State.PROPOSED, version=0, attempt=0, step=0, tries=0,
                worker="", results={}, reason="the recipe asks first", head="", settled=0, due=due,
            )  # fmt: skip
            with self.fault(fault):
                self.world._tasks.create(*born(blank, self.world.nonce(), {"who": "ann"}))

    @rule(fault=FAULTS)
    def dispatch(self, fault: Fault | None) -> None:
        """The tasks' feed calls dispatch."""
        with self.fault(fault):
            self.world.dispatch()

    @rule(first=ANSWERS, second=ANSWERS, third=ANSWERS, pause=st.sampled_from([0, 1, 61]), fault=FAULTS)
    def work(self, first: str, second: str, third: str, pause: int, fault: Fault | None) -> None:
        """Everything runs once, and targets answer as they like."""
        for name, answer in zip(self.world.targets, (first, second, third), strict=True):
            self.answer(name, answer)
        self.world.clock.sleep(pause)
        for part in (self.world.sweep, self.world.dispatch, lambda: self.world.drain("siem")):
            with self.fault(fault):
                part()
        self.drain("action", "w1", fault)

    @rule(stream=st.sampled_from(["siem", "action"]), worker=st.sampled_from(["w1", "w2"]), fault=FAULTS)
    def drain(self, stream: str, worker: str, fault: Fault | None) -> None:
        """A worker runs."""
        with self.fault(fault):
            self.world.drain(stream, worker=worker)

    @rule(fault=FAULTS)
    def sweep(self, fault: Fault | None) -> None:
        """The sweep runs."""
        with self.fault(fault):
            self.world.sweep()

    @rule(which=WHICH, stream=st.sampled_from(["siem", "action"]))
    def duplicate(self, which: int, stream: str) -> None:
        """A hint is there twice, or on the wrong stream."""
        task = self.one(which, *State)
        if task is not None:
            self.world.queue.add(stream, [task.id] * 2)

    @rule(what=st.sampled_from(TARGETS), seconds=st.sampled_from([0, 30]), fault=FAULTS)
    def pause(self, what: str, seconds: int, fault: Fault | None) -> None:
        """A person pauses something, for a while or until it is resumed."""
        until = self.world.clock.now + seconds * SECOND if seconds else 0
        with self.fault(fault):
            self.world.queues().pause(what, "ann", "why not", until)

    @rule(what=st.sampled_from(TARGETS), fault=FAULTS)
    def resume(self, what: str, fault: Fault | None) -> None:
        """A person resumes something, paused or not."""
        with self.fault(fault), contextlib.suppress(Missing):
            self.world.queues().resume(what, "ann", "why not")

    @rule(what=st.sampled_from(TARGETS[3:]), whole=st.booleans(), fault=FAULTS)
    def purge(self, what: str, whole: bool, fault: Fault | None) -> None:
        """A person purges a recipe or what the service set off."""
        if len(self.tasks()) > 3:
            with self.fault(fault):
                self.world.queues().purge(what, "ann", "why not", all_states=whole, most=1)

    @rule()
    def flush(self) -> None:
        """All hints are lost."""
        self.client.flushall()

    @rule(seconds=st.sampled_from([1, 16, 61, 700]))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.world.clock.sleep(seconds)

    def answer(self, name: str, answer: str) -> None:
        """A target's next answer is not the good one."""
        target = self.world.targets[name]
        plain: dict[str, Outcome | Exception] = {
            "busy": Again("busy", SECOND),
            "refused": Failed("refused"),
            "away": Unavailable("away"),
        }
        special: dict[str, Callable[[StepRun], Outcome]] = {
            "lost": lambda run: self.acted(target, run, lambda: Again("no answer", SECOND, unsure=True)),
            "dies first": lambda _: _die(),
            "dies after": lambda run: self.acted(target, run, _die),
            "slow": lambda run: self.acted(target, run, lambda: self.overtaken(target, run)),
        }
        target.answers = [] if answer == "good" else [plain.get(answer) or special[answer]]

    def acted(self, target: Target, run: StepRun, then: Callable[[], Outcome]) -> Outcome:
        """Have the effect, and something else come of it than `Done`."""
        target.effects[run.key] += 1
        return then()

    def overtaken(self, target: Target, run: StepRun) -> Outcome:
        """Answer when the lease has run out and another worker, the sweep and a person had their turn."""
        self.world.clock.sleep(61)
        self.world.sweep()
        self.world.drain(target.stream, worker="w3")
        target.effects[run.key] -= 1  # the target counts it when it gets `Done`
        return Done({"n": 1})

    @precondition(lambda self: self.some(*State))
    @rule(which=WHICH, fault=FAULTS)
    def cancel(self, which: int, fault: Fault | None) -> None:
        """A person cancels, also what has ended."""
        task = self.need(which, *State)
        with self.fault(fault):
            self.world.control().cancel(task.id, "ann", "why not")

    @precondition(lambda self: self.some(State.WAITING))
    @rule(which=WHICH, fault=FAULTS)
    def retry(self, which: int, fault: Fault | None) -> None:
        """A person has a task tried now."""
        task = self.need(which, State.WAITING)
        with self.fault(fault):
            self.world.control().retry(task.id, "ann", "why not")

    @precondition(lambda self: self.some(State.FAILED))
    @rule(which=WHICH, fault=FAULTS)
    def redrive(self, which: int, fault: Fault | None) -> None:
        """A person redrives a failed task."""
        task = self.need(which, State.FAILED)
        with self.fault(fault):
            self.world.control().redrive(task.id, "ann", "why not")

    @rule(act=st.sampled_from(sorted(ACTS)), limit=st.integers(1, 3), fault=FAULTS)
    def bulk(self, act: str, limit: int, fault: Fault | None) -> None:
        """A person does one act to all that can take it, a few a call."""
        with self.fault(fault):
            self.world.bulk().run(Order(act, Selection(), "ann", "why not", limit))

    @rule(which=WHICH, fault=FAULTS)
    def fork(self, which: int, fault: Fault | None) -> None:
        """A person forks a task of any state; whoever got no answer asks again and gets the same fork."""
        task = self.one(which, *State)
        if task is None or len(self.tasks()) >= 6:
            return
        wish = Wish("ann", "why not", request=f"r{which}")
        with self.fault(fault):
            self.world.forking().fork(task.id, wish)
        made = self.world.forking().fork(task.id, wish)
        assert (
            sum(each.cause.get("request") == wish.request for each in forks_of(self.world.tasks, task)) == 1
        )
        assert made.cause["fork_of"] == task.id

    @precondition(lambda self: self.some(State.AMBIGUOUS))
    @rule(which=WHICH, verdict=st.sampled_from(["happened", "again", "failed"]), fault=FAULTS)
    def resolve(self, which: int, verdict: str, fault: Fault | None) -> None:
        """A person resolves an ambiguous task."""
        task = self.need(which, State.AMBIGUOUS)
        self.allowed[task.id] += verdict == "again"
        with self.fault(fault):
            self.world.control().resolve(task.id, verdict, "ann", "why not")

    @precondition(lambda self: self.some(State.PROPOSED))
    @rule(which=WHICH, fault=FAULTS)
    def accept(self, which: int, fault: Fault | None) -> None:
        """A person accepts what is proposed."""
        task = self.need(which, State.PROPOSED)
        now = self.world.clock()
        changes: dict[str, Any] = {"due": now + 15 * SECOND, "worker": ""}
        after, event = moved(
            task, State.QUEUED, now, self.world.nonce(), {"who": "ann"}, by=By.PERSON, **changes
        )
        with self.fault(fault):
            self.world._tasks.move(task, after, event)

    @precondition(lambda self: self.some(State.AWAITING_APPROVAL))
    @rule(
        which=WHICH,
        who=st.sampled_from(["alice", "bob", "service:ops"]),
        verdict=st.sampled_from([Verdict.APPROVE] * 5 + [Verdict.REFUSE]),
        old=st.booleans(),
        fault=FAULTS,
    )
    def decide(self, which: int, who: str, verdict: Verdict, old: bool, fault: Fault | None) -> None:
        """Somebody approves or refuses what they see, or what was seen by somebody before."""
        task = self.need(which, State.AWAITING_APPROVAL)
        digest = self.world.digest(task)
        self.seen_as.setdefault(digest, self.version)
        assert self.seen_as[digest] == self.version
        if old:
            digest = next(iter(self.seen_as))
        with self.fault(fault):
            self.world.approving().decide(task.id, Decision(approver(who), verdict, digest, "why not"))

    @rule()
    def change(self) -> None:
        """What every step would do becomes something else."""
        self.version += 1

    @invariant()
    def lineages_keep_to_the_table(self) -> None:
        """Every lineage verifies, each event follows by the table, and attempts only grow."""
        for task in self.tasks():
            bodies = self.world.bodies(task)
            assert bodies[0]["event"] in {state.value for state in BIRTHS}
            attempt = 0
            for before, body in pairwise(bodies):
                start, to = State(body["from"]), State(body["event"])
                assert start.value == before["event"]
                assert (start, to) in CAUSES
                self.seen.add((start, to))
                assert not start.ended or "who" in body
                assert body["attempt"] - attempt in {0, 1}
                attempt = body["attempt"]
                if to is State.RUNNING and start is not to and task.deadline:
                    assert body["t"] < task.deadline
            assert bodies[-1]["event"] == task.state.value
            assert task.attempt >= attempt

    @invariant()
    def limits_hold(self) -> None:
        """Of a recipe whose tasks go one at a time, one at most has started and not ended."""
        going: Counter[str] = Counter()
        for task in self.tasks():
            started = False
            for body in self.world.bodies(task):
                started = body["event"] == "running" or (started and not State(body["event"]).ended)
            going[task.recipe] += started
        assert all(going[name] <= 1 for name in ONE_AT_ONCE), going

    @invariant()
    def nothing_is_stuck(self) -> None:
        """Who has not ended is found by the sweep some day, or waits for a person and says for what."""
        looked_at = {task.id for task in self.world.tasks.due(NEVER, 1000)}
        for task in self.tasks():
            assert (task.id in looked_at) is not task.state.ended
            if task.due == NEVER:
                assert task.state.personal
                assert task.reason
            if task.deadline and not task.state.ended:
                assert task.due <= task.deadline

    @invariant()
    def what_has_ended_stays_ended(self) -> None:
        """An ended task never changes, but where a person redrives one that failed."""
        for task in self.tasks():
            before = self.ended.pop(task.id, None)
            if before is not None and before != task:
                assert before.state is State.FAILED
                events = self.world.bodies(task)
                assert "who" in events[before.version]
            if task.state.ended:
                self.ended[task.id] = task

    @invariant()
    def effects_are_as_told(self) -> None:
        """An at-most-once effect reached its target once, and once more each time that a person said so."""
        counts = sum((target.effects for target in self.world.targets.values()), Counter())
        for task in self.tasks():
            effects = self.world.tasks.effects(task.id)
            if task.recipe != "often":
                assert all(counts[key] <= 1 + self.allowed[task.id] for key in effects)
            assert all(counts[key] for key, each in effects.items() if each.state is EffectState.DONE)

    def finish(self) -> None:
        """Let everything end. Who waits for a person keeps its place: a person has to come for the others."""
        while True:
            try:
                return self.world.settle(80)
            except AssertionError:
                kept = [task for task in self.tasks() if task.state is State.AMBIGUOUS]
                blocking = [task for task in kept if task.recipe in ONE_AT_ONCE]
                if not blocking or not self.waits_for(blocking):
                    raise
                for task in blocking:
                    self.world.control().resolve(task.id, "failed", "ann", "others wait")

    def waits_for(self, blocking: list[Task]) -> bool:
        """Whether all that has not ended is held by a limit that these take up, or waits for a person."""
        recipes = {task.recipe for task in blocking}
        left = [task for task in self.tasks() if not task.state.ended and not task.state.personal]
        return all(task.recipe in recipes and task.held.startswith("place/") for task in left)

    def teardown(self) -> None:
        """When nothing fails any more, every task ends or waits for a person, for a stated reason."""
        for target in self.world.targets.values():
            target.answers.clear()
        self.detect(None)
        for what in TARGETS:
            with contextlib.suppress(Missing):
                self.world.queues().resume(what, "ann", "that is all")
        self.finish()
        self.lineages_keep_to_the_table()
        self.nothing_is_stuck()
        self.what_has_ended_stays_ended()
        self.effects_are_as_told()
        self.replayed()
        self.world.close()

    def replayed(self) -> None:
        """Whatever happened, the same code makes the same of what is recorded of it."""
        world = self.world

        def by_hand(task: Task) -> bool:  # moved here, by no use case
            return any("who" in body and "why" not in body for body in world.bodies(task))

        reenact_all(world.tasks, world.ledger, world.actions, world.playbook.recipe, by_hand)


def _die() -> Outcome:
    raise Killed


@pytest.mark.slow
@pytest.mark.timeout(600)  # Hypothesis may take five minutes to make a failure small
def test_no_sequence_of_events_leaves_the_table(client: redis.Redis) -> None:
    """See the module."""
    Machine.client = client
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    # Most transitions have to be made. Which are differs from run to run, so what is rare gets more of them.
    # Hypothesis would take the same examples each time where it finds itself in CI.
    for _ in range(8):
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=50,
                stateful_step_count=50,
                deadline=None,
                derandomize=False,
                suppress_health_check=checks,
            ),
        )
        if len(Machine.seen) >= len(CAUSES) * 2 // 3:
            return
    raise AssertionError(f"never seen: {set(CAUSES) - Machine.seen}")
