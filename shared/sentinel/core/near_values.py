"""Values near a value: of its own class, which code should treat alike, and others, which it need not.

Alike are a number of the same sign, a text with other digits in the same places or with one more, a list in
another order or with one element less. Not so are a text whose marks are exchanged, or which ends earlier.
They are what tells a repair from a special case.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import combinations
from typing import Final

Near = tuple[ast.expr, bool]  # an expression, and whether it is alike
_MARK: Final = re.compile(r"(?<=[0-9A-Za-z])[^0-9A-Za-z\s](?=[0-9A-Za-z])")  # between two parts of a text
_MARKS: Final = 4  # kinds of these that are exchanged
_RUN: Final = re.compile(r"[0-9]+|[A-Za-z]+")
_TEXT: Final = 200  # characters of a text that is varied


def near(node: ast.AST) -> Iterator[Near]:
    """Yield what stands near a literal or container, the likeliest first."""
    if isinstance(node, ast.Constant):
        for value, alike in _constants(node.value):
            if not (type(value) is type(node.value) and value == node.value):
                yield ast.Constant(value), alike  # type: ignore[arg-type] # it is of the kind that the literal had
    elif isinstance(node, ast.List | ast.Tuple | ast.Set):
        yield from _sequences(node)
    elif isinstance(node, ast.Dict):
        yield from _dictionaries(node)


def _constants(value: object) -> Iterator[tuple[object, bool]]:
    if isinstance(value, bool):
        yield not value, False
    elif isinstance(value, int):
        yield from _integers(value)
    elif isinstance(value, float):
        yield from ((value + 1, True), (value * 1.5, True), (value / 2, True), (0.0, False), (-value, False))
    elif isinstance(value, str):
        yield from _texts(value)
    elif isinstance(value, bytes):
        for text, alike in _texts(value.decode("latin-1")):
            yield text.encode("latin-1", "replace"), alike


def _integers(value: int) -> Iterator[tuple[int, bool]]:
    yield value + 1, True
    if value > 0:
        yield value - 1, value > 1
    yield 2 * value + 3, True
    yield 10 * value, bool(value)
    yield value + 10, True
    if value > 3:
        yield value // 2, True
    yield -value - 1, False
    yield 0, False
    yield 10**6 + value, False


def _texts(value: str) -> Iterator[tuple[str, bool]]:
    if len(value) > _TEXT:
        return
    digits = [at for at, each in enumerate(value) if each.isdigit()]
    yield _turned(value, digits, 1), True
    for run in list(_RUN.finditer(value))[:4]:
        number = run.group().isdigit()  # letters may be the name of something, and another is of nothing
        yield _turned(value, range(run.start(), run.end()), 2), number
        yield value[: run.end()] + run.group()[-1] + value[run.end() :], number
        if len(run.group()) > 2:
            yield value[: run.start() + 1] + value[run.start() + 2 :], number
    for at, letter in enumerate(value[:40]):
        if letter.isdigit():
            yield _turned(value, [at], 1), True
    if any(ord(each) > 127 for each in value):
        yield "".join(chr(ord(each) ^ 1) if ord(each) > 160 else each for each in value), True
    yield from ((each, False) for each in _marks(value))
    yield from (("", False), (" ", False), (value + value[-1:], False), (value.strip(), False))
    yield from ((value.swapcase(), False), (value[::-1], False), (value[:-1], False))


def _marks(value: str) -> Iterator[str]:
    """Yield a text with two kinds of its marks exchanged, cut at its last mark, and both."""
    last = [each.start() for each in _MARK.finditer(value)][-1:]
    kinds = list(dict.fromkeys(_MARK.findall(value)))[:_MARKS]
    for one, other in combinations(kinds, 2):
        exchanged = value.translate(str.maketrans(one + other, other + one))
        yield exchanged
        yield from (exchanged[:at] for at in last)
    yield from (value[:at] for at in last)


def _turned(text: str, places: range | list[int], by: int) -> str:
    """Return a text with other digits and letters at places; a leading digit does not become zero."""
    letters = list(text)
    for at in places:
        each = letters[at]
        if each.isascii() and each.isdigit():
            turned = (int(each) + by) % 10
            lead = at == 0 or not text[at - 1].isdigit()
            letters[at] = str(turned or (1 if lead and each != "0" else 0))
        elif each.isascii() and each.isalpha():
            first = ord("a") if each.islower() else ord("A")
            letters[at] = chr(first + (ord(each) - first + by) % 26)
    return "".join(letters)


def _sequences(node: ast.List | ast.Tuple | ast.Set) -> Iterator[Near]:
    kind, items = type(node), list(node.elts)
    if len(items) > 1:
        yield _made(kind, items[::-1]), True
        yield _made(kind, items[:-1]), True
        yield _made(kind, items[1:]), True
        yield _made(kind, [items[-1]]), True
    for at in range(1, min(len(items) - 1, 8)):
        yield _made(kind, items[:at] + items[at + 1 :]), True
    for told in _kinds_of(items):
        yield _made(kind, [each for each in items if _kind_of(each) != told]), False
    if items and kind is not ast.Set:
        yield _made(kind, [*items, items[0]]), True
        yield _made(kind, []), False


def _kinds_of(items: list[ast.expr]) -> list[str]:
    """Return the kinds of elements, where there is more than one."""
    kinds = list(dict.fromkeys(_kind_of(each) for each in items))
    return kinds[:4] if len(kinds) > 1 else []


def _kind_of(node: ast.expr) -> str:
    """Return what a value is, without which: of a constant its type, of a dictionary those of its values."""
    if isinstance(node, ast.Constant):
        return type(node.value).__name__
    parts = node.values if isinstance(node, ast.Dict) else []
    return f"{type(node).__name__} {[_kind_of(each) for each in parts]}"


def shape(text: str) -> str:
    """Return a text without which digits and letters it has; of digits how many there are matters.

    >>> shape("1,234 EUR")
    '0,000 a'
    """
    return re.sub(r"[A-Za-z]+", "a", re.sub(r"[0-9]", "0", text))


def _made(kind: type[ast.List | ast.Tuple | ast.Set], items: list[ast.expr]) -> ast.expr:
    if kind is ast.Set:
        return ast.Set(items)
    return ast.List(items, ast.Load()) if kind is ast.List else ast.Tuple(items, ast.Load())


def _dictionaries(node: ast.Dict) -> Iterator[Near]:
    keys, values = list(node.keys), list(node.values)
    if len(keys) > 1:
        yield ast.Dict(keys[::-1], values[::-1]), True
    for at in range(min(len(keys), 8)):
        yield ast.Dict(keys[:at] + keys[at + 1 :], values[:at] + values[at + 1 :]), False
        yield ast.Dict(keys, [*values[:at], ast.Constant(None), *values[at + 1 :]]), False
