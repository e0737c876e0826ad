"""Sums up the response times of one route."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """How many requests there were, and their milliseconds: of 95 in a hundred at most, and of the slowest."""

    count: int
    p95: int
    worst: int


def summarise(values: list[int]) -> Summary:
    """Return the figures of a list of milliseconds, by the nearest rank."""
    ordered = sorted(values)
    worst = max(ordered)
    rank = -(-95 * len(ordered) // 100)
    return Summary(len(ordered), ordered[rank - 1], worst)
