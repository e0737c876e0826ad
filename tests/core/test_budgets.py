"""Budgets: no question is asked that could take more than is left, and what was asked is counted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sentinel.core.budgets import (
    FLOOR,
    Budget,
    OverBudget,
    Prices,
    Spent,
    charged,
    cost,
    input_of,
    within,
    worst,
)
from sentinel.core.questions import (
    Busy,
    CutOff,
    Declined,
    Missed,
    NobodyAnswers,
    NobodyNow,
    NotAnswered,
    Question,
    Reply,
    Turn,
    Usage,
)
from sentinel.errors import BadAnswer, Forbidden, SentinelError, TimedOut, Unavailable

QUESTION = Question("s" * 350, (Turn("user", "u" * 700),), {}, max_output=10_000)
PRICES = Prices(input=3, cached=0.3, written=3.75, output=15)

dollars = st.floats(0, 200, allow_nan=False)
prices = st.builds(Prices, dollars, dollars, dollars, dollars)
budgets = st.builds(Budget, st.integers(0, 300_000), st.floats(0, 20, allow_nan=False))
spents = st.builds(Spent, st.integers(0, 300_000), st.floats(0, 20, allow_nan=False))
questions = st.builds(
    lambda text, most: Question("system", (Turn("user", text),), {}, max_output=most),
    st.text(max_size=2_000),
    st.integers(1, 64_000),
)


@settings(max_examples=60)
@given(budgets, spents, questions, prices, st.data())
def test_what_is_asked_fits_whatever_is_used(
    budget: Budget, spent: Spent, question: Question, price: Prices, data: st.DataObject
) -> None:
    """Any usage up to the worst case of a question that may be asked leaves the budget kept."""
    try:
        asked = within(budget, spent, question, price)
    except OverBudget:
        return
    assert min(FLOOR, question.max_output) <= asked.max_output <= question.max_output
    taken = data.draw(st.integers(0, input_of(asked)))
    cached = data.draw(st.integers(0, taken))
    written = data.draw(st.integers(0, taken - cached))
    used = Usage(taken, cached, written, data.draw(st.integers(0, asked.max_output)))
    after = spent + Spent(used.tokens, price.usd(used))
    assert after.tokens <= budget.max_tokens
    assert after.usd <= budget.max_usd + 1e-6


@settings(max_examples=60)
@given(budgets, spents, questions, prices)
@example(Budget(10**6, 1.0), Spent(), QUESTION, Prices(output=3e-307))
def test_only_what_does_not_fit_is_refused(
    budget: Budget, spent: Spent, question: Question, price: Prices
) -> None:
    """A question that fits whole is asked as it is; one that is refused did not fit with the least output."""
    whole = spent + Spent(worst(question).tokens, price.worst(worst(question)))
    try:
        asked = within(budget, spent, question, price)
    except OverBudget:
        least = replace(question, max_output=min(FLOOR, question.max_output))
        needed = spent + Spent(worst(least).tokens, price.worst(worst(least)))
        assert needed.tokens > budget.max_tokens or needed.usd > budget.max_usd - 1e-6
    else:
        if whole.tokens <= budget.max_tokens and whole.usd <= budget.max_usd - 1e-6:
            assert asked is question
        assert replace(asked, max_output=question.max_output) == question


@settings(max_examples=40)
@given(st.lists(st.tuples(questions, prices), max_size=8), budgets)
def test_several_questions_keep_the_budget(asked: list[tuple[Question, Prices]], budget: Budget) -> None:
    """However many are asked in a row, each with the worst outcome, the budget is kept."""
    spent = Spent()
    for question, price in asked:
        try:
            fits = within(budget, spent, question, price)
        except OverBudget:
            continue
        spent += charged(TimedOut("lost"), fits, price)
    assert spent.tokens <= budget.max_tokens
    assert spent.usd <= budget.max_usd + 1e-6


def test_a_smaller_output_is_asked_for_where_that_fits() -> None:
    """What is left decides how long the answer may be, down to a floor, in tokens and in dollars."""
    told = input_of(QUESTION)
    assert within(Budget(told + 4_000, 10), Spent(), QUESTION, PRICES).max_output == 4_000
    usd = told * 3.75 / 1e6 + 2_000 * 15 / 1e6
    assert within(Budget(10**6, usd), Spent(), QUESTION, PRICES).max_output == 2_000
    assert within(Budget(told + FLOOR, 10), Spent(), QUESTION, PRICES).max_output == FLOOR
    with pytest.raises(OverBudget):
        within(Budget(told + FLOOR - 1, 10), Spent(), QUESTION, PRICES)
    short = replace(QUESTION, max_output=50)
    assert within(Budget(told + 50, 10), Spent(), short, PRICES) is short


def test_what_is_left_is_told() -> None:
    """The error says what asking takes at least, and what there is left of what."""
    with pytest.raises(OverBudget, match=r"900 of 1,000 tokens and \$0\.2500 of \$0\.50 are left"):
        within(Budget(1_000, 0.5), Spent(100, 0.25), QUESTION, PRICES)


def test_without_prices_only_tokens_count() -> None:
    """A model that costs nothing is asked with no dollar left."""
    assert within(Budget(10**6, 0), Spent(), QUESTION, Prices()) is QUESTION
    with pytest.raises(OverBudget):
        within(Budget(10**6, 0), Spent(), QUESTION, Prices(output=0.01))


def _unsent() -> Unavailable:
    error = Unavailable("no connection")
    error.unsent = True
    return error


@pytest.mark.parametrize(
    "error", [TimedOut("silent"), BadAnswer("cut"), Unavailable("504")], ids=lambda each: type(each).__name__
)
def test_a_lost_reply_counts_at_worst(error: SentinelError) -> None:
    """Where a reply may have been made and lost, all of it counts as spent."""
    assert charged(error, QUESTION, PRICES) == Spent(worst(QUESTION).tokens, PRICES.worst(worst(QUESTION)))


@pytest.mark.parametrize(
    "error",
    [_unsent(), Busy("429"), Forbidden("401"), NotAnswered("no credit"), OverBudget("")],
    ids=["unsent", "busy", "key", "credit", "budget"],
)
def test_what_was_not_made_costs_nothing(error: SentinelError) -> None:
    """A question that was not sent, or was turned away, is not charged."""
    assert charged(error, QUESTION, PRICES) == Spent()


@pytest.mark.parametrize("kind", [CutOff, Declined])
def test_what_is_no_answer_costs_all_the_same(kind: type[NotAnswered]) -> None:
    """A refusal and a reply that was cut off are charged as the provider counted."""
    found = charged(kind("no", Usage(100, 0, 0, 200)), QUESTION, PRICES)
    assert found == Spent(300, 0.0033)


def test_the_models_before_count() -> None:
    """What asking took is that of the reply, and of the models that failed before it."""
    failed = (Missed("a", "why", 10, 0.5), Missed("b", "why", 5, 0.25))
    reply = Reply("{}", "openai", "m", Usage(3, 0, 0, 4), 0.125, failed=failed)
    assert cost(reply) == Spent(22, 0.875)
    for error in (NobodyAnswers("", failed), NobodyNow("", failed, 1.0)):
        assert cost(error) == charged(error, QUESTION, PRICES) == Spent(15, 0.75)
