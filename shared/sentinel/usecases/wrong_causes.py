"""Whether what a task says of why it was made is what a replay finds, and when that cannot be told."""

from __future__ import annotations

from collections.abc import Sequence

from sentinel.core.tasks import Task
from sentinel.usecases.recompute import Recomputed, Request, places_of, unlike


def doubtful(request: Request, runs: Sequence[Recomputed]) -> bool:
    """Say whether a request cannot be decided: entries that a correlation counted may be erased."""
    return request.doubtful or any(run.erased and request.wanted.rule.id in run.doubts for run in runs)


def wrong_cause(task: Task, requests: Sequence[Request], runs: Sequence[Recomputed]) -> list[str]:
    """Return what of a recorded cause nobody asks for.

    A firing may name other entries than in order, where its feeds were not; they have to count for its group.
    """
    asked = requests[0].wanted
    wrong = [] if any(request.met for request in requests) else unlike(task.cause, asked.cause)
    if wrong == ["another entries"] and (doubtful(requests[0], runs) or _supported(task, runs)):
        wrong = []
    if (task.recipe, task.recipe_version) != (asked.recipe.id, asked.recipe.version):
        wrong.append("another recipe or version")
    elif task.recipe_digest != asked.recipe.digest:
        wrong.append("another recipe under this version")
    return wrong


def _supported(task: Task, runs: Sequence[Recomputed]) -> bool:
    return any(
        groups and all(run.hits.get(place, set()) & groups for place in places_of(task.cause))
        for run in runs
        for groups in [run.groups.get(task.id, set())]
    )
