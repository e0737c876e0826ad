"""What a Python assertion demands: whether it can fail, how strictly it compares, how much it tolerates.

Ranks are coarse on purpose: 4 an exact value, 3 a value within a tolerance or a named error, 2 an order or a
member, 1 anything else. A patch may not lower the rank of what a test demands.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

BROAD: Final = {"Exception", "BaseException", "AssertionError"}
_EXACT = (
    "equal",
    "equals",
    "assertis",
    "calledwith",
    "calledoncewith",
    "hascalls",
    "notcalled",
    "awaitedwith",
)
_NEAR = {
    "approx",
    "isclose",
    "allclose",
    "round",
    "assertalmostequal",
    "assertallclose",
    "assertalmostequals",
}
_MIDDLE = ("in", "isnot", "isnotnone", "regex", "greater", "less")
_ORDER = ("notequal", "lessequal", "greaterequal")
_RAISES = {
    "raises",
    "assertraises",
    "assertraisesregex",
    "warns",
    "assertwarns",
    "assertlogs",
    "deprecatedcall",
}
# Names of tolerances, with what holds where none is given. Of the second kind, digits, less is looser.
_LOOSE = {"rel": 1e-6, "abs": 1e-12, "rel_tol": 1e-9, "abs_tol": 0.0, "rtol": 1e-7, "atol": 0.0, "delta": 0.0}
_DIGITS = {"places": 7.0, "decimal": 7.0, "ndigits": 15.0}
_POSITIONS = {"approx": ("", "rel", "abs"), "assertalmostequal": ("", "", "places"), "round": ("", "ndigits")}
_POSITIONS |= {"assertallclose": ("", "", "rtol", "atol"), "allclose": ("", "", "rtol", "atol")}


@dataclass(frozen=True, slots=True)
class Demand:
    """One assertion: its text as a tree, where it is, its rank, its tolerances, and its limit.

    `limit` is (what is compared, direction, number) of an order such as `x < 5`.
    """

    text: str
    line: int
    rank: int
    trivial: bool
    tolerances: Mapping[str, float]
    limit: tuple[str, str, float] | None


def name_of(node: ast.expr) -> str:
    """Return the last name of what is called, in lower case and without `_`."""
    last = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return last.lower().replace("_", "")


def demands(statement: ast.stmt) -> Iterator[Demand]:
    """Yield what a statement itself demands, not the statements within it."""
    if isinstance(statement, ast.Assert):
        yield _demand(statement.test, statement, _rank(statement.test), trivial=_trivial(statement.test))
    elif isinstance(statement, ast.Expr):
        value = statement.value.value if isinstance(statement.value, ast.Await) else statement.value
        if isinstance(value, ast.Call) and _demanding(name_of(value.func)):
            yield _demand(value, statement, _rank_of_call(value), trivial=_trivial_call(value))
    elif isinstance(statement, ast.With | ast.AsyncWith):
        for item in statement.items:
            call = item.context_expr
            if isinstance(call, ast.Call) and name_of(call.func) in _RAISES:
                yield _demand(call, statement, _rank_of_call(call), trivial=False)


def _demanding(name: str) -> bool:
    return name.startswith("assert") or name in _RAISES or name == "fail"


def _demand(node: ast.expr, where: ast.stmt, rank: int, *, trivial: bool) -> Demand:
    return Demand(ast.dump(node), where.lineno, rank, trivial, _tolerances(node), _limit(node))


def _trivial(test: ast.expr) -> bool:
    if isinstance(test, ast.Constant):
        return bool(test.value)
    if isinstance(test, ast.Tuple | ast.List | ast.Dict | ast.Set | ast.Lambda | ast.JoinedStr):
        return True  # such as `assert (x == y, "words")`
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return isinstance(test.operand, ast.Constant) and not test.operand.value
    if isinstance(test, ast.BoolOp):
        found = [_trivial(each) for each in test.values]
        return any(found) if isinstance(test.op, ast.Or) else all(found)
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return _same(test.left, test.comparators[0])
    return isinstance(test, ast.NamedExpr) and _trivial(test.value)


def _same(one: ast.expr, other: ast.expr) -> bool:
    constants = isinstance(one, ast.Constant) and isinstance(other, ast.Constant)
    return constants or ast.dump(one) == ast.dump(other)


def _trivial_call(call: ast.Call) -> bool:
    name = name_of(call.func)
    if name in {"asserttrue", "assert"}:
        return bool(call.args) and _trivial(call.args[0])
    return name.startswith("assert") and len(call.args) > 1 and _same(call.args[0], call.args[1])


def _rank(test: ast.expr) -> int:
    if isinstance(test, ast.BoolOp):
        ranks = [_rank(each) for each in test.values]
        return max(ranks) if isinstance(test.op, ast.And) else 1
    if isinstance(test, ast.Compare):
        sides = [test.left, *test.comparators]
        if not all(isinstance(each, ast.Eq | ast.Is) for each in test.ops):
            return 2
        return 3 if any(_names(each) & _NEAR for each in sides) else 4
    return 3 if isinstance(test, ast.Call) and name_of(test.func) in _NEAR else 1


def _names(node: ast.expr) -> set[str]:
    return {name_of(each.func) for each in ast.walk(node) if isinstance(each, ast.Call)}


def _rank_of_call(call: ast.Call) -> int:
    name = name_of(call.func)
    if name in _RAISES:
        matched = len(call.args) > 1 or any(each.arg == "match" for each in call.keywords)
        broad = not call.args or any(BROAD & _plain_names(each) for each in call.args[:1])
        return 2 * (not broad) + matched + 1
    if name in {"asserttrue", "assertfalse"} and call.args:
        return _rank(call.args[0])
    if name in _NEAR:
        return 3
    if name.endswith(_ORDER) or (name.endswith(_MIDDLE) and not name.endswith(_EXACT)):
        return 2
    return 4 if name.endswith((*_EXACT, "isnone")) else 1 if name.startswith("assert") else 3


def _plain_names(node: ast.expr) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _number(node: ast.expr) -> float | None:
    try:
        found = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    return float(found) if isinstance(found, int | float) and abs(found) < 1e300 else None


def _tolerances(node: ast.expr) -> Mapping[str, float]:
    """Return how much each tolerance lets through: more is looser, whichever way it is counted."""
    found: dict[str, float] = {}
    for call in ast.walk(node):
        if isinstance(call, ast.Call):
            given = [(each.arg or "", each.value) for each in call.keywords]
            given += zip(_POSITIONS.get(name_of(call.func), ()), call.args, strict=False)
            for name, value in given:
                number = _number(value)
                if number is not None and name in _LOOSE:
                    found[name] = max(number, found.get(name, number))
                elif number is not None and name in _DIGITS:
                    found[name] = max(-number, found.get(name, -number))
    return found


def _limit(node: ast.expr) -> tuple[str, str, float] | None:
    if not isinstance(node, ast.Compare) or len(node.ops) != 1:
        return None
    number = _number(node.comparators[0])
    way = "up" if isinstance(node.ops[0], ast.Lt | ast.LtE) else "down"
    if number is None or not isinstance(node.ops[0], ast.Lt | ast.LtE | ast.Gt | ast.GtE):
        return None
    return ast.dump(node.left), way, number


def looser(before: Demand, after: Demand) -> bool:
    """Whether one demand lets more through than the one that it replaces."""
    if after.rank < before.rank:
        return True
    for name, value in after.tolerances.items():
        usual = _LOOSE[name] if name in _LOOSE else -_DIGITS[name]
        if value > before.tolerances.get(name, usual if before.rank == 3 else float("-inf")):
            return True
    if before.limit and after.limit and before.limit[:2] == after.limit[:2]:
        gap = after.limit[2] - before.limit[2]
        return gap > 0 if before.limit[1] == "up" else gap < 0
    return False
