"""Titles and bodies of pull requests: what people read of a patch before they look at it.

What a model says of the cause is about telemetry that anybody may have written, so all of it is untrusted: it
stands in blocks and spans of code, where hosts make nothing of it (no mention, link, image, closing of an
issue, command), has no characters that are not seen, and is bounded.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sentinel.core.legible import seen
from sentinel.core.patch_blobs import Proposal

MOST_TITLE: Final = 72  # characters
MOST_CAUSE: Final = 4_000
MOST_ROWS: Final = 60
MOST_VALUE: Final = 200
MOST_PLACES: Final = 20
_COLUMNS: Final = 100
# What a host or a CI service makes something of in a commit's title, and what stands there instead.
_TITLE: Final = ((r"[\[\]]", ""), (r"@(?=\w)", "@ "), (r"#(?=\w)", "# "), (r"(?i)\bGH-(?=\d)", "GH "))
_TITLE_TOO: Final = ((r"://", ": //"), (r"!(?=\d)", "! "), (r"[<>`*_~|\\$%&]", " "))


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a proposal comes from: the task, its recipe, and the places of the entries that set it off."""

    task: str
    recipe: str
    version: int
    digest: str
    patch: str  # the digest of the proposal, under which it is kept
    places: tuple[str, ...] = ()


def title_of(text: str, otherwise: str) -> str:
    """Return one line that can stand as a commit's title, and does nothing.

    >>> title_of("Fixes #12 for @kim [skip ci] https://evil.example", "Fix")
    'Fixes # 12 for @ kim skip ci https: //evil.example'
    """
    line = "".join(each if seen(each) and each != "\n" else " " for each in text[: 10 * MOST_TITLE])
    for found, put in (*_TITLE, *_TITLE_TOO):
        line = re.sub(found, put, line)
    line = " ".join(line.split()).lstrip("/-. ") or otherwise
    return line if len(line) <= MOST_TITLE else f"{line[: MOST_TITLE - 1].rstrip()}…"


def body_of(proposal: Proposal, origin: Origin) -> str:
    """Return the body, Markdown."""
    parts = [
        *(
            ["> **The answers are from a file (`scripted`): no model was asked.**\n"]
            if proposal.scripted
            else []
        ),
        "Sentinel proposes this patch. Code checked it and tried it in a sandbox; people decide.\n",
        "## Cause\n",
        "A model's words, about telemetry that anybody may have written:\n",
        _block(proposal.cause or "(nothing was said)"),
        "## Evidence\n",
        *_evidence(proposal.evidence),
        "## Lineage\n",
        _table(
            ("task", origin.task),
            ("recipe", f"{origin.recipe}, version {origin.version}, {origin.digest}"),
            ("entries", ", ".join(origin.places[:MOST_PLACES]) or "none"),
            ("patch, SHA-256", origin.patch),
            ("on top of", f"{proposal.commit} of {proposal.base}"),
            ("models", ", ".join(proposal.models) or "none"),
            ("cost", f"{proposal.usd:.4f} USD"),
        ),
        "## Verify\n",
        "The task's lineage is sealed; each of these checks it again:\n",
        f"```text\nsentinel trace {_plain(origin.task)}\nsentinel verify --tasks\n```\n",
        "Sentinel never merges, and never forces a branch.\n",
    ]
    return "\n".join(parts)


def _evidence(evidence: Mapping[str, object]) -> Iterator[str]:
    yield f"**{'Proven' if evidence.get('proven') is True else 'Not proven'}**\n"
    reasons = evidence.get("reasons")
    for each in list(reasons)[:MOST_ROWS] if isinstance(reasons, list | tuple) else ():
        if isinstance(each, Mapping):
            yield f"- {_span(each.get('rule', ''))} {_span(each.get('words', ''))}\n"
    rows = list(_rows(evidence.get("seen"), ""))
    if rows:
        yield _table(*rows[:MOST_ROWS])


def _rows(value: object, name: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _rows(each, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        yield name, ", ".join(str(each) for each in value[:MOST_PLACES]) or "none"
    elif value is not None:
        yield name, value


def _table(*rows: tuple[str, object]) -> str:
    lines = "".join(f"| {_span(name)} | {_span(value)} |\n" for name, value in rows)
    return f"| what | seen |\n|---|---|\n{lines}"


def _span(value: object) -> str:
    """Return a value as a span of code, in which nothing ends the span or the cell of a table."""
    told = ("yes" if value else "no") if isinstance(value, bool) else str(value)
    line = _plain(told[: 10 * MOST_VALUE]).replace("`", "'").replace("|", "¦")
    return f"`{(line if len(line) <= MOST_VALUE else f'{line[: MOST_VALUE - 1]}…') or '-'}`"


def _block(text: str) -> str:
    """Return a text as a block of code that nothing in it ends."""
    cut = text if len(text) <= MOST_CAUSE else f"{text[: MOST_CAUSE - 1]}…"
    lines = [_plain(line) for line in cut.splitlines()]
    wrapped = [part for line in lines for part in (textwrap.wrap(line, _COLUMNS) or [""])]
    whole = "\n".join(wrapped).strip("\n")
    longest = max(map(len, re.findall(r"`+|~+", whole)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{whole}\n{fence}\n"


def _plain(text: str) -> str:
    return " ".join("".join(each if seen(each) and each != "\n" else " " for each in text).split())
