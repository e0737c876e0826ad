"""What is recorded of tasks, checked against what can be recorded: their lineages and their effects.

A lineage has to verify, to be told step by step, and each step to be a transition that there is. An effect
that is DONE has to stand under the key that the task's recipe gives a step of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

from sentinel.core.recipes import Recipe, Step
from sentinel.core.states import TRANSITIONS, State
from sentinel.core.tasks import (
    Effect,
    EffectState,
    Event,
    KeyOf,
    Task,
    effect_key,
    is_erased,
    verify_lineage,
)
from sentinel.errors import Rejected, Tampered
from sentinel.usecases.recall import of_step

Inputs = Callable[[Task, Step], Mapping[str, object]]


def as_written(_: Task, step: Step) -> Mapping[str, object]:
    """Return the inputs of a step: what its recipe says."""
    return step.with_


def wrong_lineage(events: Sequence[Event], task: Task, keys: KeyOf | None = None) -> Iterator[str]:
    """Yield what is wrong with a task's lineage. `keys` as at `verify_lineage`."""
    try:
        verify_lineage(task.id, events, task.head, keys)
    except Tampered as error:
        yield str(error)
        return
    bodies = [event.body for event in events]
    if not bodies:
        yield "it has no lineage"
        return
    yield from _wrong_steps(task, bodies)


def _wrong_steps(task: Task, bodies: Sequence[Mapping[str, object]]) -> Iterator[str]:
    known = {state.value: state for state in State}
    told = [body for body in bodies if body.get("event") in known]
    for before, after in pairwise(told):
        start, to = known[str(before["event"])], known[str(after["event"])]
        if after.get("from") != start.value:
            yield f"event {after.get('seq')} goes on from {after.get('from')}, and it was {start.value}"
        elif to not in TRANSITIONS[start]:
            yield f"event {after.get('seq')} goes from {start.value} to {to.value}, which is no transition"
    if told and told[-1]["event"] != task.state.value:
        yield f"it is {task.state.value}, and its lineage ends with {told[-1]['event']}"


def _keys(task: Task, step: Step, inputs: Inputs) -> Iterator[str]:
    """Yield the keys that a step's effects may have; none where its inputs have no values (yet)."""
    with contextlib.suppress(Rejected):
        given = inputs(task, step)
        for anew in range(task.anew.get(step.id, 0) + 1):
            yield effect_key(task.id, task.recipe_digest, step.id, given, anew)


def wrong_effects(
    effects: Mapping[str, Effect],
    task: Task,
    recipe: Callable[[str, int], Recipe],
    inputs: Inputs = as_written,
) -> Iterator[str]:
    """Yield the effects that its recipe does not have. Raises `Unavailable`."""
    done = [each for each in effects.values() if each.state is EffectState.DONE]
    if not done:
        return
    try:
        known = recipe(task.recipe, task.recipe_version)
    except Rejected as error:
        yield str(error)
        return
    keys = {key: step.id for step in known.steps for key in _keys(task, step, inputs)}
    if known.digest != task.recipe_digest:
        yield f"version {task.recipe_version} of its recipe is not the one that it was made for"
    for effect in done:
        # Its key is made of inputs, which an entry that was erased can have been a part of.
        unknown = is_erased(effect.result) or is_erased(task.inputs)
        if not unknown and keys.get(of_step(effect.key)) != effect.step:
            yield f"the effect of step {effect.step} is not one of its recipe: {effect.key}"
