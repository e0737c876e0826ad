"""docs/proof.md says what is: each rule of a proof, and each part of its evidence."""

from __future__ import annotations

import re
from pathlib import Path

from sentinel.core.neighbours import MOST
from sentinel.core.proof_calls import MOST_TRIED
from sentinel.core.proven import RULES
from sentinel.usecases.prove_patch import AT_ONCE, MOST_NAMED

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "proof.md").read_text()


def test_rules_are_documented() -> None:
    """Each rule has its row with its own words, in order, and no other is there."""
    assert re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", TEXT.partition("## Evidence")[0], re.MULTILINE) == [
        *RULES.items()
    ]


def test_limits_are_documented() -> None:
    """The numbers are the code's."""
    assert f"at most {MOST} of each of at most {MOST_TRIED} calls" in TEXT
    assert f"the first {MOST_NAMED} `survivors`" in TEXT
    assert AT_ONCE == 2
    assert "two at a time" in TEXT
