"""Why a proposed edit is refused, in one tree: for a person, for the lineage, and for a model to correct.

::

    EditRefused
    ├── AnswerRefused      the answer is not of the form that was asked for
    │   └── NothingProposed    it has no edit and no new file: the cause was not found
    ├── TokenLeft          it has a token of a mask where the token's value never stood
    ├── PathRefused        a path that is not safe, not there, or already taken
    ├── FileRefused        a file whose content cannot be edited: not text, too large
    ├── AnchorMissing      the text to replace is not in the file; `nearest` has what comes near
    ├── AnchorAmbiguous    it is there more than once; `lines` says where
    ├── EditsOverlap       two edits replace the same text
    └── NothingChanged     the file would be the same, or nothing of it would be left

A message holds a path and numbers, no text of a file: it may be logged. `correction()` adds the few lines of
the file that help to correct, each cut: that is for the model and for whoever may read the file.
"""

from __future__ import annotations

from sentinel.core.legible import legible
from sentinel.errors import Malformed

MOST_LINES = 8  # of a file, that a correction shows
MOST_COLUMNS = 160  # of each of them
MOST_PLACES = 10  # of an ambiguous anchor, that are named


def shown(path: str) -> str:
    r"""Return a path as it may stand in a message: short, on one line, nothing hidden.

    >>> shown("src/a.py"), shown("a\nb")
    ("'src/a.py'", "'a\\nb'")
    """
    text = legible(path[:120])[1:-1]
    return f"'{text}'" if len(path) <= 120 else f"'{text}…'"


class EditRefused(Malformed):
    """The root; what was proposed cannot be applied as it is."""

    def correction(self) -> str:
        """Return what the one who proposed needs to know, to propose better."""
        return str(self)


class AnswerRefused(EditRefused):
    """The answer is not of the form that was asked for, or over a bound."""


class NothingProposed(AnswerRefused):
    """The answer has no edit and no new file: who was asked has not found the cause. Nothing to correct."""


class TokenLeft(EditRefused):
    """A text has a token of a mask that stands for nothing in its file."""


class PathRefused(EditRefused):
    """A path is not safe, names no file that was shown, or is already taken."""


class FileRefused(EditRefused):
    """A file is not text in UTF-8, or too large."""


class EditsOverlap(EditRefused):
    """Two edits of a file replace the same text."""


class NothingChanged(EditRefused):
    """The edit leaves a file as it was, or leaves nothing of it."""


class AnchorMissing(EditRefused):
    """The text to replace is not in the file. `nearest` are (line number, line) that come nearest to it."""

    def __init__(self, path: str, nearest: tuple[tuple[int, str], ...]) -> None:
        super().__init__(
            f"{shown(path)} does not hold the text to replace; quote it exactly as it stands there"
        )
        self.path = path
        self.nearest = nearest

    def correction(self) -> str:
        """Return the message and the lines that come nearest, with their numbers."""
        if not self.nearest:
            return f"{self}. No line of it comes near."
        lines = "\n".join(f"{number}: {line}" for number, line in self.nearest)
        return f"{self}. The nearest lines are:\n{lines}"


class AnchorAmbiguous(EditRefused):
    """The text to replace stands in the file more than once. `lines` are the numbers of its first lines."""

    def __init__(self, path: str, lines: tuple[int, ...]) -> None:
        more = " and more" if len(lines) > MOST_PLACES else ""
        told = ", ".join(map(str, lines[:MOST_PLACES]))
        super().__init__(
            f"{shown(path)} holds the text to replace more than once, at lines {told}{more}; "
            "quote more around it"
        )
        self.lines = lines[:MOST_PLACES]
