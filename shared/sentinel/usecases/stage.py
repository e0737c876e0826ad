"""The stage of a replay: one task in memory, and the clock, nonces and answers of what is recorded of it.

Code that runs on it does what it does on a store. Each event that it writes has to be the next of the
recorded lineage, hash for hash; the first that is not ends the play as a `Deviation`, the last that is asked
for as `Played`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from sentinel.core.states import State
from sentinel.core.tasks import Effect, EffectState, Event, Task
from sentinel.errors import Conflict, Unavailable
from sentinel.usecases.tries import AGAIN, AWAY, FAILED

WORKED = frozenset({AGAIN, FAILED, AWAY})  # answers that took their time
# Actions plan by what they are set up with, and only the digest of what they planned is kept.
OTHERWISE = "what people were shown then is shown in another way now"
_SHOWN = frozenset({"digest", "changed", "void"})
MARK = "replayed"  # stands for what a try has got done: of that only the newest is kept


class Played(Exception):
    """The last event that was asked for has been written."""


class Deviation(Exception):
    """What would be written now is not what was."""


class Unplayed(Exception):
    """What follows cannot be re-enacted: it is not known how it was written."""


class Interrupted(Exception):
    """A store does not answer now: that is `error`, and no part of the play."""

    def __init__(self, error: Unavailable) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass
class Script:
    """What is recorded of a task: its events in order, and what its steps gave, by step.

    `reads_fail` says of an event that tells of a store that was away whether it can have been the ledger.
    """

    events: Sequence[Event]
    results: Mapping[str, object]
    answers: Mapping[str, Effect] = field(default_factory=dict)  # to what steps asked, by key
    reads_fail: Callable[[Mapping[str, object]], bool] = lambda _: False
    at: int = 0
    end: int = 0  # the first event that is not to be played now
    answered: bool = True  # whether the world has given the answer that the next event tells of
    bodies: list[dict[str, object]] = field(init=False)

    def __post_init__(self) -> None:
        self.bodies = [event.body for event in self.events]

    @property
    def body(self) -> Mapping[str, object]:
        """The next event. Raises `Deviation` where there is none."""
        self._more()
        return self.bodies[self.at]

    @property
    def uses_world(self) -> bool:
        """Whether the next event tells of an answer that took its time."""
        body = self.body
        return (
            body.get("outcome") in {"done", "was found done"}
            or body.get("answer") in WORKED
            or body.get("event") == State.AWAITING_APPROVAL
            or body.get("probed") in {"unknown", AWAY}
        )

    def play(self, end: int) -> None:
        """Be ready for the events before `end`."""
        self.end, self.answered = end, True

    def follow(self) -> None:
        """Go on to the next event of the same play."""
        self.at += 1
        self.answered = False

    def clock(self) -> int:
        """Return the time: that of the next event, or until its answer is there that of the one before."""
        self._more()
        if self.answered:
            return self.events[self.at].t
        if not self.uses_world:  # the worker looked at the clock before it began, and then had nothing to do
            self.answered = True
        return self.events[self.at - 1].t

    def nonce(self) -> bytes:
        """Return the next event's nonce."""
        self._more()
        return self.events[self.at].nonce

    def _more(self) -> None:
        if self.at >= len(self.events):
            raise Deviation(f"event {self.at}: there is none, and there would be now")


@dataclass
class Stage:
    """The port `Tasks` of one task, as far as what moves it needs it."""

    script: Script
    task: Task | None = None
    known: dict[str, Effect] = field(default_factory=dict)

    def create(self, task: Task, event: Event) -> bool:
        """Take the new task, if its first event is the recorded one."""
        self._take(task, event)
        return True

    def create_all(self, births: Sequence[tuple[Task, Event]]) -> list[bool]:
        """Take the new task."""
        return [self.create(*each) for each in births]

    def newest(self, states: Sequence[State], until: int) -> Iterator[tuple[int, Task]]:
        """Yield nothing: nobody looks."""
        del states, until
        return iter(())

    def move(self, before: Task, after: Task, event: Event) -> None:
        """Take the moved task, if its event is the recorded one."""
        if self.task is None or self.task.version != before.version:
            raise Conflict(f"task {before.id} is not at version {before.version} any more")
        self._take(after, event)

    def _take(self, task: Task, event: Event) -> None:
        script = self.script
        wanted = script.body
        if event.head != script.events[script.at].head:
            found = event.body
            asks = found.get("event") == State.AWAITING_APPROVAL
            if (asks and "changed" in found) or shown_otherwise(wanted, found):
                raise Unplayed(f"event {script.at}: {OTHERWISE}")
            raise Deviation(f"event {script.at}: {unlike(wanted, found)}")
        self.task = task
        script.follow()
        if script.at >= script.end:
            raise Played

    def get(self, task_id: str) -> Task | None:
        """Return the task."""
        return self.task if self.task is not None and self.task.id == task_id else None

    def extend(self, task: Task, due: int) -> bool:
        """Take every heartbeat: those that mattered show in the lineage."""
        del task, due
        return True

    def lineage(self, task_id: str) -> list[Event]:
        """Return the events so far."""
        del task_id
        return list(self.script.events[: self.script.at])

    def record(self, effect: Effect, known: int = 0) -> bool:
        """Keep an effect, or fail where that is what was recorded."""
        del known
        if self.script.body.get("answer") == AWAY:
            raise away(self.script)
        self.known[effect.key] = effect
        return True

    def effects(self, task_id: str) -> dict[str, Effect]:
        """Return the effects so far."""
        del task_id
        return dict(self.known)

    def due(self, now: int, limit: int) -> list[Task]:
        """Return the task, whatever the time: it was due."""
        del now, limit
        return [] if self.task is None else [self.task]

    def listing(self, state: State | None = None, limit: int = 100) -> list[Task]:
        """Return the task."""
        del state
        return self.due(0, limit)

    def walk(self, state: State, until: int) -> Iterator[Task]:
        """Yield the task."""
        del until
        return iter(self.listing(state))

    def find(self, effects: Mapping[str, tuple[str, Sequence[object]]]) -> None:
        """Put what workers found of effects that others left: by key the step, and the state and attempt."""
        for key, (step, (state, attempt)) in effects.items():
            there = self.known.get(key)
            found = Effect(self._id, key, EffectState(str(state)), step, 0, {MARK: -1}, int(str(attempt)))
            if found.state is EffectState.DONE:
                found = replace(found, result=result_of(self.script, step))
            if there is None or (there.state, there.attempt) != (found.state, found.attempt):
                self.known[key] = found

    @property
    def _id(self) -> str:
        return self.script.events[0].task_id


def result_of(script: Script, step: str) -> Mapping[str, object]:
    """Return what a step gave, as it is recorded."""
    found = script.results.get(step)
    return found if isinstance(found, Mapping) else {}


def away(script: Script, prefix: str = "") -> Unavailable:
    """Answer with the failure of which the next event tells, that asks for the wait that was."""
    body = script.body
    script.answered = True
    wait = int(str(body.get("due", 0))) - script.events[script.at].t
    error = Unavailable(str(body.get("reason", "")).removeprefix(prefix))
    # Exact, unlike a float of seconds: the wait is to come out to the nanosecond.
    error.retry_after = Fraction(max(wait, 0), 1_000_000_000)  # type: ignore[assignment]
    return error


def shown_otherwise(wanted: Mapping[str, object], found: Mapping[str, object]) -> bool:
    """Say whether two events differ in what people were shown, and in nothing else."""
    names = {name for name in {*wanted, *found} if wanted.get(name) != found.get(name)}
    return bool(names) and names <= _SHOWN


def unlike(wanted: Mapping[str, object], found: Mapping[str, object]) -> str:
    """Say in what two events differ, by the names of their facts alone."""
    if wanted.get("event") != found.get("event"):
        return f"it would become {found.get('event')} now, and became {wanted.get('event')}"
    names = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
    return f"would tell another {', '.join(names)} now" if names else "would be written in another way now"
