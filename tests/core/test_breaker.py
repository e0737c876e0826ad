"""The breaker and the pace of a sink: pauses grow and end, a rate is kept, and what is throttled recovers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.breaker import CLOSED, LEAST, LONGEST, MOST, PARKED, WISHED, Breaker, unpack
from sentinel.core.pace import Pace
from sentinel.core.tasks import SECOND

T = 1_790_000_000 * SECOND


@given(st.lists(st.tuples(st.none() | st.floats(0, 10_000), st.floats(0, 0.999)), max_size=40))
def test_pauses_are_bounded_and_it_opens_after_enough_failures(
    failures: list[tuple[float | None, float]],
) -> None:
    """No pause is shorter or longer than its bounds; open it is from the fifth failure in a row on."""
    breaker, now = CLOSED, T
    for number, (after, roll) in enumerate(failures, 1):
        breaker = breaker.failed(now, "down", after, roll)
        longest = WISHED if after is not None else min(LONGEST, 2.0 ** (number - 1))
        assert LEAST * SECOND <= breaker.wait(now) <= max(LEAST, longest) * SECOND
        assert breaker.state(now) == ("open" if number >= MOST else "closed")
        now = breaker.until
        assert breaker.wait(now) == 0
        assert breaker.state(now) == ("half-open" if number >= MOST else "closed")
    assert unpack(breaker.pack()) == breaker


def test_a_wish_is_kept_to_the_second() -> None:
    """The target's `Retry-After` takes the place of chance."""
    assert CLOSED.failed(T, "busy", 40.0, 0.1).wait(T) == 40 * SECOND


def test_a_wrong_set_up_opens_it_at_once_and_another_mends_it() -> None:
    """Parked for long, but only for the set-up that was found wrong."""
    found = CLOSED.parked(T, "no such token", "a")
    assert (found.state(T), found.wait(T)) == ("open", PARKED * SECOND)
    assert (found.mended("a"), found.mended("b"), CLOSED.mended("a")) == (False, True, False)


def test_a_clock_that_steps_back_keeps_nobody_waiting() -> None:
    """A pause that ends further ahead than any pause is long was written by another clock."""
    assert CLOSED.failed(T, "down", 900.0, 0.5).wait(T - 3600 * SECOND) == 0


def test_what_cannot_be_read_is_a_closed_breaker() -> None:
    """A breaker is no truth worth stopping for."""
    assert unpack(b"") == unpack(b"{") == unpack(b"[1]") == CLOSED
    assert unpack(b'[1,2,"a","",0]') == Breaker(1, 2, "a", "", 0)


@given(
    rate=st.integers(1, 2_000),
    steps=st.lists(st.tuples(st.integers(1, 700), st.floats(0, 3), st.booleans()), min_size=1, max_size=60),
)
def test_no_second_has_more_events_than_the_rate(rate: int, steps: list[tuple[int, float, bool]]) -> None:
    """Whatever is sent when, and throttled when: a window of a second has at most two buckets' events."""
    pace, now = Pace(rate), T
    sent: list[tuple[int, int]] = []
    for events, pause, throttled in steps:
        now += int(pause * SECOND)
        if throttled:
            pace.throttled(now)
        for _ in range(50):  # while it recovers more fits in at once, which takes a little longer
            now += pace.wait(now, events)
        assert pace.wait(now, events) == 0
        count = min(events, pace.most)
        pace.sent(now, count)
        sent.append((now, count))
        assert pace.limit <= rate
    for t, _ in sent:
        assert sum(count for when, count in sent if t <= when < t + SECOND) <= 2 * rate + 1
    seconds = (sent[-1][0] - sent[0][0]) / SECOND
    assert sum(count for _, count in sent) <= rate * (seconds + 1) + 1


def test_a_throttled_pace_halves_and_recovers() -> None:
    """With a rate: half of it, and back within ten seconds' worth of steps; never above it."""
    pace = Pace(1_000)
    pace.sent(T, 10)
    pace.throttled(T)
    assert pace.limit == 500
    pace.wait(T + 5 * SECOND, 1)
    assert pace.limit == 750
    pace.wait(T + 60 * SECOND, 1)
    assert pace.limit == 1_000


def test_without_a_rate_the_speed_before_is_halved_and_then_there_is_no_limit_again() -> None:
    """What was really sent is where it begins; at twice that speed the limit is gone."""
    pace, now = Pace(0), T
    for _ in range(200):
        now += SECOND // 10
        assert pace.wait(now, 100) == 0
        pace.sent(now, 100)
    pace.throttled(now)
    assert 400 <= pace.limit <= 520
    pace.wait(now + 120 * SECOND, 1)
    assert (pace.limit, pace.most, pace.wait(now + 120 * SECOND, 10**6)) == (0, 0, 0)
