"""Python sources as far as it takes to find what belongs together: imports, definitions, and uses.

Read by `ast`; a source that does not parse has none of these.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from sentinel.core.patch_syntax import Unreadable, python

_HOPS = 3  # modules that hand a name on, one to the next
_HANDED = 20  # imports by which one module may hand it on
_BUILT_IN = frozenset(dir(builtins)) | {"self", "cls"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name: `local` is what it is called here, `name` what in `module`; "" for all of that.

    `level` counts the dots of a relative import.
    """

    local: str
    module: str
    name: str
    level: int


@dataclass(frozen=True)
class Source:
    """One Python file."""

    path: str
    data: bytes = field(repr=False)

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree; an empty one where it does not parse."""
        try:
            return python(self.data.decode("utf-8-sig"))
        except (Unreadable, UnicodeDecodeError):
            return ast.Module([], [])

    @cached_property
    def imports(self) -> list[Import]:
        """What it imports, wherever in it."""
        return list(_imports(self.tree))

    @cached_property
    def defined(self) -> Mapping[str, int]:
        """The names that its top level and its classes define, with the line of each."""
        return dict(reversed(list(_defined(self.tree.body))))

    def around(self, line: int, name: str) -> ast.AST | None:
        """Return the innermost function around a line; without a line the first of that name.

        What stands in no function is the module itself, if there is a line.
        """
        functions = [each for each in ast.walk(self.tree) if isinstance(each, Function)]
        if not line:
            return next((each for each in functions if each.name == name), None)
        within = [each for each in functions if _first(each) <= line <= (each.end_lineno or 0)]
        return max(within, key=lambda each: each.lineno, default=None)


def used(node: ast.AST) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names that a piece of code uses, and the attributes; not what it binds itself.

    >>> names, attributes = used(ast.parse("def f(x): return x.price * RATE + len(x)"))
    >>> sorted(names), sorted(attributes)
    (['RATE'], ['price'])
    """
    names, bound, attributes = set[str](), set(_BUILT_IN), set[str]()
    for each in ast.walk(node):
        if isinstance(each, ast.Name):
            (names if isinstance(each.ctx, ast.Load) else bound).add(each.id)
        elif isinstance(each, ast.Attribute):
            attributes.add(each.attr)
        elif isinstance(each, ast.arg):
            bound.add(each.arg)
    return frozenset(names - bound), frozenset(attributes)


class Modules:
    """Which file a module is, looked up below roots, and in which file an imported name is defined."""

    def __init__(self, files: Mapping[str, bytes], roots: Sequence[str]) -> None:
        self._files = files
        self._roots = ["" if each == "." else f"{each}/" for each in roots]
        self._sources: dict[str, Source] = {}

    def source(self, path: str) -> Source:
        """Return a file as a source, parsed at most once."""
        if path not in self._sources:
            self._sources[path] = Source(path, self._files[path])
        return self._sources[path]

    def definers(self, path: str, wanted: Import, hops: int = _HOPS) -> Iterator[tuple[str, int]]:
        """Yield (file, line) where what a file imports is defined: through packages that hand it on.

        A line is 0 where all of a module is meant.
        """
        for module, is_it in self.files_of(path, wanted):
            if is_it or not wanted.name:
                yield module, 0
                continue
            source = self.source(module)
            if line := source.defined.get(wanted.name):
                yield module, line
            elif hops:
                handed = [each for each in source.imports if each.local in {wanted.name, "*"}]
                for each in handed[:_HANDED]:
                    name = wanted.name if each.local == "*" else each.name
                    again = Import(each.local, each.module, name, each.level)
                    yield from self.definers(module, again, hops - 1)

    def files_of(self, path: str, wanted: Import) -> Iterator[tuple[str, bool]]:
        """Yield the file of an imported module, and whether the imported name is that module itself."""
        for base in self._bases(path, wanted):
            parts = "/".join(filter(None, [base, wanted.module.replace(".", "/")]))
            below = f"{parts}/{wanted.name}" if wanted.name else ""
            for name, is_it in ((below, True), (parts, False)):
                found = next(
                    (each for each in (f"{name}.py", f"{name}/__init__.py") if each in self._files), ""
                )
                if name and found:
                    yield found, is_it
                    return

    def _bases(self, path: str, wanted: Import) -> list[str]:
        if not wanted.level:
            return [each.removesuffix("/") for each in self._roots]
        folders = path.split("/")[:-1]
        if wanted.level > len(folders) + 1:
            return []
        return ["/".join(folders[: len(folders) - wanted.level + 1])]


def _imports(tree: ast.Module) -> Iterator[Import]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                yield Import(each.asname or each.name.partition(".")[0], each.name, "", 0)
        elif isinstance(node, ast.ImportFrom):
            for each in node.names:
                name = "" if each.name == "*" else each.name
                yield Import(each.asname or each.name, node.module or "", name, node.level)


def _defined(body: Sequence[ast.stmt]) -> Iterator[tuple[str, int]]:
    for node in body:
        if isinstance(node, Function):
            yield node.name, _first(node)
        elif isinstance(node, ast.ClassDef):
            yield node.name, node.lineno
            yield from _defined(node.body)
        elif isinstance(node, ast.If | ast.Try):
            yield from _defined(node.body)
        else:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            yield from ((each.id, node.lineno) for each in targets if isinstance(each, ast.Name))


def _first(node: Function) -> int:
    return min([node.lineno, *(each.lineno for each in node.decorator_list)])
