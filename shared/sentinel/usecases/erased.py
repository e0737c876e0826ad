"""What was recorded of erasures, looked up for one segment: for who looks at changes, not at whole chains.

The records of a chain stand behind what they are about, mostly near its end (`core.erasure`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256

from sentinel.core.erasure import Record
from sentinel.core.erasure_check import candidates, read
from sentinel.core.notes import Key
from sentinel.core.payload import Opened
from sentinel.core.segment import Segment
from sentinel.errors import Forbidden, Missing, Tampered
from sentinel.ports import Ledger
from sentinel.usecases.seal import LogKeys

KEPT = 32  # true records of a chain, the newest
SPAN = 1_000  # entries that are looked through first, the newest; then ten times as many, and so on


@dataclass(frozen=True, slots=True)
class Records:
    """Looks records up. `keys` are the log's.

    Records that were found to be true are kept: an erasure of thousands of segments has one, which is about
    all of their leaves, and is asked for with each of them.
    """

    ledger: Ledger
    keys: Callable[[], LogKeys]
    _true_ones: dict[str, tuple[Record, ...]] = field(default_factory=dict, init=False)

    def cover(self, segment: Segment) -> bool:
        """Say whether all of a segment's erased entries are recorded in its chain as erased."""
        chain = segment.chain
        left = {segment.first + place for place in segment.opened.erased}
        for record in self._true_ones.get(chain, ()):
            left = {seq for seq in left if not record.covers(seq)}
        if not left:
            return True
        for record in self._of(chain, segment.next):
            if any(map(record.covers, left)) and self._true(segment, record):
                self._true_ones[chain] = (record, *self._true_ones.get(chain, ()))[:KEPT]
                left = {seq for seq in left if not record.covers(seq)}
                if not left:
                    return True
        return False

    def _of(self, chain: str, after: int) -> Iterator[Record]:
        """Yield a chain's records behind an entry, those of the newest part of the chain first."""
        newest = self.ledger.head(chain)
        end, span = newest.next if newest else 0, SPAN
        key = self.keys().of(chain)
        while end > after:
            begin = max(after, end - span)
            for segment in self.ledger.read(chain, begin):
                if segment.first >= end:
                    break
                yield from _read(segment, key)
            end, span = begin, span * 10

    def _true(self, segment: Segment, record: Record) -> bool:
        """Say whether a record's digest is that of the leaves of the entries that it names."""
        begin = self.ledger.at(segment.chain, record.first)
        if begin is None:
            return False
        digest = sha256()
        for stored in self.ledger.read(segment.chain, begin.first):
            if stored.first > record.last:
                break
            one = segment if stored.first == segment.first else stored
            opened = _opened(one)
            for seq, leaf in enumerate(opened.leaves() if opened else (), one.first):
                if record.first <= seq <= record.last:
                    digest.update(leaf)
        return digest.digest() == record.statement.leaves


def _opened(segment: Segment) -> Opened | None:
    """Return what a segment holds; None where that cannot be read, so that it is no record of anything."""
    try:
        return segment.opened
    except (Tampered, Forbidden, Missing):
        return None


def _read(segment: Segment, key: Key) -> Iterator[Record]:
    opened = _opened(segment)
    found = candidates(segment.first, opened) if opened is not None else []
    for seq, entry in found:
        record = read(seq, entry, key)
        if record is not None:
            yield record
