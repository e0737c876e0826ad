"""Gathers what a task would do next, as the people see it who are asked to approve it.

The same task, recipe, entries and settings give the same document, whoever gathers it: the worker that asks,
the worker that is about to act, and whoever shows it to an approver.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from sentinel.core import step_inputs
from sentinel.core.approvals import ACTION, SERVICE, VERSION, Asked, Shown, bounded
from sentinel.core.chosen import chosen_against
from sentinel.core.recipes import Recipe, spelled
from sentinel.core.steps import Action, Ask, Matched, StepRun
from sentinel.core.tasks import Event, Task, step_key
from sentinel.errors import Rejected
from sentinel.usecases.forks import forkers
from sentinel.usecases.resolve import given, resolved

_BY_API = "service/"  # what the lineage calls a service by that acts on a task


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: by which step, and with which step the task would go on."""

    step: int
    following: int
    ask: Ask
    makers: tuple[str, ...]
    after: str

    @staticmethod
    def of(asked: Asked, recipe: Recipe) -> Question:
        """Return the question that a task has stored."""
        step = next(index for index, each in enumerate(recipe.steps) if each.id == asked.step)
        ask = Ask(asked.by, asked.needs, 0, asked.message)
        return Question(step, asked.next, ask, asked.makers, asked.after)


@dataclass(frozen=True, slots=True)
class Gathering:
    """`read` gives the entries that set a task off, `lineage` a task's events."""

    actions: Mapping[str, Action]
    read: Callable[[Task], Sequence[Matched]]
    lineage: Callable[[str], Sequence[Event]]

    def makers(self, task: Task, recipe: Recipe) -> tuple[str, ...]:
        """Return who made what is asked: the recipe's author where it is known, and who forked the task.

        Of a fork of a fork all who forked count: what the first one gave it is in the second.
        """
        forked = map(_as_approver, forkers(self.lineage(task.id)))
        return tuple(dict.fromkeys(each for each in (recipe.author, *forked) if each))

    def shown(self, task: Task, recipe: Recipe, question: Question) -> Shown:
        """Return what would be done. Raises `Unavailable`, and `Tampered` where an entry cannot be read."""
        end = next(
            (
                index
                for index, step in enumerate(recipe.steps)
                if index >= question.following and step.uses == ACTION
            ),
            len(recipe.steps),
        )
        known = _results(task, recipe, question)
        steps = (
            self.part(task, recipe, index, question)
            for index in range(question.following, end)
            if not chosen_against(recipe, recipe.steps[index].id, known)
        )
        return Shown(self.about(task, recipe, question), tuple(steps))

    def about(self, task: Task, recipe: Recipe, question: Question) -> dict[str, object]:
        """Return what is shown beside the steps."""
        told = {
            "v": VERSION,
            "task": task.id,
            "lineage": question.after,
            "recipe": {
                "id": recipe.id,
                "version": recipe.version,
                "digest": task.recipe_digest,
                "author": recipe.author,
            },
            "cause": dict(task.cause),
            "results": bounded(_plain(_results(task, recipe, question))),
            "approval": {
                "step": recipe.steps[question.step].id,
                "by": list(question.ask.by),
                "needs": question.ask.needs,
                "message": question.ask.message,
            },
            "makers": list(question.makers),
        }
        plain: dict[str, object] = _plain(told)
        return plain

    def part(self, task: Task, recipe: Recipe, index: int, question: Question) -> dict[str, object]:
        """Return what is shown of one step: its inputs and plan, or as it is written.

        It is shown as it is written where its inputs take results of steps that have not run yet.
        """
        step = given(task, recipe.steps[index])
        told: dict[str, object] = {
            "id": step.id,
            "uses": step.uses,
            "effect": step.effect,
            "timeout": spelled(step.timeout) if step.timeout else None,
            # What is approved is one effect: the next one, after it ended badly, is another.
            **({"anew": task.anew[step.id]} if task.anew.get(step.id) else {}),
        }
        action = self.actions.get(step.uses)
        if action is None:
            return {**told, "inputs": bounded(_plain(step.with_)), "problem": "there is no such action"}
        done = {each.id for each in recipe.steps[: question.following]}
        before = replace(task, results=_results(task, recipe, question))
        try:
            if step_inputs.present(step.with_) and step_inputs.steps_named(step.with_, action.forms) - done:
                return {**told, "as_written": bounded(_plain(step.with_))}
            step = resolved(before, step, action, self.read)
            action.check(step.with_)
            key = step_key(task, step.id, step.with_)
            plan = action.plan(StepRun(before, recipe, step, key, self.read(task), resumed=False))
        except Rejected as error:
            return {**told, "inputs": bounded(_plain(step.with_)), "problem": str(error)}
        return {**told, "inputs": bounded(_plain(step.with_)), "plan": bounded(_plain(plan))}


def _as_approver(who: str) -> str:
    """Return somebody whom a lineage names as approvers are named."""
    if who.startswith(_BY_API):
        return SERVICE + who.removeprefix(_BY_API).partition(" (")[0]
    return who


def _results(task: Task, recipe: Recipe, question: Question) -> dict[str, object]:
    """Return the results that were there when it was asked."""
    known = {
        each.id for index, each in enumerate(recipe.steps[: question.following]) if index != question.step
    }
    return {name: result for name, result in task.results.items() if name in known}


def _plain(value: object) -> Any:
    """Return a value as JSON has it: YAML knows dates, and plans have tuples."""
    return orjson.loads(orjson.dumps(value))
