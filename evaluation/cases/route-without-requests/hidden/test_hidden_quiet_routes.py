import pytest

from timings.report import HEAD, report
from timings.summary import Summary, summarise


def rows(*args):
    return [row.split() for row in report(*args).splitlines()[1:]]


def test_a_route_without_requests_has_no_figures():
    assert rows(["/invoices"], ["GET /orders 200 31"], {}) == [["/invoices", "0", "-", "-", "-"]]


def test_its_limit_is_still_shown():
    assert rows(["/invoices"], [], {"/invoices": 500}) == [["/invoices", "0", "-", "-", "500"]]


def test_a_quiet_route_stands_among_others():
    lines = ["GET /orders 200 31", "GET /orders 200 0"]
    assert rows(["/a", "/orders", "/b"], lines, {}) == [
        ["/a", "0", "-", "-", "-"],
        ["/orders", "2", "31", "31", "-"],
        ["/b", "0", "-", "-", "-"],
    ]


def test_a_measured_zero_is_shown_as_zero():
    assert rows(["/health"], ["GET /health 200 0"], {}) == [["/health", "1", "0", "0", "-"]]


def test_columns_stay_aligned():
    widths = {len(row) for row in report(["/a", "/orders"], ["GET /orders 200 31"], {}).splitlines()}
    assert widths == {len(HEAD) + 8}


@pytest.mark.parametrize("values", [[5], [5, 1], [0, 0, 9]])
def test_figures_of_requests_stay_what_they_were(values):
    assert summarise(values) == Summary(len(values), max(values), max(values))
