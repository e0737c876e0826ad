"""Values as traces tell them: texts that were the `repr` of something, read without running anything.

What is taken are literals, and calls of classes that the project itself has or of a few plain ones of the
standard library, with arguments of the same kind: what dataclasses, dates and decimals are told as. Anything
else is no value: a text in a trace may be written by anybody.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sentinel.core.patch_syntax import Unreadable, python

MAX_VALUE: Final = 4_000  # characters
MAX_DEPTH: Final = 50  # of what is within each other: syntax trees are written by recursion
MAX_BITS: Final = 4_096  # of an integer: those of very many digits cannot be written as decimal
Origin = tuple[str, str]  # the module from which a name comes, and its name there; "" for the module itself

STANDARD: Final[Mapping[str, Origin]] = {
    "datetime": ("datetime", ""),
    "zoneinfo": ("zoneinfo", ""),
    "Decimal": ("decimal", "Decimal"),
    "Fraction": ("fractions", "Fraction"),
    "UUID": ("uuid", "UUID"),
    "OrderedDict": ("collections", "OrderedDict"),
    "Counter": ("collections", "Counter"),
    "deque": ("collections", "deque"),
    "PosixPath": ("pathlib", "PurePosixPath"),
    "set": ("builtins", "set"),
    "frozenset": ("builtins", "frozenset"),
    "bytearray": ("builtins", "bytearray"),
    "inf": ("math", "inf"),
    "nan": ("math", "nan"),
}
_ATTRIBUTES: Final = {"datetime", "date", "time", "timedelta", "timezone", "utc", "ZoneInfo"}
_MEMBER: Final = re.compile(r"<([A-Z]\w*)\.([A-Za-z]\w*): [^<>]{0,200}>")  # how enumerations are told
_CLASS: Final = re.compile(r"^class (\w+)", re.MULTILINE)
_PLAIN: Final = (ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.UnaryOp, ast.USub, ast.Load)


class NoValue(ValueError):
    """A text tells no value that can be built again."""


def value(text: str, classes: Mapping[str, Origin]) -> tuple[ast.expr, dict[str, Origin]]:
    """Return the expression that builds a value, and where its names come from. Raises `NoValue`.

    >>> classes = {"Point": ("a", "Point"), "Kind": ("a", "Kind")}
    >>> ast.unparse(value("Point(x=1, kind=<Kind.NEAR: 2>)", classes)[0])
    'Point(x=1, kind=Kind.NEAR)'
    """
    if len(text) > MAX_VALUE:
        raise NoValue("it is too long")
    try:
        body = python(_MEMBER.sub(r"\1.\2", text)).body
    except Unreadable:
        raise NoValue("it is no expression") from None
    if len(body) != 1 or not isinstance(body[0], ast.Expr):
        raise NoValue("it is no expression")
    names: dict[str, Origin] = {}
    level: list[ast.AST] = [body[0].value]
    for _ in range(MAX_DEPTH):
        for node in level:
            _check(node, classes, names)
            _bounded(node)
        level = [inner for node in level for inner in ast.iter_child_nodes(node)]
    if level:
        raise NoValue("it is nested too deeply")
    return body[0].value, names


def _check(node: ast.AST, classes: Mapping[str, Origin], names: dict[str, Origin]) -> None:
    if isinstance(node, ast.Name):
        found = classes.get(node.id) or STANDARD.get(node.id)
        if found is None:
            raise NoValue(f"nothing is known of {node.id[:40]}")
        names[node.id] = found
    elif isinstance(node, ast.Attribute):
        member = isinstance(node.value, ast.Name) and node.value.id in classes
        if node.attr.startswith("_") or not (member or node.attr in _ATTRIBUTES):
            raise NoValue("it asks for an attribute")
    elif isinstance(node, ast.Call):
        if not isinstance(node.func, ast.Name | ast.Attribute):
            raise NoValue("it calls what it made itself")
    elif not isinstance(node, _PLAIN) and not (isinstance(node, ast.keyword) and node.arg):
        raise NoValue("it is no literal")


def _bounded(node: ast.AST) -> None:
    found = node.value if isinstance(node, ast.Constant) else None
    if isinstance(found, int) and found.bit_length() > MAX_BITS:
        raise NoValue("it is too large")


def module_of(path: str, roots: Sequence[str]) -> str:
    """Return as what a file is imported, or "" where it is not.

    >>> module_of("src/shop/__init__.py", ("src", ".")), module_of("shop.py", ("src", "."))
    ('shop', 'shop')
    """
    if not path.endswith(".py"):
        return ""
    for root in roots:
        folder = "" if root in {".", ""} else f"{root.strip('/')}/"
        if path.startswith(folder):
            dotted = path[len(folder) :].removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            return dotted if all(part.isidentifier() for part in dotted.split(".")) else ""
    return ""


def classes_in(texts: Iterable[str]) -> set[str]:
    """Return the names of the classes that files define at their top level."""
    return {name for text in texts for name in _CLASS.findall(text)}


def classes_of(files: Mapping[str, str], roots: Sequence[str], near: str) -> dict[str, Origin]:
    """Return the classes of a project by names: those of the file `near` first, others where there is one."""
    found: dict[str, set[str]] = {}
    for path, text in files.items():
        for name in set(_CLASS.findall(text)):
            found.setdefault(name, set()).add(path)
    chosen: dict[str, Origin] = {}
    for name, paths in found.items():
        path = near if near in paths else min(paths)
        module = module_of(path, roots)
        if module and (near in paths or len(paths) == 1):
            chosen[name] = (module, name)
    return chosen
