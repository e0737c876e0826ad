"""What runs of a suite before and after a patch prove. A report is believed only where all else agrees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from sentinel.core.canaries import Canary
from sentinel.core.edits import Patch
from sentinel.core.junit import PASSED, Results, belongs
from sentinel.core.near_values import shape
from sentinel.core.patch_files import changed
from sentinel.core.patch_paths import is_test
from sentinel.core.patch_syntax import Unreadable, python
from sentinel.core.proven import reason
from sentinel.core.proving import Ran, Reason
from sentinel.errors import Malformed

NAMED: Final = 5  # tests that are named in words
_EXPECT: Final = frozenset({"raises", "assertRaises", "assertRaisesRegex"})
_ASSERTED: Final = ("assert ", "AssertionError", "Failed: DID NOT RAISE", "Failed: ")


@dataclass(frozen=True, slots=True)
class SuiteRun:
    """One run of a suite: what ran, and what its report says, if there is one."""

    ran: Ran
    results: Results | None


@dataclass(frozen=True, slots=True)
class Suites:
    """Four runs: before; the tests of the patch on the code as it was; with the patch, and that once more."""

    before: SuiteRun
    mixed: SuiteRun
    after: SuiteRun
    again: SuiteRun


@dataclass(slots=True)
class Brought:
    """The tests that a patch brings: those that failed before, and how. `by_it`: by the trace's exception."""

    tests: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    unrun: set[str] = field(default_factory=set)
    by_it: set[str] = field(default_factory=set)
    declares: bool = False

    @property
    def reproduces(self) -> bool:
        """Whether one failed by the trace's exception."""
        return bool(self.by_it)


def startable(before: SuiteRun) -> Results:
    """Return what the suite says as it is. Raises `Malformed` where that cannot be told."""
    if before.ran.ended:
        raise Malformed(
            f"the repository's tests do not end within their limits ({before.ran.ended}): raise these, or "
            "name a command that runs fewer tests"
        )
    results = before.results
    if results is None:
        raise Malformed(
            f"the repository's tests end with {before.ran.code} and write no report: their command has to "
            "write JUnit XML to {report}, and their environment has to have what they import"
        )
    if results.broken:
        raise Malformed(
            f"{len(results.broken)} of the repository's files of tests cannot be collected: what they import "
            "has to be in their environment"
        )
    if not results.tests:
        raise Malformed("the repository has no tests that their command finds: a patch cannot be proven")
    return results


def brought(suites: Suites, patch: Patch, canary: Canary, exception: str) -> Brought:
    """Return what the patch's own tests are. `exception` is the type of the trace."""
    paths = [each.path for each in changed(patch) if is_test(each.path)]
    before = suites.before.results
    after = suites.after.results
    found = Brought()
    if before is None or after is None:
        return found
    found.tests = {
        each
        for each in set(after.tests) - set(before.tests) - canary.names
        if any(belongs(each, path) for path in paths)
    }
    mixed = suites.mixed.results or Results({})
    found.failed = found.tests & mixed.failed
    found.unrun = found.tests - set(mixed.tests)
    told = {each: mixed.messages.get(each, "") for each in found.failed}
    found.by_it = {each for each in told if type_of(told[each]) == type_of(exception)}
    found.declares = any(asserted(told[each]) for each in found.failed - found.by_it)
    return found


def type_of(message: str) -> str:
    """Return the type of an exception, without its module, from how a report or a trace tells it."""
    return message.partition(":")[0].rpartition(".")[2].strip()


def asserted(message: str) -> bool:
    """Whether a test failed by what it demands."""
    return message.startswith(_ASSERTED)


def expected(patch: Patch) -> set[str]:
    """Return the types of exceptions that lines of tests which a patch adds expect."""
    found: set[str] = set()
    for file in changed(patch):
        if is_test(file.path):
            lines = {number for number, _ in file.added}
            found |= {name for line, name in _raised(file.after) if line in lines}
    return found


def _raised(text: str | None) -> Iterator[tuple[int, str]]:
    """Yield (line, type of exception) of each call by which a test expects one: no comment or text is one."""
    for node in _nodes(text):
        if isinstance(node, ast.Call) and node.args and _name(node.func) in _EXPECT:
            first = node.args[0]
            for each in first.elts if isinstance(first, ast.Tuple) else [first]:
                yield node.lineno, _name(each)


def _name(node: ast.expr) -> str:
    """Return the last name of a dotted one, "" for anything else."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def shapes(patch: Patch) -> set[str]:
    """Return the shapes of the texts that a patch's tests name, and that were not in these files before."""
    found: set[str] = set()
    for file in changed(patch):
        if is_test(file.path) and file.path.endswith(".py"):
            found |= {shape(each) for each in _texts(file.after) - _texts(file.before)}
    return found


def _nodes(text: str | None) -> list[ast.AST]:
    try:
        return list(ast.walk(python((text or "").removeprefix("\ufeff"))))
    except Unreadable:
        return []


def _texts(text: str | None) -> set[str]:
    return {
        node.value for node in _nodes(text) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def reasons(suites: Suites, new: Brought, canary: Canary, *, reproduced: bool) -> Iterator[Reason]:
    """Yield what speaks against a patch by its tests. `reproduced`: the trace's call was made again."""
    if suites.after.ran.ended:
        yield reason("hangs", f"the tests were killed at their limit: {suites.after.ran.ended}")
        return
    before, after = suites.before.results, suites.after.results
    if before is None or after is None or _forged(suites, canary):
        yield reason(
            "report-forged", f"the tests ended with {suites.after.ran.code}, which their report denies"
        )
        return
    yield from _compared(before, after, canary)
    bad = sorted(each for each in new.tests if after.tests[each] != PASSED)
    if bad:
        yield reason("test-fails", f"{len(bad)} of the patch's {len(new.tests)} tests: {_named(bad)}")
    if not new.tests and not reproduced:
        yield reason("no-new-test", "no test was added that the suite runs")
    if new.tests and not (new.failed or (new.unrun and reproduced)):
        yield reason("test-passes-before", f"{len(new.tests)} tests are new: {_named(sorted(new.tests))}")


def _compared(before: Results, after: Results, canary: Canary) -> Iterator[Reason]:
    passed = before.named(PASSED) - canary.names
    gone = sorted(set(before.tests) - set(after.tests))
    if gone or after.broken:
        names = [*gone, *after.broken]
        yield reason("tests-vanished", f"{len(names)}: {_named(names)}")
    worse = sorted(each for each in passed & set(after.tests) if after.tests[each] != PASSED)
    if worse:
        yield reason("regression", f"{len(worse)} of {len(passed)} tests: {_named(worse)}")


def _forged(suites: Suites, canary: Canary) -> bool:
    """Whether the run with the patch ended otherwise than it says, or its canaries lived that have to die."""
    for each in (suites.after, suites.again):
        if each.results is None:
            return True
        if bool(each.ran.code) != bool(each.results.failed or each.results.broken):
            return True
        if suites.before.results is not None and not canary.sings(suites.before.results):
            continue  # it is not collected here, so it tells nothing
        if not canary.sings(each.results):
            return True
    return False


def unsteady(suites: Suites) -> list[str]:
    """Return the tests that two runs with the patch do not agree about."""
    one, other = suites.after.results, suites.again.results
    if one is None or other is None:
        return []
    return sorted(each for each in one.tests if other.tests.get(each) != one.tests[each])


def steady(suites: Suites) -> set[str]:
    """Return the tests that passed with the patch, in both runs."""
    one, other = suites.after.results, suites.again.results
    return one.named(PASSED) & other.named(PASSED) if one and other else set()


def at_nothing(usual: set[str], tested: SuiteRun) -> Iterator[Reason]:
    """Yield whether tests notice that the same program is written otherwise, which says nothing of it."""
    told = tested.results.tests if tested.results else {}
    worse = sorted(each for each in usual if told.get(each) != PASSED)
    if worse:
        words = "tests fail where nothing but spaces changes, so they look at the text or at how they are run"
        yield reason("unnoticed", f"{len(worse)} {words}: {_named(worse)}")


def by_the_text(new: Brought, tested: SuiteRun) -> Iterator[Reason]:
    """Yield whether tests that failed before pass where the new lines only stand in a file."""
    told = tested.results.tests if tested.results else {}
    text = sorted(each for each in new.failed if told.get(each) == PASSED)
    if text:
        words = "tests pass where the new lines stand in a file that does not run them"
        yield reason("test-passes-before", f"{len(text)} {words}: {_named(text)}")


def rewritten(passed: set[str], tested: SuiteRun) -> Iterator[Reason]:
    """Yield whether tests that passed do not, as they were, with what the patch makes of the code."""
    told = tested.results.tests if tested.results else {}
    worse = sorted(each for each in passed if told.get(each) != PASSED)
    if worse:
        yield reason("test-rewritten", f"{len(worse)}: {_named(worse)}")


def _named(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(each[:120] for each in names[:NAMED]) + more
