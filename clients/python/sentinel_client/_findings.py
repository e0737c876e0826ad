"""What the doctor says: one finding a thing that was looked at, in words, with what to do about it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal

State = Literal["ok", "warning", "failed", "skipped"]
_COLOURS: Final = {"ok": "32", "warning": "33", "failed": "31", "skipped": "2"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `says` is what was found, `do` what helps where that is wrong."""

    check: str
    state: State
    says: str
    do: str = ""


def ok(check: str, says: str) -> Finding:
    """Return a finding that nothing is wrong."""
    return Finding(check, "ok", says)


def warning(check: str, says: str, do: str) -> Finding:
    """Return a finding that something will be wrong, or may be."""
    return Finding(check, "warning", says, do)


def failed(check: str, says: str, do: str) -> Finding:
    """Return a finding that something is wrong."""
    return Finding(check, "failed", says, do)


def skipped(check: str, says: str) -> Finding:
    """Return a finding that something could not be looked at."""
    return Finding(check, "skipped", says)


def healthy(found: Sequence[Finding]) -> bool:
    """Whether nothing failed."""
    return all(each.state != "failed" for each in found)


def as_json(found: Sequence[Finding]) -> str:
    """Return findings as one JSON object on a line."""
    return json.dumps({"ok": healthy(found), "findings": [asdict(each) for each in found]})


def as_text(found: Sequence[Finding], colour: bool) -> str:
    """Return findings for people, one a line, and below it what to do."""
    width = max((len(each.check) for each in found), default=0)
    lines = []
    for each in found:
        word = f"{each.state:<7}"
        shown = f"\x1b[{_COLOURS[each.state]}m{word}\x1b[0m" if colour else word
        lines.append(f"{shown}  {each.check:<{width}}  {_safe(each.says)}")
        if each.do:
            lines.append(f"{'':<7}  {'':<{width}}  -> {_safe(each.do)}")
    wrong = sum(each.state == "failed" for each in found)
    lines.append("all is well" if not wrong else f"{wrong} of {len(found)} are wrong")
    return "\n".join(lines)


def _safe(text: str) -> str:
    """Return text whose control characters are escapes: what a server says cannot drive the terminal."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
