"""Lanes: over how many chains a service is spread, now and before, and where a batch of a sender belongs.

A sender's lane is a hash of its name, so another number of lanes moves senders. A batch that is sent again
after that must be found where it was stored, and where it is still on its way it must not be stored twice:

- A new number counts from `MARGIN` seconds after the change. Who knows of a service's lanes only what was
  read over `LEASE` seconds ago begins nothing, so by then nobody begins a batch by the old number alone.
- A batch goes along the `terms` of its sender, oldest first. It is looked for in each, and begun in the
  first that has not ended. A term has ended where its chain has a segment of its end or later: until then a
  write that is on its way can still land, and whoever begins there competes with it for the same slot; from
  then on the slot that it is aimed at is taken. So the first batch after a change closes the lane it leaves.

Nobody has to wait, or to know how long a request can be under way. Only where the chain cannot tell do the
clocks (`Term.ended`). `docs/services.md` has what is promised.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sentinel.core.chain import lane_of
from sentinel.errors import Conflict, Unavailable

MAX_LANES = 64
# A door uses what it read for up to a minute (`usecases.directory.STALE`), API Gateway what the authorizer
# said for up to five (`infra.option_checks`); then the request is on its way to its function.
LEASE = 420  # seconds
SKEW = 60  # seconds by which clocks may be apart
MARGIN = 600  # seconds: the lease, two clocks, and a minute for the record to be written
FORGET = 30 * 86_400  # seconds after which a number that counted before is left out by the next change
UNSEEN = FORGET - 86_400  # seconds after which a lane to which nobody wrote meanwhile has ended, too
MOST = 8  # numbers that counted before: each may cost a process a read
SECOND = 1_000_000_000

_TEXT = re.compile(r"(\d{1,2})((?: \d{1,2}<\d{1,11})*) @(\d{1,11})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Term:
    """A sender's lane, and until when it is that; None: there is no end yet. Times in epoch nanoseconds.

    `lease` is until when a batch may be begun by it, whatever its end; None: for ever.
    """

    lane: int
    until: int | None = None
    lease: int | None = None

    def ended(self, t: int, now: int) -> bool:
        """Whether nothing more is begun by this, where its chain's newest segment is of `t` and it is `now`.

        The chain's own time decides, since it is the same for everybody: a clock that is behind does not
        count. It tells nothing where it lies ahead of all clocks (one was wrong once), nor where nobody has
        written for so long that the next change may leave this term out, and whoever read of that would not
        look here. Then the clocks have to decide, and for a time before that nothing is begun, so that none
        that is behind begins here what another has begun elsewhere: then `Unavailable` is raised.
        """
        if self.until is None:
            return False
        end = self._clocks(t, now)
        if end is None:
            return True
        if end - 2 * SKEW * SECOND <= now < end:
            raise Unavailable("this sender is about to get another lane: send it again", 5.0)
        return now >= end

    def outlives(self, t: int, read: int, now: int) -> bool:
        """Whether this ended by the clocks since a newest segment of `t` was read: others may have come."""
        end = self._clocks(t, now)
        return end is not None and read < end <= now

    def _clocks(self, t: int, now: int) -> int | None:
        """When this ends by the clocks; None where the chain tells, or it never does."""
        if self.until is None or self.until <= t <= now + SKEW * SECOND:
            return None
        return self.until if t >= self.until else self.until + UNSEEN * SECOND


@dataclass(frozen=True, slots=True)
class Lanes:
    """Over how many chains a service is spread: `number`, and `before` the others, each until a time.

    Oldest first, in epoch seconds. A number of 0 is the deployment's. `seen` is when this was read, in epoch
    seconds; 0: it does not go out of date.

    >>> Lanes(4, ((1, 1_000),)).terms("pod-1", 1)
    (Term(lane=0, until=1000000000000, lease=None), Term(lane=1, until=None, lease=None))
    """

    number: int = 0
    before: tuple[tuple[int, int], ...] = ()
    seen: int = 0

    def terms(self, instance: str, default: int) -> tuple[Term, ...]:
        """Return a sender's terms, oldest first; `default` is the deployment's number.

        Who has no name always has lane 0: its next try may come from anywhere.
        """
        lease = (self.seen + LEASE) * SECOND if self.seen else None
        if not instance:
            return (Term(0),)
        if not self.before:
            return (Term(lane_of(instance, self.number or default), lease=lease),)
        found: list[Term] = []
        for number, until in (*self.before, (self.number, 0)):
            lane = lane_of(instance, number or default)
            if found and found[-1].lane == lane:
                found.pop()
            found.append(Term(lane, until * SECOND if until else None, lease))
        return tuple(found)

    def changed(self, number: int, default: int, now: float) -> Lanes:
        """Return this with another number, which counts later on. `now` is epoch seconds.

        0 takes `default`: at once where there is no number yet, since that is what counts. Where somebody
        names a number instead, the one before stays the deployment's, which only those who store know for
        certain. Raises `Conflict` where too many numbers count still, or are remembered.
        """
        if not number and not self.number:
            return Lanes(default, self.before, self.seen)
        number = number or default
        if number == self.number:
            return self
        kept = tuple(each for each in self.before if each[1] > now - FORGET)
        if len(kept) >= MOST:
            raise Conflict(f"lanes were changed {MOST} times in {FORGET // 86_400} days; this has to wait")
        latest = kept[-1][1] if kept else 0
        return Lanes(number, (*kept, (self.number, max(int(now) + MARGIN + 1, latest + 1))), self.seen)

    def text(self) -> str:
        """Return what `parse` reads: one line of printable ASCII, for whoever hands it on."""
        before = "".join(f" {number}<{until}" for number, until in self.before)
        return f"{self.number}{before} @{self.seen}"

    @staticmethod
    def parse(text: str) -> Lanes:
        """Read what `text` gives. Raises `ValueError`.

        >>> Lanes.parse("4 1<1764000600 @1764000000").before
        ((1, 1764000600),)
        """
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError("this tells no lanes")
        before = [each.split("<") for each in found[2].split()]
        lanes = Lanes(int(found[1]), tuple((int(n), int(t)) for n, t in before), int(found[3]))
        if not lanes.sound():
            raise ValueError("these cannot be lanes")
        return lanes

    def sound(self) -> bool:
        """Whether numbers and times are such as can be."""
        numbers = (self.number, *(number for number, _ in self.before))
        times = [until for _, until in self.before]
        rising = all(one < other for one, other in zip((0, *times), times, strict=False))
        return all(0 <= number <= MAX_LANES for number in numbers) and rising and len(times) <= MOST


DEFAULT = Lanes()  # of who has no number of its own
