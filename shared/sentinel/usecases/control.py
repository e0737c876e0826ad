"""Control: what a person may do to a task. Each act is a transition that tells who did it and why.

A task that becomes queued is hinted by dispatch, as any other. A running task that is cancelled is dropped
by its worker at the next heartbeat, a third of a lease later at most. Whoever loses a race against a worker
does not notice while the act is still possible: the task is read again, and the act done to it as it then is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from sentinel.core.flow import reason_before
from sentinel.core.states import UNENDED, By, State
from sentinel.core.tasks import MAX_REASON, QUEUE_GRACE, Event, Task, moved, overdue, wanting
from sentinel.errors import Conflict, Malformed, Missing
from sentinel.ports import Queue, Tasks
from sentinel.usecases.flow import Gates, Open
from sentinel.usecases.transition import bury, write

MAX_WHO = 200
NO_TASK = "there is no such task"
_RACES = 10


class Verdict(StrEnum):
    """What a person says of an ambiguous effect."""

    HAPPENED = "happened"
    AGAIN = "again"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Act:
    """Who acts and why, both kept in the lineage. Raises `Malformed` for one that is empty or too long."""

    who: str
    why: str

    def __post_init__(self) -> None:
        for name, text, most in (("who", self.who, MAX_WHO), ("why", self.why, MAX_REASON)):
            if not text.strip() or len(text) > most or not text.isprintable():
                raise Malformed(f"{name} is 1 to {most} printable characters: it is kept in the lineage")

    def facts(self, task: Task) -> dict[str, object]:
        """Return what the lineage tells."""
        return {"who": self.who, "why": self.why, "step": task.step}


def _any_task(task: Task) -> None:
    del task


@dataclass(frozen=True, slots=True)
class Control:
    """The use case. `clock` is in epoch nanoseconds, `nonce` gives 32 random bytes, `grace` is nanoseconds.

    `check` raises for a task that is not to be touched: it looks at the very version that is then changed.
    Every act raises `Missing` for no such task, `Conflict` where the task's state does not allow it, and
    `Unavailable`, after which it may have been done: then the lineage tells.
    """

    tasks: Tasks
    clock: Callable[[], int]
    nonce: Callable[[], bytes]
    queue: Queue | None = None  # for the dead-letter stream
    grace: int = QUEUE_GRACE
    gates: Gates = field(default_factory=Open)
    check: Callable[[Task], None] = _any_task

    def cancel(self, task_id: str, who: str, why: str, states: Collection[State] = UNENDED) -> Task:
        """End a task that has not ended. What a running step has done stays done, and its reason says so.

        Raises `Conflict` for one that is in none of `states`.
        """
        act = Act(who, why)

        def plan(task: Task) -> tuple[Task, Event]:
            if not task.state.ended and task.state not in states:
                raise Conflict(f"task {task.id} is {task.state}, and is left as it is")
            reason = f"cancelled by {who}: {why}"
            if task.state is State.RUNNING:
                reason += f"; a worker was at step {task.step}, whose effect may have happened"
            elif task.state is State.AMBIGUOUS:
                reason += f"; it was ambiguous: {task.reason}"
            return self._moved(task, State.CANCELLED, act, wait=0, worker="", reason=reason)

        return self._do(task_id, plan)

    def accept(self, task_id: str, who: str, why: str) -> Task:
        """Have a proposed task done. Its deadline counts from now on. Refusing it is cancelling it."""
        act = Act(who, why)

        def plan(task: Task) -> tuple[Task, Event]:
            if task.state is not State.PROPOSED:
                raise Conflict(f"task {task.id} is {task.state}; only a proposed task is accepted")
            now = self.clock()
            if overdue(task, now):
                raise Conflict(f"task {task.id} was to be accepted earlier; it expires")
            fresh = replace(task, deadline=task.deadline and now + task.deadline - task.due)
            return self._moved(fresh, State.QUEUED, act, now=now, reason="")

        return self._do(task_id, plan)

    def retry(self, task_id: str, who: str, why: str) -> Task:
        """Have a waiting task tried now. Its tries stay counted, and what holds it still does."""
        act = Act(who, why)

        def plan(task: Task) -> tuple[Task, Event]:
            if task.state is not State.WAITING:
                raise Conflict(f"task {task.id} is {task.state}; only a waiting task is tried again sooner")
            return self._moved(task, State.QUEUED, act, held="", reason=reason_before(task))

        return self._do(task_id, plan)

    def redrive(self, task_id: str, who: str, why: str) -> Task:
        """Have a failed task go on from the step that failed, with all its tries and its time anew.

        Raises `Conflict` also where something was erased that it would go on by (docs/erasure.md).
        """
        act = Act(who, why)

        def plan(task: Task) -> tuple[Task, Event]:
            if task.state is not State.FAILED:
                raise Conflict(f"task {task.id} is {task.state}; only a failed task is redriven")
            if wanting(task, self.tasks.effects(task.id)):
                raise Conflict(f"what task {task.id} needs to go on was erased: fork it, from its first step")
            now = self.clock()
            fresh = replace(task, deadline=task.deadline and now + task.deadline - task.created)
            return self._moved(fresh, State.QUEUED, act, now=now, tries=0, reason="")

        return self._do(task_id, plan)

    def resolve(self, task_id: str, verdict: str, who: str, why: str) -> Task:
        """Say what became of an ambiguous effect: it `happened`, do it `again`, or the task `failed`.

        What happened counts as done, and the task goes on after it. `again` accepts that it may be done
        twice.
        """
        act = Act(who, why)
        try:
            said = Verdict(verdict)
        except ValueError:
            raise Malformed(f"a verdict is one of {', '.join(Verdict)}") from None
        return self._do(task_id, lambda task: self._resolved(task, said, act))

    def _resolved(self, task: Task, said: Verdict, act: Act) -> tuple[Task, Event]:
        if task.state is not State.AMBIGUOUS:
            raise Conflict(f"task {task.id} is {task.state}; only an ambiguous task is resolved")
        if said is Verdict.FAILED:
            reason = f"given up by {act.who}: {act.why}"
            return self._moved(task, State.FAILED, act, said=said, wait=0, reason=reason)
        if said is Verdict.AGAIN:
            # What people approved was one effect, which may have happened: they are asked about another.
            fresh: dict[str, Any] = {"settled": task.attempt, "tries": 0, "reason": "", "asked": {}}
            return self._moved(task, State.QUEUED, act, said=said, **fresh)
        # The event by which it became ambiguous names the step, and says whether it is the last one.
        told = self.tasks.lineage(task.id)[task.version - 1].body
        results = {**task.results, str(told["step"]): {"resolved": said.value, "who": act.who}}
        if told["last"]:
            return self._moved(task, State.SUCCEEDED, act, said=said, wait=0, results=results, reason="")
        changes: dict[str, Any] = {"step": task.step + 1, "tries": 0, "settled": 0}
        changes |= {"results": results, "reason": ""}
        return self._moved(task, State.QUEUED, act, said=said, **changes)

    def _moved(
        self,
        task: Task,
        to: State,
        act: Act,
        said: Verdict | None = None,
        now: int = 0,
        wait: int | None = None,
        **changes: Any,
    ) -> tuple[Task, Event]:
        """Return the transition, at `now` (0: the clock is read, once), due after `wait` (none: `grace`)."""
        facts: Mapping[str, object] = {**act.facts(task), **({"verdict": said.value} if said else {})}
        now = now or self.clock()
        changes = {"due": now + (self.grace if wait is None else wait), **changes}
        return moved(task, to, now, self.nonce(), facts, by=By.PERSON, **changes)

    def _do(self, task_id: str, plan: Callable[[Task], tuple[Task, Event]]) -> Task:
        for left in range(_RACES, 0, -1):
            task = self.tasks.get(task_id)
            if task is None:
                raise Missing(NO_TASK)
            self.check(task)
            after, event = plan(task)
            try:
                write(self.tasks, task, after, event)
            except Conflict:
                if left == 1:
                    raise
                continue
            if after.state is State.FAILED and self.queue is not None:
                bury(self.queue, after)
            if after.state.ended:
                self.gates.left(after)
            return after
        raise AssertionError("unreachable")
