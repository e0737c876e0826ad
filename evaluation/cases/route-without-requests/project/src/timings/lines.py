"""Reads the lines that the service writes for each request: `GET /orders 200 31`."""

from __future__ import annotations

from collections.abc import Iterable


class BadLine(ValueError):
    """A line is not of the form that the service writes."""


def timings_of(lines: Iterable[str]) -> dict[str, list[int]]:
    """Return milliseconds by route, in the order of the lines. Raises `BadLine`."""
    timings: dict[str, list[int]] = {}
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if len(words) != 4 or not words[3].isdigit():
            raise BadLine(f"line {number} is not METHOD ROUTE STATUS MILLISECONDS")
        timings.setdefault(words[1], []).append(int(words[3]))
    return timings
