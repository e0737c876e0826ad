"""Mutants: the program with one place of the changed lines made worse, which some test should notice.

The rest stays byte for byte. What no test is expected to pin is left out: documentation, annotations,
imports, what is logged or warned of, and the words of an exception. The same file and lines give the same
mutants.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Final

from sentinel.core.boundaries import boundaries
from sentinel.core.mutation_operators import BOUNDARIES, NEVER, Code, of
from sentinel.core.patch_lines import Source
from sentinel.core.patch_syntax import Unreadable, python

_LOGGED: Final = {"debug", "info", "warning", "warn", "error", "exception", "critical", "log"}
_LOGGERS: Final = ("log", "logger", "logging", "warnings")
_SILENT: Final = {"__all__", "__slots__", "__doc__", "__version__"}
_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Mutant:
    """A file with one place another: where it is, what was done, and the file.

    `boundary`: a limit that the patch brings is in instead of out, or out instead of in. `guard`: what
    is refused by a `raise` is refused no more.
    """

    path: str
    line: int
    what: str
    data: bytes = field(repr=False)
    boundary: bool = False
    guard: bool = False

    @property
    def told(self) -> str:
        """Return it for people."""
        return f"{self.path}:{self.line} {self.what}"


def mutants(files: Iterable[Source], most: int) -> list[Mutant]:
    r"""Return at most so many mutants of the changed lines, those of boundaries first, from each line some.

    >>> source = Source("a.py", "def f(x):\n    return x < 1\n", frozenset({2}))
    >>> [each.told for each in mutants([source], 3)]
    ['a.py:2 < became <=', 'a.py:2 None is returned', 'a.py:2 < became >=']
    """
    lines: dict[tuple[str, int], list[Mutant]] = {}
    for source in files:
        for each in _of_file(source):
            lines.setdefault((each.path, each.line), []).append(each)
    turns = zip_longest(*(lines[key] for key in sorted(lines)))
    spread = [each for turn in turns for each in turn if each is not None]
    chosen = sorted(spread, key=lambda each: not each.boundary)
    return sorted(chosen[:most], key=lambda each: (each.path, each.line))


def _of_file(source: Source) -> Iterator[Mutant]:
    if source.text.startswith("\ufeff"):
        return
    try:
        tree = python(source.text)
    except Unreadable:
        return
    code = Code(source.text.encode())
    fresh = boundaries(tree, source.before)
    seen: set[bytes] = set()
    for node in _nodes(tree):
        if getattr(node, "lineno", None) in source.lines or isinstance(node, ast.comprehension):
            for start, end, put, told in of(node, code):
                mutated = code.data[:start] + put.encode() + code.data[end:]
                line = code.line(start)
                if line in source.lines and mutated not in seen and _stands(mutated):
                    seen.add(mutated)
                    yield Mutant(
                        source.path,
                        line,
                        told,
                        mutated,
                        boundary=told in BOUNDARIES and node in fresh,
                        guard=told == NEVER and _refuses(node),
                    )


def _refuses(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.body[-1], ast.Raise)


def _stands(data: bytes) -> bool:
    try:
        python(data.decode())
    except Unreadable:
        return False
    return True


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that a test can be expected to notice."""
    yield node
    left = _left_out(node)
    for child in ast.iter_child_nodes(node):
        if not any(child is each for each in left) and not silent(child):
            yield from _nodes(child)


def _left_out(node: ast.AST) -> Collection[ast.AST]:
    """Return the children of a node that tell people or type checkers something."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return [*documented(node), *([node.returns] if node.returns else [])]
    if isinstance(node, ast.Module | ast.ClassDef):
        return documented(node)
    if isinstance(node, ast.arg | ast.AnnAssign):
        return [node.annotation] if node.annotation else []
    if isinstance(node, ast.Raise):
        return [each for each in (node.exc, node.cause) if each is not None]
    if isinstance(node, ast.Assert):
        return [node.msg] if node.msg else []
    return list(ast.iter_child_nodes(node)) if isinstance(node, ast.JoinedStr) else []


def documented(node: _Documented) -> list[ast.stmt]:
    """Return the statement that is the documentation of a module, class or function, if it has one."""
    return [
        each for each in node.body[:1] if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)
    ]


def silent(node: ast.AST) -> bool:
    """Whether a node is nothing that a test is expected to notice."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Global | ast.Nonlocal | ast.Pass):
        return True
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) or _logs(node.value)
    if isinstance(node, ast.Assign):
        return any(isinstance(each, ast.Name) and each.id in _SILENT for each in node.targets)
    if isinstance(node, ast.If):
        return ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING"
    return False


def _logs(node: ast.expr) -> bool:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    owner = ast.unparse(node.func.value).lower().rpartition(".")[2].lstrip("_")
    return node.func.attr in _LOGGED and owner.startswith(_LOGGERS)
