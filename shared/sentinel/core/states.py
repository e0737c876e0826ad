"""The states of a task, and the one table that says what may follow what, when, and who may cause it.

`core.tasks.moved` allows what `TABLE` has and nothing else; `markdown` is the table as the documentation
shows it (`make docs` puts it there). A row may name several states on either side: every
pair of them is a transition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

NEVER = (1 << 63) - 1  # `due` of a task that waits for a person and has no deadline: the sweep never looks


class State(StrEnum):
    """What a task is doing. `TABLE` says what may follow."""

    PROPOSED = "proposed"
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    AWAITING_APPROVAL = "awaiting-approval"
    AMBIGUOUS = "ambiguous"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def ended(self) -> bool:
        """Whether nothing follows by itself: only a person may redrive what has failed."""
        return self in _ENDED

    @property
    def personal(self) -> bool:
        """Whether it waits for a person, so that its `due` is when that person's time is over."""
        return self in _PERSONAL


class By(StrEnum):
    """Who or what may cause a transition."""

    DETECTION = "detection"
    WORKER = "worker"
    SWEEP = "sweep"
    PERSON = "person"


_ENDED = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.EXPIRED})
_PERSONAL = frozenset({State.PROPOSED, State.AWAITING_APPROVAL, State.AMBIGUOUS})
UNENDED = tuple(state for state in State if state not in _ENDED)


@dataclass(frozen=True, slots=True)
class Row:
    """Transitions of one meaning: from each of `start` (none: the task is new) to each of `to`."""

    start: tuple[State, ...]
    to: tuple[State, ...]
    when: str
    by: tuple[By, ...]


TABLE = (
    Row((), (State.PROPOSED,), "the recipe asks that a person accepts first", (By.DETECTION, By.PERSON)),
    Row(
        (),
        (State.QUEUED,),
        "a rule matched, a schedule fired, or a person forked a task",
        (By.DETECTION, By.PERSON),
    ),
    Row((), (State.WAITING,), "a rule matched, and more matches of the same are waited for", (By.DETECTION,)),
    Row((State.PROPOSED,), (State.QUEUED,), "accepted", (By.PERSON,)),
    Row(
        (State.QUEUED, State.WAITING),
        (State.RUNNING,),
        "a worker took the lease; `attempt` + 1 is the fencing token",
        (By.WORKER,),
    ),
    Row((State.QUEUED,), (State.QUEUED,), "nobody took it; the workers were hinted again", (By.SWEEP,)),
    Row(
        (State.QUEUED, State.WAITING),
        (State.WAITING,),
        "held: by a pause, a maintenance window, a rate or a concurrency limit",
        (By.WORKER,),
    ),
    Row(
        (State.WAITING,), (State.WAITING,), "the same matched again, and is waited for anew", (By.DETECTION,)
    ),
    Row(
        (State.WAITING,),
        (State.QUEUED,),
        "its time has come, its turn has come, or a person says now",
        (By.SWEEP, By.WORKER, By.PERSON),
    ),
    Row((State.RUNNING,), (State.RUNNING,), "the next step, with a new lease", (By.WORKER,)),
    Row(
        (State.RUNNING,),
        (State.QUEUED,),
        "the next step is another worker's, or this worker's time is up",
        (By.WORKER,),
    ),
    Row(
        (State.RUNNING,),
        (State.WAITING,),
        "to be tried again later, or the lease ran out",
        (By.WORKER, By.SWEEP),
    ),
    Row((State.RUNNING,), (State.SUCCEEDED,), "the last step is done", (By.WORKER,)),
    Row(
        (State.RUNNING,),
        (State.FAILED,),
        "a step failed for good or its tries ran out; its id is then also on the dead-letter stream",
        (By.WORKER,),
    ),
    Row(
        (State.RUNNING,),
        (State.AWAITING_APPROVAL,),
        "a step asks for approval, or what was approved is not what would be done now",
        (By.WORKER,),
    ),
    Row(
        (State.AWAITING_APPROVAL,),
        (State.AWAITING_APPROVAL,),
        "approved by one more, and not yet by as many as are needed",
        (By.PERSON,),
    ),
    Row((State.AWAITING_APPROVAL,), (State.QUEUED,), "approved", (By.PERSON,)),
    Row((State.AWAITING_APPROVAL,), (State.SUCCEEDED,), "approved, and was the last step", (By.PERSON,)),
    Row((State.AWAITING_APPROVAL,), (State.FAILED,), "refused", (By.PERSON,)),
    Row(
        (State.RUNNING,),
        (State.AMBIGUOUS,),
        "an at-most-once effect was begun, its outcome is unknown, and its target could not be asked",
        (By.WORKER,),
    ),
    Row((State.AMBIGUOUS,), (State.QUEUED,), "it happened, or is to be done again", (By.PERSON,)),
    Row((State.AMBIGUOUS,), (State.SUCCEEDED,), "it happened, and was the last step", (By.PERSON,)),
    Row((State.AMBIGUOUS,), (State.FAILED,), "it is given up", (By.PERSON,)),
    Row((State.FAILED,), (State.QUEUED,), "redriven from the step that failed", (By.PERSON,)),
    Row(UNENDED, (State.CANCELLED,), "a person said so", (By.PERSON,)),
    Row(UNENDED, (State.EXPIRED,), "its deadline passed", (By.SWEEP, By.WORKER)),
)

BIRTHS: Mapping[State, frozenset[By]] = {
    to: frozenset(row.by) for row in TABLE if not row.start for to in row.to
}
CAUSES: Mapping[tuple[State, State], frozenset[By]] = {
    (start, to): frozenset(row.by) for row in TABLE for start in row.start for to in row.to
}
TRANSITIONS: Mapping[State, frozenset[State]] = {
    state: frozenset(to for start, to in CAUSES if start is state) for state in State
}


def markdown() -> str:
    """Return the table as Markdown, one line a row, with a line break at the end.

    >>> print(markdown().splitlines()[5])
    | proposed | queued | accepted | person |
    """
    lines = ["| from | to | when | by |", "|---|---|---|---|"]
    for row in TABLE:
        start, to = ", ".join(row.start) or "–", ", ".join(row.to)
        lines.append(f"| {start} | {to} | {row.when} | {', '.join(row.by)} |")
    return "\n".join(lines) + "\n"
