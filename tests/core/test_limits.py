"""The cell rate algorithm: the long-run rate holds, nobody starves, all or nothing, and clocks may step."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.access import TIERS
from sentinel.core.limits import MILLION, Bucket, State, buckets_of, refused, take, verdict, wait

RATES = st.tuples(st.integers(1, 50), st.integers(1, 100))  # rate, burst
STEPS = st.lists(st.tuples(st.integers(0, 3 * MILLION), st.integers(0, 130)), min_size=1, max_size=60)


def _bucket(rate: int, burst: int, cost: int, name: str = "b") -> Bucket:
    return Bucket(name, rate, burst, cost)


@given(RATES, STEPS)
def test_it_decides_as_virtual_scheduling_does(limit: tuple[int, int], steps: list[tuple[int, int]]) -> None:
    """The leaky bucket in whole numbers decides as the theoretical arrival time in exact fractions."""
    rate, burst = limit
    increment, tolerance = Fraction(MILLION, rate), burst * Fraction(MILLION, rate)
    now, state, arrival = 0, State(), Fraction(0)
    for pause, cost in steps:
        now += pause
        admitted, levels, (state,) = take([state], [_bucket(rate, burst, cost)], now)
        assert levels == [max(Fraction(0), arrival - now) / increment * MILLION]
        assert admitted == (arrival - now + min(cost * increment, tolerance) <= tolerance)
        if admitted:
            arrival = max(arrival, Fraction(now)) + cost * increment


@given(RATES, STEPS)
def test_the_rate_is_never_exceeded(limit: tuple[int, int], steps: list[tuple[int, int]]) -> None:
    """In any stretch of time, no more is admitted than rate times time, the burst, and one cost over it."""
    rate, burst = limit
    now, state = 0, State()
    got: list[tuple[int, int]] = []
    for pause, cost in steps:
        now += pause
        admitted, _, (state,) = take([state], [_bucket(rate, burst, cost)], now)
        if admitted:
            got.append((now, cost))
    for begin, (since, _) in enumerate(got):
        total = 0
        for at, cost in got[begin:]:
            total += cost
            over = max(0, cost - burst)  # the last one may leave a debt, which is paid before anything passes
            assert (total - over) * MILLION <= rate * (at - since) + burst * MILLION


@given(RATES, st.integers(0, 10**15), st.integers(0, 300), st.integers(1, 300))
def test_nobody_starves(limit: tuple[int, int], now: int, high: int, cost: int) -> None:
    """A refused request passes after `retry_after`, no microsecond earlier; so do costs over the burst."""
    bucket = _bucket(*limit, cost)
    state = State(high * MILLION, now)
    admitted, levels, _ = take([state], [bucket], now)
    if admitted:
        assert wait(levels[0], bucket, cost) == 0
        return
    micros = -(-(levels[0] + (min(cost, bucket.burst) - bucket.burst) * MILLION) // bucket.rate)
    found = verdict(False, levels, [bucket])
    assert found.retry_after == pytest.approx(micros / MILLION, abs=1e-6)
    assert not take([state], [bucket], now + micros - 1)[0]
    assert take([state], [bucket], now + micros)[0]


@given(
    st.lists(st.tuples(RATES, st.integers(0, 130), st.integers(0, 200)), min_size=1, max_size=4),
    st.integers(0, 10**15),
)
def test_all_or_nothing(found: list[tuple[tuple[int, int], int, int]], now: int) -> None:
    """Several buckets give what is asked of each, or none of them anything."""
    buckets = [_bucket(*limit, cost, str(number)) for number, (limit, cost, _) in enumerate(found)]
    states = [State(high * MILLION, now) for *_, high in found]
    admitted, levels, after = take(states, buckets, now)
    alone = [take([state], [bucket], now)[0] for state, bucket in zip(states, buckets, strict=True)]
    assert admitted == all(alone)
    assert levels == [state.level for state in states]
    for before, bucket, state in zip(states, buckets, after, strict=True):
        assert state.level == before.level + (bucket.cost * MILLION if admitted else 0)


JUMPS = st.lists(
    st.tuples(st.integers(0, 3 * MILLION), st.integers(1, 100), st.integers(-(10**13), 10**13) | st.just(0)),
    min_size=1,
    max_size=60,
)


@given(RATES, JUMPS)
def test_a_clock_that_steps_gives_a_burst_a_step_at_most(
    limit: tuple[int, int], steps: list[tuple[int, int, int]]
) -> None:
    """A clock that is put forward gives one more burst, one that is put back gives nothing."""
    rate, burst = limit
    time, clock, state, got, forward = 0, 10**15, State(), 0, 0
    for pause, cost, jump in steps:
        time += pause
        clock += pause + jump
        forward += jump > 0
        bucket = _bucket(rate, burst, min(cost, burst))
        admitted, _, (state,) = take([state], [bucket], clock)
        got += bucket.cost if admitted else 0
    assert got * MILLION <= rate * time + burst * (1 + forward) * MILLION


@given(RATES, st.integers(1, 10**13), st.integers(0, 10**7), st.integers(0, 130), st.integers(0, 130))
def test_a_clock_that_is_put_back_holds_nobody_up(
    limit: tuple[int, int], step: int, pause: int, high: int, cost: int
) -> None:
    """After a step back a refused request passes within the time that its level takes, by the new clock."""
    bucket = _bucket(*limit, cost)
    state = State(high * MILLION, 10**14)
    now = 10**14 + pause - step
    admitted, levels, (after,) = take([state], [bucket], now)
    assert levels[0] <= high * MILLION
    if now < state.seen:
        assert after.seen == now  # it counts from here on, also where nothing was admitted
    if not admitted:
        micros = -(-levels[0] // bucket.rate)
        assert take([after], [bucket], now + micros)[0]


def test_a_cost_over_the_burst_needs_an_empty_bucket_and_leaves_debt() -> None:
    """A batch larger than the burst passes when nothing is used, then nothing does until it is paid for."""
    bucket = _bucket(10, 20, 50)
    admitted, _, (state,) = take([State()], [bucket], 0)
    assert admitted
    found = verdict(True, [0], [bucket])
    assert (found.remaining, found.reset) == (0, 5.0)
    assert found.closed == pytest.approx(3.1)  # 50 - 3.1 * 10 leaves room for one of 20
    assert not take([state], [_bucket(10, 20, 1)], 3_099_999)[0]
    assert take([state], [_bucket(10, 20, 1)], 3_100_000)[0]
    assert not take([state], [bucket], 4_999_999)[0]
    assert take([state], [bucket], 5_000_000)[0]


def test_a_cost_of_nothing_asks_without_taking() -> None:
    """A cost of 0 changes nothing, and the verdict says whether anything would pass."""
    bucket = Bucket("failures", 1, 60, 0, least=6)
    full = State(55 * MILLION, 7)
    admitted, levels, after = take([full], [bucket], 7)
    assert (admitted, after) == (True, [full])
    assert verdict(admitted, levels, [bucket]).closed == 1.0
    assert verdict(True, [54 * MILLION], [bucket]).closed == 0


def test_the_tightest_bucket_is_told() -> None:
    """Of an admitted request the bucket with the smallest part left, of a refused one the longest wait."""
    buckets = [_bucket(10, 20, 1, "requests"), _bucket(100, 200, 150, "entries")]
    found = verdict(True, [0, 0], buckets)
    assert (found.allowed, found.bucket, found.remaining, found.reset) == (True, "entries", 50, 1.5)
    assert (found.retry_after, found.closed) == (0, 0)
    found = verdict(False, [20 * MILLION, 60 * MILLION], buckets)
    assert (found.allowed, found.bucket, found.remaining) == (False, "requests", 0)
    assert (found.retry_after, found.closed, found.reset) == (0.1, 0.1, 2.0)
    found = verdict(False, [20 * MILLION, 190 * MILLION], buckets)
    assert (found.bucket, found.remaining, found.retry_after, found.closed) == ("entries", 10, 1.4, 0)


@given(RATES, st.integers(0, 300), st.integers(0, 130))
def test_a_closed_bucket_is_refused_as_the_counter_would(
    limit: tuple[int, int], high: int, cost: int
) -> None:
    """What is said of a bucket that is known to be closed is what the counter would say at that time."""
    bucket = _bucket(*limit, cost)
    found = verdict(False, [high * MILLION], [bucket])
    if found.closed and cost:
        known = refused(bucket, found.closed)
        assert (known.allowed, known.bucket, known.remaining) == (False, "b", 0)
        assert known.retry_after == pytest.approx(found.retry_after)
        assert (known.closed, known.reset) == pytest.approx((found.closed, found.reset))


@pytest.mark.parametrize("tier", TIERS)
def test_tiers_are_exact_in_doubles(tier: str) -> None:
    """The levels of every tier stay whole numbers below 2**53, with the largest batch on top."""
    for bucket in buckets_of(TIERS[tier], 1, 10_000, 5_000_000):
        assert bucket.burst >= 1
        assert (bucket.burst + bucket.cost) * MILLION < 2**53
