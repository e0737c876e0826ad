"""Stretches of sequence numbers: disjoint, in order, each up to the number behind its last one."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

Stretch = tuple[int, int]
Stretches = tuple[Stretch, ...]


def joined(stretches: Stretches, begin: int, end: int) -> Stretches:
    """Return stretches with one more, one with those that it touches.

    >>> joined(((0, 3), (7, 9)), 3, 5)
    ((0, 5), (7, 9))
    """
    if begin >= end:
        return stretches
    apart = [each for each in stretches if each[1] < begin or each[0] > end]
    touched = [each for each in stretches if each[1] >= begin and each[0] <= end]
    first, last = min([begin, *(each[0] for each in touched)]), max([end, *(each[1] for each in touched)])
    return tuple(sorted([*apart, (first, last)]))


def missing(stretches: Stretches, begin: int, end: int) -> Iterator[Stretch]:
    """Yield what stretches leave out between two numbers.

    >>> list(missing(((0, 3), (7, 9)), 1, 12))
    [(3, 7), (9, 12)]
    """
    for first, last in stretches:
        if begin < min(first, end):
            yield begin, min(first, end)
        begin = max(begin, last)
    if begin < end:
        yield begin, end


def outside(numbers: Sequence[int], stretches: Stretches) -> list[int]:
    """Return those of some numbers in order that are in none of these stretches.

    >>> outside([1, 4, 6], ((0, 3), (6, 9)))
    [4]
    """
    left = list(numbers)
    for first, end in stretches:
        del left[bisect_left(left, first) : bisect_left(left, end)]
    return left


def any_of(numbers: Sequence[int], first: int, last: int) -> bool:
    """Say whether one of some numbers in order is from `first` to `last`, both included.

    >>> any_of([1, 4], 2, 3), any_of([1, 4], 2, 4)
    (False, True)
    """
    return bisect_left(numbers, first) < bisect_right(numbers, last)
