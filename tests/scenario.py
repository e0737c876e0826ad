"""The whole way from a segment to an effect, on SQLite in memory and a real Valkey, with a clock of its own.

Actions are real enough to be counted: a `Target` remembers each effect by its key, as a target that takes
idempotency keys does, and can be told what to answer.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.adapters.lambda_doorbell import NoDoorbell
from sentinel.adapters.sqlite_catalog import SqliteCatalog
from sentinel.adapters.sqlite_counters import SqliteCounters
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.adapters.sqlite_tasks import SqliteTasks
from sentinel.core.flow import PLACE
from sentinel.core.recipes import Recipe
from sentinel.core.segment import Segment
from sentinel.core.step_inputs import Form
from sentinel.core.steps import Action, Done, Nothing, Outcome, Probed, StepRun
from sentinel.core.tasks import SECOND, Task, verify_lineage
from sentinel.errors import Malformed, Unavailable
from sentinel.ports import Queue
from sentinel.usecases.bulk import Bulk
from sentinel.usecases.control import Control
from sentinel.usecases.detect import Detected, Detector
from sentinel.usecases.dispatch import Change, dispatch
from sentinel.usecases.execute import Executor
from sentinel.usecases.flow import gates
from sentinel.usecases.fork import Fork
from sentinel.usecases.pauses import Pauses
from sentinel.usecases.playbook import Playbook
from sentinel.usecases.queues import Queues
from sentinel.usecases.run import Drained, drain
from sentinel.usecases.sweep import Swept, sweep
from tests.chains import grow

START = 1_700_000_000 * SECOND


@dataclass
class Clock:
    """Time that passes only when it is told to, and a microsecond at each look."""

    now: int = START

    def __call__(self) -> int:
        self.now += 1000
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


@dataclass
class Target:
    """An action whose effects are counted by key. `answers` are given in turn, then `Done`."""

    name: str
    stream: str
    answers: list[Outcome | Exception | Callable[[StepRun], Outcome]] = field(default_factory=list)
    runs: list[StepRun] = field(default_factory=list)
    effects: Counter[str] = field(default_factory=Counter)
    forms: Mapping[str, Form] = field(default_factory=dict)

    def check(self, inputs: Mapping[str, Any]) -> None:
        if "wrong" in inputs:
            raise Malformed("with: wrong is not a field")

    def plan(self, run: StepRun) -> Mapping[str, object]:
        return {"with": dict(run.step.with_)}

    def perform(self, run: StepRun) -> Outcome:
        self.runs.append(run)
        answer = self.answers.pop(0) if self.answers else Done({"n": len(run.entries)})
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = answer(run)
        if isinstance(answer, Done):
            self.effects[run.key] += 1
        return answer


@dataclass
class ProbedTarget(Target):
    """A target that can be asked: it has an effect, or says what `probes` gives in turn."""

    probes: list[Probed | Exception] = field(default_factory=list)
    asked: int = 0

    def probe(self, run: StepRun) -> Probed:
        self.asked += 1
        answer = self.probes.pop(0) if self.probes else None
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            return answer
        return Done({"found": True}) if self.effects[run.key] else Nothing()


def recipe(
    name: str,
    rule: str,
    *uses: str,
    by: Sequence[str] = (),
    within: str = "",
    attempts: int = 5,
    step: str = "",
    timeout: str = "",
    flow: str = "",
) -> bytes:
    """Return a recipe's document; steps are called s0, s1, ..., and `step` is put into each of them.

    `flow` are whole keys, such as `rate: {most: 1, every: 1m}`.
    """
    steps = "".join(
        f"  - {{id: s{n}, uses: {action}{step and ', ' + step}}}\n" for n, action in enumerate(uses)
    )
    steps = f"{steps}timeout: {timeout}\n" if timeout else steps
    steps = f"{steps}{flow}\n" if flow else steps
    span = f", within: {within}" if within else ""
    return (
        f"id: {name}\non: {{rule: {rule}}}\ndedup: {{by: [{', '.join(by)}]{span}}}\n"
        f"retry: {{attempts: {attempts}, backoff: 2s..60s}}\nsteps:\n{steps}"
    ).encode()


def rule(name: str, keyword: str, field_name: str = "message") -> bytes:
    """Return a Sigma rule that matches where a field contains a word."""
    return (
        f"title: Rule {name}\nname: {name}\nstatus: test\nlevel: high\nlogsource: {{category: application}}\n"
        f"detection:\n  it:\n    {field_name}|contains: {keyword}\n  condition: it\n"
    ).encode()


def correlation(name: str, counted: str, group: str, at_least: int, timespan: str = "10m") -> bytes:
    """Return a Sigma correlation that counts matches of one rule."""
    return (
        f"title: Correlation {name}\nname: {name}\nstatus: test\nlevel: critical\ncorrelation:\n"
        f"  type: event_count\n  rules: [{counted}]\n  group-by: [{group}]\n  timespan: {timespan}\n"
        f"  condition:\n    gte: {at_least}\n"
    ).encode()


class World:
    """All the parts, wired. `wrap` may put something around each port by its name."""

    def __init__(
        self,
        queue: Queue,
        targets: Sequence[Target],
        wrap: Callable[[str, Any], Any] = lambda _, port: port,
    ) -> None:
        self.clock = Clock()
        self.random = random.Random(1)
        self.catalog = SqliteCatalog(":memory:", self.clock)
        self.counters = SqliteCounters(":memory:")
        self.ledger = SqliteLedger(":memory:")
        self.tasks = SqliteTasks(":memory:")
        self.targets = {target.name: target for target in targets}
        self.actions: Mapping[str, Action] = dict(self.targets)
        self.queue = wrap("queue", queue)
        self._doorbell = wrap("doorbell", NoDoorbell())
        self._tasks = wrap("tasks", self.tasks)
        self._ledger = wrap("ledger", self.ledger)
        self._counters = wrap("counters", self.counters)
        self.playbook = Playbook(wrap("catalog", self.catalog), self.clock)
        self.pauses = Pauses(self._counters, self.clock)
        self.gates = gates(self._counters, self._tasks, self.pauses, self._recipe, self.clock, self.nonce)
        self.cursor = 0
        self.detector = self.new_detector()

    def close(self) -> None:
        for store in (self.catalog, self.counters, self.tasks):
            store.close()
        self.ledger._db.close()

    def new_detector(self) -> Detector:
        """Return a detector that remembers nothing, as a new process does."""
        to = (self.playbook, self._tasks, self._counters, self.actions, self.clock, self.nonce)
        return Detector(*to, ledger=self._ledger)

    def _recipe(self, recipe_id: str, version: int) -> Recipe:
        return self.playbook.recipe(recipe_id, version)

    def nonce(self) -> bytes:
        return self.random.randbytes(32)

    def push(self, kind: str, name: str, body: bytes) -> None:
        self.catalog.push(kind, name, body)

    def store(self, chain: str, *batches: Sequence[bytes], t: int = START) -> list[Segment]:
        """Append batches to the ledger as a new chain and return its segments."""
        segments = grow(chain, batches, t=t)
        for segment in segments:
            self.ledger.append(segment)
        return segments

    def detect(self, segments: Sequence[Segment]) -> Detected:
        return self.detector.detect(segments)

    def dispatch(self) -> int:
        """Hand the changes since the last call that worked to dispatch, as a feed does."""
        found = self.tasks.changes(self.cursor, 1000)
        changes = [Change(each.task_id, each.state, each.line) for each in found if each.state]
        hints = dispatch(changes, self.queue, self._doorbell)
        self.cursor = found[-1].seq if found else self.cursor
        return hints

    def executor(self, stream: str, worker: str = "w1") -> Executor:
        return Executor(
            worker=worker,
            stream=stream,
            tasks=self._tasks,
            ledger=self._ledger,
            queue=self.queue,
            playbook=self.playbook,
            actions=self.actions,
            clock=self.clock,
            nonce=self.nonce,
            rng=self.random.random,
            gates=self.gates,
        )

    def drain(self, stream: str, seconds: float = 300, worker: str = "w1") -> Drained:
        return drain(self.executor(stream, worker), self.clock.now + int(seconds * SECOND))

    def sweep(self, limit: int = 500) -> Swept:
        return sweep(self._tasks, self.queue, self._doorbell, self.clock, self.nonce, limit, gates=self.gates)

    def control(self) -> Control:
        """Return what a person has a task changed with."""
        return Control(self._tasks, self.clock, self.nonce, self.queue, gates=self.gates)

    def queues(self) -> Queues:
        """Return what a person has queues paused and purged with."""
        return Queues(self._tasks, self.pauses, self.control(), self.clock, self.nonce)

    def bulk(self) -> Bulk:
        """Return what many tasks at once are changed with."""
        return Bulk(self._tasks, self.control(), self.clock)

    def forking(self) -> Fork:
        """Return what makes forks."""
        return Fork(self._tasks, self.playbook, self.actions, self.clock, self.nonce)

    def settle(self, rounds: int = 40) -> None:
        """Let everything run, and time pass, until all tasks have ended. Errors that may pass, pass."""
        for _ in range(rounds):
            for part in (self.dispatch, lambda: self.drain("siem"), lambda: self.drain("action"), self.sweep):
                try:
                    part()
                except Unavailable:
                    continue
            tasks = self.tasks.listing(limit=1000)
            asking = {task.recipe for task in tasks if task.state.personal}  # they keep their places
            if all(
                task.state.ended
                or task.state.personal
                or (task.held.startswith(PLACE) and task.recipe in asking)
                for task in tasks
            ):
                return
            self.clock.sleep(16)
        raise AssertionError([(task.id, task.state, task.reason) for task in self.tasks.listing()])

    def only(self) -> Task:
        """Return the one task there is."""
        (found,) = self.tasks.listing()
        return found

    def bodies(self, task: Task) -> list[dict[str, Any]]:
        """Return a task's lineage, verified, as JSON."""
        events = self.tasks.lineage(task.id)
        stored = self.tasks.get(task.id)
        assert stored is not None
        assert verify_lineage(task.id, events, stored.head) == stored.version
        return [event.body for event in events]
