"""Heads: what a process knows of the end of each chain that it writes to, and for how long that holds.

Slots are emptied when what stood there was archived, days after it was written. So a head that was the newest
a short time ago names a slot that is free or taken, and an older one may name a slot that was emptied.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

from sentinel.core.lanes import Term
from sentinel.core.segment import Head
from sentinel.core.verify import Verifier
from sentinel.ports import Ledger

SECOND = 1_000_000_000
SHARED_FRESH = SECOND // 50  # where others write, too: a write that is lost costs more than a read does
HEAD_FRESH = 300 * SECOND  # a head held for longer is read again: old slots leave the table


@dataclass(frozen=True, slots=True)
class Moment:
    """A time by two clocks, in nanoseconds: the wall's, and one that never steps back."""

    wall: int = 0
    steady: int = 0

    def soon_after(self, earlier: Moment, limit: int) -> bool:
        """Say whether less than `limit` nanoseconds have passed, by both clocks.

        A wall clock that stepped back counts as long: nobody knows how far it went before. A process that
        was stopped with its machine may see the time by one of them only.
        """
        passed = (self.wall - earlier.wall, self.steady - earlier.steady)
        return min(passed) >= 0 and max(passed) < limit


@dataclass(frozen=True, slots=True)
class Ended:
    """A head of a lane from behind the time at which senders left it: what they began there is before it.

    `older` has the heads that were read behind it (`Stored.farther`), by how many windows they are away.
    """

    head: Head
    older: dict[int, Head] = field(default_factory=dict)


@dataclass(slots=True)
class Warm:
    """The head of a chain as this process knows it. `lock` orders its writers.

    `seen` is when the head was the newest for certain: not later than when it was asked for, or its own
    segment was sent. `shared` says that somebody else wrote to the chain since this process did before; then
    it matters from when the head is, by the wall's clock: `told`, in nanoseconds. `ended` has, for each time
    at which senders left this lane for another (`core.lanes`), a head from behind it.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    head: Head | None = None
    seen: Moment = Moment()
    shared: bool = False
    told: int = 0
    ended: dict[int | None, Ended] = field(default_factory=dict)

    def end(self, head: Head, term: Term, now: int) -> bool:
        """Say whether a term has ended, so that nothing is begun in it behind this head; then it is kept.

        Raises `Unavailable` where that cannot be told now; see `Term.ended`.
        """
        if term.until in self.ended:
            return True
        if not term.ended(head.t, now):
            return False
        self.ended.setdefault(term.until, Ended(head))
        return True

    def fresh(self, now: Moment) -> bool:
        """Say whether so little time has passed that no slot was emptied meanwhile."""
        return now.soon_after(self.seen, HEAD_FRESH)

    def newest(self, now: Moment) -> bool:
        """Say whether the head is likely to be the newest still: where others write that is soon over."""
        return self.fresh(now) and (not self.shared or 0 <= now.wall - self.told < SHARED_FRESH)

    def learn(self, ledger: Ledger, chain: str, head: Head, seen: Moment, told: int) -> None:
        """Take a head that was read or made; its tree is computed where its segments are of before trees."""
        self.told = told
        self.head = head if head.tree or not head.next else replace(head, tree=_tree(ledger, chain, head))
        self.seen = seen


def _tree(ledger: Ledger, chain: str, head: Head) -> tuple[bytes, ...]:
    checked = Verifier(chain)
    for each in ledger.read(chain):
        if each.first >= head.next:
            break
        checked.check(each)
    return checked.tree or ()
