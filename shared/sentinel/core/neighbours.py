"""Neighbours of a call that failed: the same call with one value another, in an order that does not vary."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Final, cast

from sentinel.core.near_values import near

MOST: Final = 60
_VARIED: Final = (ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Other arguments of a call. `alike` is whether they are of the same class as those that failed."""

    arguments: Mapping[str, str] = field(repr=False)
    alike: bool


def neighbours(arguments: Mapping[str, str], absent: str = "") -> list[Neighbour]:
    """Return neighbours of a call's arguments, those that are alike first, from each value some.

    `absent` is the key whose absence made the call fail, where that is why: a key with nothing under it is
    much the same as none.

    >>> [each.arguments["n"] for each in neighbours({"n": "7"})[:3]]
    ['8', '6', '17']
    """
    parsed = {name: ast.parse(text, mode="eval").body for name, text in arguments.items()}
    ways: list[Iterator[Neighbour]] = [_together(parsed)]
    if absent:
        ways.append(_given(parsed, absent))
    ways += [_varied(parsed, name, at) for name, tree in parsed.items() for at in _places(tree)]
    seen = {_key(arguments)}
    found: list[Neighbour] = []
    for each in (each for turn in zip_longest(*ways) for each in turn):
        if each is not None and _key(each.arguments) not in seen:
            seen.add(_key(each.arguments))
            found.append(each)
        if len(found) >= 4 * MOST:
            break
    like = [each for each in found if each.alike][: MOST * 2 // 3]
    return [*like, *[each for each in found if not each.alike][: MOST - len(like)]]


def _key(arguments: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(arguments.values())


def _places(tree: ast.expr) -> list[int]:
    """Return which of the nodes of an expression can be varied: all but the keys of dictionaries."""
    keys = {id(key) for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys}
    nodes = list(ast.walk(tree))
    return [at for at, node in enumerate(nodes) if isinstance(node, _VARIED) and id(node) not in keys][:40]


def _varied(parsed: Mapping[str, ast.expr], name: str, at: int) -> Iterator[Neighbour]:
    tree = parsed[name]
    for other, alike in near(list(ast.walk(tree))[at]):
        yield _neighbour(parsed, {name: _with(tree, at, other)}, alike=alike)


def _with(tree: ast.expr, at: int, other: ast.expr) -> ast.expr:
    """Return an expression with its node at a place another."""
    if at == 0:
        return other
    whole = copy.deepcopy(tree)
    old = list(ast.walk(whole))[at]

    class Put(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            return other if node is old else self.generic_visit(node)

    put = Put().visit(whole)
    return cast("ast.expr", put)


def _together(parsed: Mapping[str, ast.expr]) -> Iterator[Neighbour]:
    """Yield calls in which arguments that were equal are another value, and still equal."""
    values: dict[str, list[str]] = {}
    for name, tree in parsed.items():
        if isinstance(tree, ast.Constant) and tree.value is not None and not isinstance(tree.value, bool):
            values.setdefault(ast.dump(tree), []).append(name)
    for names in values.values():
        if len(names) > 1:
            for other, alike in near(parsed[names[0]]):
                yield _neighbour(parsed, dict.fromkeys(names, other), alike=alike)


def _given(parsed: Mapping[str, ast.expr], key: str) -> Iterator[Neighbour]:
    """Yield calls in which a key that was absent is there with None."""
    for name, tree in parsed.items():
        for at, node in enumerate(list(ast.walk(tree))[:200]):
            if isinstance(node, ast.Dict) and key not in {
                each.value for each in node.keys if isinstance(each, ast.Constant)
            }:
                other = ast.Dict([*node.keys, ast.Constant(key)], [*node.values, ast.Constant(None)])
                yield _neighbour(parsed, {name: _with(tree, at, other)}, alike=True)


def _neighbour(parsed: Mapping[str, ast.expr], put: Mapping[str, ast.expr], *, alike: bool) -> Neighbour:
    return Neighbour({name: ast.unparse(put.get(name, tree)) for name, tree in parsed.items()}, alike)
