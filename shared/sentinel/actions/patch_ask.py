"""The patcher: asks models for edits. It has their keys, a masked prompt, and nothing of the repository.

A try asks for one candidate, so that a worker that dies loses one answer at most. The candidates begin with
different models, where there are several; each falls back on the others. What is spent is counted over all
of them, corrections included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from sentinel.actions.patch_course import ASK, JUDGE, Candidate, Charged, Course
from sentinel.core.budgets import Budget, OverBudget, Spent, cost
from sentinel.core.edit_answers import schema
from sentinel.core.exchanges import exchange, parse
from sentinel.core.questions import NobodyNow, NotAnswered, Question, Turn
from sentinel.core.steps import StepRun
from sentinel.core.tasks import SECOND

if TYPE_CHECKING:
    from sentinel.actions.ai_patch import PatchInputs
    from sentinel.ports_patches import Blobs, Model

LONGEST = 300 * SECOND  # one answer, with all tries of it
Models = Callable[[Sequence[str], Budget, Spent], "Model"]  # asked in this order, within what is left


@dataclass(frozen=True, slots=True)
class Patcher:
    """`models` gives what is asked by names of documents; `clock` is in epoch nanoseconds."""

    models: Models
    asked: Blobs
    clock: Callable[[], int]

    def ask(self, run: StepRun, inputs: PatchInputs, course: Course) -> tuple[Course, str]:
        """Ask for the next candidate; return what follows, and words on it for people.

        Raises `Unavailable` where no model can be asked now.
        """
        if not course.candidates:
            course = replace(course, candidates=(Candidate(),) * run.recipe.policy.candidates)
        waiting = _waiting(course)
        if not waiting:
            return replace(course, stage=JUDGE), "no model is to be asked"
        index = waiting[0]
        course = self._asked(run, inputs, course, index)
        stage = ASK if _waiting(course) else JUDGE
        return replace(course, stage=stage), f"candidate {index + 1}: {_told(course.candidates[index])}"

    def _asked(self, run: StepRun, inputs: PatchInputs, course: Course, index: int) -> Course:
        policy, spent = run.recipe.policy, Spent(**course.spent) if course.spent else Spent()
        budget = Budget(policy.max_tokens, policy.max_cost_usd)
        names = [*inputs.models[index % len(inputs.models) :], *inputs.models[: index % len(inputs.models)]]
        question = self._question(course, index)
        try:
            reply = self.models(names, budget, spent).ask(question, self.clock() + LONGEST)
        except (NotAnswered, OverBudget) as error:
            after = course.having(index, refused=f"no answer: {error}", rule=type(error).__name__)
            return replace(after, spent=_sum(spent, cost(error)))
        except NobodyNow as error:
            if cost(error) == Spent():
                raise
            raise Charged(str(error), replace(course, spent=_sum(spent, cost(error)))) from None
        kept = self.asked.put(exchange(question, reply))
        after = course.having(
            index,
            reply=kept,
            model=f"{reply.provider} {reply.model}",
            scripted=reply.scripted,
            corrected=bool(course.candidates[index].correction),
        )
        return replace(after, spent=_sum(spent, cost(reply)))

    def _question(self, course: Course, index: int) -> Question:
        prompt: dict[str, Any] = orjson.loads(self.asked.get(course.prompt))
        turns: tuple[Turn, ...] = (Turn("user", prompt["user"]),)
        candidate = course.candidates[index]
        if candidate.correction:
            _, before = parse(self.asked.get(candidate.reply))
            correction = self.asked.get(candidate.correction).decode()
            turns = (*turns, Turn("assistant", before.text), Turn("user", correction))
        return Question(prompt["system"], turns, schema(), "edits", sample=index)


def _waiting(course: Course) -> list[int]:
    return [index for index, each in enumerate(course.candidates) if each.waits]


def _sum(spent: Spent, more: Spent) -> Mapping[str, float]:
    total = spent + more
    return {"tokens": total.tokens, "usd": total.usd}


def _told(candidate: Candidate) -> str:
    return candidate.refused or f"answered by {candidate.model}{' (scripted)' if candidate.scripted else ''}"
