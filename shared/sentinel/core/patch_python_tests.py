"""A Python file of tests as the gate sees it: what each function demands, and what keeps it from failing."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sentinel.core.patch_asserts import BROAD, Demand, demands, name_of

Function = ast.FunctionDef | ast.AsyncFunctionDef
_SKIPS = {"skip", "skipif", "skipunless", "skiptest", "xfail", "expectedfailure", "importorskip", "exit"}
_UNCOLLECTED = {
    "__test__",
    "collect_ignore",
    "collect_ignore_glob",
    "pytestmark",
    "load_tests",
}


@dataclass(slots=True)
class Unit:
    """A test, or another function that asserts; `count` is how often its name is defined.

    `swallowed` counts the assertions whose failure is caught; `reached` and `unreached` count by their texts
    those that are reached for certain, and those that may not be.
    """

    name: str
    line: int
    is_test: bool
    text: str = ""
    count: int = 1
    cases: int = 0
    yields: bool = False
    demands: list[Demand] = field(default_factory=list)
    swallowed: int = 0
    reached: Counter[str] = field(default_factory=Counter)
    unreached: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Suite:
    """All of a file: its units by name, its marks that skip, and its constants that are tolerances."""

    units: dict[str, Unit]
    skips: Counter[str]
    tolerances: dict[str, str]


def suite_of(tree: ast.Module) -> Suite:
    """Return what a file of tests demands."""
    units: dict[str, Unit] = {}
    top = Unit("(module)", 1, is_test=False)
    _body(tree.body, top, swallowed=False, unreached=False)
    for unit in [top, *_units(tree, "")]:
        if unit.is_test or unit.demands:
            unit.count += units[unit.name].count if unit.name in units else 0
            units[unit.name] = unit
    return Suite(units, _skips(tree), _constants(tree))


def _units(node: ast.AST, within: str) -> Iterator[Unit]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield _unit(child, f"{within}{child.name}", is_test=_is_test(child))
            yield from _units(child, f"{within}{child.name}.")
        elif isinstance(child, ast.ClassDef):
            yield from _units(child, f"{within}{child.name}.")
        else:
            yield from _units(child, within)


def _is_test(node: Function) -> bool:
    fixture = any(_is_fixture(each) for each in node.decorator_list)
    return node.name.startswith("test") and not fixture


def _is_fixture(decorator: ast.expr) -> bool:
    return name_of(decorator.func if isinstance(decorator, ast.Call) else decorator) == "fixture"


def _unit(node: Function, name: str, *, is_test: bool) -> Unit:
    unit = Unit(name, node.lineno, is_test, text=ast.dump(node))
    unit.cases = sum(_cases(each) for each in node.decorator_list)
    unit.yields = any(isinstance(each, ast.Yield | ast.YieldFrom) for each in ast.walk(node))
    _body(node.body, unit, swallowed=False, unreached=False)
    return unit


def _cases(decorator: ast.expr) -> int:
    if not isinstance(decorator, ast.Call) or name_of(decorator.func) not in {
        "parametrize",
        "data",
        "expand",
    }:
        return 0
    lists = [each for each in decorator.args if isinstance(each, ast.List | ast.Tuple | ast.Set)]
    return sum(len(each.elts) for each in lists)


def _body(body: Sequence[ast.stmt], unit: Unit, *, swallowed: bool, unreached: bool) -> None:
    """Walk statements; what follows one that may leave the function is not reached for certain."""
    for statement in body:
        if isinstance(statement, Function | ast.ClassDef):
            continue
        for demand in demands(statement):
            unit.demands.append(demand)
            unit.swallowed += swallowed
            (unit.unreached if unreached else unit.reached)[demand.text] += 1
        branches = isinstance(statement, ast.If | ast.While | ast.For | ast.AsyncFor | ast.Match)
        caught = swallowed or _swallows(statement)
        for part in _parts(statement):
            _body(part, unit, swallowed=caught, unreached=unreached or branches)
        unreached = unreached or _leaves(statement)


def _parts(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        yield getattr(statement, name, [])
    for each in (*getattr(statement, "handlers", []), *getattr(statement, "cases", [])):
        yield each.body


def _leaves(statement: ast.stmt) -> bool:
    """Whether a statement may end the function or a turn of its loop, other than by an error it meets."""
    if isinstance(statement, Function | ast.ClassDef | ast.Try):
        return False
    if isinstance(statement, ast.Return | ast.Raise | ast.Continue | ast.Break):
        return True
    return any(_leaves(each) for part in _parts(statement) for each in part)


def _swallows(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Try | ast.TryStar):
        returns = any(isinstance(each, ast.Return | ast.Break) for each in statement.finalbody)
        return returns or any(_catches(each) for each in statement.handlers)
    if isinstance(statement, ast.With | ast.AsyncWith):
        calls = [each.context_expr for each in statement.items if isinstance(each.context_expr, ast.Call)]
        return any(
            name_of(call.func) in {"suppress", "raises", "assertraises"} and _broad(each)
            for call in calls
            for each in call.args
        )
    return False


def _catches(handler: ast.ExceptHandler) -> bool:
    raised = handler.body and isinstance(handler.body[-1], ast.Raise)
    return not raised and (handler.type is None or _broad(handler.type))


def _broad(node: ast.expr) -> bool:
    return any(isinstance(each, ast.Name | ast.Attribute) and _last(each) in BROAD for each in ast.walk(node))


def _last(node: ast.Name | ast.Attribute) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id


def _skips(tree: ast.Module) -> Counter[str]:
    """Count what keeps tests from running: marks, calls and imports by name, and names that runners read."""
    found: Counter[str] = Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            found[_last(node)] += _stops(_last(node))
        elif isinstance(node, ast.alias) and node.asname:
            found[node.name] += _stops(node.name)
        elif isinstance(node, Function):
            found[node.name] += node.name in _UNCOLLECTED
        elif isinstance(node, ast.ClassDef | ast.Module):
            found["rebound tests"] += sum(map(_rebinds, node.body))
            if isinstance(node, ast.ClassDef):
                found["__init__ in a class of tests"] += _made(node)
    return +found


def _stops(name: str) -> bool:
    return name.lower().replace("_", "") in _SKIPS or name in _UNCOLLECTED


def _made(node: ast.ClassDef) -> int:
    functions = [each for each in node.body if isinstance(each, Function)]
    if not any(_is_test(each) for each in functions):
        return 0
    return sum(each.name in {"__init__", "__new__"} for each in functions)


def _rebinds(statement: ast.stmt) -> bool:
    """Whether a name of a test is taken away or given to something else."""
    targets = statement.targets if isinstance(statement, ast.Assign | ast.Delete) else []
    return any(isinstance(each, ast.Name) and each.id.startswith("test") for each in targets)


def _constants(tree: ast.Module) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name) and any(
                    each in target.id.lower() for each in ("tol", "eps", "delta", "places", "precision")
                ):
                    found[target.id] = ast.dump(node.value)
    return found
