"""Several models in order: the next one is asked where one gives no answer, all before one deadline.

Before each question the budget is looked at, with that model's prices, and what a model cost that gave no
answer counts for the next. Which models failed, why, and at which cost at most stands in the reply, or in
the error: `core.budgets.cost` sums it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sentinel.core.budgets import Budget, OverBudget, Prices, Spent, charged, within
from sentinel.core.questions import Missed, NobodyAnswers, NobodyNow, Question, Reply
from sentinel.errors import Malformed, Rejected, SentinelError, Unavailable

if TYPE_CHECKING:
    from sentinel.ports_patches import Model

SHARE: Final = 2 / 3  # of the time that is left, for a model after which there is another


@dataclass(frozen=True, slots=True)
class Named:
    """One model under the recipe's name of it."""

    name: str
    model: Model
    prices: Prices


class Failover:
    """Asks in order: `ports_patches.Model`. `spent` is what was taken of the budget before.

    `clock` is in epoch nanoseconds. Safe to share: it keeps nothing of a question.
    """

    def __init__(
        self,
        models: Sequence[Named],
        clock: Callable[[], int],
        budget: Budget | None = None,
        spent: Spent | None = None,
    ) -> None:
        if not models:
            raise Malformed("no model is named that could be asked")
        self._models = tuple(models)
        self._clock = clock
        self._budget = budget
        self._spent = spent or Spent()

    def ask(self, question: Question, deadline: int) -> Reply:
        """Return the first reply, with the models before it in `failed`.

        Raises `OverBudget` where no model may be asked, `NobodyNow` where one of them may answer later, else
        `NobodyAnswers`.
        """
        failed: list[Missed] = []
        errors: list[SentinelError] = []
        spent = self._spent
        for number, each in enumerate(self._models):
            asked = question
            try:
                if self._budget is not None:
                    asked = within(self._budget, spent, question, each.prices)
                reply = each.model.ask(asked, self._until(deadline, last=number + 1 == len(self._models)))
            except (Rejected, Unavailable) as error:
                lost = charged(error, asked, each.prices)
                spent += lost
                errors.append(error)
                failed.append(Missed(each.name, str(error), lost.tokens, lost.usd))
            else:
                return replace(reply, failed=(*failed, *reply.failed))
        raise _nobody(errors, tuple(failed))

    def _until(self, deadline: int, *, last: bool) -> int:
        now = self._clock()
        return deadline if last else now + int(max(deadline - now, 0) * SHARE)


def _nobody(errors: Sequence[SentinelError], failed: tuple[Missed, ...]) -> SentinelError:
    over = next((each for each in errors if isinstance(each, OverBudget)), None)
    if over is not None and all(isinstance(each, OverBudget) for each in errors):
        return over
    told = "; ".join(f"{each.model}: {each.why}" for each in failed)
    later = [each for each in errors if isinstance(each, Unavailable)]
    if not later:
        return NobodyAnswers(f"no model answered: {told}", failed)
    found = NobodyNow(f"no model answered: {told}", failed, min(each.retry_after for each in later))
    found.unsent = all(each.unsent for each in later)
    return found
