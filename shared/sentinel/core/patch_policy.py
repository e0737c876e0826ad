"""The policy gate: whether a patch may be tried at all. Code decides, never a model, and runs nothing of it.

The gate takes files before and after and the diff from whoever made them, and believes none: the diff has to
be the one that it derives itself. The same patch and policy give the same findings, in the same order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

from sentinel.core import (
    patch_dependencies,
    patch_reach,
    patch_secrets,
    patch_syntax,
    patch_test_lines,
    patch_weakened,
)
from sentinel.core.diffs import unified
from sentinel.core.edit_anchors import MAX_FILE
from sentinel.core.edit_paths import problem
from sentinel.core.edit_refusals import shown
from sentinel.core.edits import Patch
from sentinel.core.legible import legible
from sentinel.core.patch_files import Changed, changed
from sentinel.core.patch_findings import Finding, Verdict
from sentinel.core.patch_paths import allowed, is_test, matches, protections

MAX_LINE = 1_000  # characters of an added line: nobody reads a longer one
MOST_FINDINGS = 200
PLAIN = "100644"
_HOLDS_TESTS = re.compile(r"^(?:async )?def test\w*\(|^class Test\w*[(:]", re.MULTILINE)
_AWARE = re.compile(
    r"PYTEST_|\b(?:import|from)\s+(?:_?pytest|unittest)\b|['\"](?:_?pytest|unittest)['\"]|JEST_WORKER_ID|VITEST"
    r"|NODE_ENV\b.{0,20}test|\btesting\.Testing\(|RAILS_ENV\b.{0,20}test|\bos\._exit\("
)
_MODES = {"120000": "symlink", "160000": "submodule"}


@dataclass(frozen=True, slots=True)
class Policy:
    """What a recipe allows: of `paths` one matches each path, and none of `infrastructure` does."""

    paths: tuple[str, ...] = ("**",)
    infrastructure: tuple[str, ...] = ()
    max_files: int = 10
    max_changed_lines: int = 200


@dataclass(frozen=True, slots=True)
class Modes:
    """Modes as git writes them, by path: of the repository before, and those that a patch gives."""

    before: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the gate found, the gravest first."""

    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """The gravest of the findings; of none, that of a note."""
        return next((each.verdict for each in self.findings), Verdict.NOTE)


_GRAVITY = list(Verdict)


def judge(patch: Patch, policy: Policy, modes: Modes = Modes()) -> Judgement:
    r"""Return what speaks against a patch.

    >>> from sentinel.core.edits import patch_of
    >>> patch = patch_of({"src/a.py": b"x = 1\n"}, {"src/a.py": b"x = 2\n"})
    >>> judge(patch, Policy(paths=("src/**",))).verdict
    <Verdict.NOTE: 'note'>
    >>> judge(patch, Policy(paths=("lib/**",))).findings
    (Finding(rule='outside', path='src/a.py', line=0, words='no pattern of the recipe allows it'),)
    """
    large = [path for path, data in chain(patch.before.items(), patch.after.items()) if len(data) > MAX_FILE]
    if large:
        return Judgement((Finding("size", shown(large[0]), 0, f"it has more than {MAX_FILE} bytes"),))
    files = list(changed(patch))
    found = set(_whole(patch, policy, files))
    if any(each.verdict is Verdict.REFUSED for each in found):
        return _judgement(found)  # what is too large, or not what it says, is not looked into
    for file in files:
        found.update(_of_path(file, policy, modes))
        if file.text:
            found.update(_of_text(file))
    return _judgement(found)


def _judgement(found: Iterable[Finding]) -> Judgement:
    ranked = sorted(found, key=lambda each: (_GRAVITY.index(each.verdict), each.path, each.line, each))
    return Judgement(tuple(ranked[:MOST_FINDINGS]))


def _whole(patch: Patch, policy: Policy, files: list[Changed]) -> Iterator[Finding]:
    if not files:
        yield Finding("diff", "", 0, "nothing changes")
    if len(files) > policy.max_files:
        yield Finding("size", "", 0, f"{len(files)} files change; the policy allows {policy.max_files}")
    lines = sum(each.size for each in files)
    if lines > policy.max_changed_lines:
        yield Finding("size", "", 0, f"{lines} lines change; the policy allows {policy.max_changed_lines}")
    if not any(problem(each.path) for each in files) and patch.diff != unified(patch.before, patch.after):
        yield Finding("diff", "", 0, "the diff is not the one between the files")


def _of_path(file: Changed, policy: Policy, modes: Modes) -> Iterator[Finding]:
    path = file.path
    reason = problem(path)
    if reason:
        yield Finding("path", shown(path), 0, reason)
        return
    if not allowed(path, policy.paths):
        yield Finding("outside", path, 0, "no pattern of the recipe allows it")
    for rule in protections(path):
        yield Finding(rule, path, 0, "no patch changes it")
    if any(matches(pattern, path) for pattern in policy.infrastructure):
        yield Finding("infrastructure", path, 0, "no patch changes it")
    if file.text and file.after is None:
        yield Finding("deletion", path, 0, "no patch takes a file away")
    if not file.text:
        yield Finding("binary", path, 0, "it is not text in UTF-8")
    yield from _of_modes(path, modes)


def _of_modes(path: str, modes: Modes) -> Iterator[Finding]:
    names = path.split("/")
    for count in range(1, len(names) + 1):
        above = "/".join(names[:count])
        for mode in {modes.before.get(above), modes.after.get(above)} & set(_MODES):
            yield Finding(_MODES[str(mode)], path, 0, "it is one, or lies behind one")
    before = modes.before.get(path, PLAIN)
    if modes.after.get(path, before) != before:
        yield Finding("mode", path, 0, "no patch changes a mode")


def _of_text(file: Changed) -> Iterator[Finding]:
    for number, line in file.added:
        if len(line) > MAX_LINE:
            yield Finding("size", file.path, number, f"the line has more than {MAX_LINE} characters")
        if _hides(line):
            yield Finding("hidden", file.path, number, "it has characters that are not seen; escape them")
    yield from patch_secrets.findings(file)
    yield from patch_syntax.findings(file)
    yield from patch_dependencies.findings(file)
    yield from patch_reach.findings(file)
    if is_test(file.path):
        yield from _of_tests(file)
        return
    if _HOLDS_TESTS.search(file.before or ""):
        yield from (each for each in _of_tests(file) if each.verdict is Verdict.REFUSED)
    for number, line in file.added:
        if _AWARE.search(line[:MAX_LINE]):
            yield Finding("test-aware", file.path, number, "the code behaves otherwise while it is tested")


def _of_tests(file: Changed) -> Iterator[Finding]:
    if not file.path.lower().endswith(".py"):
        yield from patch_test_lines.findings(file)
        return
    try:
        yield from patch_weakened.findings(file)
    except patch_weakened.NotPython:
        yield from patch_test_lines.findings(file)


def _hides(line: str) -> bool:
    bare = line.replace("\t", "").replace("\f", "").replace('"', "").replace("\\", "")
    return legible(bare) != f'"{bare}"'
