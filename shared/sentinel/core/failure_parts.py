"""What failures are read from: values that may be of any kind, and calls that are the program's own or not.

Nothing here raises for what somebody wrote: what is missing or of another kind is "", and all is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from sentinel.core.failures import Call
from sentinel.core.prompt_parts import Said

MAX_CALLS: Final = 30  # of a failure
MAX_READ_CALLS: Final = 2_000  # of one trace that are looked at
MAX_TEXT: Final = 4_096  # characters of a message, and of one thing that was said
MAX_PATH: Final = 500  # characters of a file's path, as told
MAX_NAME: Final = 200  # characters of a function's or a type's name
MAX_VALUES: Final = 20  # variables of a call
MAX_VALUE: Final = 1_024  # characters of a variable's value
MAX_TRACES: Final = 8
_DEPTH = 6  # levels of a variable's value
_MEMBERS = 50  # of a list or an object in it
_LATEST_LINE = 10_000_000
_TRACE = re.compile(r"[0-9a-f]{32}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_INSTALLED = (
    *("site-packages/", "dist-packages/", "/lib/python3", "/lib/python2", "node_modules/", "/usr/lib/"),
    *("/usr/local/go/", "/pkg/mod/", "/go/src/runtime/", "/vendor/bundle/"),
)
_BUILT_IN = (
    *("<", "node:", "internal/", "java/", "javax/", "jdk/", "sun/", "jakarta/", "kotlin/", "scala/"),
    *("org/springframework/", "org/apache/", "lib/python"),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """One call, and whether it is in the program's own files, as far as that is told."""

    call: Call
    own: bool


@dataclass(frozen=True, slots=True)
class Thrown:
    """One exception as it was told: its type, its message, and its calls with the innermost first."""

    exception: str = ""
    message: str = field(default="", repr=False)
    calls: tuple[Seen, ...] = ()

    @property
    def group(self) -> bool:
        """Whether it only holds others together."""
        return self.exception.endswith("ExceptionGroup")


@dataclass(frozen=True, slots=True)
class Told:
    """What one message tells: exceptions, of which the first is the failure and the others led to it."""

    thrown: tuple[Thrown, ...] = ()
    said: tuple[Said, ...] = ()
    release: str = ""
    traces: tuple[str, ...] = ()

    @property
    def weight(self) -> tuple[bool, bool, bool, bool]:
        """How much it helps: the greater of two is the one to go by."""
        seen = [each for one in self.thrown for each in one.calls]
        first = self.thrown[0] if self.thrown else Thrown()
        lines = any(each.own and each.call.line for each in seen)
        return lines, bool(seen), bool(first.exception), bool(first.message)


def at(value: object, path: str) -> object:
    """Return what is at a path of names with dots; at each object the whole rest may be one name.

    >>> at({"error": {"kind": "K"}}, "error.kind"), at({"error.kind": "K"}, "error.kind"), at([1], "x")
    ('K', 'K', None)
    """
    while isinstance(value, dict):
        if path in value:
            return value[path]
        name, _, path = path.partition(".")
        if not path:
            return None
        value = value.get(name)
    return None


def text(value: object, *paths: str, most: int = MAX_TEXT) -> str:
    """Return the first text or number that is not "" at one of the paths, cut at `most`."""
    for path in paths:
        found = at(value, path)
        if isinstance(found, str | int | float) and not isinstance(found, bool):
            told = found.strip() if isinstance(found, str) else str(found)
            if told:
                return told[:most]
    return ""


def each_of(value: object, path: str, most: int) -> Iterator[dict[str, object]]:
    """Yield the objects of the list at a path, of its last `most` members, or the one object there."""
    found = at(value, path)
    if isinstance(found, dict):
        yield found
    for one in found[-most:] if isinstance(found, list) else ():
        if isinstance(one, dict):
            yield one


def call_of(file: str, function: str, line: object, values: object = None) -> Call:
    """Return a call of what was told of it, bounded."""
    number = int(line) if isinstance(line, str) and line.isascii() and line.isdecimal() else line
    good = isinstance(number, int) and not isinstance(number, bool) and 0 < number < _LATEST_LINE
    return Call(
        file.strip()[:MAX_PATH],
        function.strip()[:MAX_NAME],
        number if good and isinstance(number, int) else 0,
        dict(_values(values)),
    )


def is_own(file: str) -> bool:
    """Whether a file, by its path, is the program's and not a library's or the language's.

    >>> is_own("/srv/app/src/cart.py"), is_own("/venv/lib/python3.11/site-packages/x.py"), is_own("<string>")
    (True, False, False)
    """
    path = file.replace("\\", "/")
    return bool(path) and not path.startswith(_BUILT_IN) and not any(each in path for each in _INSTALLED)


def ordered(thrown: tuple[Thrown, ...]) -> tuple[Call, ...]:
    """Return the calls of a failure: the program's own first, the innermost first, each place once."""
    found: dict[tuple[str, str, int], Seen] = {}
    for one in thrown:
        for each in one.calls:
            found.setdefault((each.call.file, each.call.function, each.call.line), each)
    calls = sorted(found.values(), key=lambda each: not each.own)
    return tuple(each.call for each in calls[:MAX_CALLS])


def traces_of(*values: object) -> tuple[str, ...]:
    """Return ids of W3C traces: 32 hexadecimal digits, or what a `traceparent` has of them.

    >>> traces_of("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", "0" * 32, 7)
    ('4bf92f3577b34da6a3ce929d0e0e4736',)
    """
    found = []
    for value in values:
        told = value.strip().lower()[:100] if isinstance(value, str) else ""
        whole = _TRACEPARENT.fullmatch(told)
        told = whole[1] if whole else told
        if _TRACE.fullmatch(told) and told.strip("0"):
            found.append(told)
    return tuple(dict.fromkeys(found))[:MAX_TRACES]


def _values(values: object) -> Iterator[tuple[str, str]]:
    members = list(values.items())[:MAX_VALUES] if isinstance(values, Mapping) else []
    for name, value in members:
        if isinstance(name, str) and name.isidentifier() and len(name) <= MAX_NAME:
            told = _value(value, _DEPTH)
            # What is cut must not read as another value.
            yield name, told if len(told) <= MAX_VALUE else f"{told[:MAX_VALUE]}…"


def _value(value: object, depth: int) -> str:
    """Return a variable as the text of it; of lists and objects of texts, as SDKs send them, one text."""
    if isinstance(value, str):
        return value[: 2 * MAX_VALUE]
    if isinstance(value, dict | list) and not depth:
        return "…"
    if isinstance(value, dict):
        some = list(value.items())[:_MEMBERS]
        parts = [f"{str(name)[:MAX_NAME]!r}: {_value(one, depth - 1)}" for name, one in some]
        return f"{{{_joined(parts, len(value))}}}"
    if isinstance(value, list):
        return f"[{_joined([_value(one, depth - 1) for one in value[:_MEMBERS]], len(value))}]"
    return repr(value)[: 2 * MAX_VALUE]


def _joined(parts: list[str], count: int) -> str:
    return ", ".join([*parts, "…"] if count > len(parts) else parts)[: 2 * MAX_VALUE]
