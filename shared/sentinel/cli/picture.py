"""Drawing: lines that fit a terminal, with branches in Unicode, or in ASCII where the output is not."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from sentinel.cli.output import plain

NARROWEST, WIDEST = 80, 160
Style = Callable[[str, str], str]  # text and colour, to text

_ASCII = str.maketrans(
    {"├": "+", "└": "`", "─": "-", "│": "|", "▼": "v", "▶": ">", "✗": "!", "…": "~", "–": "-"}
)


def uncoloured(text: str, colour: str) -> str:
    """Leave a text as it is."""
    del colour
    return text


def columns(text: str) -> int:
    r"""Return how many columns a terminal takes for a text.

    >>> columns("ab"), columns("決済"), columns("e\u0301")
    (2, 4, 1)
    """
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1
        for each in text
    )


def cut(text: str, most: int) -> str:
    """Return a text in at most so many columns, with a mark where it was cut.

    >>> cut("0123456789", 5), cut("決済決済", 5)
    ('0123…', '決済…')
    """
    if columns(text) <= most:
        return text
    room = max(most - 1, 0)
    kept = ""
    for each in text:
        room -= columns(each)
        if room < 0:
            break
        kept += each
    return f"{kept}…" if most else ""


@dataclass(slots=True)
class Canvas:
    """Collects lines. `width` is in columns; `style` colours; with `unicode` false all lines are ASCII."""

    width: int
    unicode: bool = True
    style: Style = uncoloured
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.width = min(max(self.width, NARROWEST), WIDEST)

    def row(self, front: str, text: object, right: str = "", colour: str = "", mark: str = "") -> None:
        """Add a line: branches, a text that is cut to fit, and at the right edge what is to be seen at once.

        `colour` is that of `right`, or without one of the text. `mark` is "✓", "✗" or nothing.
        """
        shown_mark = mark if self.unicode else {"✓": "ok", "✗": "BAD"}.get(mark, mark)
        end = " ".join(each for each in (self._shown(right), shown_mark) if each)
        room = self.width - columns(front) - (columns(end) + 2 if end else 0)
        shown = cut(self._shown(text), room)
        gap = " " * (room - columns(shown) + 2) if end else ""
        body = self.style(shown, colour) if colour and not right else shown
        ended = self.style(end, colour or {"✓": "green", "✗": "red"}.get(mark, "")) if end else ""
        self._add(f"{self.style(front, 'bright_black') if front.strip() else front}{body}{gap}{ended}")

    def wrapped(self, front: str, after: str, text: str, colour: str = "") -> None:
        """Add a text over as many lines as it takes; `after` is in front of the second and later ones."""
        room = self.width - columns(front)
        line = ""
        for word in self._shown(text).split(" "):
            if line and columns(line) + 1 + columns(word) > room:
                self.row(front, line, colour=colour)
                front, line = after, ""
            line = f"{line} {word}" if line else word
        self.row(front, line, colour=colour)

    def table(self, front: str, rows: Iterable[Sequence[str]], marks: Sequence[str] = ()) -> None:
        """Add rows whose columns stand below each other; the last one is cut to fit."""
        cells = [[self._shown(each) for each in row] for row in rows]
        widths = [max(map(columns, column)) for column in zip(*cells, strict=True)]
        for number, row in enumerate(cells):
            padded = [
                each + " " * (width - columns(each)) for each, width in zip(row, widths, strict=True) if width
            ]
            self.row(front, "  ".join(padded).rstrip(), mark=marks[number] if marks else "")

    def gap(self, front: str = "") -> None:
        """Add a line with branches only."""
        self._add(self.style(front, "bright_black") if front.strip() else "")

    def _shown(self, text: object) -> str:
        """Return a text as it can be shown; what was cut is marked only afterwards."""
        shown = plain(text)
        if self.unicode:
            return shown
        return shown.translate(_ASCII).encode("ascii", "backslashreplace").decode()

    def _add(self, line: str) -> None:
        self.lines.append((line if self.unicode else line.translate(_ASCII)).rstrip())
