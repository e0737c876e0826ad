"""Canaries: tests of Sentinel's own beside those of a project, three of which have to fail.

Code under test runs in the process that reports on it, and can make every test pass. One that does makes
these pass, too. Their names cannot be known to who wrote the patch, for they depend on it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from sentinel.core.junit import FAILED, PASSED, Results

_TEXT: Final = '''"""Whether tests that have to fail do."""

import unittest

import pytest


def test_{name}_a():
    first, second = [1], [2]
    assert first == second


def test_{name}_b():
    with pytest.raises(LookupError):
        len([])


def test_{name}_c():
    unittest.TestCase().assertEqual(len([1]), 2)


def test_{name}_d():
    with pytest.raises(LookupError):
        [][0]
    assert len([1]) == 1
'''


@dataclass(frozen=True, slots=True)
class Canary:
    """A file of tests: where it is put, and which of its tests have to fail and to pass."""

    path: str
    data: bytes = field(repr=False)
    fail: frozenset[str] = frozenset()
    succeed: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """All of its tests."""
        return self.fail | self.succeed

    def sings(self, results: Results) -> bool:
        """Whether its tests are told as they have to be."""
        told = results.tests
        return all(told.get(each) == FAILED for each in self.fail) and all(
            told.get(each) == PASSED for each in self.succeed
        )


NO_CANARY: Final = Canary("", b"")


def canary_of(paths: Collection[str], command: Collection[str], seed: bytes) -> Canary:
    """Return the canary for a project with these files of tests; it has no path where pytest is not used.

    >>> canary_of(["tests/test_a.py"], ["pytest"], b"").path
    'tests/test_a_e3b0c44298.py'
    """
    usual = [each for each in sorted(paths) if each.endswith(".py") and _usual(each.rpartition("/")[2])]
    if not usual or not any("pytest" in each for each in command):
        return NO_CANARY
    folder, slash, file = usual[0].rpartition("/")
    name = sha256(seed).hexdigest()[:10]
    stem = file.removesuffix(".py")
    own = f"{stem}_{name}" if stem.startswith("test_") else f"x{name}_{stem}"
    dotted = f"{folder}{slash}{own}".replace("/", ".")
    tests = {letter: f"{dotted}::test_{name}_{letter}" for letter in "abcd"}
    return Canary(
        f"{folder}{slash}{own}.py",
        _TEXT.format(name=name).encode(),
        frozenset(tests[each] for each in "abc"),
        frozenset({tests["d"]}),
    )


def _usual(name: str) -> bool:
    return name.startswith("test_") or name.endswith("_test.py")
