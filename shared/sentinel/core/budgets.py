"""Budgets: what asking models may take, in tokens and dollars, counted before a question and after it.

Before, the worst case counts: the input as it is estimated, at the dearest price that input has, and an
output of the greatest length. After, what the provider counted does; where it told nothing, or its reply was
lost, the worst case. So no budget is ever exceeded but by as much as the estimate of the input was wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import orjson

from sentinel.core.prompts import estimated
from sentinel.core.questions import (
    Busy,
    NobodyAnswers,
    NobodyNow,
    NotAnswered,
    Question,
    Reply,
    Usage,
)
from sentinel.errors import Rejected, SentinelError, Unavailable

FLOOR: Final = 1_000  # tokens of output under which a question is not worth asking
MILLION: Final = 1_000_000
A_TURN: Final = 8  # tokens that a turn has beside its text


class OverBudget(Rejected):
    """The question could take more than is left. The message says how much of what."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Dollars per million tokens. `cached` is input that the provider had already, `written` what it kept."""

    input: float = 0.0
    cached: float = 0.0
    written: float = 0.0
    output: float = 0.0

    def usd(self, usage: Usage) -> float:
        """Return what was used costs, in dollars.

        >>> Prices(input=3, cached=0.3, written=3.75, output=15).usd(Usage(1000, 600, 200, 100))
        0.00303
        """
        fresh = usage.input - usage.cached - usage.written
        parts = (fresh * self.input, usage.cached * self.cached, usage.written * self.written)
        return round((sum(parts) + usage.output * self.output) / MILLION, 12)

    def worst(self, usage: Usage) -> float:
        """Return what it costs at most, whatever of the input was cached or written."""
        dearest = max(self.input, self.cached, self.written)
        return round((usage.input * dearest + usage.output * self.output) / MILLION, 12)


@dataclass(frozen=True, slots=True)
class Spent:
    """What asking took so far: tokens of input and output together, and dollars."""

    tokens: int = 0
    usd: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.tokens + other.tokens, round(self.usd + other.usd, 12))


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent in all."""

    max_tokens: int
    max_usd: float


def input_of(question: Question) -> int:
    """Return how many tokens a question may have, as estimated: system's part, turns and schema."""
    schema = orjson.dumps(dict(question.schema)).decode()
    texts = (question.system, schema, *(each.text for each in question.turns))
    return sum(map(estimated, texts)) + A_TURN * (len(question.turns) + 2)


def worst(question: Question) -> Usage:
    """Return the most that a question may take."""
    return Usage(input=input_of(question), output=question.max_output)


def within(budget: Budget, spent: Spent, question: Question, prices: Prices, floor: int = FLOOR) -> Question:
    """Return the question as it may be asked: itself, or with a `max_output` that makes it fit.

    Raises `OverBudget` where fewer than `floor` tokens of output would be left, or than it wants itself.
    """
    told = input_of(question)
    tokens, usd = budget.max_tokens - spent.tokens, budget.max_usd - spent.usd
    most = min(question.max_output, tokens - told)
    if prices.output > 0:
        rest = usd - prices.worst(Usage(input=told))
        most = int(min(float(most), max(rest, 0.0) * MILLION / prices.output + 1e-6))
    needed = min(floor, question.max_output)
    fits = prices.worst(Usage(input=told, output=needed)) <= usd + 1e-9
    if most < needed or not fits:
        least = Usage(input=told, output=needed)
        raise OverBudget(
            f"asking takes at least {least.tokens:,} tokens and ${prices.worst(least):.4f} at worst; "
            f"{max(tokens, 0):,} of {budget.max_tokens:,} tokens and ${max(usd, 0):.4f} of "
            f"${budget.max_usd:.2f} are left"
        )
    return question if most == question.max_output else replace(question, max_output=most)


def charged(error: SentinelError, question: Question, prices: Prices) -> Spent:
    """Return what a question took that was not answered: at worst, where its reply may have been lost."""
    if isinstance(error, NobodyAnswers | NobodyNow):
        return cost(error)
    if isinstance(error, NotAnswered):
        used = error.usage or Usage()
        return Spent(used.tokens, prices.usd(used))
    if isinstance(error, Unavailable) and not isinstance(error, Busy) and not error.unsent:
        return Spent(worst(question).tokens, prices.worst(worst(question)))
    return Spent()


def cost(found: Reply | SentinelError) -> Spent:
    """Return what asking several models took: that of the reply, and of those that failed before it."""
    total = Spent(found.usage.tokens, found.usd) if isinstance(found, Reply) else Spent()
    failed = found.failed if isinstance(found, Reply | NobodyAnswers | NobodyNow) else ()
    for each in failed:
        total += Spent(each.tokens, each.usd)
    return total
