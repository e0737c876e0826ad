"""Flow: what keeps a task from starting now, and what lets the next one start when a task has ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sentinel.core.recipes import Recipe
from sentinel.core.tasks import Task


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a task does not start now. `by` goes into `Task.held`, `until` is when to look again (nanoseconds).

    `ticket` is when its rate lets it start, to be kept in the task; 0 where it has none.
    """

    by: str
    until: int
    reason: str
    ticket: int = 0


class Gates(Protocol):
    """What a worker asks before a task's step, and tells after its end."""

    def enter(self, task: Task, recipe: Recipe, now: int) -> Hold | None:
        """Return what holds a task, or None where it may go on: then it has its place. Idempotent.

        Raises `Unavailable` where a store does not answer: the task is then tried again later.
        """

    def left(self, task: Task) -> None:
        """Give back the places of a task that has ended, and have the next ones tried. Never raises."""


class Open:
    """Gates that hold nothing."""

    def enter(self, task: Task, recipe: Recipe, now: int) -> Hold | None:
        """Let everything through."""
        del task, recipe, now
        return None

    def left(self, task: Task) -> None:
        """Nothing to give back."""
