"""Relevance: which files of a repository matter to a failure, in the order of their importance, and why.

First the files of the stack trace, the innermost call first; then a test that is about them, since a patch
has to bring one; what the failing functions use, by their imports, and by its name where none tells;
further tests; who calls the failing function; and what else is imported. The same inputs select the same.
Telemetry decides which places of the repository are looked at, and nothing else: what is chosen is a file
that is there, and never one that no patch may touch, such as secrets, or of somebody else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sentinel.core.failures import Call, Failure
from sentinel.core.frame_places import Places, placed
from sentinel.core.other_sources import imported
from sentinel.core.patch_paths import protections
from sentinel.core.prompt_parts import File, shown_path
from sentinel.core.prompts import BYTES_A_TOKEN, MAX_FILE, LeftOut
from sentinel.core.python_sources import Import, Modules, Source, used
from sentinel.core.relevant_texts import callers, closest_tests, definitions, mentions, neighbours
from sentinel.core.trees import Tree

FRAME, TEST, USED, DEFINED, CALLER, IMPORTED, NEAR = (
    *("frame", "test", "used", "defined", "caller", "imported", "near"),
)
WHY: Final[Mapping[str, str]] = {
    FRAME: "a call of the stack trace is in it",
    TEST: "it tests a file that was chosen",
    USED: "a failing function uses what it imports from it",
    DEFINED: "it defines a name that a failing function uses",
    CALLER: "it calls the failing function",
    IMPORTED: "a file of the stack trace imports it",
    NEAR: "it is in the folder of a file of the stack trace",
}
MOST: Final[Mapping[str, int]] = {
    FRAME: 10,
    TEST: 6,
    USED: 6,
    DEFINED: 4,
    CALLER: 3,
    IMPORTED: 4,
    NEAR: 6,
}
FAILING: Final = 4  # functions of the stack trace, the innermost first, whose uses are looked at
_CLOSE = 3  # tests of the stack trace's files that come before those of others
LONG: Final = 3  # a file over one part in so many of the budget is shown only around its lines
MAX_LINES: Final = 12  # lines of a file that matter
_SHOWN_ALL_THE_SAME: Final = frozenset({"test-configuration"})  # of what no patch may touch
_FOREIGN: Final = frozenset(
    {
        *("node_modules", "bower_components", ".venv", "venv", "site-packages", "vendor", "third_party"),
        *("dist", "build", "__pycache__", ".tox", ".nox", ".eggs", ".next", "generated", ".git"),
    }
)
_MADE: Final = ("_pb2.py", "_pb2_grpc.py", ".min.js", ".bundle.js", ".map", ".pb.go", ".d.ts")


_Found = tuple[str, str, Sequence[int]]  # path, why, lines


@dataclass(frozen=True, slots=True)
class Chosen:
    """One file that was chosen: why, a key of `WHY`, and the lines of it that matter."""

    path: str
    why: str
    lines: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen, in its order, the files as a prompt takes them, and what was found and left out.

    `calls` are those of the failure, with the repository's paths; the path of one that is in none is "".
    """

    chosen: tuple[Chosen, ...]
    files: tuple[File, ...] = field(repr=False)
    left_out: tuple[LeftOut, ...]
    calls: tuple[Call, ...]


def select(tree: Tree, failure: Failure, roots: Sequence[str], budget: int) -> Selection:
    """Select the files of a tree that matter to a failure. `budget` is that of the prompt, in tokens.

    `roots` are the folders from which modules are imported. What does not fit the budget twice over is left
    out here; what of the rest does not fit once, `prompts.build` leaves out. Raises nothing.
    """
    files = {path: data for path, data in tree.plain().items() if _known(path)}
    calls = placed(failure.calls, Places(files, roots))
    choice = _Choice(files, int(budget * BYTES_A_TOKEN))
    python = {path: data for path, data in files.items() if path.endswith(".py")}
    own = [each for each in calls if each.file]
    for path, why, lines in _found(files, Modules(python, roots), own) if own else ():
        choice.add(path, why, lines)
    return Selection(tuple(choice.chosen()), tuple(choice.files()), tuple(choice.left_out[:50]), calls)


def _found(files: Mapping[str, bytes], modules: Modules, own: Sequence[Call]) -> Iterator[_Found]:
    """Yield what is found in the order of importance; a path may come more than once."""
    yield from ((each.file, FRAME, [each.line] if each.line else []) for each in own)
    paths = list(dict.fromkeys(each.file for each in own))
    names = list(dict.fromkeys(each.function for each in own[:FAILING] if each.function.isidentifier()))
    about = list(closest_tests(files, paths, names))
    yield from ((path, TEST, mentions(files[path], names)) for path in about[:1])
    beyond = list(_beyond(files, modules, own[:FAILING], paths))
    yield from beyond
    yield from ((path, TEST, mentions(files[path], names)) for path in about[1:_CLOSE])
    for path in callers(files, paths, names[:1]):
        yield path, CALLER, mentions(files[path], names[:1])
    for path in paths[:FAILING]:
        yield from ((each, IMPORTED, []) for each in _imported(files, modules, path))
    beside = list(neighbours(files, paths[:FAILING]))[: MOST[NEAR]]
    yield from ((path, NEAR, []) for path in beside)
    others = list(dict.fromkeys([*(path for path, _, _ in beyond if path not in paths), *beside]))
    yield from ((path, TEST, [1]) for path in closest_tests(files, others, []))


def _beyond(
    files: Mapping[str, bytes], modules: Modules, failing: Sequence[Call], paths: Sequence[str]
) -> Iterator[_Found]:
    """Yield what the failing functions use: by their imports, then by names that no import tells."""
    missing: set[str] = set()
    for call in failing:
        if call.file.endswith(".py"):
            yield from _used(modules, call, missing)
    within = {each for path in paths if path.endswith(".py") for each in modules.source(path).defined}
    yield from ((path, DEFINED, [line]) for path, line in definitions(files, sorted(missing - within), paths))


def _used(modules: Modules, call: Call, missing: set[str]) -> Iterator[_Found]:
    """Yield what a failing function uses of its own file and of others; collect the names of unknown ones."""
    source = modules.source(call.file)
    node = source.around(call.line, call.function)
    if node is None:
        return
    names, attributes = used(node)
    yield call.file, FRAME, [source.defined[each] for each in sorted(names) if each in source.defined]
    missing |= (names | attributes) - {each.local for each in source.imports}
    for each in source.imports:
        if each.local not in names:
            continue
        for path, line in modules.definers(call.file, each):
            yield path, USED, [line] if line else _attributes(modules.source(path), attributes)
            missing -= attributes & modules.source(path).defined.keys()


def _attributes(source: Source, attributes: frozenset[str]) -> list[int]:
    return sorted(line for name, line in source.defined.items() if name in attributes)


def _imported(files: Mapping[str, bytes], modules: Modules, path: str) -> Iterator[str]:
    if not path.endswith(".py"):
        yield from imported(path, files)
        return
    for each in modules.source(path).imports:
        whole = Import(each.local, each.module, each.name, each.level)
        yield from (found for found, _ in modules.definers(path, whole))


def _known(path: str) -> bool:
    """Whether a path may be looked at at all: its name may be shown, and nobody else's work is in it."""
    return shown_path(path) and not path.endswith(_MADE) and not _FOREIGN & set(path.split("/")[:-1])


class _Choice:
    """Files as they are chosen: each once, for its first reason, within the bounds of each and of all."""

    def __init__(self, files: Mapping[str, bytes], budget: int) -> None:
        self._data = files
        self._budget = budget
        self._room = 2 * budget
        self._lines: dict[str, list[int]] = {}
        self._why: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._refused: set[str] = set()
        self.left_out: list[LeftOut] = []

    def add(self, path: str, why: str, lines: Sequence[int]) -> None:
        """Choose a file, or add to the lines of one that is chosen."""
        if path in self._refused:
            return
        if path not in self._why:
            reason = self._unfit(path, why)
            if reason:
                self._refused.add(path)
                self.left_out.append(LeftOut(path, reason))
                return
            self._why[path], self._lines[path] = why, []
            self._room -= min(len(self._data[path]), self._budget // LONG)
        known = self._lines[path]
        known += [each for each in dict.fromkeys(lines) if each not in known][: MAX_LINES - len(known)]

    def _unfit(self, path: str, why: str) -> str:
        data = self._data[path]
        if set(protections(path)) - _SHOWN_ALL_THE_SAME:
            return "no patch may touch it"
        if sum(each == why for each in self._why.values()) >= MOST[why]:
            return f"over {MOST[why]} of its kind ({why})"
        if self._room <= 0:
            return "over the budget"
        if len(data) > MAX_FILE or b"\0" in data:
            return "it is too large, or no text"
        try:
            self._texts[path] = data.decode()
        except UnicodeDecodeError:
            return "it is too large, or no text"
        return ""

    def chosen(self) -> Iterator[Chosen]:
        for path, why in self._why.items():
            yield Chosen(path, why, tuple(sorted(self._lines[path])))

    def files(self) -> Iterator[File]:
        for path in self._why:
            text = self._texts[path]
            lines = tuple(sorted(self._lines[path]))
            whole = len(text) <= self._budget // LONG or not lines
            yield File(path, text, lines, whole)
