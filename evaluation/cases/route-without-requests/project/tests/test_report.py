import pytest

from timings.lines import BadLine
from timings.report import report

LINES = ["GET /orders 200 31", "GET /orders 500 250", "GET /health 200 1"]


def test_a_report_has_a_row_for_each_route():
    rows = [row.split() for row in report(["/health", "/orders"], LINES, {}).splitlines()]
    assert rows == [
        ["route", "count", "p95", "worst", "limit"],
        ["/health", "1", "1", "1", "-"],
        ["/orders", "2", "250", "250", "-"],
    ]


def test_a_limit_that_was_promised_is_shown():
    assert report(["/orders"], LINES, {"/orders": 300}).splitlines()[1].split()[-1] == "300"


def test_a_line_of_another_form_is_an_error():
    with pytest.raises(BadLine, match="line 2"):
        report(["/orders"], ["GET /orders 200 31", "GET /orders"], {})
