r"""Anchors: where in a file the text stands that an edit replaces, and what comes near where it does not.

A file is read with `\n` for its line ends. `Read` knows where each place is in the file itself, so what is
not replaced stays byte for byte. A byte order mark is kept, and no anchor sees it.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass

from sentinel.core.edit_refusals import (
    MOST_COLUMNS,
    MOST_LINES,
    MOST_PLACES,
    AnchorAmbiguous,
    AnchorMissing,
    FileRefused,
    shown,
)

MAX_FILE = 1_000_000  # bytes of a file that is edited
_MARK = "\ufeff"
_LOOKED_AT = 20_000  # lines of a file that are compared with a missing anchor
_NEAR = 0.5  # the share of its words that the nearest lines have in common with it


@dataclass(frozen=True, slots=True)
class Read:
    r"""A file's text with `\n` for its line ends, and how it is written.

    `crlf` are the places of the line ends that are `\r\n` in the file; `end` is the line end of most lines.
    """

    text: str
    mark: str
    crlf: tuple[int, ...]
    end: str

    def written(self, start: int, stop: int) -> str:
        """Return a part of the text as it stands in the file."""
        part, at = [], start
        for place in self.crlf[bisect_left(self.crlf, start) : bisect_left(self.crlf, stop)]:
            part += [self.text[at:place], "\r"]
            at = place
        return "".join([*part, self.text[at:stop]])

    def fitted(self, text: str) -> str:
        """Return a new text with the line ends of this file."""
        return text.replace("\n", self.end)


def plain(text: str) -> str:
    r"""Return a text with `\n` for each `\r\n`."""
    return text.replace("\r\n", "\n")


def read(path: str, data: bytes) -> Read:
    """Return a file as text. Raises `FileRefused` where it is none, or too large."""
    if len(data) > MAX_FILE:
        raise FileRefused(f"{shown(path)} has more than {MAX_FILE} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise FileRefused(f"{shown(path)} is not text in UTF-8") from None
    if "\0" in text:
        raise FileRefused(f"{shown(path)} has NUL bytes, so it is no text")
    mark = _MARK if text.startswith(_MARK) else ""
    text = text.removeprefix(_MARK)
    found = [each.start() for each in re.finditer("\r\n", text)]
    crlf = tuple(place - before for before, place in enumerate(found))
    return Read(plain(text), mark, crlf, "\r\n" if 2 * len(crlf) > text.count("\n") else "\n")


def locate(path: str, text: str, anchor: str) -> tuple[int, int]:
    """Return where an anchor stands in a text. Raises `AnchorMissing` or `AnchorAmbiguous`."""
    first = text.find(anchor)
    if first < 0:
        raise AnchorMissing(path, nearest(text, anchor))
    places, at = [first], text.find(anchor, first + 1)
    while at >= 0 and len(places) <= MOST_PLACES:
        places.append(at)
        at = text.find(anchor, at + 1)
    if len(places) > 1:
        raise AnchorAmbiguous(path, tuple(text.count("\n", 0, place) + 1 for place in places))
    return first, first + len(anchor)


def nearest(text: str, anchor: str) -> tuple[tuple[int, str], ...]:
    r"""Return the lines that have most words in common with an anchor, with their numbers; or none.

    >>> nearest("def f(x):\n    return x + 1\n", "def f(x):\n  return x + 2")
    ((1, 'def f(x):'), (2, '    return x + 1'))
    """
    wanted = [_words(line) for line in anchor.strip("\n").split("\n")[:MOST_LINES]]
    lines = text.split("\n", _LOOKED_AT)[:_LOOKED_AT]
    words = [_words(line) for line in lines]
    best, at = 0.0, 0
    for start in range(len(lines)):
        score = sum(_alike(a, b) for a, b in zip(wanted, words[start : start + len(wanted)], strict=False))
        if score > best:
            best, at = score, start
    if not best or best < _NEAR * sum(1 for each in wanted if each):
        return ()
    shown_lines = lines[at : at + len(wanted)]
    return tuple((at + number, line[:MOST_COLUMNS]) for number, line in enumerate(shown_lines, 1))


def _words(line: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+|[^\w\s]", line[: 2 * MOST_COLUMNS]))


def _alike(one: frozenset[str], other: frozenset[str]) -> float:
    return 2 * len(one & other) / (len(one) + len(other)) if one and other else 0.0
