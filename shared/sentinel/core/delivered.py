"""How far a delivery is in one chain: the record that is stored, and how it moves. No store, no clock.

Entries before `next` are settled, each in one of three ways: delivered, not meant by the plan, or dead, that
is, refused by the sink for good. What is dead is a place and a reason; the entry itself is in the ledger. The
cursor and what died on its way move together, in one record. What is to be sent again is in `again`, and
goes before everything else of the chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

MOST_RANGES = 300  # of dead and again together: a record stays a few dozen KB
MAX_REASON = 200

Range = tuple[int, int]  # first and last entry


@dataclass(frozen=True, slots=True)
class Dead:
    """Entries `first` to `last` that were refused for one reason; `t` is when the last was, epoch ns."""

    first: int
    last: int
    reason: str
    t: int


@dataclass(frozen=True, slots=True)
class Record:
    """One chain of one delivery. `stopped` says why nothing of the chain is sent any more; empty: it is.

    `twice` counts events that may have arrived more than once, since no answer told.
    """

    next: int = 0
    dead: tuple[Dead, ...] = ()
    again: tuple[Range, ...] = ()
    delivered: int = 0
    refused: int = 0
    twice: int = 0
    stopped: str = ""

    @property
    def ranges(self) -> int:
        """Return how many ranges it has; over `MOST_RANGES` it takes no more."""
        return len(self.dead) + len(self.again)

    @property
    def waiting(self) -> int:
        """Return how many entries died and were not asked for again."""
        return sum(each.last - each.first + 1 for each in self.dead)

    def moved(self, to: int, delivered: int, dead: Iterable[Dead] = (), twice: int = 0) -> Record:
        """Return it with the cursor at `to`, after so many deliveries, refusals, and doubtful sendings."""
        more = (*dead,)
        return replace(
            self,
            next=max(to, self.next),
            dead=merged((*self.dead, *more)),
            delivered=self.delivered + delivered,
            refused=self.refused + sum(each.last - each.first + 1 for each in more),
            twice=self.twice + twice,
        )

    def sent_again(self, settled: Iterable[int]) -> Record:
        """Return it without the entries that were to be sent again and are settled now."""
        left = list(self.again)
        for gone in joined((seq, seq) for seq in settled):
            left = [part for each in left for part in _without(each, gone)]
        return replace(self, again=tuple(left))

    def redriven(self, reason: str = "") -> tuple[Record, int]:
        """Return it with its dead, or those of one reason, to be sent again; and how many entries that is.

        A chain that was stopped goes on: whoever asks for this has seen to what stopped it.
        """
        chosen = [each for each in self.dead if not reason or each.reason == reason]
        kept = tuple(each for each in self.dead if each not in chosen)
        again = joined([*self.again, *((each.first, each.last) for each in chosen)])
        count = sum(each.last - each.first + 1 for each in chosen)
        return replace(self, dead=kept, again=again, stopped=""), count

    def json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "next": self.next,
            "dead": [[each.first, each.last, each.reason, each.t] for each in self.dead],
            "again": [list(each) for each in self.again],
            "delivered": self.delivered,
            "refused": self.refused,
            "twice": self.twice,
            "stopped": self.stopped,
        }

    def pack(self) -> bytes:
        """Return it as it is stored."""
        return orjson.dumps(self.json())


def unpack(state: bytes) -> Record:
    """Return the record that is stored. Raises `ValueError` for one that is damaged."""
    try:
        told: Mapping[str, Any] = orjson.loads(state)
        return Record(
            next=_count(told["next"]),
            dead=tuple(Dead(_count(a), _count(b), str(why), int(t)) for a, b, why, t in told["dead"]),
            again=tuple((_count(a), _count(b)) for a, b in told["again"]),
            delivered=_count(told["delivered"]),
            refused=_count(told["refused"]),
            twice=_count(told["twice"]),
            stopped=str(told["stopped"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"a delivery's record cannot be read: {type(error).__name__}") from None


def merged(dead: Sequence[Dead]) -> tuple[Dead, ...]:
    """Return dead ranges in order, those that touch and died of one reason as one.

    >>> merged([Dead(4, 4, "odd", 2), Dead(3, 3, "odd", 1), Dead(9, 9, "odd", 3)])
    (Dead(first=3, last=4, reason='odd', t=2), Dead(first=9, last=9, reason='odd', t=3))
    """
    found: list[Dead] = []
    for each in sorted(dead, key=lambda it: (it.first, it.last)):
        if found and found[-1].reason == each.reason and each.first <= found[-1].last + 1:
            last = found[-1]
            found[-1] = Dead(last.first, max(last.last, each.last), last.reason, max(last.t, each.t))
        else:
            found.append(each)
    return tuple(found)


def joined(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Return ranges in order, those that touch as one.

    >>> joined([(5, 6), (1, 2), (3, 3)])
    ((1, 3), (5, 6))
    """
    found: list[Range] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)


def _without(each: Range, gone: Range) -> Iterable[Range]:
    parts = ((each[0], min(each[1], gone[0] - 1)), (max(each[0], gone[1] + 1), each[1]))
    return [part for part in parts if part[0] <= part[1]]


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("not a count")
    return value
