"""Exceptions as structured data: type, message, stack, frames with their variables, and what led to them.

The shape is the one that the server reads failures from (docs/context.md): frames with the outermost first.
Variables are told of the innermost frames alone, each cut and never by more than a bounded part of it.
"""

from __future__ import annotations

import linecache
import reprlib
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, Final

from ._plain import INSIDE, MAX_INSIDE, text

MAX_FRAMES: Final = 40  # the innermost
MAX_VARIABLES: Final = 20  # of a frame
MAX_VARIABLE: Final = 200  # characters of one
MAX_STACK: Final = 8_000  # characters, the end of it
MAX_MESSAGE: Final = 4_096
MAX_CAUSES: Final = 5


class _Short(reprlib.Repr):
    """How variables print: a part of what is long, and nothing that raises."""

    def __init__(self) -> None:
        super().__init__()
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = 10
        self.maxstring = self.maxother = self.maxlong = MAX_VARIABLE
        self.maxlevel = 3

    def repr_instance(self, x: object, level: int) -> str:  # noqa: ARG002 - the base class's arguments
        """Return what an object of the program says it is."""
        return repr(x)


_SHORT = _Short()


def exception(error: BaseException, trace: TracebackType | None, variables: int) -> dict[str, Any]:
    """Return an exception as an entry has it. `variables` is of how many frames they are told."""
    if INSIDE.depth >= MAX_INSIDE:
        return {"type": type(error).__name__, "message": "", "frames": []}
    with INSIDE:
        try:
            return _whole(error, trace, variables)
        except Exception as worse:  # noqa: BLE001 - the program's own code, which may do anything
            why = f"<cannot be told: {type(worse).__name__}>"
            return {"type": type(error).__name__, "message": why, "frames": []}


def _whole(error: BaseException, trace: TracebackType | None, variables: int) -> dict[str, Any]:
    told = _one(error, trace, variables)
    stack = _stack(trace)
    told["stack"] = stack if len(stack) <= MAX_STACK else stack[-MAX_STACK:].partition("\n")[2]
    causes = list(_causes(error))
    if causes:
        told["causes"] = [_one(each, each.__traceback__, 0) for each in causes]
    return told


def _one(error: BaseException, trace: TracebackType | None, variables: int) -> dict[str, Any]:
    try:
        message = text(str(error), MAX_MESSAGE)
    except Exception as worse:  # noqa: BLE001 - the program's own code, which may do anything
        message = f"<cannot be shown: {type(worse).__name__}>"
    told: dict[str, Any] = {"type": type(error).__name__, "message": message}
    notes = getattr(error, "__notes__", None)
    if isinstance(notes, list) and notes:
        told["notes"] = [text(each, MAX_MESSAGE) for each in notes[:10] if isinstance(each, str)]
    told["frames"] = _frames(trace, variables)
    return told


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield what led to an exception, the nearest first; of a group, what it holds before that."""
    seen = {id(error)}
    group = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    found = [*group, error.__cause__, _context(error)][: MAX_CAUSES + 2]
    count = 0
    while found and count < MAX_CAUSES:
        each = found.pop(0)
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        count += 1
        yield each
        found += [each.__cause__, _context(each)]


def _context(error: BaseException) -> BaseException | None:
    return None if error.__suppress_context__ else error.__context__


def _walked(trace: TracebackType | None) -> list[tuple[FrameType, int]]:
    """Return the innermost frames of a traceback, the outermost of them first."""
    found: list[tuple[FrameType, int]] = []
    while trace is not None:
        found.append((trace.tb_frame, trace.tb_lineno))
        if len(found) > 2 * MAX_FRAMES:
            del found[:MAX_FRAMES]
        trace = trace.tb_next
    return found[-MAX_FRAMES:]


def _frames(trace: TracebackType | None, variables: int) -> list[dict[str, Any]]:
    walked = _walked(trace)
    told = []
    for at, (frame, line) in enumerate(walked):
        code = frame.f_code
        one: dict[str, Any] = {"file": code.co_filename, "function": code.co_name, "line": line}
        if at >= len(walked) - variables:
            one["vars"] = _variables(frame)
        told.append(one)
    return told


def _variables(frame: FrameType) -> dict[str, str]:
    told: dict[str, str] = {}
    for name, value in list(frame.f_locals.items()):
        if len(told) >= MAX_VARIABLES:
            break
        if not name.startswith("__"):
            told[name] = variable(value)
    return told


def variable(value: object) -> str:
    """Return how a variable prints, cut, with `…` where it was cut.

    >>> variable("x" * 1000)[-1], variable([1, 2])
    ('…', '[1, 2]')
    """
    try:
        if isinstance(value, str) and len(value) > MAX_VARIABLE:
            return text(repr(value[:MAX_VARIABLE]), MAX_VARIABLE)
        return text(_SHORT.repr(value), MAX_VARIABLE)
    except Exception as error:  # noqa: BLE001 - the program's own code, which may do anything
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"


def _stack(trace: TracebackType | None) -> str:
    """Return the stack as Python prints it, without what led to it."""
    lines = []
    for frame, line in _walked(trace):
        code = frame.f_code
        lines.append(f'  File "{code.co_filename}", line {line}, in {code.co_name}\n')
        source = linecache.getline(code.co_filename, line, frame.f_globals).strip()
        if source:
            lines.append(f"    {source}\n")
    return text("".join(lines))
