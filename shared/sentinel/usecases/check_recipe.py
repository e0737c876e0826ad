"""Checks a recipe beyond its own form: its steps against the actions, its expressions against its steps."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from sentinel.core import step_inputs
from sentinel.core.approvals import ACTION
from sentinel.core.chosen import listed
from sentinel.core.recipes import Recipe
from sentinel.core.steps import Action, needs_approval
from sentinel.errors import Malformed

MAKES, PROPOSES = "ai.patch", "git.pull_request"


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
            if recipe.on.schedule is not None:
                yield from ((index, problem) for problem in _entryless(step.uses, roots))
            if needs_approval(action):
                yield from ((index, problem) for problem in _unapproved(recipe, index, action))
        yield from ((index, each) for each in (*_listed(recipe, step.id), *_patchless(recipe, index)))
        before.add(step.id)


def _listed(recipe: Recipe, step: str) -> Iterator[str]:
    """Yield what is wrong with the steps that a step lists to choose from."""
    here = f"steps: {step}: "
    yield from (each.removeprefix(here) for each in listed(recipe) if each.startswith(here))


def _patchless(recipe: Recipe, index: int) -> Iterator[str]:
    """Yield why no step before one that proposes a patch makes that patch."""
    wanted = recipe.steps[index].with_.get("patch")
    if recipe.steps[index].uses != PROPOSES:
        return
    made = [each.id for each in recipe.steps[:index] if each.uses == MAKES]
    if not made:
        yield f"{PROPOSES} proposes a patch: a step that uses {MAKES} stands before it"
    elif wanted is not None and wanted not in made:
        yield f"patch: no step {wanted!r} before it uses {MAKES}; there are {', '.join(made)}"


def _entryless(uses: str, roots: Collection[str]) -> Iterator[str]:
    """Yield why a step cannot be that of a schedule, which has no entries."""
    if "entry" in roots:
        yield "a schedule has no entry that an expression could take from"
    if uses == "siem.send":
        yield "siem.send tells of entries, and a schedule has none"
    if uses == "alert.reply":
        yield "alert.reply is about an alert, and a schedule has none"


def _unapproved(recipe: Recipe, index: int, action: Action) -> Iterator[str]:
    """Yield why a step that needs approval would be done without people having seen what it does."""
    step = recipe.steps[index]
    asks = [each for each in range(index) if recipe.steps[each].uses == ACTION]
    if not asks:
        yield f"{step.uses} needs approval: a step that uses {ACTION} stands before it"
        return
    unseen = {each.id for each in recipe.steps[asks[-1] : index]}
    for name in sorted(unseen & step_inputs.steps_named(step.with_, action.forms)):
        yield (
            f"{step.uses} needs approval, and takes the result of step {name}, "
            "which nobody has seen who approves: ask behind that step"
        )
