"""The table that is sent every morning: one row for each route that the service has, asked for or not.

A figure that is not known is shown as `-`, never as 0: a 0 would look like the best day of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from timings.lines import timings_of
from timings.summary import Summary, summarise

HEAD = f"{'route':<16}{'count':>6}{'p95':>8}{'worst':>8}"


def figure(value: int | None) -> str:
    """Return a figure as a cell of the table."""
    return "-" if value is None else str(value)


def row(route: str, summary: Summary, limit: int | None) -> str:
    """Return a route's row; `limit` are the milliseconds that were promised for it, if any."""
    return f"{figures(route, summary)}{figure(limit):>8}"


def figures(route: str, summary: Summary) -> str:
    """Return the part of a row that was measured."""
    return f"{route:<16}{summary.count:>6}{summary.p95:>8}{summary.worst:>8}"


def report(routes: Sequence[str], lines: Iterable[str], limits: dict[str, int]) -> str:
    """Return the table of a day's lines. Raises `BadLine`."""
    timings = timings_of(lines)
    rows = [row(route, summarise(timings.get(route, [])), limits.get(route)) for route in routes]
    return "\n".join([f"{HEAD}{'limit':>8}", *rows])
