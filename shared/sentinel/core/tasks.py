"""Tasks: the transitions between their states, their ids, and their lineage.

A task is one execution of a recipe. It is a value: every transition makes a new one with a version one
higher, and an `Event` that says why. Which transitions there are is told by the table of `core.states`.
Events are linked into the chain `task/<id>` (`core.lineages`).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256
from typing import Any

import orjson

from sentinel.core import chain as hashing
from sentinel.core import erased_events
from sentinel.core.lineages import Event as Event  # noqa: PLC0414 - what a lineage is belongs to a task
from sentinel.core.lineages import KeyOf as KeyOf  # noqa: PLC0414
from sentinel.core.lineages import lineage_chain as lineage_chain  # noqa: PLC0414
from sentinel.core.lineages import verify_lineage as verify_lineage  # noqa: PLC0414
from sentinel.core.lines import NORMAL, line_of
from sentinel.core.states import BIRTHS, CAUSES, NEVER, By
from sentinel.core.states import State as State  # noqa: PLC0414 - a task's state is imported with it
from sentinel.errors import Conflict

SECOND = 1_000_000_000  # nanoseconds
LEASE = 60 * SECOND
QUEUE_GRACE = 15 * SECOND  # a queued task that nobody took for so long is hinted again
LEASE_OVER = "the lease ran out: its worker died or was too slow"
MAX_REASON = 500  # characters
TIME_OVER = "its deadline passed"


@dataclass(frozen=True, slots=True)
class Task:
    """One execution of a recipe, as it is at one version.

    `attempt` counts leases: it is the fencing token, since a worker whose attempt is not the stored one
    can write nothing. `tries` counts failed attempts at the current step. `due` is when somebody should
    look again: the end of the lease, the time of the next try, the end of a person's time (`NEVER` where it
    has none), or for an ended task when it ended. Times are epoch nanoseconds. `cause` names what set it
    off: rule, fingerprint and the entries' places (`{"chain", "seq"}`), never their bodies. `deadline` is
    when it expires if it has not ended (0: never). `settled` is the newest attempt whose tries of the
    current step are known to have left no effect of it behind.

    `priority` and `share` say in which line of its stream it waits (`core.lines`). `held` names what keeps
    it from starting while it waits (`usecases.flow`), `ticket` is when its rate lets it start (0: not asked),
    `asked` is the approval that it waits for or has (`core.approvals`), `inputs` are inputs of steps, by
    step, that a fork has in the place of the recipe's. `anew` counts, by step, the effects that came to a bad
    end outside: a redrive begins the step anew, under the key after theirs.
    """

    id: str
    recipe: str
    recipe_version: int
    recipe_digest: str
    state: State
    version: int
    attempt: int
    step: int
    tries: int
    stream: str
    created: int
    due: int
    cause: Mapping[str, object]
    worker: str = ""
    results: Mapping[str, object] = field(default_factory=dict)
    reason: str = ""
    head: str = ""  # hex H of the newest lineage event
    deadline: int = 0
    settled: int = 0
    priority: str = NORMAL
    share: int = 0
    held: str = ""
    ticket: int = 0
    asked: Mapping[str, object] = field(default_factory=dict)
    inputs: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    anew: Mapping[str, int] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """The line in which its hints stand (`core.lines`)."""
        return line_of(self.stream, self.priority, self.share)


class EffectState(StrEnum):
    """Whether an effect has begun or is known to have happened."""

    INTENT = "intent"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Effect:
    """What a step does outside, recorded before (`INTENT`) and after (`DONE`) it does it.

    `attempt` is the task's when it was recorded.
    """

    task_id: str
    key: str
    state: EffectState
    step: str
    t: int
    result: Mapping[str, object] = field(default_factory=dict)
    attempt: int = 0


def task_id(recipe: str, version: int, dedup_key: str, window: int) -> str:
    """Derive a task's id from what it is about, so that creating it twice is creating it once.

    First 26 characters of base32(SHA256(recipe ‖ version ‖ dedup key ‖ window)), lower case; the parts are
    joined as a JSON array, which is unambiguous.
    """
    parts = orjson.dumps([recipe, version, dedup_key, window])
    return base64.b32encode(sha256(parts).digest())[:26].decode().lower()


def effect_key(task: str, recipe_digest: str, step: str, inputs: Mapping[str, object], anew: int = 0) -> str:
    """Name an effect: SHA256(task ‖ recipe digest ‖ step ‖ inputs), hex, with no attempt number.

    A resumed task finds its effects under the same key, and hands its target the same key. After `anew`
    effects that came to a bad end, their number is hashed, too: no target takes the new one for one of them.
    """
    parts = [task, recipe_digest, step, inputs, *([anew] if anew else [])]
    return sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


def step_key(task: Task, step: str, inputs: Mapping[str, object]) -> str:
    """Name the effect that a step of a task has now."""
    return effect_key(task.id, task.recipe_digest, step, inputs, task.anew.get(step, 0))


def digest_of(result: Mapping[str, object]) -> str:
    """Return what a lineage tells of a result that is kept beside it: SHA-256 of its JSON, hex.

    >>> digest_of(erased({"a": 1})) == digest_of({"a": 1})
    True
    """
    if is_erased(result):
        return str(result["digest"])
    return sha256(orjson.dumps(dict(result), option=orjson.OPT_SORT_KEYS)).hexdigest()


def erased(result: Mapping[str, object]) -> dict[str, object]:
    """Return what stands in the place of a result, or of inputs, that quoted an entry which was erased."""
    return {"sentinel": "erased", "digest": digest_of(result)}


def is_erased(result: Mapping[str, object]) -> bool:
    """Say whether a result was erased (docs/erasure.md)."""
    return result.keys() == {"sentinel", "digest"} and result["sentinel"] == "erased"


def wanting(task: Task, effects: Mapping[str, Effect]) -> bool:
    """Say whether something was erased that a task would go on by.

    Steps take results of those before them, a choice says which are passed over, and what a step has got
    done keeps it from doing that twice; given inputs stand in the place of the recipe's.
    """
    told = (task.inputs, *task.results.values(), *(effect.result for effect in effects.values()))
    return any(isinstance(each, Mapping) and is_erased(each) for each in told)


def event_after(task: Task, kind: str, now: int, nonce: bytes, facts: Mapping[str, object]) -> Event:
    """Return the lineage event that follows `task`'s newest one. `now` in nanoseconds, `nonce` 32 bytes."""
    chain = lineage_chain(task.id)
    prev = bytes.fromhex(task.head) if task.head else hashing.genesis(chain)
    seq = task.version
    entry = orjson.dumps({"event": kind, "seq": seq, "t": now, **facts})
    leaf = erased_events.leaf_of(entry, nonce)
    return Event(task.id, seq, now, nonce, entry, hashing.head(prev, [leaf], now, "task"))


def moved(
    task: Task,
    to: State,
    now: int,
    nonce: bytes,
    facts: Mapping[str, object],
    *,
    by: By = By.WORKER,
    **changes: Any,
) -> tuple[Task, Event]:
    """Return the task in its next state and the event that tells of it.

    Raises `Conflict` for a transition that the table of `core.states` does not have, or not for `by`. A task
    that has not ended is due by its deadline at the latest, so that the sweep can end it then. The event
    tells when it is due, which may be a matter of chance: with that, a replay gets the very same event.
    """
    allowed = CAUSES.get((task.state, to))
    if allowed is None:
        raise Conflict(f"task {task.id} is {task.state}; it cannot become {to}")
    if by not in allowed:
        raise Conflict(
            f"task {task.id} is {task.state}; it becomes {to} by {' or '.join(sorted(allowed))} only"
        )
    after = replace(task, state=to, version=task.version + 1, **changes)
    told = {"from": task.state, "attempt": task.attempt, **facts}
    if not to.ended:
        after = replace(after, due=by_deadline(after, after.due))
        told["due"] = after.due
    event = event_after(task, to, now, nonce, told)
    return replace(after, head=event.head.hex()), event


def by_deadline(task: Task, due: int) -> int:
    """Return `due`, or the task's deadline where that is sooner."""
    return min(due, task.deadline or NEVER)


def born(task: Task, nonce: bytes, facts: Mapping[str, object]) -> tuple[Task, Event]:
    """Return a new task with its first event; `task` is it as built, with version 0 and no head.

    Raises `Conflict` for a state in which no task begins.
    """
    if task.state not in BIRTHS:
        raise Conflict(f"no task begins {task.state}")
    due = by_deadline(task, task.due)
    event = event_after(task, task.state, task.created, nonce, {**facts, "due": due})
    return replace(task, version=1, head=event.head.hex(), due=due), event


def abandoned(task: Task, now: int, nonce: bytes) -> tuple[Task, Event]:
    """Return a running task whose lease ran out as it waits for another worker, and the event.

    It counts as a failed try, since a step that kills its worker would otherwise be tried for ever.
    """
    facts = {"step": task.step, "worker": task.worker, "reason": LEASE_OVER}
    return moved(
        task,
        State.WAITING,
        now,
        nonce,
        facts,
        by=By.SWEEP,
        due=now,
        tries=task.tries + 1,
        worker="",
        reason=LEASE_OVER,
    )


def overdue(task: Task, now: int) -> bool:
    """Whether a task that has not ended is to expire: its deadline has passed, or a person's time is over."""
    return (0 < task.deadline <= now) or (task.state.personal and task.due <= now)


def expired(task: Task, now: int, nonce: bytes, by: By = By.SWEEP) -> tuple[Task, Event]:
    """Return a task as it expires, and the event; the reason keeps what it was doing."""
    reason = f"{TIME_OVER}; it was {task.state}" + (f": {task.reason}" if task.reason else "")
    facts = {"step": task.step, "worker": task.worker, "reason": reason}
    return moved(task, State.EXPIRED, now, nonce, facts, by=by, due=now, worker="", reason=reason)
