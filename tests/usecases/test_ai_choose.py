"""`ai.choose`: a model picks one of the recipe's own steps; what it says else changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from sentinel import ai
from sentinel.actions.ai_choose import Choose
from sentinel.adapters.read_files import ReadFiles
from sentinel.ai import Reach
from sentinel.core.steps import Again, Asking, Done, Failed, Nothing, StepRun
from sentinel.errors import Malformed, Unavailable
from tests.steps import step_run

_NOBODY: Any = None
INPUTS = {
    "models": ["m"],
    "question": "Is it load, or a bad release?",
    "among": {"scale": {"parameters": {"count": {"integer": "1..5"}}}, "rollback": {}},
}
GOOD = {"choice": {"step": "scale", "parameters": {"count": 2}}}


@pytest.fixture
def choose(tmp_path: Path) -> Callable[..., Choose]:
    """Make the action with a model that answers by a script; None: with no model."""

    def make(*script: object) -> Choose:
        (tmp_path / "a.json").write_bytes(orjson.dumps(list(script)))
        configs = ai.load("models.yaml", b"models: {m: {kind: scripted, file: a.json}}") if script else {}
        return _choose(configs, Reach(_NOBODY, _NOBODY, ReadFiles(tmp_path)))

    return make


def _choose(configs: Mapping[str, ai.ModelConfig], reach: Reach) -> Choose:
    return Choose(lambda names, *rest: ai.asked(names, configs, reach, *rest), clock=reach.clock)


def _run(**over: object) -> StepRun:
    return step_run("ai.choose", {**INPUTS, **over}, [b"queue depth 4711 for kim@example.com"])


def test_the_choice_is_the_result(choose: Callable[..., Choose]) -> None:
    """The result is the step, its parameters, who said so, and whether that was a script."""
    outcome = choose({"when": "queue", "answer": GOOD, "usage": {"input": 9, "output": 1}}).perform(_run())
    assert outcome == Done(
        {
            "chosen": "scale",
            "parameters": {"count": 2},
            "model": "a.json",
            "provider": "scripted",
            "scripted": True,
            "tokens": 10,
            "usd": 0.0,
            "failed": [],
        }
    )


@pytest.mark.parametrize(
    "answer",
    [
        {"choice": {"step": "delete", "parameters": {}}},
        {"choice": {"step": "scale", "parameters": {"count": 6}}},
        {"choice": {"step": "scale", "parameters": {"count": 2, "host": "evil"}}},
        "do whatever the log says",
    ],
)
def test_any_other_answer_fails_the_step(choose: Callable[..., Choose], answer: object) -> None:
    """What is no choice of the list fails the step, and is not quoted."""
    outcome = choose({"answer": answer}).perform(_run())
    assert isinstance(outcome, Failed)
    assert "evil" not in outcome.reason
    assert "delete" not in outcome.reason


def test_a_recorded_reply_asks_nobody(choose: Callable[..., Choose]) -> None:
    """A later try, and a replay, takes the reply that was kept, though there is no model any more."""
    kept: dict[str, str] = {}

    def recorded(question: str, ask: Callable[[], str]) -> str:
        if question not in kept:
            kept[question] = ask()
        return kept[question]

    run = replace(_run(), recorded=recorded)
    first = choose({"answer": GOOD}).perform(run)
    assert choose().perform(replace(run, resumed=True)) == first
    (question,) = kept
    assert "kim@" not in question
    assert len(question) < 300_000


def test_without_its_model_the_step_fails(choose: Callable[..., Choose]) -> None:
    """A model that no document has is named."""
    outcome = choose().perform(_run())
    assert isinstance(outcome, Failed)
    assert "there is no model m" in outcome.reason


def test_a_busy_model_is_asked_later() -> None:
    """Where models do not answer now the step is tried again, when the provider wishes."""

    def read(path: str) -> bytes:
        raise Unavailable(f"{path} is slow", 7.0)

    configs = ai.load("models.yaml", b"models: {m: {kind: scripted, file: a.json}}")
    outcome = _choose(configs, Reach(_NOBODY, _NOBODY, read)).perform(_run())
    assert isinstance(outcome, Again)
    assert outcome.after == 7_000_000_000


def test_a_budget_that_is_too_small_asks_nobody(choose: Callable[..., Choose]) -> None:
    """The step's budget is looked at first."""
    outcome = choose({"answer": GOOD}).perform(_run(max_tokens=1_000))
    assert isinstance(outcome, Failed)
    assert "tokens" in outcome.reason


@pytest.mark.parametrize(
    "change",
    [
        {"models": []},
        {"question": ""},
        {"among": {}},
        {"among": {"a": {"parameters": {"n": {"integer": "x"}}}}},
        {"tools": ["shell"]},
    ],
)
def test_inputs_are_checked(choose: Callable[..., Choose], change: dict[str, object]) -> None:
    """A `with` that cannot be carried out is refused before anything runs."""
    with pytest.raises(Malformed, match=r"ai\.choose"):
        choose().check({**INPUTS, **change})


def test_a_plan_asks_nobody(choose: Callable[..., Choose]) -> None:
    """A plan says whom the step would ask and among which steps; the action says that it asks."""
    action = choose()
    assert action.plan(_run()) == {"ask": ["m"], "among": ["scale", "rollback"], "entries": 1}
    assert isinstance(action, Asking)
    assert action.asks
    assert isinstance(action.probe(_run()), Nothing)
