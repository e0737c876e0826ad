"""docs/patches.md says what is: the form of an answer, every limit, every rule of the gate."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from sentinel.core import edit_anchors, edit_answers, edit_paths, edit_refusals, patch_policy
from sentinel.core.edit_answers import Answer, EditAnswer, NewFileAnswer
from sentinel.core.patch_findings import RULES
from sentinel.core.patch_policy import Policy

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "patches.md").read_text()


@pytest.mark.parametrize("rule", RULES)
def test_rules_are_documented(rule: str) -> None:
    """Each rule has its row, with its verdict and its own words."""
    assert f"\n| `{rule}` | {RULES[rule].verdict} | {RULES[rule].what} |\n" in TEXT


def test_no_rule_is_documented_that_is_not_there() -> None:
    """The table names no rule that was taken away."""
    named = re.findall(r"^\| `([a-z-]+)` \| (?:refused|needs approval|note) \|", TEXT, re.MULTILINE)
    assert named == list(RULES)


def test_the_form_of_an_answer_is_documented() -> None:
    """Each property has its row, and the rows of edits and new files name theirs."""
    assert all(f"\n| `{name}` | " in TEXT for name in Answer.model_fields)
    for form in (EditAnswer, NewFileAnswer):
        assert "of each: " + ", ".join(f"`{name}`" for name in form.model_fields) in TEXT


@pytest.mark.parametrize("field", fields(Policy), ids=lambda each: each.name)
def test_the_policy_is_documented(field: object) -> None:
    """Each part of a policy has its row with its default."""
    name, default = field.name, field.default  # type: ignore[attr-defined]
    told = (f"`{default[0]}`" if default else "none") if isinstance(default, tuple) else str(default)
    assert f"\n| `{name}` | {told} | " in TEXT


def test_limits_are_documented() -> None:
    """The numbers are the code's."""
    for told in (
        f"| an answer | {edit_answers.MAX_ANSWER:,} bytes |",
        f"| edits and new files | {edit_answers.MAX_EDITS} |",
        f"| `cause` | {edit_answers.MAX_CAUSE:,} characters |",
        f"| `search` | {edit_answers.MAX_SEARCH:,} characters |",
        f"| `replace` | {edit_answers.MAX_REPLACE:,} characters |",
        f"| `text` | {edit_answers.MAX_TEXT:,} characters |",
        f"at most {edit_anchors.MAX_FILE:,} bytes",
        f"at most {edit_paths.MAX_PATH} bytes",
        f"at most {patch_policy.MAX_LINE:,} characters",
        f"at most {edit_refusals.MOST_LINES}, each\n  cut to {edit_refusals.MOST_COLUMNS} characters",
    ):
        assert told in TEXT, told
