"""docs/services.md has the numbers and names of the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.cli.main import cli
from sentinel.core.access import SCOPES, TIERS
from sentinel.usecases import rotate, rotated_kinds

DOC = (Path(__file__).resolve().parents[1] / "docs" / "services.md").read_text()


@pytest.mark.parametrize("tier", TIERS)
def test_tiers_are_documented(tier: str) -> None:
    """Every tier has its row, with its numbers."""
    of = TIERS[tier]
    quota = f"{of.quota:,}" if of.quota else "no quota"
    assert f"| `{tier}` | {of.requests:,} | {of.entries:,} | {of.bytes:,} | {quota} |" in DOC
    assert of.burst == 2


@pytest.mark.parametrize("scope", SCOPES)
def test_scopes_are_documented(scope: str) -> None:
    """Every scope has its row."""
    assert f"| `{scope}` |" in DOC


def test_rotation_is_documented() -> None:
    """Ages and overlaps are those of the code."""
    assert f"after {rotate.KEY_DAYS} days | {rotated_kinds.KEY_OVERLAP // 3600} hours" in DOC
    assert f"| {rotated_kinds.HOOK_OVERLAP // 3600} hours | a ring of both |" in DOC
    assert f"{rotate.SIGNING_DAYS} elsewhere | {rotated_kinds.SIGNING_OVERLAP / 60} minutes" in DOC
    assert f"published {rotated_kinds.SIGNING_LEAD // 60} minutes before" in DOC


@pytest.mark.parametrize("group", ["services", "hooks", "rotate"])
def test_commands_are_documented(group: str) -> None:
    """Every subcommand stands in an example."""
    for command in cli.commands[group].commands:  # type: ignore[attr-defined]
        assert f"    sentinel {group} {command}" in DOC, command
