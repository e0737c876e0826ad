"""What the command line tells of patches: what is approved can be read, and counts are of what they name."""

from __future__ import annotations

from sentinel.cli.approvals import _told
from sentinel.cli.patches import _evidence


def test_a_diff_that_is_asked_about_stands_in_lines_of_its_own() -> None:
    """Each line is led in, so that none passes for what Sentinel says; the rest of the plan is one line."""
    lines = list(_told("plan", {"into": "main", "diff": "+a\ndigest  0\n"}))
    assert lines[0] == ("  plan", '{"into": "main", "diff": "as follows"}')
    assert lines[1:] == [("  diff", "+a"), ("  diff", "digest  0"), ("  diff", "")]
    bounded = {"diff": {"bytes": 9, "begins": "+a"}}
    assert [name for name, _ in _told("plan", bounded)] == ["  plan"]


def test_calls_that_end_well_are_counted_of_those_that_failed_again() -> None:
    """Those that still fail further in are no measure: where all end well there are none."""
    seen = {"calls": {"derived": ["a:1 f", "b:2 g"], "ended": 2, "remain": 0, "inside": 0}}
    assert dict(_evidence({"seen": seen}))["calls of the trace"] == "2 of 2 end well"
