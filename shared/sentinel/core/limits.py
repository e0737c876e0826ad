"""Limits: the generic cell rate algorithm (GCRA) over several buckets at once, all or nothing.

GCRA is in the ATM Forum's Traffic Management Specification 4.1 (af-tm-0121.000) and in ITU-T I.371, in two
forms that decide alike. *Virtual scheduling* keeps a theoretical arrival time: with T seconds a unit and a
burst of B seconds, a cost of c is admitted when ``TAT - now + min(c*T, B) <= B``, and then
``TAT = max(TAT, now) + c*T``. The *continuous-state leaky bucket*, used as a meter, keeps a level and the
time at which it was that high; it is the same multiplied by the rate, ``level = (TAT - now) / T``. The second
form is kept here, in millionths of a unit and in microseconds: with whole rates it needs whole numbers only,
and it knows when it was written, so that a clock that was put back is seen.

A cost over the whole burst is admitted when its bucket is empty, and leaves it over its brim: in debt, which
leaks away at the rate. So no request is too large ever to pass, and the long-run rate holds all the same.

`adapters.redis_limits` does the same arithmetic inside Redis, whose numbers are doubles: exact below 2**53,
which is nine thousand million units, or the year 2255.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sentinel.core.tiers import Tier

MILLION = 1_000_000
POLICIES = ("requests", "entries", "bytes")  # what a tier limits, a bucket each


@dataclass(frozen=True, slots=True)
class Bucket:
    """What one request takes of one limit: `cost` of `rate` a second, of which `burst` may come at once.

    Whole numbers, so that nothing is rounded; `name` is a word. A cost of 0 asks without taking; `least` is
    the smallest cost that there is besides.
    """

    name: str
    rate: int
    burst: int
    cost: int
    least: int = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request is within its limits. `bucket` is the tightest one, which the other values are of.

    `retry_after` is the seconds until the same request would pass, 0 where it does. `closed` is the seconds
    until that bucket lets its least cost through, so that nothing that needs it passes before; 0: at once.
    `remaining` is what the bucket has left, in units, `reset` the seconds until it is as good as new.
    """

    allowed: bool
    bucket: str
    retry_after: float
    closed: float
    remaining: int
    reset: float


@dataclass(frozen=True, slots=True)
class State:
    """One bucket: `level` in millionths of a unit, as it was at `seen`, in microseconds."""

    level: int = 0
    seen: int = 0


def buckets_of(tier: Tier, requests: int, entries: int, size: int) -> list[Bucket]:
    """Return what a request takes of a tier: requests, entries, and bytes as unpacked.

    >>> buckets_of(Tier(5, 500, 500_000), 1, 0, 0)[0]
    Bucket(name='requests', rate=5, burst=10, cost=1, least=1)
    """
    rates = (tier.requests, tier.entries, tier.bytes)
    return [
        Bucket(name, rate, max(1, int(rate * tier.burst)), cost)
        for name, rate, cost in zip(POLICIES, rates, (requests, entries, size), strict=True)
    ]


def level(state: State, bucket: Bucket, now: int) -> int:
    """Return a bucket's level at `now`: what it was, less what leaked since.

    Where the clock was put back nothing has leaked; from then on it counts from there.
    """
    return max(0, state.level - max(0, now - state.seen) * bucket.rate)


def take(states: Sequence[State], buckets: Sequence[Bucket], now: int) -> tuple[bool, list[int], list[State]]:
    """Take from all buckets or from none; return (admitted, the levels before, the new states).

    `now` is in microseconds. A state changes where something was taken of it, and where its time is ahead of
    the clock, so that a clock that was put back holds nobody up.

    >>> bucket = Bucket("requests", rate=1, burst=2, cost=2)
    >>> take([State()], [bucket], 7)
    (True, [0], [State(level=2000000, seen=7)])
    >>> take([State(2_000_000, 7)], [bucket], 1_000_007)
    (False, [1000000], [State(level=2000000, seen=7)])
    """
    levels = [level(state, bucket, now) for state, bucket in zip(states, buckets, strict=True)]
    admitted = all(map(_fits, levels, buckets))
    after = []
    for state, high, bucket in zip(states, levels, buckets, strict=True):
        taken = bucket.cost * MILLION if admitted else 0
        after.append(State(high + taken, now) if taken or now < state.seen else state)
    return admitted, levels, after


def _fits(high: int, bucket: Bucket) -> bool:
    return _over(high, bucket, bucket.cost) <= 0


def _over(high: int, bucket: Bucket, cost: int) -> int:
    """Return how far, in millionths, a level is above the highest one at which `cost` is admitted."""
    return high + (min(cost, bucket.burst) - bucket.burst) * MILLION


def wait(high: int, bucket: Bucket, cost: int) -> float:
    """Return the seconds until `cost` is admitted at a level of `high`; 0: now."""
    return max(0, _over(high, bucket, cost)) / bucket.rate / MILLION


def verdict(admitted: bool, levels: Sequence[int], buckets: Sequence[Bucket]) -> Verdict:
    """Say what became of a request, from the levels before it.

    The tightest bucket is the one that holds a refused request up longest, or the one of which an admitted
    request has left the smallest part.
    """
    taken = MILLION if admitted else 0
    found = [(high + bucket.cost * taken, bucket) for high, bucket in zip(levels, buckets, strict=True)]
    if admitted:
        high, tightest = max(found, key=lambda each: each[0] / each[1].burst)
    else:
        high, tightest = max(found, key=lambda each: wait(each[0], each[1], each[1].cost))
    return Verdict(
        allowed=admitted,
        bucket=tightest.name,
        retry_after=0.0 if admitted else wait(high, tightest, tightest.cost),
        closed=wait(high, tightest, tightest.least),
        remaining=max(0, tightest.burst - -(-high // MILLION)),
        reset=high / tightest.rate / MILLION,
    )


def refused(bucket: Bucket, closed: float) -> Verdict:
    """Return the verdict on a request one of whose buckets is closed for so many seconds yet.

    The level is known to be what leaves the least cost waiting that long.
    """
    more = max(0, min(bucket.cost, bucket.burst) - bucket.least)
    rest = bucket.burst - bucket.least
    return Verdict(
        False, bucket.name, closed + more / bucket.rate, closed, 0, max(0.0, closed + rest / bucket.rate)
    )
