"""The states of a repository that a proof runs: before, with the patch, and mixed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sentinel.core.edit_paths import problem
from sentinel.core.edits import Patch
from sentinel.core.patch_paths import is_test
from sentinel.core.patch_units import Unit
from sentinel.core.trees import EXECUTABLE, PLAIN, Held, Tree

Files = Mapping[str, Held]


@dataclass(frozen=True, slots=True)
class States:
    """Files before, with the patch, and `mixed`: the patch's tests on the code as it was."""

    before: Files = field(repr=False)
    after: Files = field(repr=False)
    mixed: Files = field(repr=False)


def states_of(tree: Tree, patch: Patch) -> States:
    """Return the states. What is no plain file with a safe path is in none of them."""
    before = {
        path: each
        for path, each in tree.files.items()
        if each.mode in {PLAIN, EXECUTABLE} and not problem(path)
    }
    touched = {*patch.before, *patch.after}
    after = _with(before, patch, touched)
    return States(before, after, _with(before, patch, {path for path in touched if is_test(path)}))


def _with(before: Files, patch: Patch, paths: set[str]) -> Files:
    """Return files of which some are as the patch has them."""
    files = dict(before)
    for path in paths:
        if path in patch.after:
            files[path] = Held(before[path].mode if path in before else PLAIN, patch.after[path])
        else:
            files.pop(path, None)
    return files


def without(states: States, unit: Unit) -> Files:
    """Return the files with the patch, but for one of its units."""
    files = dict(states.after)
    if unit.without is None:
        del files[unit.path]
    else:
        files[unit.path] = Held(files[unit.path].mode, unit.without)
    return files


def python_of(files: Files) -> dict[str, str]:
    """Return the Python files that are no tests, as far as they are text."""
    return {
        path: each.data.decode(errors="replace")
        for path, each in files.items()
        if path.endswith(".py") and not is_test(path)
    }


def tests_of(files: Files) -> list[str]:
    """Return the paths of the files that hold Python's tests."""
    names = ((path, path.rpartition("/")[2]) for path in files if path.endswith(".py"))
    return sorted(
        path
        for path, name in names
        if is_test(path) and (name.startswith("test_") or name.endswith("_test.py"))
    )
