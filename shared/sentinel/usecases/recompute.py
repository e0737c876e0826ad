"""Recomputing: which tasks the entries of a time ask for, by what was in force, from the ledger alone.

Segments are taken in the order of (t, chain, first), and correlations counted as detection does, with the
ledger's time in the place of the clock. Nothing is written. Since a correlation looks back, so does this: as
far before the time as any correlation in force then can.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from sentinel.core import correlation_state as counting
from sentinel.core.correlation import Correlation, Hit
from sentinel.core.correlation_state import Fired, State
from sentinel.core.segment import Segment
from sentinel.core.tasks import SECOND
from sentinel.errors import Tampered
from sentinel.ports import Ledger
from sentinel.usecases.asked import Asked, Hits, Place, Wanted, new_hits
from sentinel.usecases.playbook import Plays

DAY = 86_400 * SECOND
FACTS = ("rule", "title", "level", "fingerprint", "entries")  # of a cause that are compared

Cause = Mapping[str, object]
Group = tuple[str, str]  # digest of a correlation, group


@dataclass(slots=True)
class Request:
    """A task that is asked for: why and when first (nanoseconds), and when detection must have seen it.

    `doubtful` where a correlation may have been silent then, because of something before all that was read.
    `met` says that somebody asks for it with just the cause that is recorded.
    """

    wanted: Wanted
    t: int
    seen: int
    doubtful: bool = False
    met: bool = False


@dataclass(slots=True)
class Recomputed:
    """All tasks that are asked for, by id, what was looked at, and what could not be read.

    `hits` are the groups that the recorded places count for, `groups` those whose firing asks for a task.
    `doubts` are correlations with firings that are doubtful (see `Request`); `erased` says that entries were.
    """

    requests: dict[str, Request] = field(default_factory=dict)
    entries: int = 0
    matches: int = 0
    firings: int = 0
    hits: dict[Place, set[Group]] = field(default_factory=dict)
    groups: dict[str, set[Group]] = field(default_factory=dict)
    doubts: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    erased: bool = False


def look_back(plays: Iterable[Plays]) -> int:
    """Return how far before a time hits can matter then, in nanoseconds.

    What is decided at once looks at two windows. What is decided in order is silent after a firing, which
    goes back without end where one follows the other: a day is read, and what is doubtful then is told.
    """
    return max((_needs(each.rules.correlations) for each in plays), default=0)


def _needs(correlations: Iterable[Correlation]) -> int:
    by_id = {each.id: each for each in correlations}

    def of(each: Correlation) -> int:
        below = [of(by_id[source]) for source in each.rule_ids if source in by_id]
        own = 4 * each.timespan_ns + each.patience + (DAY if each.in_order else 0)
        return own + max(below, default=0)

    return max(map(of, by_id.values()), default=0)


def segments(ledger: Ledger, start: int, end: int) -> Iterator[Segment]:
    """Yield all segments sealed from `start` to before `end`, in nanoseconds, by (t, chain, first)."""
    chains = [_chain(ledger, chain, start, end) for chain in sorted(ledger.chains())]
    return heapq.merge(*chains, key=lambda segment: (segment.t, segment.chain, segment.first))


def _chain(ledger: Ledger, chain: str, start: int, end: int) -> Iterator[Segment]:
    for segment in ledger.read(chain, _first(ledger, chain, start)):
        if segment.t >= end:
            return
        if segment.t >= start:
            yield segment


def _first(ledger: Ledger, chain: str, start: int) -> int:
    """Return a sequence number not after the first segment sealed at `start` or later, by halving.

    Times never go back in a chain. What has left the table counts as before.
    """
    newest = ledger.head(chain)
    if newest is None:
        return 0
    low, high = 0, newest.first
    while low < high:
        middle = (low + high) // 2
        found = ledger.at(chain, middle)
        if found is None or found.t < start:
            low = middle + 1 if found is None else found.first + found.count
        else:
            high = found.first
    return min(low, newest.first)


class Recomputation:
    """One run over the ledger, of the time from `start` to before `end`, in nanoseconds.

    `plays` gives what was in force at a time, `causes` those of the recorded tasks by id.
    """

    def __init__(
        self, plays: Callable[[int], Plays], causes: Mapping[str, Cause], start: int, end: int
    ) -> None:
        self._plays = plays
        self._causes = causes
        self._watched = {place for cause in causes.values() for place in places_of(cause)}
        self._start, self._end = start, end
        self._states: dict[Group, State] = {}
        self._due: list[tuple[int, Group, str]] = []
        self._phases = _Phases(None)
        self._found = Recomputed()

    def run(self, ledger: Ledger, begin: int) -> Recomputed:
        """Read the ledger from `begin` and return what is asked for. Raises `Unavailable`."""
        if any(True for _ in segments(ledger, 0, begin)):
            self._phases = _Phases(begin)
        for segment in segments(ledger, begin, self._end):
            self._decide(segment.t)
            try:
                self._take(segment)
            except Tampered as error:
                self._found.problems.append(str(error))
        self._decide(None)
        return self._found

    def _take(self, segment: Segment) -> None:
        plays = self._plays(segment.t)
        if segment.opened.erased:  # what correlations counted of it cannot be counted any more
            self._found.erased = True
            self._found.doubts |= {each.id for each in plays.rules.correlations}
        asked, hits = Asked(), new_hits()
        matches = asked.by_entries(plays, segment, hits)
        if segment.t >= self._start:
            self._found.entries += segment.count
            self._found.matches += matches
            for task_id, wanted in asked.tasks.items():
                self._request(task_id, wanted, segment.t, segment.t)
        self._count_all(plays, hits, segment.t)

    def _count_all(self, plays: Plays, hits: Hits, now: int) -> None:
        for correlation in plays.rules.correlations:
            for group, those in hits.get(correlation.id, {}).items():
                self._count(plays, correlation, group, those, now)

    def _count(self, plays: Plays, correlation: Correlation, group: str, hits: list[Hit], now: int) -> None:
        key = (correlation.digest, group)
        for hit in hits:
            if (hit.chain, hit.seq) in self._watched:
                self._found.hits.setdefault((hit.chain, hit.seq), set()).add(key)
        before = self._states.get(key) or State.new(correlation, group)
        advanced = counting.advance(correlation, before, hits, now)
        self._states[key] = advanced.state
        due = counting.due(correlation, advanced.state)
        if due is not None:
            heapq.heappush(self._due, (due, key, correlation.id))
        self._fire(plays, correlation, key, advanced.fired, now)

    def _fire(
        self, plays: Plays, correlation: Correlation, key: Group, firings: Iterable[Fired], now: int
    ) -> None:
        for fired in firings:
            doubtful = self._phases.doubtful(correlation, key, fired.t)
            if doubtful:
                self._found.doubts.add(correlation.id)
            if self._start <= fired.t < self._end:
                self._ask(plays, correlation, key, fired, now, doubtful)
            for user in plays.rules.correlations_of(correlation):
                hit = user.hit_of(correlation, key[1], fired.t, *fired.refs[-1])
                if hit is not None:
                    if doubtful:
                        self._phases.doubt((user.digest, hit[0]), fired.t + 2 * user.timespan_ns)
                    self._count(plays, user, hit[0], [hit[1]], now)

    def _ask(
        self, plays: Plays, correlation: Correlation, key: Group, fired: Fired, now: int, doubtful: bool
    ) -> None:
        self._found.firings += 1
        asked = Asked()
        asked.by_firings(plays, correlation, [fired])
        for task_id, wanted in asked.tasks.items():
            self._found.groups.setdefault(task_id, set()).add(key)
            self._request(task_id, wanted, fired.t, now, doubtful=doubtful)

    def _request(self, task_id: str, wanted: Wanted, t: int, seen: int, *, doubtful: bool = False) -> None:
        found = self._found.requests.setdefault(task_id, Request(wanted, t, seen, doubtful))
        recorded = self._causes.get(task_id)
        found.met = found.met or (recorded is not None and not unlike(recorded, wanted.cause))

    def _decide(self, now: int | None) -> None:
        """Decide what is due before `now`, or all that waits, as the schedule does."""
        while self._due and (now is None or self._due[0][0] <= now):
            due, key, correlation_id = heapq.heappop(self._due)
            plays = self._plays(due)
            for correlation in plays.rules.correlations:
                if (correlation.id, correlation.digest) == (correlation_id, key[0]):
                    self._count(plays, correlation, key[1], [], due)


class _Phases:
    """Tells which firings are sure, where what was before `begin` (nanoseconds; None: nothing) was not read.

    A correlation that is decided in order is silent after a firing, also one before `begin`. Two timespans
    without a firing end the doubt: then nothing was silent, whatever had been before.
    """

    def __init__(self, begin: int | None) -> None:
        self._begin = begin
        self._last: dict[Group, int] = {}
        self._sure: set[Group] = set()
        self._until: dict[Group, int] = {}

    def doubt(self, key: Group, until: int) -> None:
        """Say that firings of a group are doubtful until a time: they count one that is."""
        self._until[key] = max(until, self._until.get(key, 0))

    def doubtful(self, correlation: Correlation, key: Group, t: int) -> bool:
        """Say whether a firing may not have been, or at another time. To be asked in order of firings."""
        if t <= self._until.get(key, -1):
            return True
        if self._begin is None or not correlation.in_order or key in self._sure:
            return False
        if t - self._last.get(key, self._begin) >= 2 * correlation.timespan_ns:
            self._sure.add(key)
            return False
        self._last[key] = t
        return True


def unlike(cause: Cause, other: Cause) -> list[str]:
    """Return what two causes do not have in common, in words. What else a recorded one tells is its own."""
    return [f"another {name}" for name in FACTS if cause.get(name) != other.get(name)]


def places_of(cause: Cause) -> list[Place]:
    """Return the places of the entries that a recorded cause names."""
    entries = cause.get("entries")
    return [(each["chain"], each["seq"]) for each in entries] if isinstance(entries, list) else []
