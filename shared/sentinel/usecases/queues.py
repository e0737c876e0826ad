"""Queues: pausing, resuming and purging what waits, and what there is of it.

A pause keeps tasks from starting, and from going on after a wait; running ones go on. Who paused what, and
why, stands in the lineage of every task that it holds; so does who purged it in that of every task that was.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from sentinel.core.flow import PAUSE, reason_before
from sentinel.core.pauses import Pause, checked, meant
from sentinel.core.states import UNENDED, By, State
from sentinel.core.tasks import QUEUE_GRACE, SECOND, Task, moved
from sentinel.errors import Conflict, Malformed, Missing
from sentinel.ports import Tasks
from sentinel.usecases.control import Act, Control
from sentinel.usecases.pauses import Pauses
from sentinel.usecases.transition import write

# Those that are queued come last: each that is cancelled may hand its place to one that waits.
PURGED = (State.WAITING, State.PROPOSED, State.QUEUED)
_PASSES = 3  # what went from one state to another during a pass is found by the next
_AHEAD = 60 * SECOND  # by which the clocks of those who write tasks may be ahead
COUNTED = (*UNENDED, State.FAILED)
MOST_COUNTED = 100_000  # tasks of each state that an overview counts

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Queues:
    """The use case. `clock` is in epoch nanoseconds, `nonce` gives 32 random bytes, `grace` is nanoseconds.

    All that it returns is JSON. A target is a stream, `recipe:ID`, `service:NAME` or `all`; anything else
    raises `Malformed`. Everything is safe to repeat after `Unavailable`.
    """

    tasks: Tasks
    pauses: Pauses
    control: Control
    clock: Callable[[], int]
    nonce: Callable[[], bytes]
    grace: int = QUEUE_GRACE

    def overview(self, most: int = MOST_COUNTED) -> Json:
        """Count the tasks that have not ended, and those that failed, by stream, by recipe and by state.

        Reads them all, at most `most` of each state: `more` says that there are more.
        """
        streams: defaultdict[str, Counter[str]] = defaultdict(Counter)
        recipes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        totals: Counter[str] = Counter()
        more = False
        for state in COUNTED:
            for task in self._walk(state):
                if totals[state.value] >= most:
                    more = True
                    break
                totals[state.value] += 1
                streams[task.stream][state.value] += 1
                recipes[task.recipe][state.value] += 1
        return {
            "streams": {name: dict(streams[name]) for name in sorted(streams)},
            "recipes": {name: dict(recipes[name]) for name in sorted(recipes)},
            "pauses": [asdict(pause) for pause in self.pauses.all()],
            "dead_letters": totals[State.FAILED.value],
            "more": more,
        }

    def pause(self, target: str, who: str, why: str, until: int = 0) -> Json:
        """Let no task of the target start, or go on after a wait; until `until` (nanoseconds), or a resume.

        Workers heed it within `usecases.pauses.SECONDS`. A second pause of a target takes the first's place.
        """
        now = self.clock()
        pause = Pause(checked(target), who, why, now, until)
        Act(who, why)  # it is kept in lineages, as an act on a task is
        if pause.over(now) or until < 0:
            raise Malformed("a pause ends in the future")
        self.pauses.add(pause)
        return asdict(pause)

    def resume(self, target: str, who: str, why: str) -> Json:
        """End a pause and have the tasks tried that it holds. Raises `Missing` where there is none.

        A task that a worker was just holding meanwhile is tried some seconds later.
        """
        act = Act(who, why)
        ended = self.pauses.remove(checked(target))
        woken = 0
        for task in self._walk(State.WAITING):
            if task.held == PAUSE + target:
                woken += self.wake(task, act)
        if not ended and not woken:
            raise Missing(f"{target} is not paused; `sentinel queues` shows what is")
        return {"target": target, "who": who, "why": why, "woken": woken}

    def purge(
        self,
        target: str,
        who: str,
        why: str,
        *,
        all_states: bool = False,
        dry_run: bool = False,
        most: int | None = None,
    ) -> Json:
        """Cancel every task of the target that is queued, waits or is proposed; with `all_states` all others.

        Cancels at most `most`: then `more` says that there are more. With `dry_run` it only counts. Tasks
        start meanwhile as they do: pause the target first.
        """
        Act(who, why)
        wanted = meant(checked(target))
        states = UNENDED if all_states else PURGED
        counts: Counter[str] = Counter()
        more = False
        for _ in range(1 if dry_run else _PASSES):
            before = counts.total()
            for task in (task for state in states for task in self._walk(state) if wanted(task)):
                more = most is not None and counts.total() >= most
                if more:
                    break
                counts[task.state.value] += dry_run or self._cancelled(task, who, why, states)
            if more or counts.total() == before:
                break
        by_state = {state: count for state, count in counts.items() if count}
        told = {"target": target, "who": who, "why": why, "dry_run": dry_run, "more": more}
        return {**told, "cancelled": counts.total(), "by_state": by_state}

    def _cancelled(self, task: Task, who: str, why: str, states: tuple[State, ...]) -> bool:
        try:
            self.control.cancel(task.id, who, why, states)
        except Conflict:
            return False  # it has ended, or runs by now
        return True

    def _walk(self, state: State) -> Iterator[Task]:
        """Yield every task of a state once. It ends, also while more come than are read."""
        seen: set[str] = set()
        for task in self.tasks.walk(state, self.clock() + _AHEAD):
            if task.id not in seen:
                seen.add(task.id)
                yield task

    def wake(self, task: Task, act: Act) -> bool:
        """Have a waiting task go on; False where somebody else has moved it. Raises `Unavailable`."""
        now = self.clock()
        facts = {**act.facts(task), "reason": f"resumed by {act.who}: {act.why}"}
        changes = {"due": now + self.grace, "held": "", "reason": reason_before(task)}
        try:
            write(
                self.tasks,
                task,
                *moved(task, State.QUEUED, now, self.nonce(), facts, by=By.PERSON, **changes),
            )
        except Conflict:
            return False
        return True
