"""A step's inputs for one task: the values of its expressions put in, the same however often it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from sentinel.core import step_inputs
from sentinel.core.expressions import Context
from sentinel.core.recipes import Step
from sentinel.core.steps import Action, Matched
from sentinel.core.tasks import Task, is_erased
from sentinel.errors import Malformed
from sentinel.ports import Ledger
from sentinel.usecases.evidence import matched


def resolved(task: Task, step: Step, action: Action, read: Callable[[Task], Sequence[Matched]]) -> Step:
    """Return a step as it is for a task. Raises `Malformed`, and what `read` raises.

    `read` gives the entries that set the task off, as far as the ledger has them; it is only asked where a
    step has expressions. `${entry...}` is the first entry that the task names, and no other where that one
    was erased: the effect's key is made of the inputs, and would become another one.
    """
    step = given(task, step)
    if not action.forms or not step_inputs.present(step.with_):
        return step
    context = Context(
        task=task.id,
        recipe=task.recipe,
        cause=task.cause,
        results=task.results,
        entry=first_entry(task, read(task)),
    )
    return with_inputs(step, action, context)


def given(task: Task, step: Step) -> Step:
    """Return a step with what a fork gave it in the place of the recipe's inputs, key by key.

    Raises `Malformed` where that was erased.
    """
    if is_erased(task.inputs):
        raise Malformed("the inputs that the task was given were erased")
    own = task.inputs.get(step.id)
    return step.model_copy(update={"with_": {**step.with_, **own}}) if own else step


def with_inputs(step: Step, action: Action, context: Context) -> Step:
    """Return a step with the values of a context put in. Raises `Malformed`."""
    return step.model_copy(update={"with_": step_inputs.resolve(step.with_, action.forms, context)})


def first_entry(task: Task, entries: Sequence[Matched]) -> Mapping[str, Any] | None:
    """Return the first entry that a task names as an event; None where the ledger has it no more."""
    places = task.cause.get("entries")
    if not isinstance(places, list) or not places:
        return {}
    place = places[0]
    for each in entries:
        if (each.chain, each.seq) == (place["chain"], place["seq"]):
            return _event(each.entry)
    return None


def _event(entry: bytes) -> Mapping[str, Any]:
    try:
        found = orjson.loads(entry)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def inputs_of(actions: Mapping[str, Action], ledger: Ledger) -> Callable[[Task, Step], Mapping[str, object]]:
    """Return what gives a step's inputs for a task, as the worker had them.

    It raises `Rejected` where they have no values, `Unavailable` and `Tampered` as the ledger does.
    """

    def inputs(task: Task, step: Step) -> Mapping[str, object]:
        action = actions.get(step.uses)
        if action is None:
            return given(task, step).with_
        return resolved(task, step, action, lambda found: matched(ledger, found)).with_

    return inputs
