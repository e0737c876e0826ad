"""Checks of the verifiers that are taken out one after the other: a test that still passes then misses one.

A check is a statement that refuses: `if ...: raise`, a call of `need`, a call whose result nobody uses. The
code of the one function that it stands in is exchanged in place, so nothing has to be imported again.
"""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any


@dataclass(frozen=True, slots=True)
class Mutant:
    """A module with one check less: in which function, at which line, and what the check was."""

    module: ModuleType
    function: str
    line: int
    source: str

    def __str__(self) -> str:
        return f"{self.module.__name__}:{self.line} {self.source.splitlines()[0]}"


def mutants(module: ModuleType, functions: tuple[str, ...] = ()) -> list[Mutant]:
    """Return one mutant a check of a module, or of some of its functions."""
    text = Path(str(module.__file__)).read_text()
    found = []
    for name, function in _functions(ast.parse(text)):
        if functions and name not in functions:
            continue
        for node in _checks(function):
            source = str(ast.get_source_segment(text, node))
            found.append(Mutant(module, name, node.lineno, source))
    return found


def _functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            yield prefix + node.name, node


def _checks(function: ast.FunctionDef) -> Iterator[ast.stmt]:
    for node in ast.walk(function):
        if isinstance(node, ast.If) and _refuses(node.body):
            yield node
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _is_check(node.value):
            yield node


def _refuses(body: list[ast.stmt]) -> bool:
    """Whether a branch does nothing but raise, or return that something is not so."""
    last = body[-1]
    if isinstance(last, ast.Raise):
        return len(body) < 3
    value = last.value if isinstance(last, ast.Return) else ast.Name("")
    return value is None or (isinstance(value, ast.Constant) and value.value in {None, False, ""})


def _is_check(call: ast.Call) -> bool:
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    begin = ("_check", "_place", "_recorded", "_meet", "verify", "done", "check", "fresh")
    return name == "need" or name.startswith(begin)


class _Without(ast.NodeTransformer):
    def __init__(self, line: int) -> None:
        self._line = line

    def visit_If(self, node: ast.If) -> Any:
        """Leave the `if` out, and keep what stands in its `else`."""
        self.generic_visit(node)
        return (node.orelse or ast.Pass()) if node.lineno == self._line else node

    def visit_Expr(self, node: ast.Expr) -> Any:
        """Leave the call out."""
        return ast.Pass() if node.lineno == self._line else node


@contextlib.contextmanager
def applied(mutant: Mutant) -> Iterator[None]:
    """Run with one check less."""
    text = Path(str(mutant.module.__file__)).read_text()
    tree = ast.fix_missing_locations(_Without(mutant.line).visit(ast.parse(text)))
    code = compile(tree, str(mutant.module.__file__), "exec")
    function = _function(mutant.module, mutant.function)
    before = function.__code__
    function.__code__ = next(each for each in _codes(code) if each.co_qualname == mutant.function)
    try:
        yield
    finally:
        function.__code__ = before


def _codes(code: CodeType) -> Iterator[CodeType]:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each
            yield from _codes(each)


def _function(module: ModuleType, name: str) -> FunctionType:
    found: Any = module
    for part in name.split("."):
        found = found.__dict__[part]
    found = getattr(found, "__func__", found)
    found = getattr(found, "fget", None) or getattr(found, "func", None) or found
    assert isinstance(found, FunctionType), name
    return found
