"""How one place of a Python program is changed for the worse, as text in place of text.

Each yields (where it begins and ends, what stands there then, how it is told). Places are offsets of bytes.
What is told are operators and words of the language, never what stands in the file.
"""

from __future__ import annotations

import ast
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final

Change = tuple[int, int, str, str]
NEVER: Final = "a condition became False"
BOUNDARIES: Final = frozenset(
    f"{one} became {other}" for one, other in (("<", "<="), ("<=", "<"), (">", ">="), (">=", ">"))
)


class Code:
    """A file as bytes, and where in it nodes stand: the parser counts bytes in lines, as Python ends them."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._starts = [0]
        for at, byte in enumerate(data):
            if byte == 0x0A or (byte == 0x0D and data[at + 1 : at + 2] != b"\n"):
                self._starts.append(at + 1)

    def place(self, node: ast.AST) -> tuple[int, int]:
        """Return where a node begins and ends; it has to be one that has a place."""
        line, column = getattr(node, "lineno"), getattr(node, "col_offset")  # noqa: B009 - not all have them
        last, stop = getattr(node, "end_lineno"), getattr(node, "end_col_offset")  # noqa: B009
        return self._starts[line - 1] + column, self._starts[last - 1] + stop

    def line(self, at: int) -> int:
        """Return the number of the line at an offset."""
        return bisect_right(self._starts, at)


_COMPARED: Final[dict[type[ast.cmpop], tuple[str, tuple[str, ...]]]] = {
    ast.Lt: ("<", ("<=", ">=")),
    ast.LtE: ("<=", ("<", ">")),
    ast.Gt: (">", (">=", "<=")),
    ast.GtE: (">=", (">", "<")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: ("is not", ("is",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: ("not in", ("in",)),
}
_COUNTED: Final[dict[type[ast.operator], tuple[str, str]]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "+"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
}


def of(node: ast.AST, code: Code) -> Iterator[Change]:
    """Yield the changes of one node."""
    for kinds, changes in _BY_KIND:
        if isinstance(node, kinds):
            yield from changes(node, code)


def _between(code: Code, start: int, end: int, old: str, new: str) -> Iterator[Change]:
    """Yield an operator between two operands exchanged, where it is the only one of its spelling there."""
    words = old.split()
    gap = code.data[start:end]
    at = gap.find(words[0].encode())
    if at < 0 or b"#" in gap:
        return
    stop = gap.find(words[-1].encode(), at) + len(words[-1])
    if " ".join(gap[at:stop].decode().split()) == old:
        yield start + at, start + stop, new, f"{old} became {new}"


def _compare(node: ast.Compare, code: Code) -> Iterator[Change]:
    sides = [node.left, *node.comparators]
    for (left, right), kind in zip(pairwise(sides), node.ops, strict=True):
        old, others = _COMPARED[type(kind)]
        for new in others:
            yield from _between(code, code.place(left)[1], code.place(right)[0], old, new)


def _bool(node: ast.BoolOp, code: Code) -> Iterator[Change]:
    old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
    for left, right in pairwise(node.values):
        yield from _between(code, code.place(left)[1], code.place(right)[0], old, new)
    for each in node.values:
        neutral = "True" if isinstance(node.op, ast.And) else "False"
        yield (*code.place(each), neutral, f"an operand of {old} was dropped")


def _unary(node: ast.UnaryOp, code: Code) -> Iterator[Change]:
    start = code.place(node)[0]
    if isinstance(node.op, ast.Not) and code.data[start : start + 3] == b"not":
        yield start, start + 3, "", "not was dropped"


def _binary(node: ast.BinOp | ast.AugAssign, code: Code) -> Iterator[Change]:
    if type(node.op) not in _COUNTED:
        return
    old, new = _COUNTED[type(node.op)]
    if isinstance(node, ast.AugAssign):
        old, new = f"{old}=", f"{new}="
        yield from _between(code, code.place(node.target)[1], code.place(node.value)[0], old, new)
    elif not (isinstance(node.left, ast.Constant | ast.JoinedStr) and isinstance(node.op, ast.Mod)):
        yield from _between(code, code.place(node.left)[1], code.place(node.right)[0], old, new)


def _constant(node: ast.Constant, code: Code) -> Iterator[Change]:
    value, where = node.value, code.place(node)
    if isinstance(value, bool):
        yield (*where, str(not value), f"{value} became {not value}")
    elif isinstance(value, int | float):
        yield (*where, repr(value + 1), "a number is one more")
    elif isinstance(value, str | bytes):
        sign = "b" if isinstance(value, bytes) else ""
        put, told = ('""', "a text became empty") if value else ('"x"', "a text became another")
        yield (*where, f"{sign}{put}", told)


def _condition(node: ast.If | ast.IfExp | ast.While, code: Code) -> Iterator[Change]:
    for word in ("True", "False"):
        if not (isinstance(node.test, ast.Constant) or (word == "True" and isinstance(node, ast.While))):
            yield (*code.place(node.test), word, f"a condition became {word}")


def _filters(node: ast.comprehension, code: Code) -> Iterator[Change]:
    for each in node.ifs:
        yield (*code.place(each), "True", "a filter became True")


def _return(node: ast.Return, code: Code) -> Iterator[Change]:
    value = node.value
    if value is not None and not (isinstance(value, ast.Constant) and value.value is None):
        yield (*code.place(value), "None", "None is returned")


def _dropped(node: ast.stmt, code: Code) -> Iterator[Change]:
    yield (*code.place(node), "pass", f"{_STATEMENTS[type(node)]} was dropped")


def _assign(node: ast.Assign | ast.AnnAssign, code: Code) -> Iterator[Change]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    if all(isinstance(each, ast.Attribute | ast.Subscript) for each in targets) and node.value is not None:
        yield (*code.place(node), "pass", "an assignment was dropped")
    elif isinstance(node.value, ast.Call | ast.Subscript | ast.Attribute | ast.Name | ast.Await):
        yield (*code.place(node.value), "None", "None is assigned")


def _handler(node: ast.ExceptHandler, code: Code) -> Iterator[Change]:
    if not (len(node.body) == 1 and isinstance(node.body[0], ast.Raise) and node.body[0].exc is None):
        yield code.place(node.body[0])[0], code.place(node.body[-1])[1], "raise", "a handler raises again"


def _call(node: ast.Call, code: Code) -> Iterator[Change]:
    """Yield the call without each of its keywords that stands behind something."""
    given: Sequence[ast.expr | ast.keyword] = [*node.args, *node.keywords]
    for before, each in pairwise(given):
        if isinstance(each, ast.keyword) and each.arg:
            start, end = code.place(before)[1], code.place(each)[1]
            gap = code.data[start : code.place(each)[0]]
            if gap.strip() == b",":
                yield start, end, "", "a keyword was dropped"


def _text(node: ast.JoinedStr, code: Code) -> Iterator[Change]:
    yield (*code.place(node), '""', "a text became empty")


_STATEMENTS: Final[dict[type[ast.stmt], str]] = {
    ast.Expr: "a statement",
    ast.Raise: "a raise",
    ast.Continue: "a continue",
    ast.Break: "a break",
    ast.AugAssign: "an assignment",
    ast.Delete: "a del",
}
_BY_KIND: Final[Sequence[tuple[tuple[type[ast.AST], ...], Callable[..., Iterator[Change]]]]] = (
    ((ast.If, ast.IfExp, ast.While), _condition),
    ((ast.Compare,), _compare),
    ((ast.BoolOp,), _bool),
    ((ast.UnaryOp,), _unary),
    ((ast.BinOp, ast.AugAssign), _binary),
    ((ast.Return,), _return),
    ((ast.Constant,), _constant),
    ((ast.JoinedStr,), _text),
    ((ast.comprehension,), _filters),
    (tuple(_STATEMENTS), _dropped),
    ((ast.Assign, ast.AnnAssign), _assign),
    ((ast.ExceptHandler,), _handler),
    ((ast.Call,), _call),
)
