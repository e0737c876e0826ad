"""Cuts a list of ids into pages. A page tells with which id the next one begins; the last one tells None."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

LARGEST = 100


@dataclass(frozen=True)
class Page:
    """The ids of a page, and the id that the next page begins with, or None where there is no next one."""

    ids: tuple[int, ...]
    next: int | None


def page_from(ids: list[int], first: int, size: int) -> Page:
    """Return the page that begins with the id `first`, or with the next id where that is gone.

    `ids` rise. A page has `size` ids, at most `LARGEST`, the last one as many as are left. Raises
    `ValueError` where `size` is less than 1.
    """
    if size < 1:
        raise ValueError("a page has at least one entry")
    start = bisect_left(ids, first)
    stop = start + min(size, LARGEST)
    following = ids[stop]
    return Page(tuple(ids[start:stop]), following)
