"""The units of a patch: functions and statements outside of tests that it changes, to be taken back alone.

A unit is a function, a method, or what of a module or class stands in none. Taken back, all of its lines are
as they were and everything else is as the patch has it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sentinel.core.diffs import Change, changes, lines_of
from sentinel.core.edits import Patch
from sentinel.core.mutants import documented, silent
from sentinel.core.patch_files import Changed, changed
from sentinel.core.patch_paths import is_test
from sentinel.core.patch_syntax import Unreadable, python

MOST_UNITS: Final = 8  # that are tried
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Unit:
    """Part of a patch: its file, its first changed line, and the file without it; None where that is new."""

    path: str
    line: int
    without: bytes | None = field(repr=False)

    @property
    def told(self) -> str:
        """Return it for people."""
        return f"{self.path}:{self.line}"


def units(patch: Patch) -> list[Unit]:
    """Return the units of a patch that do something, where there is more than one, at most so many.

    What differs in documentation, annotations, imports and logs alone does nothing. What cannot be taken
    back alone, because nothing parses then, is none either.
    """
    found: list[Unit] = []
    for file in changed(patch):
        if file.path.endswith(".py") and not is_test(file.path) and file.text and file.after is not None:
            found += _new(file) if file.before is None else _of_file(file.path, file.before, file.after)
    return found[:MOST_UNITS] if len(found) > 1 else []


def _new(file: Changed) -> Iterator[Unit]:
    if file.after and does(file.after) not in {None, does("")}:
        yield Unit(file.path, 1, None)


def _of_file(path: str, before: str, after: str) -> Iterator[Unit]:
    try:
        old, new = _spans(before), _spans(after)
    except Unreadable:
        return
    one, other = lines_of(before), lines_of(after)
    groups: dict[str, list[Change]] = {}
    for change in changes(one, other):
        i1, _, j1, j2 = change
        lines, spans, at = (other, new, j1) if j2 > j1 else (one, old, i1)
        groups.setdefault(_name(spans, lines, at), []).append(change)
    whole = does(after)
    for group in groups.values():
        without = _taken_back(one, other, group)
        did = does(without)
        if did is not None and did != whole:
            yield Unit(path, group[0][2] + 1, without.encode())


def _taken_back(one: Sequence[str], other: Sequence[str], group: Sequence[Change]) -> str:
    lines = list(other)
    for i1, i2, j1, j2 in reversed(group):
        lines[j1:j2] = one[i1:i2]
    return "".join(lines)


def _name(spans: Mapping[str, tuple[int, int]], lines: Sequence[str], at: int) -> str:
    """Return in what the first line from a place on that is not blank stands, "" for no function."""
    while at < len(lines) - 1 and not lines[at].strip():
        at += 1
    return next((name for name, (first, last) in spans.items() if first <= at + 1 <= last), "")


def _spans(text: str) -> dict[str, tuple[int, int]]:
    """Return the functions and methods of a file by name, with their first and last lines."""
    return dict(_functions(python(text.removeprefix("\ufeff")).body, ""))


def _functions(body: Sequence[ast.stmt], within: str) -> Iterator[tuple[str, tuple[int, int]]]:
    for node in body:
        if isinstance(node, _Function):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            yield f"{within}{node.name}", (first, node.end_lineno or first)
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node.body, f"{within}{node.name}.")


def does(text: str) -> str | None:
    r"""Return what a file does, without what only tells people or type checkers; None for no Python.

    >>> does('import os\ndef f(x: int) -> int:\n    "Documentation."\n    return x') == does(
    ...     "def f(x): return x")
    True
    """
    try:
        return ast.dump(_Bare().visit(python(text.removeprefix("\ufeff"))))
    except Unreadable:
        return None


class _Bare(ast.NodeTransformer):
    """Takes away what no test is expected to notice."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Leave out silent statements, documentation and annotations."""
        for name in ("annotation", "returns"):
            if getattr(node, name, None) is not None:
                setattr(node, name, ast.Constant(None) if isinstance(node, ast.AnnAssign) else None)
        if isinstance(node, ast.Module | ast.ClassDef | _Function):
            left = documented(node)
            node.body = [each for each in node.body if each not in left]
        for name in ("body", "orelse", "finalbody"):
            if isinstance(body := getattr(node, name, None), list):
                setattr(node, name, [each for each in body if not silent(each)])
        return super().generic_visit(node)
