"""Numbering: the numbers that a producer gives its own entries, so that loss before arrival can be shown.

A producer that numbers its entries from some number on, each number once, says with each batch who it is and
which number the first entry has (`Sentinel-Producer`, `Sentinel-Sequence`; docs/producers.md). The context of
each segment says which numbers it answers for, and the salt commits to that.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.errors import Malformed

MAX_PRODUCER = 128
MAX_SEQUENCE = (1 << 63) - 1

_PRODUCER = re.compile(r"[!-~](?:[ -~]{0,126}[!-~])?")


@dataclass(frozen=True, slots=True)
class Numbering:
    """The numbers of a batch's entries: its first line has the number `first`, each further line the next.

    `refused` are the places, from 0 and in order, of lines that are not stored: they have their numbers, too.
    """

    producer: str
    first: int
    refused: Sequence[int] = ()
    _before: Sequence[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Before a stored entry there are as many refused lines as these that are not over its own index.
        object.__setattr__(self, "_before", [place - at for at, place in enumerate(self.refused)])

    def context(self, offset: int, count: int, total: int) -> dict[str, object]:
        """Return what the context says of a segment that holds stored entries `offset` to `offset + count`.

        A segment answers for the refused lines behind its entries, the first one also for those before them.

        >>> Numbering("p", 10, [0, 2, 5]).context(0, 2, 3)
        {'producer': 'p', 'sequence': 10, 'refused': [[10, 10], [12, 12]]}
        >>> Numbering("p", 10, [0, 2, 5]).context(2, 1, 3)
        {'producer': 'p', 'sequence': 14, 'refused': [[15, 15]]}
        """
        told: dict[str, object] = {"producer": self.producer, "sequence": self.first + offset}
        if not self.refused:
            return told
        begin = self._line(offset) if offset else 0
        end = self._line(offset + count) if offset + count < total else total + len(self.refused)
        inside = [self.first + place for place in self.refused if begin <= place < end]
        told["sequence"] = self.first + begin
        return told | ({"refused": _ranges(inside)} if inside else {})

    def _line(self, stored: int) -> int:
        """Return the place among all lines of a stored entry."""
        return stored + bisect_right(self._before, stored)


@dataclass(frozen=True, slots=True)
class Numbered:
    """The numbers that a stored segment answers for: `first` to before `end`, of which `refused` are none.

    `refused` counts numbers whose lines came and were no entries.
    """

    producer: str
    first: int
    end: int
    refused: int = 0


def numbering(producer: str | None, sequence: str | None, refused: Sequence[int] = ()) -> Numbering | None:
    """Read the two headers; None where neither is there. Raises `Malformed`."""
    if producer is None and sequence is None:
        return None
    if producer is None or sequence is None:
        raise Malformed("Sentinel-Producer and Sentinel-Sequence belong together; send both or neither")
    if not _PRODUCER.fullmatch(producer):
        raise Malformed(f"Sentinel-Producer is 1 to {MAX_PRODUCER} printable ASCII characters")
    # Not `\d` and not `isdecimal`: those take digits of every script.
    if not re.fullmatch("[0-9]{1,19}", sequence) or int(sequence) > MAX_SEQUENCE:
        raise Malformed("Sentinel-Sequence is the decimal number of the batch's first entry, below 2^63")
    return Numbering(producer, int(sequence), refused)


def numbers_of(context: Mapping[str, object], count: int) -> Numbered | None:
    """Read the context of a stored segment of `count` entries; None where its producer gave no numbers.

    Only this writes the three fields: senders have no other way into a context. Raises `ValueError` for
    what cannot have been written so.
    """
    producer, first = context.get("producer"), context.get("sequence")
    if not isinstance(producer, str) or type(first) is not int:
        return None
    ranges: Any = context.get("refused", [])
    try:
        right = all(type(begin) is type(last) is int and begin <= last for begin, last in ranges)
    except (TypeError, ValueError):
        right = False
    if not right or first < 0:
        raise ValueError("the producer's numbers are none")
    refused = sum(last - begin + 1 for begin, last in ranges)
    return Numbered(producer, first, first + count + refused, refused)


def _ranges(numbers: Sequence[int]) -> list[list[int]]:
    """Return the runs of ascending numbers, each as its first and its last.

    >>> _ranges([3, 4, 5, 9])
    [[3, 5], [9, 9]]
    """
    found: list[list[int]] = []
    for each in numbers:
        if found and found[-1][1] == each - 1:
            found[-1][1] = each
        else:
            found.append([each, each])
    return found
