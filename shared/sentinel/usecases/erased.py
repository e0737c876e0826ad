"""What was recorded of erasures, looked up for one segment: for who looks at changes, not at whole chains.

The records of a chain stand behind what they are about, mostly near its end (`core.erasure`): so a chain is
looked through from its end on, in growing steps, and each part of it once (`erased_memory`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from hashlib import sha256

from sentinel.core.erasure_check import candidates, read
from sentinel.core.notes import Key
from sentinel.core.payload import Opened
from sentinel.core.runs import weight
from sentinel.core.segment import NUMBERS, Segment
from sentinel.core.stretches import Stretch, any_of, outside
from sentinel.errors import Forbidden, Missing, Tampered, Unavailable
from sentinel.ports import Ledger
from sentinel.usecases.erased_memory import LEAST, Budget, Check, Memory, Named
from sentinel.usecases.seal import LogKeys

SPAN = 128  # entries that are looked through first, whatever the budget
GROWTH = 8  # how many times as many are then
# What a look costs beside the bytes that it reads, in bytes that take as long: a request, a segment, asking
# for a data key, the signature of what may be a record.
REQUEST, SEGMENT, DATA_KEY, SIGNATURE = 500_000, 500, 200_000, 10_000
WIDE = 10_000  # entries of a step from which on a store's pages are full anyway


@dataclass(frozen=True, slots=True)
class Records:
    """Looks records up. `keys` are the log's, `memory` is what this process knows of chains."""

    ledger: Ledger
    keys: Callable[[], LogKeys]
    memory: Memory = field(default_factory=lambda: Memory(time.time_ns))

    def cover(self, segment: Segment) -> bool:
        """Say whether all of a segment's erased entries are recorded in its chain as erased.

        However long that takes: at worst the chain behind the segment is read, and what its records name.
        """
        return self._look(segment, (), Budget(math.inf)) is None

    def unrecorded(self, segment: Segment, but: Collection[int] = ()) -> int | None:
        """Return None where all of a segment's erased entries are recorded, `but` for those in some places.

        Else the entry from which on its chain was looked through; that is the one behind the segment, or one
        further on where the budget was spent: then the next look goes on. A record that names so many entries
        that their leaves could not all be hashed yet counts by its signature: nobody makes one who has not
        the log's key.
        """
        budget = self.memory.budget()
        try:
            return self._look(segment, but, budget)
        finally:
            self.memory.spend(budget)

    def _look(self, segment: Segment, but: Collection[int], budget: Budget) -> int | None:
        chain = segment.chain
        erased = sorted(segment.first + place for place in segment.opened.erased if place not in but)
        left = self.memory.uncovered(chain, erased)
        left = self._without(segment, left, self.memory.records(chain), budget)
        if not left:
            return None
        newest = self.ledger.head(chain)
        end = min(newest.next, NUMBERS) if newest else 0
        for found in self._steps(chain, segment.next, end, budget):
            left = self._without(segment, left, found, budget)
            if not left:
                return None
        gaps = self.memory.gaps(chain, segment.next, end) if budget.spent else ()
        return gaps[-1][1] if gaps else segment.next

    def _without(self, segment: Segment, left: list[int], records: list[Named], budget: Budget) -> list[int]:
        """Return which entries are left when those are gone that one of these records is about."""
        for record in records:
            if any_of(left, record.first, record.last) and self._true(segment, record, budget):
                left = outside(left, ((record.first, record.last + 1),))
        return left

    def _steps(self, chain: str, after: int, end: int, budget: Budget) -> Iterator[list[Named]]:
        """Yield what is recorded where nobody has looked, of the newest part of the chain first."""
        key = self.keys().of(chain)
        for begin, stop in reversed(self.memory.gaps(chain, after, end)):
            to, size = stop, SPAN
            while to > begin:
                at, used = max(begin, to - size), budget.used
                yield self._recorded(chain, (at, to), key, budget, sure=end - SPAN)
                if budget.spent:
                    return
                each = (budget.used - used) / (to - at)
                to, size = at, max(SPAN, int(min(size * GROWTH, (budget.whole - budget.used) / each)))

    def _recorded(self, chain: str, span: Stretch, key: Key, budget: Budget, *, sure: int) -> list[Named]:
        """Return what the records name that stand in a span of a chain.

        Where that costs much more than what stood behind it the rest is left for another look, but for what
        stands from entry `sure` on.
        """
        found: list[tuple[int, Named]] = []
        begin, end = span
        for segment in self._segments(chain, begin, end, budget):
            budget.use(SEGMENT + weight(segment))
            if segment.count == 1:  # a record stands alone
                found += self._records(segment, key, budget)
            if budget.used > 2 * budget.whole and segment.first < sure:
                end = segment.first + 1
                break
        self.memory.looked(chain, begin, end, found)
        return [record for _, record in reversed(found)]

    def _segments(self, chain: str, begin: int, end: int, budget: Budget) -> Iterator[Segment]:
        """Yield the segments that begin there, without those that cannot be read: they record nothing."""
        while begin < end:
            budget.use(REQUEST)
            try:
                for segment in self.ledger.read(chain, begin, end - begin if end - begin < WIDE else None):
                    if segment.first >= end:
                        return
                    begin = segment.first + 1
                    yield segment
            except Tampered as damage:
                if damage.seq >= begin:
                    begin = damage.seq + 1
                    continue
            return

    def _true(self, segment: Segment, record: Named, budget: Budget) -> bool:
        """Say whether a record's digest is that of the leaves of the entries that it names."""
        chain = segment.chain
        check = self.memory.begun(chain, record) or Check(record.first, sha256())
        budget.allow(LEAST)
        try:
            told = self._hash(segment, record, check, budget)
        except Unavailable:
            self.memory.stopped(chain, record, check)
            raise
        if told and check.at <= record.last and budget.spent:
            self.memory.stopped(chain, record, check)
            return True  # for now
        true: bool = told and check.hash.digest() == record.leaves
        self.memory.judged(chain, record, true=true)
        return true

    def _hash(self, segment: Segment, record: Named, check: Check, budget: Budget) -> bool:
        """Hash what a record names as far as the budget goes; return whether all of it could be told."""
        try:
            begin = self.ledger.at(segment.chain, check.at)
            for stored in self.ledger.read(segment.chain, begin.first) if begin else ():
                if stored.first > record.last or budget.spent:
                    break
                one = segment if stored.first == segment.first else stored
                budget.use(SEGMENT + weight(one))
                opened = self._opened(one, budget)
                leaves = opened.leaves() if opened else []
                if len(leaves) != one.count:
                    return False
                wanted = leaves[max(record.first - one.first, 0) : record.last - one.first + 1]
                check.hash.update(b"".join(wanted))
                check.at = one.next
        except Tampered:
            return False
        return True

    def _records(self, segment: Segment, key: Key, budget: Budget) -> Iterator[tuple[int, Named]]:
        opened = self._opened(segment, budget)
        for seq, entry in candidates(segment.first, opened) if opened else ():
            budget.use(SIGNATURE)
            record = read(seq, entry, key)
            if record is not None:
                yield seq, Named.of(record)

    def _opened(self, segment: Segment, budget: Budget) -> Opened | None:
        """Return what a segment holds; None where that cannot be read: it is no record of anything."""
        opened = _charged(segment, budget)
        if opened is not None or not segment.key:
            return opened
        # It may have been encrypted anew since it was read, and its data key destroyed.
        budget.use(REQUEST)
        again = self.ledger.at(segment.chain, segment.first)
        return _charged(again, budget) if again and again.key != segment.key else None


def _charged(segment: Segment, budget: Budget) -> Opened | None:
    if segment.key and segment.key not in budget.keys:
        budget.keys.add(segment.key)
        budget.use(DATA_KEY)
    try:
        opened = segment.opened
    except (Tampered, Forbidden, Missing):
        return None
    budget.use(len(opened.context) + sum(map(len, opened.entries)))
    return opened
