"""What a choice means for the steps behind it: those that were listed and not chosen are passed over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:  # pydantic and yaml are slow to import, and these are only named here
    from sentinel.core.recipes import Recipe, Step

CHOOSE: Final = "ai.choose"  # what `uses` of a step says that chooses


def passed_over(recipe: Recipe, step_id: str, results: Mapping[str, Any]) -> bool:
    """Say whether a step is not done, since a step before it listed it and chose another one.

    `results` are those of the steps that were done, by id. A step that is listed by one that was passed
    over itself, or chose nothing yet, is not done either.
    """
    lists = [each for each in recipe.steps if step_id in among(each)]
    return bool(lists) and not any(results.get(each.id, {}).get("chosen") == step_id for each in lists)


def chosen_against(recipe: Recipe, step_id: str, results: Mapping[str, Any]) -> bool:
    """Say whether it is settled that a step is passed over: whoever lists it has chosen."""
    lists = [each.id for each in recipe.steps if step_id in among(each)]
    return all(each in results for each in lists) and passed_over(recipe, step_id, results)


def listed(recipe: Recipe) -> list[str]:
    """Return what is wrong with the steps that a recipe's choices list, for its author to read."""
    return list(_problems(recipe))


def among(step: Step) -> Mapping[str, object]:
    """Return the ids that a step lists to choose from; none where it does not choose."""
    found = step.with_.get("among") if step.uses == CHOOSE else None
    return found if isinstance(found, Mapping) else {}


def _problems(recipe: Recipe) -> Iterator[str]:
    places = {each.id: number for number, each in enumerate(recipe.steps)}
    owners: dict[str, str] = {}
    for number, step in enumerate(recipe.steps):
        for each in among(step):
            where = f"steps: {step.id}: among: {each}"
            if each not in places:
                yield f"{where}: no step has this id"
            elif places[each] <= number:
                yield f"{where}: this step does not come later than the one that chooses it"
            if each in owners:
                yield f"{where}: {owners[each]} lists it as well; a step is one choice's only"
            owners.setdefault(str(each), step.id)
