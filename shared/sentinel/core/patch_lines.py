"""Which lines of which Python files a patch changes, apart from its tests."""

from __future__ import annotations

from dataclasses import dataclass, field

from sentinel.core.edits import Patch
from sentinel.core.patch_files import Changed, changed
from sentinel.core.patch_paths import is_test


@dataclass(frozen=True, slots=True)
class Source:
    """A changed source file: its text after and before, and the numbers of the lines that are new."""

    path: str
    text: str = field(repr=False)
    lines: frozenset[int]
    before: str = field(default="", repr=False)


def sources(patch: Patch) -> list[Source]:
    """Return the changed Python files that are no tests."""
    return [
        Source(file.path, file.after, _numbers(file), file.before or "")
        for file in changed(patch)
        if file.path.endswith(".py") and not is_test(file.path) and file.text and file.after is not None
    ]


def _numbers(file: Changed) -> frozenset[int]:
    return frozenset(number for number, line in file.added if line.strip())


def changed_lines(patch: Patch) -> int:
    """Return how many lines come and go outside of tests."""
    return sum(file.size for file in changed(patch) if not is_test(file.path))
