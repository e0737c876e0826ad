"""JUnit reports as pytest writes them, read as text that the tested program may have written."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

MAX_REPORT: Final = 8_000_000  # bytes
MOST_TESTS: Final = 20_000
MAX_MESSAGE: Final = 400  # characters that are looked at
PASSED, FAILED, ERROR, SKIPPED = "passed", "failed", "error", "skipped"
_KINDS: Final = {"failure": FAILED, "error": ERROR, "skipped": SKIPPED}


@dataclass(frozen=True, slots=True)
class Results:
    """What a run of a suite says of each test, by `class::name`.

    `messages` are the first words of why a test did not pass. `broken` are the files that could not be
    collected, by their dotted names.
    """

    tests: Mapping[str, str]
    messages: Mapping[str, str] = field(default_factory=dict, repr=False)
    broken: tuple[str, ...] = ()

    def named(self, result: str) -> set[str]:
        """Return the tests with a result."""
        return {name for name, each in self.tests.items() if each == result}

    @property
    def failed(self) -> set[str]:
        """The tests that failed, or could not be set up or taken down."""
        return self.named(FAILED) | self.named(ERROR)


def results_of(report: bytes) -> Results | None:
    r"""Return what a report says, or None where it is none.

    >>> results_of(b'<testsuite><testcase classname="tests.test_a" name="test_b"/></testsuite>').tests
    {'tests.test_a::test_b': 'passed'}
    """
    if not report or len(report) > MAX_REPORT or b"<!" in report.replace(b"<![CDATA[", b""):
        return None  # no entity is ever expanded
    try:
        root = ET.fromstring(report)  # noqa: S314 - without a document type there is nothing to expand
    except (ET.ParseError, ValueError, LookupError):
        return None
    tests: dict[str, str] = {}
    messages: dict[str, str] = {}
    broken = []
    for case in list(root.iter("testcase"))[:MOST_TESTS]:
        name, result, message = _case(case)
        if not case.get("classname"):
            broken.append(case.get("name", ""))
        elif tests.get(name, PASSED) in {PASSED, SKIPPED}:  # a test that fails twice is told twice
            tests[name] = result
            messages[name] = message
    return Results(tests, {name: each for name, each in messages.items() if each}, tuple(broken))


def _case(case: ET.Element) -> tuple[str, str, str]:
    name = f"{case.get('classname', '')}::{case.get('name', '')}"[:400]
    for child in case:
        if child.tag in _KINDS:
            return name, _KINDS[child.tag], (child.get("message") or "")[:MAX_MESSAGE]
    return name, PASSED, ""


def file_of(name: str) -> str:
    """Return the dotted name of the module, and class, that a test is in."""
    return name.partition("::")[0]


def belongs(name: str, path: str) -> bool:
    """Whether a test is in the file at a path.

    >>> [belongs(each, "tests/test_a.py") for each in ("tests.test_a.TestIt::test_b", "tests.test_ab::c")]
    [True, False]
    """
    dotted = path.removesuffix(".py").replace("/", ".")
    return f"{file_of(name)}.".startswith(f"{dotted}.")
