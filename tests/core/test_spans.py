"""Spans of numbers: what they join to, leave out and hold, against sets."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.spans import Spans, any_of, joined, missing, outside

NUMBERS = st.integers(0, 30)
PAIRS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=8)


def held(spans: Spans) -> set[int]:
    """Return all numbers of spans."""
    return {n for first, end in spans for n in range(first, end)}


@given(PAIRS, NUMBERS, NUMBERS, st.lists(NUMBERS))
def test_spans_are_sets(pairs: list[tuple[int, int]], begin: int, end: int, numbers: list[int]) -> None:
    """Joined they are disjoint, in order, never next to each other, and hold what was put in."""
    spans: Spans = ()
    wanted: set[int] = set()
    for first, to in pairs:
        spans = joined(spans, first, to)
        wanted |= set(range(first, to))
    assert held(spans) == wanted
    assert all(first < to for first, to in spans)
    assert all(one[1] < other[0] for one, other in itertools.pairwise(spans))
    assert held(tuple(missing(spans, begin, end))) == set(range(begin, end)) - wanted
    ordered = sorted(numbers)
    assert outside(ordered, spans) == [n for n in ordered if n not in wanted]
    assert any_of(ordered, begin, end) == any(begin <= n <= end for n in ordered)
