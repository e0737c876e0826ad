"""Stack traces as languages print them: CPython's, also chained and in groups, Node.js', Java's and Go's.

Each becomes exceptions of which the first is the failure and the others led to it, the calls of each with
the innermost first. What is no trace gives none. Lines are read one by one and cut, so no text is slow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from sentinel.core.failure_parts import (
    MAX_READ_CALLS,
    MAX_TEXT,
    Seen,
    Thrown,
    call_of,
    is_own,
)

MAX_STACK: Final = 200_000  # characters of a text that are looked at
_MAX_LINE = 1_000
_MAX_THROWN = 20
_FRAME = re.compile(r'\s*File "([^"]{1,500})", line (\d{1,9})(?:, in (.{1,200}))?')
_RAISED = re.compile(r"([A-Za-z_][\w.]{0,199})(?:: ?(.*))?")
_GUTTER = re.compile(r" *[|+] ?")
_PART = re.compile(r"[-+ ]*-{4,} ?(?:\d{1,4}|\.\.\.) ?-{4,}|[-+]*-{20,}")
_HEAD = re.compile(
    r"(?:Uncaught |Unhandled |Suppressed: |Caused by: |\[cause\]: |Exception in thread \"[^\"]{0,100}\" )*"
    r"([A-Za-z_$][\w.$]{0,199})(?: \[\w+\])?(?:: ?(.*))?"
)
_JAVA = re.compile(
    r"(?:[\w.@$-]{1,100}/{1,2}){0,3}([\w$]{1,100}(?:\.[\w$]{1,100}){0,20})\.([\w$<>]{1,100})"
    r"\(([\w$-]{1,100}\.(?:java|kt|scala|groovy)):(\d{1,9})\)"
)
_GO_PLACE = re.compile(r"\s+(\S{1,500}\.go):(\d{1,9})(?: \+0x[0-9a-f]+)?")
_GOROUTINE = re.compile(r"goroutine \d{1,12} .{0,100}\]:")


def exceptions(told: str) -> tuple[Thrown, ...]:
    r"""Return the exceptions of a text that have calls, the failure first.

    >>> found = exceptions('Traceback (most recent call last):\n  File "a.py", line 3, in f\nKeyError: 1')
    >>> found[0].exception, found[0].message, found[0].calls[0].call.line
    ('KeyError', '1', 3)
    """
    lines = [each[:_MAX_LINE] for each in told[:MAX_STACK].splitlines()]
    for read in (_python, _at, _go):
        found = [each for each in read(lines) if each.calls]
        if found:
            return tuple(found[:_MAX_THROWN])
    return ()


class _Python:
    """Reads what CPython prints: causes stand before what they led to, members of a group behind it."""

    def __init__(self) -> None:
        self.chain: list[Thrown] = []
        self.members: list[Thrown] = []
        self._calls: list[Seen] = []
        self._raised: tuple[str, list[str]] | None = None
        self._member = False

    def line(self, line: str) -> None:
        frame = _FRAME.match(line)
        if frame:
            self.close()
            if len(self._calls) < MAX_READ_CALLS:
                call = call_of(frame[1], frame[3] or "", frame[2])
                self._calls.append(Seen(call, is_own(call.file)))
        elif _PART.fullmatch(line):
            self.close()
            self._member = True
        elif "Traceback (most recent call last):" in line or not line.strip():
            self.close()
        elif self._raised is not None:
            self._raised[1].append(line)
        elif self._calls and not line[0].isspace():
            raised = _RAISED.fullmatch(line)
            self._raised = (raised[1], [raised[2] or ""]) if raised else ("", [line])

    def close(self) -> None:
        """End an exception whose last line was read."""
        if self._raised is not None:
            self.end()

    def end(self) -> None:
        """End what there is, also without a last line."""
        exception, message = self._raised or ("", [])
        made = Thrown(exception, "\n".join(message)[:MAX_TEXT], tuple(reversed(self._calls)))
        (self.members if self._member else self.chain).append(made)
        self._calls, self._raised = [], None


def _python(lines: list[str]) -> Iterator[Thrown]:
    reader = _Python()
    grouped = any("Exception Group Traceback" in each for each in lines)
    for each in lines:
        reader.line(_GUTTER.sub("", each, count=1) if grouped else each)
    reader.end()
    yield from reader.members
    yield from reversed(reader.chain)


def _at(lines: list[str]) -> Iterator[Thrown]:
    """Read Node.js and Java, whose calls begin with `at`; what led to an exception stands behind it."""
    head, calls = "", list[Seen]()
    for each in [*lines, ""]:
        line = each.strip()
        if line.startswith("at ") and len(calls) < MAX_READ_CALLS:
            calls += _call_at(line.removeprefix("at "))
        elif calls and not line.startswith(("...", "at ")):
            yield _headed(head, calls)
            head, calls = line, []
        elif line and not line.startswith("... ") and (not head or _telling(line) or not _telling(head)):
            head = line


def _telling(line: str) -> bool:
    """Whether a line begins as an exception does, so that it is not one more line of a message."""
    found = _HEAD.fullmatch(line)
    return bool(found and (found[1].endswith(("Error", "Exception")) or "." in found[1]))


def _headed(head: str, calls: list[Seen]) -> Thrown:
    found = _HEAD.fullmatch(head)
    exception, message = (found[1], found[2] or "") if found else ("", head)
    return Thrown(exception, message[:MAX_TEXT], tuple(calls))


def _call_at(place: str) -> list[Seen]:
    java = _JAVA.match(place)
    if java:
        folder = "/".join(java[1].split(".")[:-1])
        file = f"{folder}/{java[3]}" if folder else java[3]
        return [Seen(call_of(file, java[2], java[4]), is_own(file))]
    function, bracket, file = place.removesuffix(")").rpartition(" (")
    file, _, _ = (file if bracket else place).rpartition(":")
    file, _, line = file.rpartition(":")
    if not line.isdecimal() or len(line) > 9:
        return []
    name = function.removeprefix("async ").removeprefix("new ").partition(" [as ")[0].rpartition(".")[2]
    file = file.removeprefix("async ")
    return [Seen(call_of(file, name, line), is_own(file))]


def _go(lines: list[str]) -> Iterator[Thrown]:
    """Read a panic of Go: the goroutine that it ended, each call two lines long."""
    message, calls, before, inside = "", list[Seen](), "", False
    for line in lines:
        if line.startswith(("panic: ", "fatal error: ")) and not inside:
            message = message or line.partition(": ")[2]
        elif _GOROUTINE.match(line):
            if inside:
                break
            inside = True
        elif inside and (place := _GO_PLACE.match(line)) and len(calls) < MAX_READ_CALLS:
            name = before.removeprefix("created by ").partition(" in goroutine")[0]
            name = name.rpartition("(")[0] or name
            call = call_of(place[1], name.rpartition(".")[2], place[2])
            calls.append(Seen(call, is_own(call.file)))
        before = line
    yield Thrown("panic", message[:MAX_TEXT], tuple(calls))
