"""One chain on its way: what was read of it and waits to be sent, and how far it is settled."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

from sentinel.actions.deliver_read import Event, Reader
from sentinel.actions.deliver_store import Cursor
from sentinel.core.delivered import MOST_RANGES
from sentinel.core.delivery_track import Move, Track
from sentinel.core.segment import Segment
from sentinel.core.tasks import SECOND
from sentinel.errors import Tampered

AT_ONCE = 8  # segments that one look reads at most
SOON = SECOND // 50  # until a chain that has nothing new is asked again; each time in vain for twice as long
WRITE_EVERY = 5 * SECOND  # a cursor over entries that are not meant is written so often
WRITE_AFTER = 10_000  # or after so many of them
FULL = f"it has {MOST_RANGES} runs of refused entries: look at why, then have them sent again (redrive)"


class Course:
    """A chain of a delivery in the hands of its holder.

    `doubt` is how many of the next events were perhaps sent by somebody before. `busy` counts batches that
    were cut from it and are not settled.
    """

    def __init__(self, chain: str, cursor: Cursor, clock: Callable[[], int]) -> None:
        self.chain = chain
        self.cursor = cursor
        self.pending: deque[Event] = deque()
        self.size = 0  # bytes of what is pending
        self.again = False  # whether what is pending is sent again
        self.busy = 0
        self.doubt = 0
        self.due = 0
        self.stopped = ""
        self._clock = clock
        self._track = Track(0)
        self._inside = True
        self._coming: Iterator[Segment] | None = None  # what the last look has found and nobody has read yet
        self._pause = SOON
        self._twice = 0
        self._written = 0

    def begin(self, reader: Reader, since: int) -> None:
        """Load the record, or make it. Raises `Tampered` where the record cannot be read."""
        if not self.cursor.load():
            self.cursor.move(Move(reader.begin(self.chain, since)))
        self.restart()

    def restart(self) -> None:
        """Forget what was read, and begin at the record's cursor."""
        self.pending.clear()
        self.size = 0
        self.again = False
        self.stopped = ""
        self._track = Track(self.cursor.record.next)
        self._inside = True
        self._coming = None
        self._written = self._clock()
        self.wake()

    def wake(self) -> None:
        """Have the ledger asked at once."""
        self.due, self._pause = 0, SOON

    def read(self, reader: Reader, room: int, events: int, idle: int) -> bool:
        """Read what is new, up to about `room` bytes or so many events; say whether there was any.

        Where there is none the next look is later each time, by up to `idle` nanoseconds. What is to be sent
        again is read first, and nothing else before that is settled. Raises `Tampered`.
        """
        if self.cursor.record.again:
            return self._read_again(reader, room)
        self.again = False
        found = False
        try:
            while self.size < room and len(self.pending) < events:
                segment = self._next(reader, anew=not found)
                if segment is None:
                    break
                self._took(segment, reader.events(segment, self._track.read))
                found = True
        except BaseException:
            self._coming = None  # it has passed what was not taken
            raise
        self._pause = SOON if found else min(2 * self._pause, idle)
        self.due = 0 if found else self._clock() + self._pause
        return found

    def _next(self, reader: Reader, *, anew: bool) -> Segment | None:
        """Return the next segment of the last look; where it has none and `anew` says so, of another look."""
        segment = next(self._coming, None) if self._coming else None
        if segment is None and anew:
            self._coming = reader.segments(self.chain, self._track.read, AT_ONCE, inside=self._inside)
            segment = next(self._coming, None)
        if segment is None:
            self._coming = None
        return segment

    def _took(self, segment: Segment, events: list[Event]) -> None:
        self._track.took([event.seq for event in events], segment.first + segment.count)
        self._inside = False
        self._add(events)

    def _read_again(self, reader: Reader, room: int) -> bool:
        if self.pending or self.busy:
            self.due = self._clock() + SOON
            return False
        self.again = True
        for first, last in self.cursor.record.again:
            at = first
            while at <= last and self.size < room:
                at = self._read_range(reader, at, last)
        if not self.pending:  # none of them is there any more
            self.write()
        return True

    def _read_range(self, reader: Reader, first: int, last: int) -> int:
        try:
            segment = reader.holding(self.chain, first)
        except Tampered as error:
            self.settled(first, error.detail, again=True)
            return first + 1
        self._add(reader.events(segment, first, last, every=True))
        return segment.first + segment.count

    def _add(self, events: list[Event]) -> None:
        self.pending.extend(events)
        self.size += sum(len(event.item.data) + 1 for event in events)

    def take(self) -> Event:
        """Take the next event to send it."""
        event = self.pending.popleft()
        self.size -= len(event.item.data) + 1
        return event

    def put_back(self, events: list[Event]) -> None:
        """Put events in front that are to be sent anew, in their order."""
        self.pending.extendleft(reversed(events))
        self.size += sum(len(event.item.data) + 1 for event in events)

    def settled(self, seq: int, refused: str = "", *, again: bool = False) -> None:
        """Note that an entry is settled; written by `write`."""
        self._track.settled(seq, refused, again=again)

    def doubtful(self, events: int) -> None:
        """Count events that may have been sent twice; written by `write`."""
        self._twice += events

    def write(self) -> Move:
        """Write how far the chain is; return what was new. Raises `LeaseLost`, and what its wait raises."""
        move = replace(self._track.advance(self.cursor.record, self._clock()), twice=self._twice)
        move = replace(move, stopped=FULL if self._track.full else self.stopped)
        record = self.cursor.record
        if move.on(record) != record:
            self.cursor.move(move)
        self._twice = 0
        self._written = self._clock()
        if self._track.full:
            self.stopped = FULL
            self.pending.clear()
            self.size = 0
        return move

    @property
    def passed(self) -> bool:
        """Whether entries that are not meant are passed and it is time to write so."""
        new = self._track.read - self.cursor.record.next
        if self._track.on_their_way or new <= 0:
            return False
        return new >= WRITE_AFTER or not 0 <= self._clock() - self._written < WRITE_EVERY

    @property
    def unwritten(self) -> bool:
        """Whether there is something for `write` to write."""
        return (
            not self.stopped and self._track.read > self.cursor.record.next and not self._track.on_their_way
        )

    def look(self) -> None:
        """Read the record again, which somebody may have changed; a chain that was stopped goes on.

        Raises `LeaseLost` where the cursor is not where it was.
        """
        stopped = self.cursor.record.stopped or self.stopped
        self.cursor.look()
        if stopped and not self.busy:
            self.restart()
        self.wake()

    def damaged(self, found: Tampered) -> bool:
        """Read no more, for damage, and write that down; say whether that was not known."""
        known = self.cursor.record.stopped == str(found)
        self.stopped = str(found)
        self.write()
        return not known
