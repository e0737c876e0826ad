"""Choices: only a listed step, with parameters of its types and bounds, ever comes out of an answer."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from sentinel.core import choices
from sentinel.core.choices import Among, ChoiceRefused, Option
from sentinel.core.chosen import listed, passed_over
from sentinel.core.recipes import Recipe
from tests.core.injections import INJECTIONS, TELEMETRY, Injection
from tests.model_servers import strict_problems

AMONG: TypeAdapter[dict[str, Option]] = TypeAdapter(Among)
OPTIONS = AMONG.validate_python(
    {
        "scale-out": {
            "when": "load is high",
            "parameters": {
                "count": {"integer": "-2..10"},
                "zone": {"one_of": ["a", "b"]},
                "drain": {"boolean": True},
            },
        },
        "wait.a.bit": {},
    }
)
NONCE = "5f3a91c07be2d4481ad06c7795e0b2f3"
GOOD = {"count": 3, "zone": "a", "drain": False}


def _answer(step: object = "scale-out", parameters: object = GOOD, **more: object) -> str:
    return orjson.dumps({"choice": {"step": step, "parameters": parameters, **more}}).decode()


def test_a_listed_choice_is_taken() -> None:
    """The step and its parameters come out as they were given, at the ends of their bounds too."""
    for count in (-2, 10):
        found = choices.answered(_answer(parameters={**GOOD, "count": count}), OPTIONS)
        assert (found.step, found.parameters) == ("scale-out", {**GOOD, "count": count})
    assert choices.answered(_answer("wait.a.bit", {}), OPTIONS).parameters == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "scale-out",
        "[]",
        '{"choice": "scale-out"}',
        '{"step": "scale-out"}',
        '{"choice": {"step": "scale-out"}}',
        _answer("delete-all"),
        _answer("SCALE-OUT"),
        _answer(["scale-out"]),
        _answer(None),
        _answer(also="wait.a.bit"),
        _answer("wait.a.bit"),
        _answer(parameters=[]),
        _answer(parameters={}),
        _answer(parameters={**GOOD, "more": 1}),
        *(_answer(parameters={**GOOD, "count": each}) for each in (11, -3, 3.0, "3", True, None, 2**63)),
        *(_answer(parameters={**GOOD, "zone": each}) for each in ("c", "A", "a ", 1, None, ["a"])),
        *(_answer(parameters={**GOOD, "drain": each}) for each in (1, 0, "true", None)),
        _answer() + " ",
        " " * 20_001 + _answer(),
        "[" * 10_000,
        "\ud800",
    ],
)
def test_whatever_else_is_refused(text: str) -> None:
    """A step that is not listed, a value out of bounds or of another type, a key more or less: refused."""
    if text == _answer() + " ":
        assert choices.answered(text, OPTIONS)  # space around JSON is no difference
        return
    with pytest.raises(ChoiceRefused) as caught:
        choices.answered(text, OPTIONS)
    assert "delete-all" not in str(caught.value)


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 15) | st.sampled_from(["a", "b", "scale-out", "wait.a.bit"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choice", "step", "parameters", "count", "zone", "drain"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@settings(max_examples=200)
@given(
    _values | st.builds(lambda step, given: {"choice": {"step": step, "parameters": given}}, _values, _values)
)
def test_no_answer_leaves_the_list(value: object) -> None:
    """Whatever JSON comes, what is taken is a listed step with values that its parameters take."""
    try:
        found = choices.answered(orjson.dumps(value).decode(), OPTIONS)
    except ChoiceRefused:
        return
    bounds = OPTIONS[found.step].parameters
    assert set(found.parameters) == set(bounds)
    assert all(bounds[name].takes(each) for name, each in found.parameters.items())


def test_the_schema_is_strict() -> None:
    """The schema is one that strict modes take: alternatives below the root, every property required."""
    found = choices.schema(OPTIONS)
    assert strict_problems(found) == []
    steps = [each["properties"]["step"]["enum"] for each in found["properties"]["choice"]["anyOf"]]
    assert steps == [["scale-out"], ["wait.a.bit"]]


@pytest.mark.parametrize(
    "among",
    [
        {},
        {"-a": {}},
        {"a": {"parameters": {"Count": {"boolean": True}}}},
        {"a": {"parameters": {"n": {}}}},
        {"a": {"parameters": {"n": {"integer": "0..1", "boolean": True}}}},
        {"a": {"parameters": {"n": {"boolean": False}}}},
        {"a": {"parameters": {"n": {"integer": "3..1"}}}},
        {"a": {"parameters": {"n": {"integer": "1-3"}}}},
        {"a": {"parameters": {"n": {"one_of": []}}}},
        {"a": {"parameters": {"n": {"one_of": ["x", "x"]}}}},
        {"a": {"parameters": {"n": {"one_of": ["x\ny"]}}}},
        {"a": {"when": "x\ny"}},
        {"a": {"run": "rm"}},
        {f"s{number}": {} for number in range(21)},
    ],
)
def test_lists_are_checked(among: dict[str, Any]) -> None:
    """A list that says nothing, or something twice, or has lines that could be more than one, is refused."""
    with pytest.raises(ValidationError):
        AMONG.validate_python(among)


@pytest.mark.parametrize("tried", INJECTIONS, ids=lambda each: each.name)
def test_injections_change_nothing_that_is_trusted(tried: Injection) -> None:
    """Whatever entries say, the system's part and the schema stay, and no line of data has another form."""
    told = [text.replace("NONCE", NONCE) for where, text in tried.pieces if where in TELEMETRY]
    plain = choices.question("What next?", OPTIONS, [b"request failed"], NONCE)
    entries = [each.encode("utf-8", "replace") for each in told]
    found = choices.question("What next?", OPTIONS, entries, NONCE)
    assert (found.system, found.schema) == (plain.system, plain.schema)
    lines = found.turns[0].text.splitlines()
    assert (lines[0], lines[1], lines[-1]) == (f"BEGIN {NONCE}", f"SAID {NONCE}", f"END {NONCE}")
    data = lines[2:-1]
    assert all(each.startswith("| ") and each.isascii() for each in data)
    assert not any(each in line for line in data for each in (NONCE, *tried.marks))


def test_the_question_shows_templates_and_numbers() -> None:
    """Entries are counted by template, the numbers of the newest are shown, and secrets are not."""
    entries = [b'{"msg": "request failed after %d ms for kim@example.com"}' % each for each in (7, 900)]
    found = choices.question("What\nnext?", OPTIONS, entries, NONCE)
    assert "2x entry: request failed after <num> ms" in found.turns[0].text
    assert "| <num> = 900" in found.turns[0].text
    assert "kim" not in found.turns[0].text
    assert "question: What next?\n- scale-out: load is high\n  count: -2..10\n" in found.system


def _recipe(*steps: tuple[str, list[str] | None]) -> Recipe:
    made = [
        {"id": step, "uses": "ai.choose", "with": {"among": {each: {} for each in among}}}
        if among is not None
        else {"id": step, "uses": "wait"}
        for step, among in steps
    ]
    return Recipe.model_validate({"id": "r", "on": {"rule": "x"}, "steps": made})


def test_steps_that_were_not_chosen_are_passed_over() -> None:
    """Of the listed steps only the chosen one is done; steps that nothing lists always are."""
    recipe = _recipe(("c", ["a", "b"]), ("a", None), ("b", None), ("z", None))
    results = {"c": {"chosen": "b"}}
    assert [passed_over(recipe, each, results) for each in ("c", "a", "b", "z")] == [
        False,
        True,
        False,
        False,
    ]
    assert [passed_over(recipe, each, {}) for each in ("a", "b", "z")] == [True, True, False]


def test_a_choice_that_was_passed_over_passes_over_its_own() -> None:
    """Choices may be chosen: what one lists that was not is not done."""
    recipe = _recipe(("c", ["d", "a"]), ("d", ["b"]), ("a", None), ("b", None))
    assert passed_over(recipe, "b", {"c": {"chosen": "a"}, "a": {}})
    assert not passed_over(recipe, "b", {"c": {"chosen": "d"}, "d": {"chosen": "b"}})


def test_what_is_listed_has_to_come_later() -> None:
    """An author is told of ids that no step has, of steps before the choice, and of steps listed twice."""
    assert listed(_recipe(("c", ["a", "b"]), ("a", None), ("b", None))) == []
    wrong = _recipe(("a", None), ("c", ["a", "c", "x", "b"]), ("d", ["b"]), ("b", None))
    assert listed(wrong) == [
        "steps: c: among: a: this step does not come later than the one that chooses it",
        "steps: c: among: c: this step does not come later than the one that chooses it",
        "steps: c: among: x: no step has this id",
        "steps: d: among: b: c lists it as well; a step is one choice's only",
    ]


def test_other_actions_list_nothing() -> None:
    """An input named `among` of another action means nothing."""
    body = {"id": "c", "uses": "wait", "with": {"among": {"x": {}}}}
    recipe = Recipe.model_validate({"id": "r", "on": {"rule": "x"}, "steps": [body]})
    assert listed(recipe) == []
    assert not passed_over(recipe, "x", {})
