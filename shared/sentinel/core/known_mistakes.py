"""A mistake that is almost never meant, where the trace passes: a default that calls share and change.

`def f(lines=[])` makes one list for all calls. It is looked for where that is kept in an object or changed in
place, in functions of the files of the trace and in classes that these name. A patch after which it is still
there has put something else right.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from sentinel.core.patch_syntax import Unreadable, python
from sentinel.core.proven import reason
from sentinel.core.proving import Reason

_MADE: Final = {"list", "dict", "set", "defaultdict", "deque", "OrderedDict", "Counter", "bytearray"}
_CHANGES: Final = {"append", "add", "update", "setdefault", "extend", "insert", "pop", "clear", "remove"}
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def remains(files: Mapping[str, str], traced: Collection[str]) -> Iterator[Reason]:
    """Yield where the mistake stands. `files` are the Python with the patch, `traced` those of the trace."""
    trees = dict(_parsed(files))
    named = {
        node.id for path in traced for node in ast.walk(trees.get(path, _NONE)) if isinstance(node, ast.Name)
    }
    for path, tree in sorted(trees.items()):
        for node in tree.body:
            if path in traced or (isinstance(node, ast.ClassDef) and node.name in named):
                for line in _shared(node):
                    yield reason(
                        "cause-remains", f"{path}:{line} a default is shared by all calls, and changed"
                    )


_NONE: Final = ast.Module([], [])


def _parsed(files: Mapping[str, str]) -> Iterator[tuple[str, ast.Module]]:
    for path, text in files.items():
        if "=[" in (bare := text.replace(" ", "")) or "={" in bare or "()" in bare:
            try:
                yield path, python(text.removeprefix("\ufeff"))
            except Unreadable:
                continue


def _shared(node: ast.AST) -> Iterator[int]:
    """Yield the lines of functions whose default is kept or changed as it is."""
    for each in ast.walk(node):
        if isinstance(each, _Function):
            names = {name for name, default in _defaults(each.args) if _mutable(default)}
            if names and any(_keeps(inner, names) for inner in ast.walk(each)):
                yield each.lineno


def _defaults(args: ast.arguments) -> Iterator[tuple[str, ast.expr]]:
    plain = [*args.posonlyargs, *args.args]
    for each, default in zip(reversed(plain), reversed(args.defaults), strict=False):
        yield each.arg, default
    for each, named in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        if named is not None:
            yield each.arg, named


def _mutable(node: ast.expr) -> bool:
    made = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _MADE
    return made or isinstance(node, ast.List | ast.Dict | ast.Set)


def _keeps(node: ast.AST, names: Collection[str]) -> bool:
    """Whether a statement keeps one of names in an object, or changes it in place."""
    if isinstance(node, ast.Assign):
        kept = isinstance(node.value, ast.Name) and node.value.id in names
        into = any(isinstance(each, ast.Attribute) for each in node.targets)
        return (kept and into) or any(_within(each, names) for each in node.targets)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        owner = node.func.value
        return node.func.attr in _CHANGES and isinstance(owner, ast.Name) and owner.id in names
    return False


def _within(node: ast.expr, names: Collection[str]) -> bool:
    return isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in names
