"""What stands around tests in their file: names, fixtures and helpers that decide what a test really tries.

A patch may add to it. Where it changes what was there, or gives a name that tests use another meaning, a
person has to look: the assertions would stay as they are, and mean something else.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from sentinel.core.patch_findings import Finding

Function = ast.FunctionDef | ast.AsyncFunctionDef
_RUNS_BY_ITSELF = ("setup", "teardown", "pytest_", "asyncsetup", "asyncteardown")  # in lower case


def findings(path: str, before: ast.Module, after: ast.Module, units: Collection[str]) -> Iterator[Finding]:
    """Yield what changes around tests; `units` are the functions that are compared otherwise."""
    if Counter(_rest(before.body, units, "")) - Counter(_rest(after.body, units, "")):
        yield Finding("test-changed", path, 0, "something that tests use is changed or gone")
    if Counter(_acts(after.body)) - Counter(_acts(before.body)):
        yield Finding("test-changed", path, 0, "a statement is run as soon as the tests are collected")
    old, new = _bindings(before), _bindings(after)
    if any(sorted(new.get(name, meanings)) != sorted(meanings) for name, meanings in old.items()) or (
        "*" in new and "*" not in old
    ):
        yield Finding("test-changed", path, 0, "a name that was there means something else")
    if _automatic(after) - _automatic(before):
        yield Finding("test-changed", path, 0, "something more is run before or after every test")
    if (_arguments(before) & set(new)) - set(old):
        yield Finding("test-changed", path, 0, "a fixture of tests that were there is defined anew")


def _rest(body: Sequence[ast.stmt], units: Collection[str], within: str) -> Iterator[str]:
    """Yield all statements but imports and the functions that are compared otherwise."""
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            yield f"{within}{statement.name}" + "".join(map(ast.dump, _head(statement)))
            yield from _rest(statement.body, units, f"{within}{statement.name}.")
        elif isinstance(statement, Function):
            if f"{within}{statement.name}" not in units:
                yield within + ast.dump(statement)
        elif not isinstance(statement, ast.Import | ast.ImportFrom):
            yield within + ast.dump(statement)


def _acts(body: Sequence[ast.stmt]) -> Iterator[str]:
    """Yield the statements of a module and its classes that do more than give new names a meaning."""
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            yield from _acts(statement.body)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            if not all(isinstance(each, ast.Name) for each in targets):
                yield ast.dump(statement)
        elif not isinstance(statement, Function | ast.Import | ast.ImportFrom | ast.Pass):
            words = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            if not words and not _is_main(statement):
                yield ast.dump(statement)


def _is_main(statement: ast.stmt) -> bool:
    """Whether it is `if __name__ == ...`, which no test runner enters."""
    if not isinstance(statement, ast.If) or statement.orelse or not isinstance(statement.test, ast.Compare):
        return False
    return ast.unparse(statement.test) == "__name__ == '__main__'"


def _head(node: ast.ClassDef) -> list[ast.AST]:
    return [*node.bases, *node.keywords, *node.decorator_list]


def _bindings(tree: ast.Module) -> dict[str, list[str]]:
    """Return what each name of the module means: where it is imported from, or that it is made here."""
    found: dict[str, list[str]] = {}
    for node in tree.body:
        for name, meaning in _bound(node):
            found.setdefault(name, []).append(meaning)
    return found


def _bound(node: ast.stmt) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Import):
        yield from ((each.asname or each.name, each.name) for each in node.names)
    elif isinstance(node, ast.ImportFrom):
        source = f"{'.' * node.level}{node.module or ''}"
        yield from ((each.asname or each.name, f"{source}:{each.name}") for each in node.names)
    elif isinstance(node, Function | ast.ClassDef):
        yield node.name, "here"
    else:
        for each in ast.walk(node):
            if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load):
                yield each.id, "here"


def _automatic(tree: ast.Module) -> Counter[str]:
    """Count what is run without being named: fixtures of every test, set-ups, hooks."""
    found: Counter[str] = Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "autouse":
            found["autouse"] += 1
        elif isinstance(node, Function) and node.name.lower().startswith(_RUNS_BY_ITSELF):
            found[node.name] += 1
    return found


def _arguments(tree: ast.Module) -> set[str]:
    """Return the names of fixtures that the tests take."""
    return {
        argument.arg
        for node in ast.walk(tree)
        if isinstance(node, Function) and node.name.startswith("test")
        for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        if argument.arg not in {"self", "cls"}
    }
