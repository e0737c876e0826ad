"""What commands print: text for people, JSON for programs, and errors as what is wrong and what to do.

Colours appear on a terminal only, and not where `NO_COLOR` is set (no-color.org).
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import click

from sentinel import errors
from sentinel.core.legible import legible

HINTS: dict[type[Exception], tuple[str, int]] = {
    errors.Unavailable: ("wait a little and run the command again", 3),
    errors.Tampered: (
        "keep the data as it is, and compare it with an earlier export or written-down heads",
        1,
    ),
    errors.Missing: (
        "`sentinel chains`, `tasks`, `alerts`, `services ls`, `authors ls`, `certs ls` list what there is",
        1,
    ),
    errors.Conflict: ("look at what is there now, then decide anew", 1),
    errors.Rejected: ("mend what it names and run the command again", 1),
    sqlite3.DatabaseError: ("keep the file as it is, and restore a copy or an earlier export beside it", 1),
    OSError: ("see that it is there, may be used and has room, and run the command again", 3),
}

SHOWN = 90  # characters of a reason that a list shows


class Failure(Exception):
    """An expected error with its hint and exit code."""

    def __init__(self, kind: str, message: str, hint: str, code: int) -> None:
        super().__init__(message)
        self.kind = kind
        self.hint = hint
        self.code = code
        self.problems: list[object] = []


def failure_of(error: Exception) -> Failure:
    """Turn an error into the two lines that are told."""
    hint, code = next(told for kind, told in HINTS.items() if isinstance(error, kind))
    message = str(error)
    if "`sentinel " in message:
        hint = ""  # it says itself what to do
    if isinstance(error, sqlite3.DatabaseError):
        message = f"a database cannot be read: {error}"
    if isinstance(error, OSError):
        message = f"{error.filename or 'a file or connection'}: {error.strerror or type(error).__name__}"
    failure = Failure(type(error).__name__, message, hint, code)
    if isinstance(error, errors.Rejected):
        failure.problems = list(error.problems)
    return failure


def report(failure: Failure, as_json: bool) -> int:
    """Print a failure on standard error; return its exit code."""
    if as_json:
        told = {"error": failure.kind, "message": str(failure), "hint": failure.hint, "code": failure.code}
        if failure.problems:
            told["problems"] = failure.problems
        print(json.dumps(told), file=sys.stderr)
        return failure.code
    echo(style("error: ", fg="red", file=sys.stderr) + plain(failure), file=sys.stderr)
    for problem in failure.problems:
        echo(f"  {plain(_told(problem))}", file=sys.stderr)
    if failure.hint:
        echo(f"       {failure.hint}", file=sys.stderr)
    return failure.code


def _told(problem: object) -> object:
    """Tell a problem to people: its reason, which names the file, or the number of its line with it."""
    if not isinstance(problem, Mapping):
        return problem
    line = f"line {problem['line']}: " if "line" in problem else ""
    return f"{line}{problem.get('reason', problem)}"


def colours(file: IO[str]) -> bool:
    """Whether colours may be written to `file`."""
    return file.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def style(text: str, fg: str, file: IO[str] | None = None) -> str:
    """Colour text where its file takes colours."""
    return click.style(text, fg=fg) if colours(file or sys.stdout) else text


def echo(text: str, file: IO[str] | None = None) -> None:
    """Print a line. Whatever strangers wrote goes through `plain` first."""
    print(text, file=file or sys.stdout)


def plain(text: object) -> str:
    """Make a value safe for a terminal: control characters are shown as escapes."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(text))


def cut(reason: object) -> str:
    """Return as much of a reason as a list shows."""
    text = plain(reason)
    return f"{text[:SHOWN]}…" if len(text) > SHOWN else text


def emit(value: object) -> None:
    """Print one JSON value; what would be hidden or control a terminal stands as JSON escapes it."""
    print(legible(value))


def table(rows: Sequence[Sequence[object]], header: Sequence[str]) -> None:
    """Print aligned columns; numbers stand right."""
    text = [[f"{cell:,}" if isinstance(cell, int) else plain(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *text, strict=True)]
    right = [bool(rows) and isinstance(rows[0][at], int) for at in range(len(header))]
    for number, line in enumerate([list(header), *text]):
        cells = (
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(line, widths, right, strict=True)
        )
        shown = "  ".join(cells).rstrip()
        echo(style(shown, fg="bright_black") if number == 0 else shown)


def there(home: Path) -> None:
    """Raise the failure that says that a folder holds no data."""
    raise Failure(
        "Unavailable",
        f"there is no data below {home}",
        "start it with `sentinel up`, or name its folder with --home or SENTINEL_HOME",
        3,
    )
