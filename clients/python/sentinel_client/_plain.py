"""Any value of Python as plain JSON: bounded in depth, number and length, and never an error.

One value that cannot be told never costs an entry: what stands in its place says why. Values of other
packages (pydantic, attrs, numpy) are known by what they can do, so none is imported.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

MAX_TEXT: Final = 16_384  # characters of one string
MAX_DEPTH: Final = 10
MAX_KEYS: Final = 200  # of one object, and values of one list
MAX_VALUES: Final = 5_000  # of one entry: the caller waits for them
QUICK: Final = frozenset((str, int, float, bool, type(None)))  # what an encoder takes as it is
MAX_INSIDE: Final = 3
_MOST_BITS = 10_000  # of a whole number; Python writes no more than 4,300 digits
_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_NAMED = frozenset(("Decimal", "UUID", "Path", "PosixPath", "PurePosixPath", "WindowsPath", "Fraction"))
MAX_WORD: Final = 128  # characters of a word that is left out rather than cut
_BETWEEN, _ENDS = " \t\n,;&", frozenset(" \t\n@/?#")
_SPACES = {9: 32, 10: 32, 13: 32}
_MOMENTS = frozenset(("datetime", "date", "time"))


class Inside(threading.local):
    """How deep this thread is in the program's code that we call and that logs in turn, perhaps for ever."""

    depth = 0

    def __enter__(self) -> None:
        self.depth += 1

    def __exit__(self, *_: object) -> None:
        self.depth -= 1


INSIDE: Final = Inside()


def text(value: str, most: int = MAX_TEXT) -> str:
    r"""Return a string that is valid as UTF-8 and not too long; one that is cut ends in `…`.

    >>> text("caf\udce9"), text("abcdef", 3)
    ('caf\ufffd', 'abc…')
    """
    if type(value) is not str:
        value = str.__str__(value)
    cut = value if len(value) <= most else _cut(value, most) + "…"
    if cut.isascii():
        return cut
    try:
        cut.encode()
    except UnicodeEncodeError:  # halves of a pair that belong together are joined
        return cut.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return cut


def _cut(value: str, most: int) -> str:
    """Return the beginning of a string, without a word or an address that the cut goes through.

    Masking would not know half a password in quotes, or before the `@` of an address, for what it is.
    """
    kept = value[:most]
    begun = kept.rfind("://")
    if begun >= 0 and not _ENDS.intersection(kept[begun + 3 :]):
        return kept[: begun + 3]
    if value[most] in _BETWEEN:
        return kept
    at = max(kept.rfind(each, most - min(most // 2, MAX_WORD)) for each in _BETWEEN)
    return kept if at < 0 else kept[: at + 1]


def shown(value: object, most: int = 1_024) -> str:
    """Return how a value prints, or that it does not."""
    try:
        return text(repr(value), most)
    except Exception as error:  # noqa: BLE001 - the program's own code, which may do anything
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"


def plain(value: object, most: int = MAX_TEXT) -> Any:
    """Return a value as JSON has it: text, numbers, truth, null, lists and objects.

    >>> plain({"when": bytes(1), "x": float("nan"), 3: {1}})
    {'when': 'AA==', 'x': 'NaN', '3': [1]}
    """
    if INSIDE.depth >= MAX_INSIDE:
        return f"<{type(value).__name__}>"
    with INSIDE:
        return _Walk(most).of(value, 0)


class _Walk:
    """One walk over a value. `_inside` are the ids of what it is in, which is how it sees cycles."""

    __slots__ = ("_inside", "_left", "_most")

    def __init__(self, most: int) -> None:
        self._inside: set[int] = set()
        self._left = MAX_VALUES
        self._most = most

    def of(self, value: Any, depth: int) -> Any:
        """Return a value as JSON has it."""
        kind = type(value)
        if kind is str:
            return text(value, self._most)
        if value is None or kind is bool:
            return value
        self._left -= 1
        if self._left < 0:
            return "…"
        try:
            return self._number(value) if kind in (int, float) else self._other(value, kind, depth)
        except Exception as error:  # noqa: BLE001 - the program's own code, which may do anything
            return f"<{kind.__name__} that cannot be told: {type(error).__name__}>"

    def _number(self, value: float) -> Any:
        if isinstance(value, int):
            small = value.bit_length() <= _MOST_BITS
            return int(value) if small else f"<a whole number of {value.bit_length()} bits>"
        told = float(value)
        return told if told - told == 0 else _NOT_FINITE[repr(told)]

    def _other(self, value: Any, kind: type, depth: int) -> Any:
        if hasattr(kind, "__members__") and hasattr(value, "_value_"):  # of an enumeration
            return self.of(value.value, depth)
        if isinstance(value, int | float):
            return self._number(value)
        told: str | None = None
        if isinstance(value, str):
            told = value
        elif isinstance(value, bytes | bytearray | memoryview):
            told = _of_bytes(bytes(value[: self._most]))
        elif isinstance(value, BaseException):
            told = f"{kind.__name__}: {value}"
        elif kind.__name__ in _SCALARS:
            told = _SCALARS[kind.__name__](value)
        return self._deeper(value, kind, depth) if told is None else text(told, self._most)

    def _deeper(self, value: Any, kind: type, depth: int) -> Any:
        parts = _parts(value, kind)
        if parts is None:
            return shown(value, self._most)
        if parts is not value and type(parts) in QUICK:
            return self.of(parts, depth)
        if id(value) in self._inside:
            return "<cycle>"
        if depth >= MAX_DEPTH:
            return f"<{kind.__name__} …>"
        self._inside.add(id(value))
        try:
            return self._object(parts, depth) if isinstance(parts, Mapping) else self._list(parts, depth)
        finally:
            self._inside.discard(id(value))

    def _object(self, parts: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for name, value in parts.items():
            if len(told) >= MAX_KEYS:
                told["…"] = f"{len(parts) - MAX_KEYS} more"
                break
            told[key(name)] = self.of(value, depth + 1)
        return told

    def _list(self, parts: Iterable[Any], depth: int) -> list[Any]:
        told: list[Any] = []
        for value in parts:
            if len(told) >= MAX_KEYS:
                told.append("…")
                break
            told.append(self.of(value, depth + 1))
        return told


def _of_bytes(value: bytes) -> str:
    """Return bytes that are text as it, so that masking can read it, and others as base64."""
    told = value.decode(errors="ignore")
    cut = len(value) - len(told.encode())  # at most a part of the last character
    if cut < 4 and value.startswith(told.encode()) and told.translate(_SPACES).isprintable() and told:
        return told
    import base64

    return base64.b64encode(value).decode()


def key(name: object) -> str:
    """Return what an object's name is as JSON has it."""
    if isinstance(name, str):
        return text(name, 256)
    return text(str(name), 256) if type(name) in QUICK else shown(name, 256)


def _seconds(value: Any) -> str:
    return str(value.total_seconds())


_SCALARS: Final[dict[str, Callable[[Any], str]]] = {
    **dict.fromkeys(_NAMED, str),
    **{name: lambda value: str(value.isoformat()) for name in _MOMENTS},
    "timedelta": _seconds,
}


def _parts(value: Any, kind: type) -> Any:
    """Return the mapping, the values or the plain value that a value is made of, or None."""
    for way in ("_asdict", "model_dump"):  # of named tuples, of pydantic
        if hasattr(kind, way):
            return getattr(value, way)()
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return value
    names = getattr(kind, "__dataclass_fields__", None) or [
        each.name for each in getattr(kind, "__attrs_attrs__", ())
    ]
    if names:
        return {name: getattr(value, name, None) for name in names}
    if hasattr(kind, "dtype") and hasattr(kind, "tolist"):  # numpy, its scalars and arrays
        return value.tolist() if getattr(value, "size", 1) <= MAX_VALUES else None
    return value if kind.__name__ in {"deque", "dict_keys", "dict_values", "range"} else None
