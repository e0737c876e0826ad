"""The action `ai.choose`: a model picks one of the recipe's own listed next steps, with typed parameters.

It does nothing else: the steps that were not chosen are passed over (`core.chosen`), and the one that was is
done as the recipe has it. The model's reply is recorded, so a replay asks nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from sentinel.actions.following import refused
from sentinel.core import choices, exchanges
from sentinel.core.approvals import canonical
from sentinel.core.budgets import Budget, Spent, cost
from sentinel.core.chosen import CHOOSE
from sentinel.core.questions import Question, Reply
from sentinel.core.recipe_fields import Name
from sentinel.core.steps import Again, Done, Failed, Nothing, Outcome, Probed, StepRun
from sentinel.core.tasks import SECOND
from sentinel.errors import Rejected, Unavailable

if TYPE_CHECKING:
    from sentinel.actions.patch_ask import Models

LONGEST = 120 * SECOND  # of a question, where the step has no shorter timeout
_NONCE = 32  # hex digits


class ChooseInputs(BaseModel):
    """A step's `with`: whom to ask what, the steps to choose among, and what asking may cost."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: tuple[Name, ...] = Field(min_length=1, max_length=5)
    question: Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
    among: choices.Among
    max_tokens: int = Field(default=40_000, ge=1_000, le=1_000_000)
    max_usd: float = Field(default=0.5, ge=0, le=100)


class Choose:
    """`models` gives what is asked by names of documents; `clock` is in epoch nanoseconds."""

    name = CHOOSE
    stream = "ai"
    asks = True
    forms: ClassVar[Mapping[str, Any]] = {}  # no input takes what an entry says
    model: ClassVar[type[BaseModel]] = ChooseInputs
    Inputs = ChooseInputs

    def __init__(self, models: Models, *, clock: Callable[[], int]) -> None:
        self._models = models
        self._clock = clock

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Check a step's `with`. Whether its models exist shows when it runs, its steps `chosen.listed`."""
        _inputs(inputs)

    def plan(self, run: StepRun) -> Mapping[str, object]:
        """Return what the step would do: whom it asks, and which steps there are to choose among."""
        found = _inputs(run.step.with_)
        entries = min(len(run.entries), choices.MAX_ENTRIES)
        return {"ask": list(found.models), "among": list(found.among), "entries": entries}

    def perform(self, run: StepRun) -> Outcome:
        """Ask, or take the answer that was recorded, and check it."""
        try:
            inputs = _inputs(run.step.with_)
            question = question_of(run, inputs)
            text = canonical(question.document).decode()
            said = run.recorded(text, lambda: self._ask(run, inputs, question))
            reply = exchanges.reply_of(orjson.loads(said))
            chosen = choices.answered(reply.text, inputs.among)
        except Unavailable as error:
            return Again(str(error), int(error.retry_after * SECOND))
        except Rejected as error:
            return Failed(str(error))
        return Done(_result(reply, chosen))

    def probe(self, run: StepRun) -> Probed:
        """Say that asking has left nothing outside: it may be asked again."""
        del run
        return Nothing()

    def _ask(self, run: StepRun, inputs: ChooseInputs, question: Question) -> str:
        budget = Budget(inputs.max_tokens, inputs.max_usd)
        model = self._models(inputs.models, budget, Spent())
        within = min(run.step.timeout or LONGEST, LONGEST)
        reply = model.ask(question, self._clock() + within)
        return canonical(exchanges.reply_document(reply)).decode()


def question_of(run: StepRun, inputs: ChooseInputs) -> Question:
    """Return what is asked: the same in every try, its delimiter made of the effect's key."""
    nonce = sha256(f"choose {run.key}".encode()).hexdigest()[:_NONCE]
    entries = [each.entry for each in run.entries]
    return choices.question(inputs.question, inputs.among, entries, nonce)


def _result(reply: Reply, chosen: choices.Choice) -> dict[str, object]:
    spent = cost(reply)
    said = {"chosen": chosen.step, "parameters": dict(chosen.parameters)}
    asked_of = {"model": reply.model, "provider": reply.provider, "scripted": reply.scripted}
    failed = [{"model": each.model, "why": each.why} for each in reply.failed]
    return {**said, **asked_of, "tokens": spent.tokens, "usd": spent.usd, "failed": failed}


def _inputs(inputs: Mapping[str, Any]) -> ChooseInputs:
    try:
        return ChooseInputs.model_validate(inputs)
    except ValidationError as error:
        raise refused(CHOOSE, error) from None
