"""Stories: all that is recorded of one task, read as of one moment and checked against itself.

Only the lineage is hashed. So what the task's state and its effects say is held against what the lineage
tells: the recipe and the cause, the state, which effects are done and with which results. What is wrong is
told with the event at which it shows; nothing is left out because of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import orjson

from sentinel.core.states import TRANSITIONS, State
from sentinel.core.tasks import (
    Effect,
    EffectState,
    Event,
    KeyOf,
    Task,
    digest_of,
    is_erased,
    lineage_chain,
    verify_lineage,
)
from sentinel.errors import Conflict, Tampered
from sentinel.ports import Tasks

_RACES = 20
Body = Mapping[str, Any]
Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Story:
    """One task as it is recorded. `task` is None where its state is gone or cannot be read.

    `bodies` are the JSON objects of `events`, empty for what cannot be read. `damage` says what does not fit.
    """

    id: str
    task: Task | None
    events: tuple[Event, ...]
    bodies: tuple[Body, ...]
    effects: Mapping[str, Effect]
    damage: tuple[Tampered, ...] = ()


def read(tasks: Tasks, task_id: str, keys: KeyOf | None = None) -> Story | None:
    """Return a task's story; None where nothing is recorded under this id. Raises `Unavailable`.

    `keys` as at `verify_lineage`; it is asked only where an event was erased. A task that is moved while it
    is read is read again.
    """
    for _ in range(_RACES):
        damage: list[Tampered] = []
        task = _try(damage, lambda: tasks.get(task_id), None)
        events = tuple(tasks.lineage(task_id))
        effects: Mapping[str, Effect] = _try(damage, lambda: tasks.effects(task_id), {})
        if not (task or events or effects or damage):
            return None
        bodies = tuple(map(_body, events))
        story = Story(task_id, task, events, bodies, effects, tuple(damage))
        found = replace(story, damage=(*damage, *_wrong(story, keys)))
        if not found.damage or task is None or not _moved(tasks, task):
            return found
    raise Conflict(f"task {task_id} is moved all the time: look at it again")


def _moved(tasks: Tasks, task: Task) -> bool:
    now = _try([], lambda: tasks.get(task.id), None)
    return now is not None and now.version != task.version


def _try(damage: list[Tampered], ask: Callable[[], Read], otherwise: Read) -> Read:
    try:
        return ask()
    except Tampered as error:
        damage.append(error)
        return otherwise


def _body(event: Event) -> Body:
    try:
        found: object = event.body
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _wrong(story: Story, keys: KeyOf | None) -> Iterator[Tampered]:
    task, chain = story.task, lineage_chain(story.id)
    if task is None:
        if not story.damage:
            yield Tampered(
                chain, len(story.events), "missing", "the task's state is gone, its lineage is there"
            )
        return
    if task.id != story.id:
        yield Tampered(chain, 0, "place", "the state that is stored there is another task's")
        return
    try:
        verify_lineage(task.id, story.events, task.head, keys)
    except Tampered as error:
        yield error
        return
    yield from follows(task, story.bodies)
    if not story.damage:
        yield from _effects(task, story)


def follows(task: Task, bodies: Sequence[Body]) -> Iterator[Tampered]:
    """Yield where a task's state does not follow from its lineage, which has been verified."""
    chain, last = lineage_chain(task.id), len(bodies) - 1
    if not bodies:
        yield Tampered(chain, 0, "missing", "the task has no lineage")
        return
    wrong = [name for name, value in _told(task).items() if name in bodies[0] and bodies[0][name] != value]
    born = bodies[0]
    wrong += ["fork_of"] if born.get("fork_of") != task.cause.get("fork_of") else []
    given, nothing = digest_of(task.inputs), digest_of({})
    if born.get("inputs", nothing) != given or (is_erased(task.inputs) and given == nothing):
        wrong.append("inputs")
    known = {state.value: state for state in State}
    newest = bodies[-1].get("event")
    if newest in known and newest != task.state.value:
        wrong.append("state")
    if task.version != len(bodies):
        wrong.append("number of events")
    if wrong:
        why = f"its row and its lineage do not agree on {', '.join(wrong)}"
        yield Tampered(chain, last, "state", why)
    for seq in range(1, len(bodies)):
        start, to = known.get(str(bodies[seq].get("from"))), known.get(str(bodies[seq].get("event")))
        if start is not None and to is not None and to not in TRANSITIONS[start]:
            yield Tampered(chain, seq, "state", f"there is no way from {start.value} to {to.value}")


def _told(task: Task) -> dict[str, object]:
    """Return what a task's first event tells of it, as its state has it."""
    return {
        "recipe": task.recipe,
        "version": task.recipe_version,
        "digest": task.recipe_digest,
        **{name: task.cause.get(name) for name in ("rule", "fingerprint", "entries", "trace", "span")},
    }


def _effects(task: Task, story: Story) -> Iterator[Tampered]:
    """Yield where effects and results are not what the lineage tells of them."""
    chain = lineage_chain(task.id)
    results: dict[str, tuple[int, str]] = {}
    for seq, body in enumerate(story.bodies):
        if not body.get("outcome") or not body.get("effect"):
            continue
        effect = story.effects.get(str(body["effect"]))
        if why := _unlike(effect, body, story.events[seq].t):
            yield Tampered(chain, seq, "effect", f"the effect of step {body.get('step')} {why}")
        if "result" in body:
            results[str(body.get("step"))] = (seq, str(body["result"]))
    for step, (seq, digest) in results.items():
        held = task.results.get(step)
        if not isinstance(held, Mapping) or digest_of(held) != digest:
            yield Tampered(chain, seq, "state", f"the result of step {step} is not the one that was told")


def _unlike(effect: Effect | None, body: Body, t: int) -> str:
    """Say how an effect is not the one that an event tells of as done; "" where it is."""
    if effect is None:
        return "is gone"
    if effect.state is not EffectState.DONE:
        return "is not recorded as done"
    if effect.step != body.get("step"):
        return f"is recorded for step {effect.step}"
    # A worker whose lease ran out may record the same effect later, with a result of its own.
    if "result" in body and effect.t <= t and digest_of(effect.result) != body["result"]:
        return "has another result than was told"
    return ""
