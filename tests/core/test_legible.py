"""What people are shown: the same JSON, in which nothing hides and nothing turns anything around."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest

from sentinel.core.legible import legible

HIDDEN = "\u202e\u2066\u200b\u00a0\u009b\x7f\x1b\u3164\u2800\ufe0f\ufeff\u2028\U000e0101\U000e0041"


@pytest.mark.parametrize("indent", [None, 2])
def test_what_is_shown_is_the_same_json(indent: int | None) -> None:
    """However strange the characters, reading it back gives the value, with whole numbers whole."""
    value = {"a" + HIDDEN: [HIDDEN, "für 決済 🙂", 1.5, 9_007_199_254_740_993, None, True, '\n\t"\\']}
    assert json.loads(legible(value, indent)) == value


def test_every_character_is_seen_or_escaped() -> None:
    """No control, format or unassigned character and no odd space is in the text; letters stay."""
    every = "".join(map(chr, (*range(0xD800), *range(0xE000, sys.maxunicode + 1))))
    text = legible(every)
    kinds = {unicodedata.category(each) for each in text}
    assert not kinds & {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
    assert {each for each in text if unicodedata.category(each) == "Zs"} == {" "}
    assert not set(text) & set(HIDDEN)
    assert {"ü", "決", "🙂", "א"} <= set(text)
    assert json.loads(text) == every
