"""Producers: which of the numbers that producers gave their entries are stored, and which never came.

A service's chains are read once, verified, merged by time, so that it does not matter on which lane a batch
was stored. For each producer ranges are kept, not numbers: what it takes is bounded by how many producers
there are and how many gaps they have, both up to a limit that the report tells of.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import orjson

from sentinel.core.chain import service_of
from sentinel.core.numbering import Numbered, numbers_of
from sentinel.core.segment import Segment
from sentinel.core.verify import Verifier
from sentinel.errors import Missing, Rejected, Tampered
from sentinel.ports import Ledger

LISTED = 1_000  # gaps of a producer, and repeats, that are kept; what is beyond is counted
PRODUCERS = 100_000  # of a service


@dataclass(frozen=True, slots=True)
class Run:
    """Numbers `first` to before `end`, and where that was noticed: in which segment, and its time.

    `erased`: as many entries as these or more were erased meanwhile, their numbers with them.
    """

    first: int
    end: int
    chain: str
    entry: int
    t: int
    erased: bool = False

    @property
    def size(self) -> int:
        """How many numbers."""
        return self.end - self.first

    def json(self) -> dict[str, object]:
        """Return it as it is printed; `last` is the last number, `t` epoch nanoseconds."""
        told: dict[str, object] = {"first": self.first, "last": self.end - 1}
        told |= {"chain": self.chain, "entry": self.entry, "t": self.t}
        return {**told, "erased": True} if self.erased else told


@dataclass(slots=True)
class Track:
    """What was seen of one producer. `next` is behind the greatest number of its last start.

    `missing` and `repeated` count numbers, `backwards` segments that came after later numbers, `restarts`
    how often it began anew with number 0 and other entries.
    """

    service: str
    producer: str
    next: int = 0
    entries: int = 0
    refused: int = 0
    repeated: int = 0
    backwards: int = 0
    restarts: int = 0
    lanes: set[str] = field(default_factory=set)
    gaps: list[Run] = field(default_factory=list)
    repeats: list[Run] = field(default_factory=list)
    unlisted: int = 0  # numbers missing in gaps beyond those that are listed
    t: int = 0
    erased: int = 0  # entries that had been erased of the service's chains before its newest segment
    _open: list[Run] = field(default_factory=list)  # gaps of this start, by number
    _began: bytes = b""  # digest of the entry that number 0 is of

    @property
    def missing(self) -> int:
        """How many numbers never came, but for those that may have been erased."""
        return self.unlisted + sum(each.size for each in self.listed() if not each.erased)

    def listed(self) -> list[Run]:
        """Return the gaps that are kept, in the order of starts and numbers."""
        return [*self.gaps, *self._open]

    def take(self, found: Numbered, segment: Segment, erased: int) -> int:
        """Take in a segment; `erased` says how many entries were erased since this producer's last one.

        Returns how many of them a gap was put down to.
        """
        told = 0
        digest = sha256(segment.opened.entries[0]).digest()
        if found.first == 0 and self._began and digest != self._began:
            self.restarts += 1
            self.gaps, self._open, self.next = self.listed(), [], 0
        if found.first == 0:
            self._began = digest
        run = Run(found.first, found.end, segment.chain, segment.first, segment.t)
        if run.first > self.next:
            gap = Run(self.next, run.first, run.chain, run.entry, run.t)
            if gap.size <= erased:
                gap, told = replace(gap, erased=True), gap.size
            self._open.append(gap)
            self._forget()
        elif run.first < self.next:
            self._late(run)
        self.next = max(self.next, run.end)
        self.entries += segment.count
        self.refused += found.refused
        self.lanes.add(segment.chain)
        self.t = segment.t
        return told

    def _late(self, run: Run) -> None:
        """Take in numbers below the greatest: they fill gaps, or are there already."""
        self.backwards += 1
        left: list[Run] = []
        filled = 0
        for gap in self._open:
            begin, end = max(gap.first, run.first), min(gap.end, run.end)
            if begin >= end:
                left.append(gap)
                continue
            filled += end - begin
            pieces = ((gap.first, begin), (end, gap.end))
            left += [replace(gap, first=a, end=b) for a, b in pieces if a < b]
        self._open = left
        known = replace(run, end=min(run.end, self.next))
        if known.size > filled:
            self.repeated += known.size - filled
            if len(self.repeats) < LISTED:
                self.repeats.append(known)

    def _forget(self) -> None:
        """Keep what is listed within its limit; numbers that come late for the others count as repeated."""
        while len(self.gaps) + len(self._open) > LISTED:
            oldest = (self.gaps or self._open).pop(0)
            self.unlisted += 0 if oldest.erased else oldest.size

    def json(self) -> dict[str, object]:
        """Return the report on this producer as it is printed."""
        return {
            "service": self.service,
            "producer": self.producer,
            "next": self.next,
            "entries": self.entries,
            "refused": self.refused,
            "missing": self.missing,
            "repeated": self.repeated,
            "backwards": self.backwards,
            "restarts": self.restarts,
            "lanes": sorted(self.lanes),
            "t": self.t,
            "gaps": [each.json() for each in self.listed()],
            "repeats": [each.json() for each in self.repeats],
            "unlisted": self.unlisted,
        }


@dataclass(slots=True)
class Found:
    """The report: a track for each producer. `passed_over` counts segments of producers beyond the limit.

    `unread` has what kept a service's chains from being read, by its id: nothing is told of that service.
    """

    tracks: list[Track] = field(default_factory=list)
    passed_over: int = 0
    unread: dict[str, Tampered | Rejected] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether every number of every producer came."""
        return not self.passed_over and not self.unread and not any(each.missing for each in self.tracks)

    def json(self) -> dict[str, object]:
        """Return the report as it is printed."""
        told = [each.json() for each in self.tracks]
        unread = {service: str(error) for service, error in self.unread.items()}
        more: dict[str, object] = {"unread": unread} if unread else {}
        return {"whole": self.whole, "producers": told, "passed_over": self.passed_over, **more}


@dataclass(frozen=True, slots=True)
class Producers:
    """The use case."""

    ledger: Ledger

    def report(self, service: str | None = None, chain: str | None = None) -> Found:
        """Report on a service's producers, those of one chain, or all.

        Of one chain alone what its producers stored on other lanes looks lost. Raises `Missing` where there
        is no such chain. A chain that is not whole says nothing of what came: it raises `Tampered`, as does
        one that cannot be read what that raises; among several services it is told, and the others are read.
        """
        names = sorted(self.ledger.chains())
        if chain is not None:
            names = [each for each in names if each == chain]
        if service is not None:
            names = [each for each in names if service_of(each) == service]
        if not names and (chain is not None or service is not None):
            raise Missing(f"there is no chain {chain}" if chain else f"service {service} has no chain")
        found = Found()
        for each in sorted({service_of(name) for name in names}):
            try:
                _Reading(each, found).read(self.ledger, [name for name in names if service_of(name) == each])
            except (Tampered, Rejected) as error:
                if chain is not None or service is not None:
                    raise
                found.unread[each] = error
        return found


class _Reading:
    """One service's chains, as they are read."""

    def __init__(self, service: str, found: Found) -> None:
        self._service, self._found = service, found
        self._tracks: dict[str, Track] = {}
        self._unnumbered: set[str] = set()
        self._erased = 0  # entries so far whose numbers were erased with them
        self._told = 0  # of these, how many a gap was put down to

    def read(self, ledger: Ledger, chains: list[str]) -> None:
        """Read the chains and add what was seen to the report."""
        lanes = [_verified(ledger, chain) for chain in chains]
        for segment in heapq.merge(*lanes, key=lambda each: each.t):
            self._take(segment)
        self._found.tracks += [self._tracks[name] for name in sorted(self._tracks)]

    def _take(self, segment: Segment) -> None:
        if len(segment.opened.erased) == segment.count:
            self._erased += segment.count
            return
        context: dict[str, Any] = orjson.loads(segment.opened.context)
        try:
            numbers = numbers_of(context, segment.count)
        except ValueError as error:
            raise Tampered(segment.chain, segment.first, "context", str(error)) from None
        if numbers is None:
            if len(self._unnumbered) < PRODUCERS:
                self._unnumbered.add(str(context.get("instance", "")))
            return
        track = self._tracks.get(numbers.producer) or self._begin(numbers)
        if track is None:
            self._found.passed_over += 1
            return
        self._told += track.take(numbers, segment, self._erased - max(track.erased, self._told))
        track.erased = self._erased

    def _begin(self, numbers: Numbered) -> Track | None:
        """Begin with a producer: at number 0, but where it stored entries before it gave them numbers."""
        if len(self._tracks) >= PRODUCERS:
            return None
        begin = numbers.first if numbers.producer in self._unnumbered else 0
        track = self._tracks[numbers.producer] = Track(self._service, numbers.producer, begin)
        return track


def _verified(ledger: Ledger, chain: str) -> Iterator[Segment]:
    checked = Verifier(chain)
    for segment in ledger.read(chain):
        checked.check(segment)
        yield segment
