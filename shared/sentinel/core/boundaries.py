"""Comparisons that a patch brings and whose boundary matters: to be equal is in, or is out.

Where both ways come to the same there is nothing to notice, as in `a if a > b else b`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from itertools import pairwise

from sentinel.core.patch_syntax import Unreadable, python

_ORDERED = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


def boundaries(tree: ast.Module, before: str) -> set[ast.AST]:
    r"""Return the comparisons of a file that the text before does not have anywhere, and that matter.

    >>> tree = ast.parse("x = a < b\ny = a if a > b else b\nz = b < 3")
    >>> [ast.unparse(each) for each in boundaries(tree, "print(b < 3)")]
    ['a < b']
    """
    try:
        former = python(before.removeprefix("\ufeff"))
    except Unreadable:
        former = ast.Module([], [])
    old = {ast.dump(each) for each in ast.walk(former) if isinstance(each, ast.Compare)}
    same = {test for node in ast.walk(tree) for test in _indifferent(node)}
    return {
        each
        for each in ast.walk(tree)
        if isinstance(each, ast.Compare)
        and any(isinstance(kind, _ORDERED) for kind in each.ops)
        and each not in same
        and ast.dump(each) not in old
    }


def _indifferent(node: ast.AST) -> Iterator[ast.expr]:
    """Yield the tests in a node that choose between the very values that they compare."""
    if isinstance(node, ast.IfExp) and _compares(node.test, [node.body, node.orelse]):
        yield node.test
    for name in ("body", "orelse", "finalbody"):
        body = getattr(node, name, None)
        if isinstance(body, list):
            yield from _chosen(body)


def _chosen(body: Sequence[ast.stmt]) -> Iterator[ast.expr]:
    for each, following in pairwise([*body, None]):
        if not isinstance(each, ast.If) or len(each.body) != 1:
            continue
        done = each.body[0]
        other = each.orelse[0] if len(each.orelse) == 1 else following
        if isinstance(done, ast.Return) and isinstance(other, ast.Return):
            values = [done.value, other.value]
        elif isinstance(done, ast.Assign) and len(done.targets) == 1 and not each.orelse:
            values = [done.targets[0], done.value]
        else:
            continue
        if _compares(each.test, values):
            yield each.test


def _compares(test: ast.expr, values: Sequence[ast.expr | None]) -> bool:
    if not isinstance(test, ast.Compare) or len(test.comparators) != 1:
        return False
    sides = {ast.unparse(test.left), ast.unparse(test.comparators[0])}
    return {ast.unparse(each) for each in values if each is not None} == sides
