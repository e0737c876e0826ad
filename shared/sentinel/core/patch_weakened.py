"""Tests that a patch weakens in Python: the file before against the file after, function by function.

Refused is what lets a fault pass that was noticed before. Any other change of a test that was there needs a
person: whether new values are right, no rule can tell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from sentinel.core import patch_surroundings
from sentinel.core.patch_asserts import Demand, looser
from sentinel.core.patch_files import Changed
from sentinel.core.patch_findings import Finding
from sentinel.core.patch_python_tests import Suite, Unit, suite_of
from sentinel.core.patch_syntax import Unreadable, python


class NotPython(ValueError):
    """A file cannot be read as Python before or after, so it has to be looked at as lines."""


def findings(file: Changed) -> list[Finding]:
    """Return how a file's tests are weakened. Raises `NotPython` where it cannot be read."""
    try:
        one, other = (python((text or "").removeprefix("\ufeff")) for text in (file.before, file.after))
        before, after = suite_of(one), suite_of(other)
        found = list(_compared(file.path, before, after))
        found += patch_surroundings.findings(file.path, one, other, {*before.units, *after.units})
    except (Unreadable, RecursionError):
        raise NotPython from None
    return found


def _compared(path: str, before: Suite, after: Suite) -> Iterator[Finding]:
    yield from _skipped(path, before, after)
    for name, value in before.tolerances.items():
        if after.tolerances.get(name, value) != value:
            yield Finding("assert-loosened", path, 0, "a constant changes that tells a tolerance")
    for name, unit in before.units.items():
        if name not in after.units:
            rule = "test-removed" if unit.is_test else "assert-removed"
            yield Finding(rule, path, unit.line, f"{name} is gone")
            continue
        found = list(_weaker(path, unit, after.units[name]))
        yield from found
        if not found and unit.text != after.units[name].text:
            yield Finding("test-changed", path, after.units[name].line, f"{name} is changed")
    for name, unit in after.units.items():
        if name not in before.units:
            yield from _weaker(path, Unit(name, unit.line, unit.is_test), unit)


def _skipped(path: str, before: Suite, after: Suite) -> Iterator[Finding]:
    for mark, count in after.skips.items():
        if count > before.skips[mark]:
            yield Finding("test-skipped", path, 0, f"there is more of {mark} than before")


def _weaker(path: str, old: Unit, new: Unit) -> Iterator[Finding]:
    name = new.name
    if new.count > old.count:
        yield Finding("test-removed", path, new.line, f"{name} is defined again, so the first is not run")
    if old.is_test and not new.is_test:
        yield Finding("test-removed", path, new.line, f"{name} is no test any more")
    if new.cases < old.cases:
        yield Finding("test-removed", path, new.line, f"{name} has fewer cases than before")
    if new.is_test and new.yields and not old.yields:
        yield Finding("test-skipped", path, new.line, f"{name} yields, so it is not run as a test")
    if new.swallowed > old.swallowed:
        yield Finding("assert-swallowed", path, new.line, f"{name} catches the failure of an assertion")
    if _lost(old, new):
        yield Finding("assert-unreached", path, new.line, f"{name} may not reach an assertion")
    yield from _demanding(path, old, new)


def _lost(old: Unit, new: Unit) -> bool:
    """Whether assertions were reached for certain that are not now; new ones may stand where they like."""
    moved = (old.reached - new.reached) & (new.unreached - old.unreached)
    fewer = new.reached.total() < old.reached.total() and new.unreached.total() > old.unreached.total()
    return bool(moved) or fewer


def _demanding(path: str, old: Unit, new: Unit) -> Iterator[Finding]:
    gone, came = _differing(old.demands, new.demands)
    for each in came:
        if each.trivial:
            yield Finding("assert-trivial", path, each.line, f"{new.name} asserts what is always so")
    real = [each for each in came if not each.trivial]
    lost = [each for each in gone if not each.trivial]
    if len(real) < len(lost):
        yield Finding("assert-removed", path, new.line, f"{new.name} asserts less often than before")
    for one, other in zip(lost, real, strict=False):
        if looser(one, other):
            yield Finding("assert-loosened", path, other.line, f"{new.name} accepts more than before")


def _differing(old: list[Demand], new: list[Demand]) -> tuple[list[Demand], list[Demand]]:
    """Return the demands that only one side has, the strictest first, so that like is told from like."""
    before, after = (Counter(each.text for each in side) for side in (old, new))
    gone = _beyond(old, after)
    came = _beyond(new, before)
    return sorted(gone, key=lambda each: -each.rank), sorted(came, key=lambda each: -each.rank)


def _beyond(side: list[Demand], other: Counter[str]) -> list[Demand]:
    left, found = other.copy(), []
    for each in side:
        if left[each.text] > 0:
            left[each.text] -= 1
        else:
            found.append(each)
    return found
