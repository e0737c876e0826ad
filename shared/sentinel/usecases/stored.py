"""Stored: what of a batch stands in its chain already, found by the dedup windows that segments carry.

All of it is bounded: windows that somebody changed lead to an error, and not through the whole of a chain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sentinel.core import chain as hashing
from sentinel.core.receipt import Receipt
from sentinel.core.segment import Batch, Head, Piece, Segment
from sentinel.core.window import Part, decode_window
from sentinel.errors import Tampered, Unavailable
from sentinel.ports import Ledger

FARTHER = 16  # dedup windows beyond the newest that are looked through for a batch that may be there
BACK = 256  # windows that are looked through for the beginning of a batch whose end is stored


@dataclass(frozen=True, slots=True)
class Stored:
    """One batch in one chain. All raise `Unavailable`, and `Tampered` for what cannot have been written."""

    ledger: Ledger
    chain: str
    batch: Batch

    def at(self, seq: int) -> Segment:
        """Return the segment with an entry that is known to be there."""
        found = self.ledger.at(self.chain, seq)
        if found is None:
            raise Unavailable("the ledger does not show a batch that its dedup window names")
        return found

    def stands(self, segment: Segment) -> bool:
        """Whether a segment that was written is a part of the chain.

        Who was held up for days while it wrote may have found a slot empty again: what stood there is in the
        archive, and what stands there now nobody reads.
        """
        found = self.ledger.at(self.chain, segment.first)
        return found is not None and found.head == segment.head

    def farther(
        self, head: Head, since: int, older: dict[int, Head] | None = None
    ) -> tuple[Part, int] | None:
        """Find the batch beyond the window of `head`, each segment's own window showing the 63 before it.

        `older` has the heads beyond this one that were read before, by their number; it is added to.
        """
        known: dict[int, Head] = {} if older is None else older
        at = head.next - sum(part.count for part, _ in decode_window(b"".join(head.window)))
        for number in range(FARTHER):
            if at <= since:
                break
            before = known.get(number)
            if before is None:
                before = known[number] = Head.after(self.at(at - 1))
            found = before.find(self.batch.batch_id)
            if found is not None:
                return found
            at = before.next - sum(part.count for part, _ in decode_window(b"".join(before.window)))
        return None

    def holds(self, part: Part, first: int) -> bool:
        """Whether the segment at `first` holds that part of the batch, some of it erased since or not.

        Where all of it was erased nobody can tell any more: then the batch's id has to do.
        """
        stored = self.at(first)
        opened = stored.opened
        ours = list(self.batch.entries[part.offset : part.end])
        if len(opened.erased) == stored.count:
            return len(ours) == stored.count
        if opened.erased:
            return opened.leaves() == hashing.leaves(hashing.salt(opened.nonce, opened.context), ours)
        return opened.entries == ours

    def beginning(self, last: int) -> int:
        """Return the sequence number of the batch's first entry; `last` is where its last part begins."""
        seq = last
        for _ in range(BACK):
            segment = self.at(seq)
            at = segment.next
            for part, _ in reversed(segment.parts):
                at -= part.count
                if part.batch_id == self.batch.batch_id and part.offset == 0:
                    return at
            seq = at - 1
            if not 0 <= seq < segment.first:
                break
        raise Tampered(self.chain, last, "window", "the dedup windows do not show where a batch begins")

    def earlier(self, head: Head, found: tuple[Part, int], first: int | None) -> Receipt:
        """Tell where a batch stands that was complete before. Reads where it is not the newest."""
        part, last = found
        if last + part.count == head.next:
            return self.receipt(last, head.hash, head.t, first)
        stored = self.at(last)
        return self.receipt(last, stored.head, stored.t, first)

    def receipt(self, last: int, head: bytes, t: int, first: int | None) -> Receipt:
        """Make the receipt; `last` is where the batch's last part begins, `first` its first, if known."""
        begins = self.beginning(last) if first is None else first
        return Receipt(self.chain, begins, len(self.batch.entries), head, t, self.batch.batch_id)

    def pieces(self, first: int, placed: Mapping[int, tuple[Segment, bytes]]) -> tuple[Piece, ...]:
        """Return the batch's segments, of which `first` begins the first. Reads what was stored earlier.

        `placed` has those that are known, each with its salt, by the offset of its first entry in the batch.
        """
        found: list[Piece] = []
        at, offset = first, 0
        while offset < len(self.batch.entries):
            if offset in placed:
                piece = Piece.of(*placed[offset])
            else:
                stored = self.at(at)
                if stored.parts[-1][0].batch_id != self.batch.batch_id:
                    at = stored.first + stored.count
                    continue
                piece = Piece.of(stored)
            found.append(piece)
            offset += piece.count
            at = piece.first + piece.count
        return tuple(found)
