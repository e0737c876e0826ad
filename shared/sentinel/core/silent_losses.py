"""Whether a patch leaves out what failed: an element of a loop, or all that would have come after it.

Nothing fails then, nobody is told, and the result is a part of what it should be.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Final

from sentinel.core.failures import Failure
from sentinel.core.patch_asserts import name_of
from sentinel.core.patch_lines import Source
from sentinel.core.patch_syntax import Unreadable, python
from sentinel.core.proven import reason
from sentinel.core.proving import Reason
from sentinel.core.swallowed import caught_by, names_of

_ENDS: Final = {"StopIteration", "StopAsyncIteration", "EOFError", "Empty", "GeneratorExit", "CancelledError"}
_HOLDING: Final = {"strip", "lstrip", "rstrip", "get", "any", "len"}  # that what is empty gives nothing of
_Loop = ast.For | ast.AsyncFor | ast.While


def left_out(files: Iterable[Source], failure: Failure) -> Iterator[Reason]:
    """Yield where changed lines of a loop leave out what is not empty, or end it at the failure.

    To pass over what is empty or None is common and right; to stop at an exception that says that there is
    no more, such as `StopIteration`, is how such loops end.
    """
    kind = failure.exception.rpartition(".")[2]
    caught = set() if kind in _ENDS else caught_by(kind)
    for source in files:
        try:
            tree = python(source.text.removeprefix("\ufeff"))
        except Unreadable:
            continue
        for loop in (node for node in ast.walk(tree) if isinstance(node, _Loop)):
            for node in ast.walk(loop):
                if getattr(node, "lineno", None) in source.lines and _loses(node, caught, source):
                    line = getattr(node, "lineno", 0)
                    yield reason(
                        "lossy", f"{source.path}:{line} a loop leaves out what fails, and says nothing"
                    )


def _loses(node: ast.AST, caught: set[str], source: Source) -> bool:
    if isinstance(node, ast.If):
        skips = len(node.body) == 1 and isinstance(node.body[0], ast.Continue) and not node.orelse
        return skips and not _empty(node.test) and ast.unparse(node.test) not in source.before
    if isinstance(node, ast.ExceptHandler) and names_of(node.type) & caught:
        last = node.body[-1]
        partial = isinstance(last, ast.Return) and isinstance(last.value, ast.Name)
        return len(node.body) == 1 and (partial or isinstance(last, ast.Break))
    return False


def _empty(test: ast.expr) -> bool:
    """Whether a condition holds for what is empty or None alone."""
    if isinstance(test, ast.BoolOp):
        some = any if isinstance(test.op, ast.And) else all
        return some(_empty(each) for each in test.values)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        held = test.operand
        if isinstance(held, ast.Call):
            return name_of(held.func) in _HOLDING
        return isinstance(held, ast.Name | ast.Attribute | ast.Subscript)
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        other = test.comparators[0]
        alone = isinstance(other, ast.Constant) and other.value in {None, "", 0, b""}
        return isinstance(test.ops[0], ast.Is | ast.Eq) and alone
    return False
