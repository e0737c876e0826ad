"""The values of a body of Splunk's Event Collector: where each begins and ends, as text.

Whoever sends has a token, and may all the same send one value of millions: never more than a part of a body
is in memory as values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Final

from sentinel.core.entry import MAX_ENTRY_BYTES

_PART: Final = 200_000  # characters of a body that are looked at as a whole
_SPACE = re.compile(r"[ \t\n\r]*")


class Cut(ValueError):
    """What is no value, or one that is longer than an event may be; its text says so."""


def values(text: str) -> Iterator[str]:
    """Return the text of each value: those of the top level, and those of arrays there.

    Raises `ValueError` or `RecursionError` where it is none.
    """
    end_of = _Ends(text)
    at = _skip(text, 0)
    while at < len(text):
        if text[at] != "[":
            end = end_of(at)
            yield text[at:end]
            at = _skip(text, end)
            continue
        at = _skip(text, at + 1)
        closed = text.startswith("]", at)
        while not closed:
            end = end_of(at)
            yield text[at:end]
            at = _skip(text, end)
            closed = text.startswith("]", at)
            if not closed:
                at = _skip(text, _comma(text, at))
        at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _comma(text: str, at: int) -> int:
    if not text.startswith(",", at):
        raise ValueError("an array has commas between its values")
    return at + 1


def _constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_end_of: Callable[[str, int], tuple[object, int]] = json.JSONDecoder(parse_constant=_constant).raw_decode


class _Ends:
    """Finds where values end, and has few of them in memory: one of empty lists takes 25 times its text.

    A value is looked at in a part of the text that has room for the longest event wherever it begins.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._from = 0
        self._part = text[: _PART + MAX_ENTRY_BYTES + 1]

    def __call__(self, at: int) -> int:
        """Return where the value at `at` ends. Raises as `values` does."""
        if at - self._from > _PART:
            self._from, self._part = at, self._text[at : at + _PART + MAX_ENTRY_BYTES + 1]
        try:
            return self._from + _end_of(self._part, at - self._from)[1]
        except ValueError:
            if self._from + len(self._part) < len(self._text):
                raise Cut(f"it is not JSON, or the event is over {MAX_ENTRY_BYTES} bytes") from None
            raise
