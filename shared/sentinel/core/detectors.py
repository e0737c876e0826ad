"""What keys and tokens look like: the rows of `detectors.json` that the server looks for in prompts.

The table is the clients' (`clients/detectors.json`, of which this is a copy), so that what a client masks is
masked here, too. Its expressions take linear time; a row is tried where one of its literals is in the text.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

KINDS = frozenset({"key", "jwt", "private_key"})
_LONG = re.compile(r"[A-Za-z0-9_-]{13}")  # no row asks for a shorter run, if it asks for one
_DIGIT, _LETTER = re.compile(r"[0-9]"), re.compile(r"[A-Za-z]")
_SMALL, _CAPITAL, _VOWEL = re.compile(r"[a-z]"), re.compile(r"[A-Z]"), re.compile(r"[aeiou]")


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its expression, literals of which one is in every text with a value, the run, the checks."""

    pattern: str
    gates: tuple[str, ...]
    run: int
    group: int
    checks: tuple[Callable[[str], bool], ...]
    small: bool

    def find(self, text: str, lower: str) -> Iterator[tuple[int, int]]:
        """Yield where values stand; `lower` has small ASCII letters. The gates were asked before."""
        for each in _compiled(self.pattern).finditer(lower if self.small else text):
            start, end = each.span(self.group)
            if all(check(text[start:end]) for check in self.checks):
                yield start, end


def keys(text: str) -> Iterator[tuple[int, int]]:
    """Yield where keys and tokens of a known form stand: start and end. They may overlap.

    >>> text = "pushed with glpat-aB3dE5fG7haB3dE5fG7h"
    >>> [text[start:end] for start, end in keys(text)]
    ['glpat-aB3dE5fG7haB3dE5fG7h']
    """
    lower = text.lower() if text.isascii() else re.sub("[A-Z]+", lambda each: each[0].lower(), text)
    long = _LONG.search(text)
    for row in rows():
        if row.run and not long:
            continue
        for gate in row.gates:
            if gate in lower:
                yield from row.find(text, lower)
                break


@cache
def rows() -> tuple[Row, ...]:
    """Return the rows of the kinds that this module looks for."""
    table = json.loads(files("sentinel.core").joinpath("detectors.json").read_bytes())
    return tuple(
        Row(
            row["pattern"],
            tuple(row["gates"]),
            row.get("run", 0),
            row.get("group", 0),
            tuple(_CHECKS[name] for name in row.get("checks", ())),
            row.get("ignore_case", False),
        )
        for row in table["detectors"]
        if row["kind"] in KINDS
    )


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


def _mixed(value: str) -> bool:
    return bool(_DIGIT.search(value) and _LETTER.search(value))


def _three(value: str) -> bool:
    return bool(_DIGIT.search(value) and _SMALL.search(value) and _CAPITAL.search(value))


def _no_words(value: str) -> bool:
    return bool(_DIGIT.search(value)) or bool(_SMALL.search(value) and not _VOWEL.search(value))


def _jwt(value: str) -> bool:
    head = value.partition(".")[0]
    try:
        header = json.loads(urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except ValueError:
        return False
    return isinstance(header, dict) and bool(header.keys() & {"alg", "enc", "typ"})


_CHECKS: dict[str, Callable[[str], bool]] = {
    "mixed": _mixed,
    "three": _three,
    "no-words": _no_words,
    "jwt": _jwt,
}
