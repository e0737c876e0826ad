"""The seam: the ledger's table and its archive as one ledger.

Below the archive's end the archive alone counts, also while the table still has the segments: whatever a
writer that was stopped for days puts into a slot which was emptied is never seen. The newest segment of a
chain always stays in the table, so appending and finding the head need no archive. What is read of the
archive's end is used for some minutes: a segment leaves the table days after it was archived, so until then
its slot is not free.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sentinel.core.runs import alike
from sentinel.core.segment import Segment
from sentinel.errors import Tampered
from sentinel.ports import Ledger
from sentinel.ports_log import Archive
from sentinel.usecases.heads import HEAD_FRESH, Moment

FRESH = HEAD_FRESH


@dataclass
class Seam:
    """`ports.Ledger` over a table and an archive. `now` tells the time.

    `archive` is asked for when it is first needed: who only appends makes no client for it.
    """

    table: Ledger
    archive: Callable[[], Archive]
    now: Callable[[], Moment]
    _ends: dict[str, tuple[int, Moment]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def append(self, segment: Segment) -> None:
        """See `ports.Ledger`: the table's, no more."""
        self.table.append(segment)

    def head(self, chain: str) -> Segment | None:
        """See `ports.Ledger`: the table's, which always has the newest segment."""
        return self.table.head(chain)

    def at(self, chain: str, seq: int) -> Segment | None:
        """See `ports.Ledger`."""
        if seq < self.end(chain):
            return self.archive().at(chain, seq)
        return self.table.at(chain, seq)

    def read(self, chain: str, first: int = 0, limit: int | None = None) -> Iterator[Segment]:
        """See `ports.Ledger`. Where the archive ends is looked up at the first step."""
        known = end = self.end(chain)
        if first < end:
            for segment in self.archive().read(chain, first):
                if limit is not None and limit <= 0:
                    return
                yield segment
                limit = None if limit is None else limit - 1
                end = max(end, segment.next)
            first = end
            if end > known:
                self._check_end(chain, end)
        if limit is None or limit > 0:
            yield from self.table.read(chain, first, limit)

    def chains(self) -> Iterator[str]:
        """See `ports.Ledger`. A table that knows its chains by their first segments has not all of them."""
        seen = set()
        for chain in self.table.chains():
            seen.add(chain)
            yield chain
        yield from (chain for chain in self.archive().chains() if chain not in seen)

    def end(self, chain: str) -> int:
        """Return the sequence number behind the last archived entry, as of some minutes ago.

        Raises `Tampered` where the archive has the newest segment's place: nobody of ours archives that, and
        who may write there alone could hide the end of the chain behind another, which no feed tells of.
        """
        now = self.now()
        with self._lock:
            known = self._ends.get(chain)
        if known is not None and now.soon_after(known[1], FRESH):
            return known[0]
        end = self.archive().end(chain)
        self._check_end(chain, end)
        with self._lock:
            self._ends[chain] = end, now
        return end

    def _check_end(self, chain: str, end: int) -> None:
        newest = self.table.head(chain) if end else None  # looked at last, as the chain may grow meanwhile
        if newest is not None and newest.first < end:
            what = f"the archive goes on to entry {end - 1}, and the newest segment always stays in the table"
            raise Tampered(chain, newest.first, "archive", what)

    def strays(self, chain: str) -> Iterator[Tampered]:
        """Yield what the table has below the archive's end that is not what was archived.

        A writer that was stopped for days may have left it, which is harmless, or somebody has put it there.
        """
        end = self.archive().end(chain)
        archived: Iterator[Segment] | None = None
        kept: Segment | None = None
        for segment in self.table.read(chain):
            if segment.first >= end:
                return
            if archived is None:  # what the table dropped needs no second look
                archived = self.archive().read(chain, segment.first)
                kept = next(archived, None)
            while kept is not None and kept.first < segment.first:
                kept = next(archived, None)
            if kept is None or not alike(kept, segment):
                detail = "stands in the table where another segment was archived"
                yield Tampered(chain, segment.first, "stray", detail)
