"""Places: how many tasks are on their way at once, and who is next. The arithmetic, without a store.

A *gate* is what one limit counts: the tasks that hold a place, and a bounded line of those that wait for one.
Whose turn it is: the higher priority first, then the service that has fewest places and was served longest
ago, then age. The state of the tasks is the truth, and a gate a note of it that mends itself (`fate`).

A place names the task's version for which it was taken. Whoever starts a task first sees to it that its
place names the version that the start replaces; whoever takes a place away from a task that has not started
has seen a later version. So of the two one fails, at the task or at the gate, and a limit is never exceeded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256
from typing import Any

import orjson
import zstandard

from sentinel.core.lines import PRIORITIES
from sentinel.core.states import State
from sentinel.core.tasks import SECOND, Task

LINE = 500  # tasks in the line of a gate; the others look again by and by
RESERVED = 120 * SECOND  # a task that was given a place and has not started keeps it for so long
SOON = 15 * SECOND  # the first in line looks again after so long, in case nobody tells it
_LATER = SECOND // 2  # and each one behind so much later
_TURNED_AWAY = 60 * SECOND  # who finds the line full looks again after so long,
_APART = 50 * SECOND // 1000  # one after the other,
LONGEST = 600 * SECOND  # at most so much later
_TURNS = 64
_UNPACKED = 4_000_000
# People take hours to approve: others may have the place until then.
_WITHOUT = frozenset({State.AWAITING_APPROVAL, *(state for state in State if state.ended)})


@dataclass(frozen=True, slots=True)
class Place:
    """A task's place: the version that it may start from, its attempt when it first had it, and when (ns)."""

    version: int
    since: int
    t: int
    service: str


@dataclass(frozen=True, slots=True)
class Waiter:
    """A task in line. `rank` is 0 for the highest priority, `t` its age, `most` what its recipe allows."""

    id: str
    rank: int
    service: str
    t: int
    most: int


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate. `turns` are the services that were served, the newest last.

    `tail` is when the last of those that found no room in the line looks again, `checked` when the holders
    were last compared with their tasks; both in epoch nanoseconds.
    """

    holders: Mapping[str, Place] = field(default_factory=dict)
    line: tuple[Waiter, ...] = ()
    turns: tuple[str, ...] = ()
    tail: int = 0
    checked: int = 0

    @property
    def empty(self) -> bool:
        """Whether it may be forgotten."""
        return not self.holders and not self.line


class Fate(StrEnum):
    """What becomes of a place when its task is looked at."""

    KEPT = "kept"
    DROPPED = "dropped"
    WOKEN = "woken"  # kept, and its task is to be told


def service_mark(service: str) -> str:
    """Return the short form in which a gate knows a service."""
    return sha256(service.encode()).hexdigest()[:8] if service else ""


def waiter_of(task: Task, service: str, most: int) -> Waiter:
    """Return a task as it stands in line."""
    rank = PRIORITIES.index(task.priority) if task.priority in PRIORITIES else 1
    return Waiter(task.id, rank, service_mark(service), task.created, most)


def ordered(gate: Gate) -> list[Waiter]:
    """Return the line in the order in which places are given, as things stand."""
    held = Counter(place.service for place in gate.holders.values())
    turn = {service: at for at, service in enumerate(gate.turns)}
    keyed = []
    for waiter in sorted(gate.line, key=lambda each: (each.rank, each.t, each.id)):
        keyed.append(
            (waiter.rank, held[waiter.service], turn.get(waiter.service, -1), waiter.t, waiter.id, waiter)
        )
        held[waiter.service] += 1
    return [each[-1] for each in sorted(keyed, key=lambda each: each[:-1])]


def following(gate: Gate) -> Waiter | None:
    """Return who is given the next free place; None where nobody waits that may have one."""
    taken = len(gate.holders)
    return next((waiter for waiter in ordered(gate) if waiter.most > taken), None)


def given(gate: Gate, waiter: Waiter, place: Place) -> Gate:
    """Return the gate after a task of its line was given a place."""
    turns = (*(each for each in gate.turns if each != waiter.service), waiter.service)[-_TURNS:]
    line = tuple(each for each in gate.line if each.id != waiter.id)
    return replace(gate, holders={**gate.holders, waiter.id: place}, line=line, turns=turns)


def joined(gate: Gate, waiter: Waiter) -> Gate:
    """Return the gate with a task in its line, once.

    Where the line is full, the task of the lowest priority has to leave it: of those one of the service that
    has most, the youngest. That may be the new one.
    """
    line = (*(each for each in gate.line if each.id != waiter.id), waiter)
    if len(line) > LINE:
        many = Counter((each.rank, each.service) for each in line)
        out = max(line, key=lambda each: (each.rank, many[each.rank, each.service], each.t, each.id))
        line = tuple(each for each in line if each.id != out.id)
    return replace(gate, line=line)


def without(gate: Gate, task_id: str) -> Gate:
    """Return the gate without a task, in its line or at a place."""
    if task_id not in gate.holders and all(each.id != task_id for each in gate.line):
        return gate
    holders = {key: place for key, place in gate.holders.items() if key != task_id}
    return replace(gate, holders=holders, line=tuple(each for each in gate.line if each.id != task_id))


def renewed(gate: Gate, task: Task, now: int) -> Gate:
    """Return the gate with a task's place made to name its version as it is."""
    place = gate.holders[task.id]
    if place.version == task.version:
        return gate
    return replace(gate, holders={**gate.holders, task.id: replace(place, version=task.version, t=now)})


def fate(place: Place, task: Task | None, held: str, now: int) -> Fate:
    """Say what becomes of a place, given its task as it was read after the gate; `held` names the gate.

    What has ended or waits for approval has no place. What has started keeps its own. What has not may still
    be about to start from the version that the place names; once it has gone on from there it keeps its place
    for a while, unless something else holds it.
    """
    if task is None or task.state in _WITHOUT:
        return Fate.DROPPED
    if task.attempt > place.since:
        return Fate.KEPT
    old = abs(now - place.t) > RESERVED  # a clock may have been ahead
    waits = task.state is State.WAITING
    if task.version > place.version and (old or (waits and task.held != held)):
        return Fate.DROPPED
    return Fate.WOKEN if waits and (task.held == held or old) else Fate.KEPT


def released(gate: Gate, task: Task) -> Gate:
    """Return the gate without the place of a task that needs none, or is held before it has started.

    A place that names this version or a later one is somebody's who is about to start it, and stays.
    """
    place = gate.holders.get(task.id)
    if place is None or place.version >= task.version:
        return gate
    if task.state not in _WITHOUT and task.attempt > place.since:
        return gate
    return replace(gate, holders={key: each for key, each in gate.holders.items() if key != task.id})


def looks_again(gate: Gate, waiting: list[str], now: int) -> tuple[Gate, dict[str, int]]:
    """Return when each of some waiting tasks is to look again, and the gate after that.

    Those in line look the sooner the nearer they are; the others one after the other, so that a long
    backlog costs a bounded number of looks.
    """
    at = {waiter.id: n for n, waiter in enumerate(ordered(gate))}
    due, tail = {}, gate.tail
    for task_id in waiting:
        if task_id in at:
            due[task_id] = now + min(SOON + at[task_id] * _LATER, LONGEST)
        else:
            due[task_id] = min(max(now + _TURNED_AWAY, tail), now + LONGEST)
            tail = due[task_id] + _APART
    return replace(gate, tail=tail), due


def packed(gate: Gate) -> bytes:
    """Return a gate as it is stored."""
    holders = {key: [each.version, each.since, each.t, each.service] for key, each in gate.holders.items()}
    line = [[each.id, each.rank, each.service, each.t, each.most] for each in gate.line]
    body = {"holders": holders, "line": line, "turns": gate.turns, "tail": gate.tail, "checked": gate.checked}
    return zstandard.ZstdCompressor(level=1).compress(orjson.dumps(body))


def unpacked(raw: bytes) -> Gate:
    """Return the gate that `packed` wrote; an empty one of nothing. Raises `ValueError` for anything else."""
    if not raw:
        return Gate()
    try:
        found = orjson.loads(zstandard.ZstdDecompressor().decompress(raw, max_output_size=_UNPACKED))
        holders = {key: Place(*_of(each, int, int, int, str)) for key, each in found["holders"].items()}
        line = tuple(Waiter(*_of(each, str, int, str, int, int)) for each in found["line"])
        turns = tuple(_of(found["turns"], *[str] * len(found["turns"])))
        return Gate(holders, line, turns, *_of([found["tail"], found["checked"]], int, int))
    except (KeyError, TypeError, AttributeError, zstandard.ZstdError) as error:
        raise ValueError(f"it is no gate: {type(error).__name__}") from None


def _of(values: Any, *kinds: type) -> list[Any]:
    """Return values that are of these kinds; raises `TypeError` for any others."""
    if not isinstance(values, list) or [type(each) for each in values] != list(kinds):
        raise TypeError
    return values
