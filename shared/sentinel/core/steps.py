"""Steps: what an action is given, what it may answer, and what every action promises.

An action is handed one step of one task and does it once. It keeps no state of its own: whether an effect
may have happened before is told by `StepRun.resumed`, and `StepRun.key` is the name under which its target
can recognise it. Actions are registered in `sentinel.actions`; the worker knows them by this contract only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from sentinel.errors import Malformed

if TYPE_CHECKING:  # pydantic and yaml are slow to import, and these are only named here
    from sentinel.core.recipes import Recipe, Step
    from sentinel.core.step_inputs import Form
    from sentinel.core.tasks import Task


class NotYet(Malformed):
    """What a step would do hangs on a step before it that has not run."""


@dataclass(frozen=True, slots=True)
class Matched:
    """One entry that set the task off: its place, the ledger's time in nanoseconds, its bytes as stored.

    `hook` is the webhook that told it, `SOURCE/HOOK`, as its segment's context says and never the entry; ""
    where none did.
    """

    chain: str
    seq: int
    t: int
    entry: bytes
    hook: str = ""


def _never() -> bool:
    return False


Recorded = Callable[[str, Callable[[], str]], str]


def _asked(question: str, ask: Callable[[], str]) -> str:
    del question
    return ask()


@dataclass(frozen=True, slots=True)
class StepRun:
    """One step to carry out.

    `step` has its inputs as they are for this task, with the values of expressions put in. `key` is the
    effect key (`core.tasks.effect_key`): the same in every attempt until the effect is `Failed.over`.
    `entries` are the entries that set the task off, as far as the ledger still has them. `resumed` is true
    where an earlier attempt
    began the step and its outcome is not recorded: the effect may have happened. `done` is what the newest
    recorded `Again` of this step said was finished, so that a step with several targets does not tell the
    first again when the second fails. `stopped` turns true when the step's time is over or the task was taken
    from its worker (cancelled, expired): an action that takes long looks at it and ends early, as `Again`.
    `recorded(question, ask)` returns `ask()` and keeps it: for whatever answers in another way each time, as
    a model does. The same question of a later try, and of a replay, gets the answer that was kept, without
    being asked. Both are text, neither holds a secret. An action that uses it says so: `asks = True`; its
    outcome follows from its `StepRun` and these answers alone.
    `traceparent` is the W3C trace context that the step hands to its target; "" where there is none.
    """

    task: Task
    recipe: Recipe
    step: Step
    key: str
    entries: Sequence[Matched]
    resumed: bool
    done: Mapping[str, object] = field(default_factory=dict)
    stopped: Callable[[], bool] = _never
    traceparent: str = ""
    recorded: Recorded = _asked


def traced(run: StepRun, headers: Mapping[str, str]) -> dict[str, str]:
    """Return a request's headers with the step's trace context, where they have no `traceparent` already."""
    known = not run.traceparent or any(name.lower() == "traceparent" for name in headers)
    return {**headers, **({} if known else {"traceparent": run.traceparent})}


@dataclass(frozen=True, slots=True)
class Done:
    """The effect happened. `result` is JSON, small, kept in the task's lineage: no bodies, no secrets."""

    result: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Again:
    """Not now; it may work later. `after` is the wish of the target, in nanoseconds (Retry-After).

    `done` is small JSON that the worker keeps and hands to the next try as `StepRun.done`: no bodies, no
    secrets. It replaces what stood there. `unsure` says that the effect may have happened all the same, as
    where a reply was lost: an at-most-once step is then not simply done again. `idle` says that nobody was
    called: such a try is none of the recipe's attempts. `onward` says that a stage is done and the next one
    is to follow at once, by whichever worker may (`Staged`).
    """

    reason: str
    after: int | None
    done: Mapping[str, object] = field(default_factory=dict)
    unsure: bool = False
    idle: bool = False
    onward: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """It will not work however often it is tried; `reason` says what to change. `unsure`: see `Again`.

    `over` says that what was begun outside has come to its end, a bad one, and will not change any more: a
    person who has the step done once more has it begun anew, under another key. `done` replaces what the next
    try is handed as `StepRun.done`, where it is not None.
    """

    reason: str
    unsure: bool = False
    over: bool = False
    done: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """People are to approve before the task goes on; nothing was done.

    `by` are ids of approvers or of their groups, `needs` is how many of them, `within` nanoseconds is
    how long they have. `message` is for them to read.
    """

    by: tuple[str, ...]
    needs: int
    within: int
    message: str = ""


Outcome = Done | Again | Failed | Ask


@dataclass(frozen=True, slots=True)
class Nothing:
    """The target was asked and does not have the effect, or not all of it: it is to be done."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The target cannot tell whether it has the effect; `reason` says why, for a person to read."""

    reason: str


Probed = Done | Nothing | Unknown


class Action(Protocol):
    """Something a step may do. `name` is what `uses` says; `stream` names the worker that runs it."""

    @property
    def name(self) -> str:
        """The name that a recipe's `uses` gives, for example `siem.send`."""

    @property
    def stream(self) -> str:
        """The stream of the worker that runs it: one of `pauses.STREAMS`."""

    @property
    def forms(self) -> Mapping[str, Form]:
        """The inputs that take expressions, and how values are put into each (`core.step_inputs`)."""

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Check a step's `with`, expressions resolved. Raises `Malformed` that says what to change."""

    def plan(self, run: StepRun) -> Mapping[str, object]:
        """Say what `perform` would do: JSON. Sends nothing and reads no secret: their names stand for them.

        Raises `Malformed` where it would do nothing for want of something.
        """

    def perform(self, run: StepRun) -> Outcome:
        """Do the step. May raise `Unavailable`, which means the same as `Again`.

        It may be called again for the same `run.key`, also at the same time by a worker whose lease ran
        out, and has to see to it that its target takes the effect once where the target makes that possible.
        """


@runtime_checkable
class Asking(Protocol):
    """What an action has besides whose outcome follows from its `StepRun` and what `recorded` gives it."""

    @property
    def asks(self) -> bool:
        """True."""


@runtime_checkable
class Grave(Protocol):
    """What an action has besides whose effect people decide on, each time: no step does it unapproved."""

    @property
    def needs_approval(self) -> bool:
        """True."""


def needs_approval(action: Action) -> bool:
    """Say whether a step of an action is only done as people have approved it."""
    return isinstance(action, Grave) and action.needs_approval


@runtime_checkable
class Writing(Protocol):
    """What an action has besides that changes something outside, other than telling people or SIEMs."""

    def writes(self, inputs: Mapping[str, Any]) -> bool:
        """Say whether a step with these inputs does."""


def writes(action: Action, inputs: Mapping[str, Any]) -> bool:
    """Say whether a step changes something outside: then strangers alone do not start it."""
    return isinstance(action, Writing) and action.writes(inputs)


@runtime_checkable
class Staged(Protocol):
    """What an action has besides whose step is done in stages, each by a worker with rights of its own."""

    def stage_stream(self, done: Mapping[str, object]) -> str:
        """Name the stream of the stage that follows what is `done` so far; see `StepRun.done`."""


def stream_of(action: Action, done: Mapping[str, object]) -> str:
    """Name the stream of the worker that goes on with a step."""
    return action.stage_stream(done) if isinstance(action, Staged) else action.stream


@runtime_checkable
class Probing(Protocol):
    """What an action may have besides: a way to ask its target whether an effect happened."""

    def probe(self, run: StepRun) -> Probed:
        """Find out what became of an effect that was begun under `run.key`; changes nothing outside.

        Raises `Unavailable` where the target does not answer now, and is then called again later.
        """
