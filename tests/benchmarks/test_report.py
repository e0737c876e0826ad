"""The shape in which benchmarks report."""

from __future__ import annotations

import json

import pytest

from benchmarks.report import report


@pytest.mark.parametrize(
    ("figures", "targets", "met"),
    [
        ({"rate": 5.0}, {"rate": {"at_least": 5}}, True),
        ({"rate": 4.9}, {"rate": {"at_least": 5}}, False),
        ({"ms": 5.0, "other": 1.0}, {"ms": {"at_most": 5}}, True),
        ({"ms": 5.1}, {"ms": {"at_most": 5}}, False),
        ({"x": 3.0}, {"x": {"at_least": 1, "at_most": 2}}, False),
        ({"x": 3.0}, {}, True),
    ],
)
def test_the_last_line_is_json(
    figures: dict[str, float],
    targets: dict[str, dict[str, float]],
    met: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With JSON asked for, the last line has the figures, the targets, and whether they are met."""
    assert report("b", figures, targets, as_json=True) is met
    last = capsys.readouterr().out.splitlines()[-1]
    assert json.loads(last) == {"benchmark": "b", "figures": figures, "targets": targets, "met": met}


def test_a_target_without_a_figure_is_an_error() -> None:
    """A target that nothing was measured for is a mistake in the benchmark, not a pass."""
    with pytest.raises(KeyError, match="missing"):
        report("b", {}, {"missing": {"at_least": 1}}, as_json=False)
