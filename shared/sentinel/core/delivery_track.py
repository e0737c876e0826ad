"""What is on its way of one chain: entries that were read, which of them are settled, and the prefix that is.

Entries settle in any order; the cursor moves to the first that is not settled. It is kept in memory only: who
begins anew begins at the cursor, and sends what was settled beyond it once more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from sentinel.core.delivered import MAX_REASON, MOST_RANGES, Dead, Record, merged


@dataclass(frozen=True, slots=True)
class Move:
    """What has come of entries: the cursor goes `to`, so many were delivered, and those of `dead` refused.

    `again` are entries that were to be sent again and are settled. `twice` were perhaps sent more than once.
    """

    to: int = 0
    delivered: int = 0
    dead: tuple[Dead, ...] = ()
    again: tuple[int, ...] = ()
    twice: int = 0
    stopped: str = ""

    def on(self, record: Record) -> Record:
        """Return a record after it."""
        found = record.sent_again(self.again) if self.again else record
        found = found.moved(self.to, self.delivered, self.dead, self.twice)
        return replace(found, stopped=self.stopped)


@dataclass(slots=True)
class Track:
    """Entries before `read` were looked at; those on their way are in order."""

    read: int
    _open: deque[int] = field(default_factory=deque)
    _settled: dict[int, str] = field(default_factory=dict)  # the reason of a refusal; empty: delivered
    _again: dict[int, str] = field(default_factory=dict)

    def took(self, meant: Iterable[int], to: int) -> None:
        """Note that entries before `to` were looked at, and which of them are meant."""
        self._open.extend(meant)
        self.read = to

    @property
    def on_their_way(self) -> int:
        """Return how many entries are not settled, or settled behind one that is not."""
        return len(self._open)

    def settled(self, seq: int, refused: str = "", *, again: bool = False) -> None:
        """Note that an entry is settled; `again`: one that was sent again, which the cursor has passed."""
        (self._again if again else self._settled)[seq] = refused[:MAX_REASON]

    def advance(self, record: Record, now: int) -> Move:
        """Return what is settled and was not returned before, as far as all before it is settled.

        Where `record` can hold no more dead ranges the cursor stays before the entry that would be the next.
        """
        again, self._again = self._again, {}
        delivered = sum(not reason for reason in again.values())
        dead = list(merged([Dead(seq, seq, reason, now) for seq, reason in again.items() if reason]))
        room = MOST_RANGES - record.ranges
        while self._open and self._open[0] in self._settled:
            seq = self._open[0]
            reason = self._settled[seq]
            if reason and not _added(dead, Dead(seq, seq, reason, now), room):
                break
            del self._settled[seq]
            self._open.popleft()
            delivered += not reason
        return Move(self._open[0] if self._open else self.read, delivered, (*dead,), (*again,))

    @property
    def full(self) -> bool:
        """Whether `advance` has left a settled entry in front, since the record holds no more ranges."""
        return bool(self._open) and self._open[0] in self._settled


def _added(dead: list[Dead], one: Dead, room: int) -> bool:
    """Add a dead entry to ranges, to the last of them where it continues that; say whether there was room."""
    if dead and dead[-1].last + 1 == one.first and dead[-1].reason == one.reason:
        dead[-1] = Dead(dead[-1].first, one.last, one.reason, one.t)
        return True
    if len(dead) >= room:
        return False
    dead.append(one)
    return True
