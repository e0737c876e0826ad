"""Calls of a trace that can be made again: of functions whose parameters the trace tells as values.

The variables of a trace are as they were when the exception was raised, which may not be what the function
was called with; so a call made here is only a guess, until it has failed on the code as it was.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sentinel.core.failures import Call, Failure
from sentinel.core.patch_syntax import Unreadable, python
from sentinel.core.told_values import NoValue, Origin, classes_of, module_of, value

MOST_CALLS: Final = 10  # at each end of a trace that are looked at
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Invoked:
    """A call: of `function` (dotted, in `module`) with expressions by parameter, in the signature's order.

    `receiver` is the expression of the object whose method it is, "" for none. `star` and `stars` are the
    names of what takes further positions and keywords, `named` those that are only taken by name. `names`
    says where names of the expressions come from.
    """

    path: str
    line: int
    module: str
    function: str
    arguments: Mapping[str, str] = field(repr=False)
    receiver: str = field(default="", repr=False)
    star: str = ""
    stars: str = ""
    named: tuple[str, ...] = ()
    names: Mapping[str, Origin] = field(default_factory=dict, repr=False)

    def json(self) -> dict[str, object]:
        """Return it as the probe takes it."""
        taken = [each for each in self.arguments if each not in {*self.named, self.star, self.stars}]
        return {
            "module": self.module,
            "function": self.function,
            "receiver": self.receiver,
            "args": [self.arguments[each] for each in taken],
            "star": self.arguments.get(self.star, ""),
            "kwargs": {each: self.arguments[each] for each in self.named if each in self.arguments},
            "stars": self.arguments.get(self.stars, ""),
            "names": {name: list(origin) for name, origin in self.names.items()},
        }

    def given(self, arguments: Mapping[str, str]) -> Invoked:
        """Return the same call with other arguments."""
        return replace(self, arguments=arguments)


def located(told: str, paths: Sequence[str], roots: Sequence[str]) -> str:
    """Return the file of a repository that a trace means, or "" where that is not certain.

    >>> located("/srv/app/src/shop/cart.py", ("src/shop/cart.py", "tests/cart.py"), ("src", "."))
    'src/shop/cart.py'
    """
    known = set(paths)
    names = [each for each in told.replace("\\", "/").split("/") if each not in {"", "."}]
    for start in range(len(names)):
        tail = "/".join(names[start:])
        for root in ("", *roots):
            path = tail if root in {"", "."} else f"{root.strip('/')}/{tail}"
            if path in known:
                return path
    ends = [each for each in paths if names and each.endswith(f"/{'/'.join(names)}")]
    return ends[0] if len(ends) == 1 else ""


def files_of(failure: Failure, files: Collection[str], roots: Sequence[str]) -> set[str]:
    """Return the files of a repository that a trace passes through."""
    paths = sorted(files)
    return {located(file, paths, roots) for file in {each.file for each in failure.calls}} - {""}


def calls_of(failure: Failure, files: Mapping[str, str], roots: Sequence[str]) -> Iterator[Invoked]:
    """Yield the calls of a trace that can be made again, the innermost first. `files` are its Python."""
    paths = sorted(files)
    middle = max(MOST_CALLS, len(failure.calls) - MOST_CALLS)
    for call in (*failure.calls[:MOST_CALLS], *failure.calls[middle:]):
        path = located(call.file, paths, roots)
        module = module_of(path, roots) if path else ""
        if not module:
            continue
        found = _function(files[path], call)
        if found is not None:
            classes = classes_of(files, roots, path)
            made = _invoked(call, path, module, found, classes)
            if made is not None:
                yield made


def _function(text: str, call: Call) -> tuple[Function, str] | None:
    """Return a function of a file and the class that it is in, by name and line."""
    try:
        tree = python(text.removeprefix("\ufeff"))
    except Unreadable:
        return None
    name = call.function.rpartition(".")[2]
    found: list[tuple[Function, str]] = []
    for node in tree.body:
        if isinstance(node, Function) and node.name == name:
            found.append((node, ""))
        if isinstance(node, ast.ClassDef):
            methods = [each for each in node.body if isinstance(each, Function)]
            found += [(each, node.name) for each in methods if each.name == name]
    within = [each for each in found if each[0].lineno <= call.line <= (each[0].end_lineno or 0)]
    chosen = within or found
    return chosen[0] if len(chosen) == 1 else None


def _invoked(
    call: Call, path: str, module: str, found: tuple[Function, str], classes: Mapping[str, Origin]
) -> Invoked | None:
    node, within = found
    kinds = {each.id for each in node.decorator_list if isinstance(each, ast.Name)}
    told = node.args
    plain = [each.arg for each in (*told.posonlyargs, *told.args)]
    receiver, names = "", dict[str, Origin]()
    try:
        if within and "staticmethod" not in kinds:
            first = plain.pop(0) if plain else ""
            if "classmethod" not in kinds:
                receiver = _built(call.values.get(first, ""), classes, names)
        star, stars = (each.arg if each else "" for each in (told.vararg, told.kwarg))
        named = tuple(each.arg for each in told.kwonlyargs)
        wanted = [*plain, *([star] if star else ()), *named, *([stars] if stars else ())]
        arguments = {each: _built(call.values.get(each, ""), classes, names) for each in wanted}
    except NoValue:
        return None
    function = f"{within}.{node.name}" if within else node.name
    return Invoked(path, node.lineno, module, function, arguments, receiver, star, stars, named, names)


def _built(text: str, classes: Mapping[str, Origin], names: dict[str, Origin]) -> str:
    expression, needed = value(text, classes)
    names.update(needed)
    return ast.unparse(expression)
