"""Rates: reserved times keep their distance, and what is given back is used."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.rates import Rated, given_back, interval_of, packed, reserved, unpacked
from sentinel.core.states import NEVER

T = 1_790_000_000_000_000_000
STEP = 1_000_000_000


def take(
    state: Rated, count: int, now: int = T, burst: int = 1, last: int = NEVER
) -> tuple[Rated, list[int]]:
    """Reserve some times at once."""
    found = []
    for _ in range(count):
        state, at = reserved(state, now, STEP, burst, last)
        found.append(at)
    return state, found


@given(st.integers(1, 50), st.integers(1, 20), st.lists(st.integers(0, 5 * STEP), min_size=1, max_size=60))
def test_no_window_has_more_than_most_and_burst(most: int, burst: int, pauses: list[int]) -> None:
    """In any time of `every`, at most `most` tasks start, and `burst` less one more; none starts early."""
    every = 10 * STEP
    interval = interval_of(most, every)
    state, now, times = Rated(), T, []
    for pause in pauses:
        now += pause
        state, at = reserved(state, now, interval, burst, NEVER)
        assert at >= now
        times.append(at)
    times.sort()
    for n, begin in enumerate(times):
        assert sum(begin <= each < begin + every for each in times[n:]) <= most + burst


def test_a_backlog_is_spread_evenly_and_to_the_full() -> None:
    """Who asks at one time is told times an interval apart, after the burst: nothing is left out."""
    _, found = take(Rated(), 10, burst=3)
    assert found == [T, T, T, *(T + n * STEP for n in range(1, 8))]


def test_nothing_is_reserved_that_would_not_be_used() -> None:
    """A task that would expire before its time gets none, and those after it are not the later for it."""
    state, found = take(Rated(), 5, last=T + 3 * STEP)
    assert found == [T, T + STEP, T + 2 * STEP, 0, 0]
    assert reserved(state, T, STEP, 1, NEVER)[1] == T + 3 * STEP


@given(st.permutations(range(1, 40)), st.integers(1, 5))
def test_what_is_all_given_back_leaves_no_wait(order: list[int], burst: int) -> None:
    """After a purge of all that waited, in any order, the next task waits no longer than it would have."""
    state, found = take(Rated(), 39 + burst, burst=burst)
    waiting = [at for at in found if at > T]
    assert len(waiting) == 39
    for n in order:
        state = given_back(state, waiting[n - 1], T, STEP, burst)
    assert reserved(state, T, STEP, burst, NEVER)[1] <= waiting[0]
    assert not state.free


@given(st.sets(st.integers(0, 19), min_size=1), st.integers(0, 25))
def test_given_back_times_are_used_once_and_first(back: set[int], later: int) -> None:
    """Times that were given back go to the next ones that ask, each once; those that passed are lost."""
    state, found = take(Rated(), 21)
    waiting = found[1:]
    for n in sorted(back):
        state = given_back(state, waiting[n], T, STEP, 1)
    now = T + later * STEP // 2
    kept = {at for n, at in enumerate(waiting) if n not in back}
    state, again = take(state, len(back) + 3, now=now)
    assert len(set(again)) == len(again)
    assert not kept & set(again)
    for one, other in pairwise(sorted([*(at for at in kept if at >= now), *again])):
        assert other - one >= STEP


def test_a_state_is_bounded_and_stored_whole() -> None:
    """However many single times are given back, few enough are kept; what is no state says so."""
    state, found = take(Rated(), 5_000)
    for at in found[1::2]:
        state = given_back(state, at, T, STEP, 1)
    assert 0 < len(state.free) <= 500
    assert unpacked(packed(state)) == state
    assert unpacked(b"") == Rated()
    with pytest.raises(ValueError, match="not enough values"):
        unpacked(b"[1]")
    with pytest.raises(ValueError, match="no rate"):
        unpacked(b"3")
