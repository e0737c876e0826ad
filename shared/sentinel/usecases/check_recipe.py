"""Checks a recipe beyond its own form: its steps against the actions, its expressions against its steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sentinel.core import step_inputs
from sentinel.core.recipes import Recipe
from sentinel.core.steps import Action
from sentinel.errors import Malformed


def problems(recipe: Recipe, actions: Mapping[str, Action]) -> Iterator[tuple[int, str]]:
    """Yield what is wrong with a recipe's steps: the step's index, and what to change."""
    before: set[str] = set()
    for index, step in enumerate(recipe.steps):
        action = actions.get(step.uses)
        if action is None:
            yield index, f"there is no action {step.uses!r}; there are {', '.join(sorted(actions))}"
            continue
        try:
            roots = step_inputs.check(step.with_, action.forms, frozenset(before))
            action.check(step_inputs.sample(step.with_, action.forms))
        except Malformed as error:
            yield index, str(error)
        else:
            if recipe.on.schedule is not None and "entry" in roots:
                yield index, "a schedule has no entry that an expression could take from"
            if recipe.on.schedule is not None and step.uses == "siem.send":
                yield index, "siem.send tells of entries, and a schedule has none"
            if recipe.on.schedule is not None and step.uses == "alert.reply":
                yield index, "alert.reply is about an alert, and a schedule has none"
        before.add(step.id)
