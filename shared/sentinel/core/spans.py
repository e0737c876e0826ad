"""Spans of sequence numbers: disjoint, in order, each up to the number behind its last one."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

Span = tuple[int, int]
Spans = tuple[Span, ...]


def joined(spans: Spans, begin: int, end: int) -> Spans:
    """Return spans with one more, one with those that it touches.

    >>> joined(((0, 3), (7, 9)), 3, 5)
    ((0, 5), (7, 9))
    """
    if begin >= end:
        return spans
    apart = [each for each in spans if each[1] < begin or each[0] > end]
    touched = [each for each in spans if each[1] >= begin and each[0] <= end]
    first, last = min([begin, *(each[0] for each in touched)]), max([end, *(each[1] for each in touched)])
    return tuple(sorted([*apart, (first, last)]))


def missing(spans: Spans, begin: int, end: int) -> Iterator[Span]:
    """Yield what spans leave out between two numbers.

    >>> list(missing(((0, 3), (7, 9)), 1, 12))
    [(3, 7), (9, 12)]
    """
    for first, last in spans:
        if begin < min(first, end):
            yield begin, min(first, end)
        begin = max(begin, last)
    if begin < end:
        yield begin, end


def outside(numbers: Sequence[int], spans: Spans) -> list[int]:
    """Return those of some numbers in order that are in none of these spans.

    >>> outside([1, 4, 6], ((0, 3), (6, 9)))
    [4]
    """
    left = list(numbers)
    for first, end in spans:
        del left[bisect_left(left, first) : bisect_left(left, end)]
    return left


def any_of(numbers: Sequence[int], first: int, last: int) -> bool:
    """Say whether one of some numbers in order is from `first` to `last`, both included.

    >>> any_of([1, 4], 2, 3), any_of([1, 4], 2, 4)
    (False, True)
    """
    return bisect_left(numbers, first) < bisect_right(numbers, last)
