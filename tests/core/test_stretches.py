"""Stretches of numbers: what they join to, leave out and hold, against sets."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.stretches import Stretches, any_of, joined, missing, outside

NUMBERS = st.integers(0, 30)
PAIRS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=8)


def held(stretches: Stretches) -> set[int]:
    """Return all numbers of stretches."""
    return {n for first, end in stretches for n in range(first, end)}


@given(PAIRS, NUMBERS, NUMBERS, st.lists(NUMBERS))
def test_spans_are_sets(pairs: list[tuple[int, int]], begin: int, end: int, numbers: list[int]) -> None:
    """Joined they are disjoint, in order, never next to each other, and hold what was put in."""
    stretches: Stretches = ()
    wanted: set[int] = set()
    for first, to in pairs:
        stretches = joined(stretches, first, to)
        wanted |= set(range(first, to))
    assert held(stretches) == wanted
    assert all(first < to for first, to in stretches)
    assert all(one[1] < other[0] for one, other in itertools.pairwise(stretches))
    assert held(tuple(missing(stretches, begin, end))) == set(range(begin, end)) - wanted
    ordered = sorted(numbers)
    assert outside(ordered, stretches) == [n for n in ordered if n not in wanted]
    assert any_of(ordered, begin, end) == any(begin <= n <= end for n in ordered)
