"""An entry of a call: its shape, and its bytes within what the server takes.

    {"time": seconds, "level": "INFO", "logger": …, "message": …, fields…, "trace_id", "span_id", "exception"}

Fields with a name that the entry has itself get a `_` behind it. Nothing here raises for a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final

from ._context import RESERVED
from ._encode import Encode, fastest, standard
from ._exceptions import exception
from ._plain import INSIDE, MAX_INSIDE, MAX_KEYS, MAX_TEXT, key, plain, text

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]
_CORE: Final = ("time", "level", "logger", "message", "trace_id", "span_id")


def add(entry: dict[str, Any], fields: Mapping[str, Any], taken: frozenset[str] = RESERVED) -> None:
    """Add fields of any kind to an entry.

    >>> told = {"level": "INFO"}; add(told, {"level": 3, "items": (1, 2)}); told
    {'level': 'INFO', 'level_': 3, 'items': [1, 2]}
    """
    for count, (name, value) in enumerate(fields.items()):
        if count >= MAX_KEYS:
            entry["…"] = f"{len(fields) - MAX_KEYS} more"
            break
        kept = key(name)
        entry[f"{kept}_" if kept in taken else kept] = plain(value)


def add_exception(entry: dict[str, Any], error: ExcInfo, variables: int) -> None:
    """Add an exception; a field that has its name gets a `_`."""
    if "exception" in entry:
        entry["exception_"] = entry["exception"]
    entry["exception"] = exception(error[1], error[2], variables)


def exc_info(told: object) -> ExcInfo | None:
    """Return the exception that is meant by true, an exception, or what `sys.exc_info` returns."""
    if isinstance(told, BaseException):
        return type(told), told, told.__traceback__
    if not isinstance(told, tuple):
        import sys

        told = sys.exc_info() if _true(told) else (None,)
    return told if len(told) == 3 and isinstance(told[1], BaseException) else None


def _true(told: object) -> bool:
    try:
        return bool(told)
    except Exception:  # noqa: BLE001 - the program's own code, which may do anything
        return False


class Bytes:
    """The bytes of entries. `encode` is for entries that are plain."""

    __slots__ = ("_standard", "encode")

    def __init__(self, encode: Encode | None = None) -> None:
        self.encode = encode or fastest()
        self._standard: Encode | None = None

    def of(self, entry: dict[str, Any]) -> bytes:
        """Return the bytes of an entry that is not plain or not small: made plain, and cut until they fit."""
        from ._types import MAX_ENTRY

        for most in (MAX_TEXT, 2_048, 256):
            told = plain(entry, most)
            line = self._written(told)
            if len(line) <= MAX_ENTRY:
                entry.clear()
                entry.update(told)
                return line
        core: dict[str, Any] = {name: plain(entry[name], 4_096) for name in _CORE if name in entry}
        entry.clear()
        entry.update(core, cut=True)
        return self._written(entry)

    def _written(self, told: dict[str, Any]) -> bytes:
        try:
            return self.encode(told)
        except (TypeError, ValueError, RecursionError):  # whole numbers beyond 64 bits are none to orjson
            if self._standard is None:
                self._standard = standard()
            return self._standard(told)


def formatted(template: object, args: Any) -> tuple[str, dict[str, Any]]:
    """Return a message with its arguments; where they do not fit, as they are, with the arguments as a field.

    >>> formatted("paid %d of %d", (1,))
    ('paid %d of %d', {'args': [1]})
    """
    try:
        if INSIDE.depth >= MAX_INSIDE:
            return template if isinstance(template, str) else "…", {}
        with INSIDE:
            message = template if isinstance(template, str) else str(template)
            return (message % args if args else message), {}
    except Exception:  # noqa: BLE001 - the program's own code, which may do anything
        shown = template if isinstance(template, str) else f"<{type(template).__name__}>"
        return text(shown), {"args": plain(args)}
