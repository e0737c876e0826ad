"""docs/context.md says what is: every reason for a file with its bound, and every bound of a failure."""

from __future__ import annotations

import re
from pathlib import Path

from sentinel.core import failure_parts, failure_reading, stack_texts
from sentinel.core.prompts import MAX_FILE
from sentinel.core.relevance import MOST, WHY
from sentinel.usecases import related
from tests.core.injections import INJECTIONS
from tests.usecases.injected import OBEDIENT, PLACES

DOCS = Path(__file__).resolve().parents[1] / "docs"
TEXT = (DOCS / "context.md").read_text()


def test_reasons_are_documented() -> None:
    """Each has its row with its words and its bound, and no row has another."""
    rows = re.findall(r"^\| `([a-z]+)` \| ([^|]+) \| (\d+) \|$", TEXT, re.MULTILINE)
    assert rows == [(each, WHY[each], str(MOST[each])) for each in WHY]


def test_bounds_are_documented() -> None:
    """The numbers are the code's."""
    for told in (
        f"| entries | {failure_reading.MAX_READ_ENTRIES} |",
        f"| a webhook's message | {failure_reading.MAX_MESSAGE:,} bytes |",
        f"| a text with a stack trace | {stack_texts.MAX_STACK:,} characters |",
        f"| calls of a trace that are looked at | {failure_parts.MAX_READ_CALLS:,} |",
        f"| calls of a failure | {failure_parts.MAX_CALLS} |",
        f"| variables of a call | {failure_parts.MAX_VALUES} |",
        f"| a variable | {failure_parts.MAX_VALUE:,} characters |",
        f"| a message, and what was said | {failure_parts.MAX_TEXT:,} characters |",
        f"| what was said | {failure_reading.MAX_SAID} |",
        f"| traces | {failure_parts.MAX_TRACES} |",
        f"looks {related.BACK}\nentries back",
        f"{related.AHEAD} ahead in the same segment, and keeps the {related.KEPT} nearest",
        f"{related.SEGMENTS} reads of one segment for each of at most {related.CHAINS} chains",
        f"files over {MAX_FILE:,} characters",
    ):
        assert told in TEXT, told


def test_the_injections_are_counted() -> None:
    """docs/prompts.md says in how many places and how many ways they are tried."""
    text = " ".join((DOCS / "prompts.md").read_text().split())
    assert f"{len(INJECTIONS)} injections" in text
    assert f"in each of {len(PLACES)} places" in text
    assert f"answer in {len(OBEDIENT)} ways" in text
