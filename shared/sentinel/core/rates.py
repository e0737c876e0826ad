"""Rates: when each of many tasks may start, evenly spaced. The arithmetic, without a store or a clock.

The algorithm is GCRA, with reservations: who may not start at once is told when, and that time is its own.
So nobody asks twice, and a backlog does not come back all at once. Times that were reserved and are not used,
since their task was cancelled or has expired, are given to the next ones that ask.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from sentinel.core.states import NEVER

_RANGES = 500

Range = tuple[int, int]  # first time of a run of free ones, and how many: they are one interval apart


@dataclass(frozen=True, slots=True)
class Rated:
    """A rate's state: its theoretical arrival time (epoch nanoseconds), and times that were given back."""

    tat: int = 0
    free: tuple[Range, ...] = ()


def interval_of(most: int, every: int) -> int:
    """Return the nanoseconds between two starts: rounded up, so that never more start than may.

    >>> interval_of(3, 10)
    4
    """
    return -(-every // most)


def reserved(state: Rated, now: int, interval: int, burst: int, last: int) -> tuple[Rated, int]:
    """Return the state after a reservation, and the time of it: `now` where a task may start at once.

    Where that time would not be before `last` nothing is reserved, and 0 is returned.
    """
    free = tuple(_after(state.free, now, interval))
    mine = max(now, state.tat - (burst - 1) * interval)
    if free and free[0][0] < mine:
        at, count = free[0]
        if at >= last:
            return Rated(state.tat, free), 0
        rest = ((at + interval, count - 1), *free[1:]) if count > 1 else free[1:]
        return Rated(state.tat, rest), at
    if mine >= last:
        return Rated(state.tat, free), 0
    return Rated(max(state.tat, now) + interval, free), mine


def given_back(state: Rated, at: int, now: int, interval: int, burst: int) -> Rated:
    """Return the state after a reserved time to come will not be used."""
    if at <= now:
        return state
    free = _merged([*_after(state.free, now, interval), (at, 1)], interval)
    tat = state.tat
    newest = tat - burst * interval  # of the times that were reserved
    if free and free[-1][0] + (free[-1][1] - 1) * interval == newest:
        tat -= free[-1][1] * interval
        free = free[:-1]
    while len(free) > _RANGES:
        free.remove(min(free, key=lambda each: each[1]))
    return Rated(tat, tuple(free))


def _after(free: tuple[Range, ...], now: int, interval: int) -> Iterator[Range]:
    """Yield what is left of free times: those that have passed are lost."""
    for at, count in free:
        gone = max(-(-(now - at) // interval), 0)
        if gone < count:
            yield at + gone * interval, count - gone


def _merged(free: list[Range], interval: int) -> list[Range]:
    found: list[Range] = []
    for at, count in sorted(free):
        if found and found[-1][0] + found[-1][1] * interval == at:
            found[-1] = (found[-1][0], found[-1][1] + count)
        else:
            found.append((at, count))
    return found


def packed(state: Rated) -> bytes:
    """Return a rate's state as it is stored."""
    return orjson.dumps([state.tat, state.free])


def unpacked(raw: bytes) -> Rated:
    """Return the state that `packed` wrote; a new one of nothing. Raises `ValueError` for anything else."""
    if not raw:
        return Rated()
    try:
        tat, free = orjson.loads(raw)
        found = Rated(tat, tuple((at, count) for at, count in free))
    except TypeError as error:
        raise ValueError(f"it is no rate: {error}") from None
    for each in (tat, *(number for pair in found.free for number in pair)):
        if type(each) is not int or not 0 <= each < NEVER:
            raise ValueError("it is no rate: a time is none")
    return found
