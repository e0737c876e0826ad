"""Append: the one place where batches become segments of a chain, exactly once each.

An `Appender` keeps the heads of its chains in memory, so that a warm, uncontended append is one write and
no read. Losing a race costs one more write: the answer brings the segment that won. After a time-out the
same segment goes to the same slot again, and is recognised there by its batch id if it had landed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sentinel.core.chain import NONCE_BYTES
from sentinel.core.lanes import Term
from sentinel.core.payload import Cipher
from sentinel.core.receipt import Receipt as Receipt  # noqa: PLC0414 - what an append returns
from sentinel.core.segment import Batch, Draft, Head, Segment
from sentinel.core.window import Part
from sentinel.errors import Conflict, Unavailable
from sentinel.ports import Ledger, SlotTaken
from sentinel.usecases.heads import HEAD_FRESH, Moment, Warm
from sentinel.usecases.heads import SECOND as SECOND  # noqa: PLC0414 - what times are given in
from sentinel.usecases.stored import Stored

HOT = SECOND // 20  # a slot that was taken longer ago was not lost in a race: this process was away
WALK = 2  # slots found taken one after the other before the head is read
TRIES = 4  # sends of one segment to one slot before the caller is told to come back
PATIENCE = 5 * SECOND  # after which no further send is begun: whoever waits for the answer gives up, too
PATIENT_LOSSES = 10  # races lost before patience counts: a slow ledger is not a busy one


@dataclass(slots=True)
class Appender:
    """Appends batches to chains. One a process; safe for any number of threads.

    `clock` gives epoch nanoseconds, `entropy(n)` n random bytes, `jitter()` a number in [0, 1), `sleep`
    takes seconds, `steady` nanoseconds of a clock that never steps back and goes on while the machine sleeps
    (None: there is no other clock).
    """

    ledger: Ledger
    clock: Callable[[], int]
    entropy: Callable[[int], bytes]
    jitter: Callable[[], float]
    sleep: Callable[[float], None]
    steady: Callable[[], int] | None = None
    _warm: dict[str, Warm] = field(default_factory=dict)

    def now(self) -> Moment:
        """Return the time."""
        wall = self.clock()
        return Moment(wall, wall if self.steady is None else self.steady())

    def append(
        self,
        chain: str,
        batch: Batch,
        within: int | None = None,
        full: bool = False,
        since: int | None = None,
        cipher: Cipher | None = None,
    ) -> Receipt:
        """Store a batch once and return its receipt; the same receipt where it is stored already.

        `within` limits recognition to batches stored at most so many nanoseconds ago; None means as far
        back as the dedup window goes. `since` says that the batch may be stored already, at this sequence
        number or behind it: then older windows are looked through, too, 16 at most. With `full` the receipt
        has the batch's segments. With `cipher` the payloads are encrypted.

        Raises `Conflict` where the batch id stands for other entries, and `Unavailable` where the ledger does
        not answer: then it may be stored, whole or in part, and sending the same batch again completes it.
        """
        receipt = self.append_in(Term(0), chain, batch, within, full, since, cipher)
        assert receipt is not None  # noqa: S101 - for the type checker
        return receipt

    def append_in(
        self,
        term: Term,
        chain: str,
        batch: Batch,
        within: int | None = None,
        full: bool = False,
        since: int | None = None,
        cipher: Cipher | None = None,
    ) -> Receipt | None:
        """Store a batch once in a lane that its sender may have for a time (`core.lanes`), else as `append`.

        Return None where that has ended and nothing of the batch is stored: then it never will be, whatever
        is still under way. To find out takes a process one read, once. Raises `Unavailable`, too, where a
        batch would be begun after the term's lease.
        """
        warm = self._warm.get(chain) or self._warm.setdefault(chain, Warm())
        made = _Append(self, warm, chain, batch, within, since, cipher, term)
        if made.is_elsewhere():  # without the lock: who has left a lane does not wait for those who stay
            return None
        with warm.lock:
            receipt = made.run()
            if receipt is None or not full:
                return receipt
            return replace(receipt, segments=made.stored.pieces(receipt.first, made.placed))


class _Append:
    """One batch on its way into one chain."""

    def __init__(
        self,
        appender: Appender,
        warm: Warm,
        chain: str,
        batch: Batch,
        within: int | None,
        since: int | None,
        cipher: Cipher | None,
        term: Term,
    ) -> None:
        self._cipher = cipher
        self._term = term
        self._by = appender
        self._warm = warm
        self._chain = chain
        self._batch = batch
        self.stored = Stored(appender.ledger, chain, batch)
        self._within = within
        self._since = since
        self._taken = 0
        self._lost = 0
        self._asked = -1  # when the head was read for this batch
        self._known: tuple[Part, int] | None = None  # the newest part that is stored, and where it begins
        self._draft: Draft | None = None
        self._first: int | None = None
        self._from: int | None = None  # the first slot that was tried: what stands there or behind it is new
        self._sent: dict[int, bytes] = {}  # the head of what was sent to each slot: it may have landed
        self.placed: dict[int, tuple[Segment, bytes]] = {}  # by offset, with its salt

    def run(self) -> Receipt | None:
        begun = self._by.clock()
        while True:
            if self._lost >= PATIENT_LOSSES and self._by.clock() - begun >= PATIENCE:
                raise Unavailable("too many others write to this chain at once", 1.0)
            head = self._head()
            found = self._recognise(head)
            if found and found[0].end == found[0].total:
                return self.stored.earlier(head, found, self._first)
            if found is None and not self._may_begin(head):
                return None
            offset = found[0].end if found else 0
            placed = self._place(head, offset)
            if placed is None:
                continue
            segment, after = placed
            if offset == 0:
                self._first = segment.first
            if after.next - segment.first + offset == len(self._batch.entries):
                return self.stored.receipt(segment.first, segment.head, segment.t, self._first)

    def _head(self) -> Head:
        known, asked = self._warm.head, self._by.now()
        old = known is None or self._term.outlives(known.t, self._asked, asked.wall)
        if old or self._taken >= WALK or not self._warm.newest(asked):
            self._asked = asked.wall
            newest = self._by.ledger.head(self._chain)
            found = Head.after(newest) if newest else Head.genesis(self._chain)
            if known is not None and found.next == known.next and not self._lost:
                self._warm.shared = False
            self._learn(found, asked)
            self._taken = 0
        assert self._warm.head is not None  # noqa: S101 - for the type checker
        return self._warm.head

    def _learn(self, head: Head, seen: Moment, told: int | None = None) -> None:
        """Keep a head; `told` says from when it is, where that is not now."""
        now = self._by.clock()
        self._warm.learn(self._by.ledger, self._chain, head, seen, now if told is None else min(now, told))

    def _recognise(self, head: Head, older: dict[int, Head] | None = None) -> tuple[Part, int] | None:
        """Find the newest stored part of this batch in the dedup window; `older` as in `Stored.farther`."""
        found = head.find(self._batch.batch_id)
        if found is None and self._known is not None:
            # A part is stored: another may be, too, though over a window of others' came in between.
            found = self.stored.farther(head, self._known[1]) or self._known
        elif found is None and self._since is not None:
            found = self.stored.farther(head, self._since, older)
        if found is None:
            # It is not there up to this head, which may be an old one: the next may be windows farther on.
            self._since = head.next
            return None
        part, first = found
        new = self._from is not None and first >= self._from
        if self._within is not None and not new and self._by.clock() - self.stored.at(first).t > self._within:
            self._since = head.next  # as above: this is the newest up to here
            return None
        if part.total != len(self._batch.entries):
            raise Conflict(
                f"this batch id was used for a batch of {part.total} entries; "
                f"a batch of {len(self._batch.entries)} needs an id of its own"
            )
        # A receipt for entries that are not there would be a loss that nobody sees.
        if not self._ours(head, part, first) and not self.stored.holds(part, first):
            raise Conflict("this batch id was used for other entries; these need an id of their own")
        self._known = found
        return found

    def _may_begin(self, head: Head) -> bool:
        """Whether this batch, of which nothing is stored, is stored here. Raises `Unavailable`."""
        now = self._by.clock()
        if self._warm.end(head, self._term, now):
            return False
        if self._term.lease is not None and now >= self._term.lease:
            raise Unavailable("what is known of this service is too old to store by: send it again", 1.0)
        return True

    def is_elsewhere(self) -> bool:
        """Whether it is known already that its sender has left, and had not begun this batch before."""
        ended = self._warm.ended.get(self._term.until)
        return ended is not None and self._recognise(ended.head, ended.older) is None

    def _ours(self, head: Head, part: Part, first: int) -> bool:
        """Whether a part is one that this call stored, as far as that can be told without a read."""
        if part.offset in self.placed:
            return self.placed[part.offset][0].first == first
        return first + part.count == head.next and self._sent.get(first) == head.hash

    def _place(self, head: Head, offset: int) -> tuple[Segment, Head] | None:
        """Try the next slot with the part of the batch from `offset`; None where another segment has it."""
        if self._draft is None or self._draft.part.offset != offset:
            self._draft = self._batch.draft(offset, self._by.entropy(NONCE_BYTES))
        sent = self._by.now()
        segment, after = self._draft.place(self._chain, head, sent.wall, self._cipher)
        self._from = segment.first if self._from is None else self._from
        self._sent[segment.first] = segment.head
        try:
            self._send(segment)
        except SlotTaken as taken:
            self._lose(taken.segment)
            return None
        if not self._warm.fresh(self._by.now()) and not self._stands(segment):
            return None
        self._learn(after, sent)
        self.placed[offset] = segment, self._draft.salt
        self._known = self._draft.part, segment.first
        return segment, after

    def _lose(self, taken: Segment) -> None:
        """Take in that a segment has the slot that was tried; wait a little where it was lost in a race."""
        # That it stands there does not say that it is the newest: `seen` stays.
        self._learn(Head.after(taken), self._warm.seen, taken.t)
        if self._by.clock() - taken.t >= HEAD_FRESH:
            self._warm.head = None  # lost long ago: the slots behind it may be empty again
        if taken.parts[-1][0].batch_id == self._batch.batch_id:
            # It had landed: its own window tells so, and a newer one might have it no more.
            self._taken = 0
            return
        self._warm.shared = True
        self._taken += 1
        self._lost += 1
        # Not by the clock alone: where ours is ahead of the others', all that they write looks old.
        if self._lost > 1 or self._by.clock() - taken.t < HOT:
            self._by.sleep(self._by.jitter() * 0.01 * 2 ** min(self._lost, 5))

    def _stands(self, segment: Segment) -> bool:
        """Say whether a segment that was stored late is a part of the chain; else forget the head.

        This process was stopped between looking and writing, so that the slot it knew as the next may have
        been taken, archived and emptied in the meantime. What is archived there is the chain's.
        """
        try:
            stands = self.stored.stands(segment)
        except Unavailable:
            self._warm.head = None
            raise
        if not stands:
            self._warm.head = None
        return stands

    def _send(self, segment: Segment) -> None:
        begun = self._by.clock()
        for attempt in range(1, TRIES + 1):
            try:
                return self._by.ledger.append(segment)
            except Unavailable as error:
                # The slot may be ours or anybody's: whoever comes next asks.
                self._warm.head = None
                if attempt == TRIES or self._by.clock() - begun >= PATIENCE:
                    raise
                self._by.sleep(self._by.jitter() * min(error.retry_after, 0.05 * 2**attempt))
                self._look(segment)
        return None

    def _look(self, segment: Segment) -> None:
        """Look whether a slot is taken by now, where others write, too. Raises `SlotTaken`.

        That is what another write would say, for much less. Not the head is asked for: ours may have landed
        so long ago that the newest window has it no more, while in its own slot it is recognised.
        """
        standing = self._by.ledger.at(self._chain, segment.first) if self._warm.shared else None
        if standing is not None:
            raise SlotTaken(standing)
