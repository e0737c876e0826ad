"""docs/models.md says what is: each kind of model, each key, each limit, each status."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sentinel import ai
from sentinel.actions.ai_choose import ChooseInputs
from sentinel.ai import KINDS, HostedConfig, failover, hosted, scripted
from sentinel.ai.answers import LONGEST_WAIT, refusal
from sentinel.ai.model import PriceList
from sentinel.core import budgets, choices, recipes
from sentinel.core.chosen import listed
from sentinel.core.questions import Busy
from sentinel.errors import Malformed, TooLarge
from sentinel.ports import HttpResponse

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "models.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)


def _section(heading: str) -> str:
    return TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_are_documented(kind: str) -> None:
    """Each kind has its heading, and its own keys below it."""
    own = set(KINDS[kind].config.model_fields) - set(HostedConfig.model_fields)
    section = _section(kind)
    assert section
    assert all(f"`{name}`" in section or f"`{name}: " in section for name in own)


def test_the_examples_are_documents() -> None:
    """The document of models loads and has every kind; the script is one; the recipe's choice is sound."""
    documents = [body for language, body in BLOCKS if language == "yaml"]
    assert {each.kind for each in ai.load("models.yaml", documents[0].encode()).values()} == set(KINDS)
    script = next(body for language, body in BLOCKS if language == "json")
    assert len(scripted.load("a.json", script.encode())) == 3
    recipe = recipes.load("r.yaml", f"id: r\non: {{rule: x}}\n{documents[1]}".encode())
    ChooseInputs.model_validate(recipe.steps[0].with_)
    assert listed(recipe) == []


@pytest.mark.parametrize("name", HostedConfig.model_fields)
def test_keys_of_providers_are_documented(name: str) -> None:
    """Each key has its row, with its default and its bounds."""
    field = HostedConfig.model_fields[name]
    row = next(line for line in _section("Models of providers").splitlines() if f"| `{name}` |" in line)
    if isinstance(field.default, int):
        assert f"| {field.default:,} |" in row
    if name == "prices":
        assert all(f"`{each}`" in row for each in PriceList.model_fields)


def test_inputs_of_choices_are_documented() -> None:
    """Each input of `ai.choose` has its row with its default; its limits and its result are told."""
    section = _section("ai.choose")
    for name, field in ChooseInputs.model_fields.items():
        default = "" if field.is_required() else f"{field.default:,}"
        assert re.search(rf"^\| `{name}` \| {re.escape(default)} ?\| ", section, re.MULTILINE), name
    assert f"1 to {choices.MAX_OPTIONS} steps" in section
    assert f"at most {choices.MAX_PARAMETERS}." in section
    for name in ("chosen", "parameters", "model", "provider", "scripted", "tokens", "usd", "failed"):
        assert f"`{name}`" in section


def test_limits_are_documented() -> None:
    """The numbers are the code's."""
    deadlines = " ".join(_section("Deadlines").split())
    assert f"at most {hosted.TRIES} times" in deadlines
    assert f"more than {hosted.PATIENCE:.0f} seconds" in deadlines
    assert "an hour at most" in deadlines
    assert LONGEST_WAIT == 3_600
    assert "two thirds" in deadlines
    assert failover.SHARE == 2 / 3
    assert f"down to {budgets.FLOOR:,} tokens" in _section("Budgets")


@pytest.mark.parametrize(
    "row", [line for line in _section("What goes wrong").splitlines() if line.startswith("| ")][1:]
)
def test_statuses_are_documented(row: str) -> None:
    """Each status of a row is the error that the row says."""
    statuses, error, then, *_ = row.strip("| ").split(" | ")
    for status in re.findall(r"\b[345]\d\d\b", statuses):
        found: Any = refusal(HttpResponse(int(status)), "It", "key", 0.0)
        assert isinstance(found, Busy) == ("busy" in error) == ("tried again" in then), status
        if isinstance(found, Malformed):
            assert ("too large" if isinstance(found, TooLarge) else "malformed") in error, status
        else:
            names = {"NotAnswered": "no answer", "Busy": "busy"}
            name = type(found).__name__
            assert names.get(name, name.lower()) in error, status


def test_blocks_are_well_formed() -> None:
    """Every block parses by its language."""
    for language, body in BLOCKS:
        assert (yaml.safe_load if language == "yaml" else json.loads)(body)
    assert len(BLOCKS) == 3
