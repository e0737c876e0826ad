"""Runs of a suite refuse a patch by rules, and their reports are believed only where all agrees."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sentinel.core.canaries import canary_of
from sentinel.core.edits import patch_of
from sentinel.core.junit import Results, results_of
from sentinel.core.proof_tests import SuiteRun, Suites, brought, expected, reasons, rewritten, startable
from sentinel.core.proving import Ran
from sentinel.errors import Malformed

CANARY = canary_of(["tests/test_a.py"], ["pytest"], b"seed")
SINGING = {**dict.fromkeys(CANARY.fail, "failed"), **dict.fromkeys(CANARY.succeed, "passed")}
PATCH = patch_of({}, {"tests/test_new.py": b"def test_n(): pass\n"})
OLD, NEW = "tests.test_a::test_o", "tests.test_new::test_n"


def ran(code: int = 1, ended: str = "", messages: dict[str, str] | None = None, **tests: str) -> SuiteRun:
    """Return a run in which the canaries sing and `old` and `new` end as said."""
    named = {{"old": OLD, "new": NEW}[name]: result for name, result in tests.items()}
    return SuiteRun(Ran(code, b"", b"", 1.0, ended), Results({**SINGING, **named}, messages or {}))


GOOD = Suites(
    ran(old="passed"),
    ran(old="passed", new="failed", messages={NEW: "shop.Empty: none"}),
    ran(old="passed", new="passed"),
    ran(old="passed", new="passed"),
)


def rules(suites: Suites, *, reproduced: bool = False) -> set[str]:
    """Return the rules that speak against a patch."""
    new = brought(suites, PATCH, CANARY, "Empty")
    return {each.rule for each in reasons(suites, new, CANARY, reproduced=reproduced)}


def test_a_test_that_fails_before_and_passes_after_is_evidence() -> None:
    """Nothing speaks against it, and by the trace's exception it failed."""
    assert rules(GOOD) == set()
    new = brought(GOOD, PATCH, CANARY, "Empty")
    assert (new.tests, new.failed, new.reproduces, new.declares) == ({NEW}, {NEW}, True, False)


def test_an_assertion_on_a_value_declares_that_results_change() -> None:
    """It failed before by what it demands, not by the trace's exception."""
    mixed = ran(old="passed", new="failed", messages={NEW: "assert 3 == 4"})
    new = brought(replace(GOOD, mixed=mixed), PATCH, CANARY, "Empty")
    assert (new.reproduces, new.declares) == (False, True)


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"mixed": ran(old="passed", new="passed")}, "test-passes-before"),
        ({"mixed": ran(old="passed")}, "test-passes-before"),
        ({"after": ran(old="passed", new="failed")}, "test-fails"),
        ({"after": ran(old="failed", new="passed")}, "regression"),
        ({"after": ran(old="skipped", new="passed")}, "regression"),
        ({"after": ran(new="passed")}, "tests-vanished"),
        ({"after": ran(old="passed")}, "no-new-test"),
        ({"after": ran(code=0, old="passed", new="passed")}, "report-forged"),
        ({"after": SuiteRun(Ran(0, b"", b""), None)}, "report-forged"),
        ({"again": SuiteRun(Ran(0, b"", b""), None)}, "report-forged"),
        ({"after": ran(code=-9, ended="seconds")}, "hangs"),
    ],
)
def test_each_rule_refuses(changed: dict[str, SuiteRun], rule: str) -> None:
    """One run otherwise than it has to be is enough."""
    assert rules(replace(GOOD, **changed)) == {rule}


@pytest.mark.parametrize("name", sorted(CANARY.names))
def test_tests_that_are_made_to_pass_or_fail_are_noticed(name: str) -> None:
    """A canary that does not end as it has to means that nothing in the report is believed."""
    assert GOOD.after.results is not None
    other = "passed" if SINGING[name] == "failed" else "failed"
    forged = Results({**GOOD.after.results.tests, name: other})
    assert rules(replace(GOOD, after=SuiteRun(Ran(1, b"", b""), forged))) == {"report-forged"}


def test_a_failing_call_of_the_trace_stands_for_a_new_test() -> None:
    """It does not stand for one that passed before: whoever brings a test brings one that shows something."""
    assert rules(replace(GOOD, after=ran(old="passed")), reproduced=True) == set()
    mixed = ran(old="passed", new="passed")
    assert rules(replace(GOOD, mixed=mixed), reproduced=True) == {"test-passes-before"}


def test_what_failed_before_may_fail() -> None:
    """Only what passed before has to pass."""
    failing = replace(GOOD, before=ran(old="failed"), after=ran(old="failed", new="passed"))
    assert rules(failing) == set()


def test_a_changed_test_passes_as_it_was() -> None:
    """A test that demands something else than before is not what proves a patch."""
    assert list(rewritten({OLD}, ran(old="passed"))) == []
    assert [each.rule for each in rewritten({OLD}, ran(old="failed"))] == ["test-rewritten"]


@pytest.mark.parametrize(
    ("before", "word"),
    [
        (SuiteRun(Ran(4, b"", b""), None), "report"),
        (SuiteRun(Ran(5, b"", b""), Results({})), "no tests"),
        (SuiteRun(Ran(2, b"", b""), Results({OLD: "passed"}, {}, ("tests.test_b",))), "collected"),
        (ran(code=-9, ended="memory", old="passed"), "memory"),
    ],
)
def test_a_suite_that_cannot_be_run_is_no_fault_of_the_patch(before: SuiteRun, word: str) -> None:
    """The message says what to change."""
    with pytest.raises(Malformed, match=word):
        startable(before)


@pytest.mark.parametrize(
    "report",
    [
        b"",
        b"<a",
        b'<!DOCTYPE a [<!ENTITY b "c">]><testsuite/>',
        b'<?xml version="1.0" encoding="utf-99"?><a/>',
        "<a/>".encode("utf-16")[:5],
    ],
)
def test_a_report_that_is_none_is_not_read(report: bytes) -> None:
    """Entities are never expanded, and nothing of a broken report is believed."""
    assert results_of(report) is None


def test_a_test_that_fails_anywhere_failed() -> None:
    """A test that is told twice is as bad as the worse."""
    case = '<testcase classname="a" name="b">{}</testcase>'
    text = f"<testsuites><testsuite>{case.format('<failure/>')}{case.format('')}</testsuite></testsuites>"
    assert results_of(text.encode()) == Results({"a::b": "failed"})


def test_an_exception_is_expected_by_calls_alone() -> None:
    """No comment and no text excuses a failure that remains."""
    said = "# raises(KeyError)\n'pytest.raises(OSError)'\n"
    calls = (
        "with pytest.raises((app.Late, ValueError), match='x'):\n    f()\nself.assertRaises(TypeError, f)\n"
    )
    after = f"def test_a():\n    pass\n\n\n{said}{calls}"
    patch = patch_of({"tests/test_a.py": b"def test_a():\n    pass\n"}, {"tests/test_a.py": after.encode()})
    assert expected(patch) == {"Late", "ValueError", "TypeError"}
