"""Titles and bodies of pull requests: strangers' words do nothing in them, and people see what matters."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.edits import patch_of
from sentinel.core.patch_blobs import Proposal
from sentinel.core.pull_request_body import MOST_CAUSE, MOST_TITLE, Origin, body_of, title_of

ORIGIN = Origin("abc", "fix-it", 3, "d" * 64, "e" * 64, ("checkout/0#7",))
PATCH = patch_of({"a.py": b"x"}, {"a.py": b"y"})
EVIDENCE = {
    "proven": True,
    "reasons": [],
    "seen": {"before": {"failed": ["test_a"]}, "mutants": {"noticed": 9, "tried": 10}, "share": 0.9},
}
EVIL = [
    "@everyone look",
    "Fixes #1, closes o/r#2, resolves GH-3 and https://github.com/o/r/issues/4",
    "![x](https://evil.example/leak.png) <img src=x> [a](javascript:x)",
    "```\n@kim\n```",
    "~~~~\n/merge\n/approve",
    "/merge",
    "| a | b |\n|---|---|",
    "x\u202eevil\u200b\x1b[31m",
    "<!-- hidden --> <details>",
    "[skip ci] [ci skip]",
    "`" * 50 + "\n/close",
    "Co-authored-by: Kim <kim@example.com>",
]


def _body(**changes: object) -> str:
    told: dict[str, object] = {"cause": "x was 1", "evidence": EVIDENCE, "models": ("openai/m",), "usd": 0.25}
    proposal = Proposal("shop", "a" * 40, "main", PATCH, **{**told, **changes})  # type: ignore[arg-type]
    return body_of(proposal, ORIGIN)


def outside(body: str) -> str:
    """Return what of a Markdown text is not code: CommonMark's fences and spans, as hosts read them."""
    kept, fence = [], ""
    for line in body.split("\n"):
        found = re.match(r" {0,3}(`{3,}|~{3,})(.*)$", line)
        if fence:
            if found and found[1][0] == fence[0] and len(found[1]) >= len(fence) and not found[2].strip():
                fence = ""
            continue
        if found and not (found[1][0] == "`" and "`" in found[2]):
            fence = found[1]
            continue
        kept.append(re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", line))
    assert not fence, "a block does not end"
    return "\n".join(kept)


OURS = outside(_body())


@pytest.mark.parametrize("evil", EVIL)
def test_strangers_words_are_code_wherever_they_stand(evil: str) -> None:
    """The text outside of code is the same whatever they are: no mention, link, closing or command."""
    assert outside(_body(cause=evil)) == OURS
    seen = {"proven": True, "reasons": [], "seen": {**EVIDENCE["seen"], "share": evil}}  # type: ignore[dict-item]
    assert outside(_body(evidence=seen)) == OURS
    assert outside(_body(models=(evil,))) == OURS


@given(st.text(alphabet=st.sampled_from("`~@#/<>[]!|\\\n\r ab\u202e\u2028\x0b"), max_size=60))
def test_no_text_leaves_its_block(text: str) -> None:
    """Fences, spans, odd line ends: none of them ends what it stands in."""
    assert outside(_body(cause=text)) == OURS
    assert outside(_body(models=(text,))) == OURS


@pytest.mark.parametrize("evil", EVIL)
def test_a_title_does_nothing(evil: str) -> None:
    """One line of bounded length without references, mentions, or words to CI services."""
    title = title_of(evil, "Fix")
    assert "\n" not in title
    assert title
    assert len(title) <= MOST_TITLE
    assert not re.search(r"@\w|#\d|GH-\d|://|[\[\]<>`]|^/|\u202e|\x1b", title)


def test_what_people_need_is_there() -> None:
    """The cause, the evidence by name, the lineage, how to verify it, the cost, and who was asked."""
    body = _body()
    for each in ("x was 1", "**Proven**", "| `mutants.noticed` | `9` |", "| `before.failed` | `test_a` |"):
        assert each in body
    for each in (
        "checkout/0#7",
        "sentinel trace abc\nsentinel verify --tasks",
        "0.2500 USD",
        "`openai/m`",
        "e" * 64,
        "version 3",
    ):
        assert each in body
    assert "scripted" not in body
    assert "no model was asked" in _body(scripted=True)
    reasons = [{"rule": "suite", "words": "3 tests fail"}]
    told = _body(evidence={"proven": False, "reasons": reasons, "seen": {}})
    assert "**Not proven**" in told
    assert "- `suite` `3 tests fail`" in told


def test_a_body_is_bounded() -> None:
    """However much is said."""
    seen = {str(number): "x" * 10_000 for number in range(1_000)}
    body = _body(cause="word " * 100_000, evidence={"proven": True, "seen": seen})
    assert len(body) < MOST_CAUSE * 2 + 60 * 300
