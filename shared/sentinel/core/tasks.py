"""Tasks: their states, the transitions between them, their ids, and their lineage.

A task is one execution of a recipe. It is a value: every transition makes a new one with a version one
higher, and an `Event` that says why. Events are linked into the chain `task/<id>` by the scheme of
`core.chain`, one event a segment of one entry.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256

import orjson

from sentinel.core import chain as hashing
from sentinel.errors import Conflict, Tampered

SECOND = 1_000_000_000  # nanoseconds
LEASE = 60 * SECOND
QUEUE_GRACE = 15 * SECOND  # a queued task that nobody took for so long is hinted again
LEASE_OVER = "the lease ran out: its worker died or was too slow"


class State(StrEnum):
    """What a task is doing. `TRANSITIONS` says what may follow."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether nothing follows."""
        return not TRANSITIONS[self]


TRANSITIONS: Mapping[State, frozenset[State]] = {
    # Queued to queued: hinted again. Running to running: the next step, with a new lease.
    State.QUEUED: frozenset({State.QUEUED, State.RUNNING}),
    State.RUNNING: frozenset({State.RUNNING, State.QUEUED, State.WAITING, State.SUCCEEDED, State.FAILED}),
    State.WAITING: frozenset({State.QUEUED, State.RUNNING}),
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Task:
    """One execution of a recipe, as it is at one version.

    `attempt` counts leases: it is the fencing token, since a worker whose attempt is not the stored one
    can write nothing. `tries` counts failed attempts at the current step. `due` is when somebody should
    look again: the end of the lease, the time of the next try, or for an ended task when it ended. Times
    are epoch nanoseconds. `cause` names what set it off: rule, fingerprint and the entries' places
    (`{"chain", "seq"}`), never their bodies.
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


@dataclass(frozen=True, slots=True)
class Event:
    """One step of a task's lineage. `entry` is its JSON, `head` H of it (`core.chain`), hex elsewhere."""

    task_id: str
    seq: int
    t: int
    nonce: bytes
    entry: bytes
    head: bytes

    @property
    def body(self) -> dict[str, object]:
        """The event's JSON object."""
        found: dict[str, object] = orjson.loads(self.entry)
        return found


class EffectState(StrEnum):
    """Whether an effect has begun or is known to have happened."""

    INTENT = "intent"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Effect:
    """What a step does outside, recorded before (`INTENT`) and after (`DONE`) it does it."""

    task_id: str
    key: str
    state: EffectState
    step: str
    t: int
    result: Mapping[str, object] = field(default_factory=dict)


def task_id(recipe: str, version: int, dedup_key: str, window: int) -> str:
    """Derive a task's id from what it is about, so that creating it twice is creating it once.

    First 26 characters of base32(SHA256(recipe ‖ version ‖ dedup key ‖ window)), lower case; the parts are
    joined as a JSON array, which is unambiguous.
    """
    parts = orjson.dumps([recipe, version, dedup_key, window])
    return base64.b32encode(sha256(parts).digest())[:26].decode().lower()


def effect_key(task: str, recipe_digest: str, step: str, inputs: Mapping[str, object]) -> str:
    """Name an effect: SHA256(task ‖ recipe digest ‖ step ‖ inputs), hex, with no attempt number.

    A resumed task finds its effects under the same key, and hands its target the same key.
    """
    parts = orjson.dumps([task, recipe_digest, step, inputs], option=orjson.OPT_SORT_KEYS)
    return sha256(parts).hexdigest()


def lineage_chain(task: str) -> str:
    """Name the chain of a task's lineage."""
    return f"task/{task}"


def event_after(task: Task, kind: str, now: int, nonce: bytes, facts: Mapping[str, object]) -> Event:
    """Return the lineage event that follows `task`'s newest one. `now` in nanoseconds, `nonce` 32 bytes."""
    chain = lineage_chain(task.id)
    prev = bytes.fromhex(task.head) if task.head else hashing.genesis(chain)
    seq = task.version
    entry = orjson.dumps({"event": kind, "seq": seq, "t": now, **facts})
    leaf = hashing.leaves(hashing.salt(nonce, b"{}"), [entry])
    return Event(task.id, seq, now, nonce, entry, hashing.head(prev, leaf, now, "task"))


def moved(
    task: Task, to: State, now: int, nonce: bytes, facts: Mapping[str, object], **changes: object
) -> tuple[Task, Event]:
    """Return the task in its next state and the event that tells of it.

    Raises `Conflict` for a transition that `TRANSITIONS` does not have.
    """
    if to not in TRANSITIONS[task.state]:
        raise Conflict(f"task {task.id} is {task.state}; it cannot become {to}")
    told = {"from": task.state, "attempt": task.attempt, **facts}
    event = event_after(task, to, now, nonce, told)
    after = replace(task, state=to, version=task.version + 1, head=event.head.hex(), **changes)  # type: ignore[arg-type]
    return after, event


def born(task: Task, nonce: bytes, facts: Mapping[str, object]) -> tuple[Task, Event]:
    """Return a new task with its first event; `task` is it as built, with version 0 and no head."""
    event = event_after(task, task.state, task.created, nonce, facts)
    return replace(task, version=1, head=event.head.hex()), event


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
        due=now,
        tries=task.tries + 1,
        worker="",
        reason=LEASE_OVER,
    )


def verify_lineage(task: str, events: Iterable[Event], head: str) -> int:
    """Check a task's lineage against the head that the task names; return the number of events.

    Raises `Tampered` with the place where the chain breaks.
    """
    chain = lineage_chain(task)
    found = hashing.genesis(chain)
    count = 0
    for event in events:
        if not 0 <= event.t < 1 << 64:
            raise Tampered(chain, count, "time", "the event's time is none")
        leaf = hashing.leaves(hashing.salt(event.nonce, b"{}"), [event.entry])
        found = hashing.head(found, leaf, event.t, "task")
        if event.seq != count or found != event.head:
            raise Tampered(chain, count, "hash", "the event does not follow from the one before")
        count += 1
    if found.hex() != head:
        raise Tampered(chain, count, "missing", "the lineage does not end where the task says")
    return count
