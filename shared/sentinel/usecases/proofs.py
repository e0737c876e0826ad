"""Proofs of entries: what anybody needs to check, by SHA-256 alone, that an entry stands in its chain.

A proof is a run of segments of one chain, as hashes: the head of the entry before it, each segment's leaf
hashes, time and head. Where they are few enough, the run goes on to a head that is known otherwise: one that
was written down earlier, or else the chain's newest. An entry's leaf commits to its bytes and to the context
in which it was sent, and gives away neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.core import chain as hashing
from sentinel.core.segment import Segment
from sentinel.core.verify import Verifier
from sentinel.errors import Tampered
from sentinel.ports import Ledger
from sentinel.usecases.carried import named
from sentinel.usecases.exported import plain

Place = tuple[str, int]
Json = dict[str, Any]
Written = Mapping[str, Mapping[int, str]]  # by chain and number of entries: a head, hex

NEWEST, WRITTEN, SEGMENT = "newest", "written", "segment"
LEFT_OUT = "the proofs before it have as many hashes as are wanted"
UNREAD = "it cannot be read"
GONE = "it is not in the ledger"


@dataclass(frozen=True, slots=True)
class Wish:
    """What proofs are to be like: at most so many leaf hashes in all, and up to which heads.

    With `bodies` entries are told as they are, with what their leaves are made of.
    """

    leaves: int = 100_000
    written: Written = field(default_factory=dict)
    bodies: bool = False


@dataclass(frozen=True, slots=True)
class Goal:
    """A head that links lead to: H of so many entries, hex, and which head it is."""

    entries: int
    head: str
    which: str


@dataclass(slots=True)
class Proven:
    """Entries, runs of segments that prove them, what was found damaged, and what is to be known besides."""

    entries: list[Json] = field(default_factory=list)
    runs: list[Json] = field(default_factory=list)
    damage: list[Tampered] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Prover:
    """Makes the proofs of one trace. Raises `Unavailable` as the ledger does; damage is told, not raised."""

    def __init__(self, ledger: Ledger, wish: Wish) -> None:
        self._ledger = ledger
        self._wish = wish
        self._left = wish.leaves
        self._found = Proven()

    def prove(self, places: Iterable[Place]) -> Proven:
        """Prove entries; they come in the order of their chains and numbers."""
        by_chain: dict[str, list[int]] = {}
        for chain, seq in sorted(set(places)):
            by_chain.setdefault(chain, []).append(seq)
        for chain, wanted in by_chain.items():
            self._chain(chain, wanted)
        self._found.entries.sort(key=lambda each: (each["chain"], each["seq"]))
        return self._found

    def _chain(self, chain: str, wanted: list[int]) -> None:
        segments = dict(self._segments(chain, wanted))
        goal = self._goal(chain, max(wanted))
        left = list(segments)
        while left:
            first = segments[left[0]]
            near = goal is not None and first.first < goal.entries <= first.first + self._left
            far = goal.entries if goal is not None and not near else 0
            behind = self._run(first, wanted, goal if near else None, far)
            left = [seq for seq in left if seq >= behind]

    def _segments(self, chain: str, wanted: Sequence[int]) -> Iterator[tuple[int, Segment]]:
        """Yield the segment of each entry; what the ledger does not have is told."""
        newest: Segment | None = None
        for seq in wanted:
            try:
                if newest is None or not newest.first <= seq < newest.first + newest.count:
                    newest = self._ledger.at(chain, seq)
            except Tampered as error:
                self._damaged(error)
                self._unproven(chain, seq, UNREAD)
                continue
            if newest is None:
                self._damaged(Tampered(chain, seq, "missing", GONE))
                self._unproven(chain, seq, GONE)
            else:
                yield seq, newest

    def _goal(self, chain: str, last: int) -> Goal | None:
        """Return the head that links are to lead to, where there is one."""
        try:
            newest = self._ledger.head(chain)
        except Tampered as error:
            self._damaged(error)
            return None
        size = newest.first + newest.count if newest else 0
        written = self._wish.written.get(chain, {})
        if self._wish.written and not any(known > last for known in written):
            self._found.notes.append(f"no head was written down that covers entry {last} of {chain}")
        for known in sorted(each for each in written if each > last):
            if known <= size:
                return Goal(known, written[known], WRITTEN)
            self._damaged(Tampered(chain, size, "cut", f"it ends there, and had {known} entries once"))
            break
        return Goal(size, newest.head.hex(), NEWEST) if newest else None

    def _run(self, first: Segment, wanted: Sequence[int], goal: Goal | None, far: int) -> int:
        """Prove what a segment has, and go on to a goal where there is one.

        Returns up to which entry, exclusively, all that is wanted was told. `far` is the number of entries up
        to which links would have to go for a head that is known.
        """
        segments: list[Json] = []
        why = UNREAD
        checked = Verifier(first.chain, first.first, first.prev, first.t)
        try:
            checked.window = tuple(raw for _, raw in first.parts[:-1])
            for segment in self._following(first, goal):
                if segment.count > self._left:
                    why = LEFT_OUT
                    break
                checked.check(segment)
                segments.append(self._segment(segment, wanted))
            _check_goal(checked, goal)
        except Tampered as error:
            self._damaged(error)
            goal = None
        if not segments:
            self._untold(first, wanted, why)
            return first.first + first.count
        run = {"chain": first.chain, "service": hashing.service_of(first.chain), "first": first.first}
        run |= {"prev": first.prev.hex(), "segments": segments, "entries": checked.next}
        run |= {"short_of": far} if far else {}
        linked = goal.which if goal is not None else SEGMENT
        self._found.runs.append({**run, "head": checked.hash.hex(), "linked": linked})
        return checked.next

    def _following(self, first: Segment, goal: Goal | None) -> Iterator[Segment]:
        if goal is None:
            yield first
            return
        for segment in self._ledger.read(first.chain, first.first):
            yield segment
            if segment.first + segment.count >= goal.entries:
                return

    def _untold(self, segment: Segment, wanted: Sequence[int], why: str) -> None:
        for seq in _within(segment, wanted):
            self._unproven(segment.chain, seq, why)

    def _unproven(self, chain: str, seq: int, why: str) -> None:
        self._found.entries.append({"chain": chain, "seq": seq, "proven": False, "why": why})

    def _damaged(self, damage: Tampered) -> None:
        if damage not in self._found.damage:
            self._found.damage.append(damage)

    def _segment(self, segment: Segment, wanted: Sequence[int]) -> Json:
        """Return a segment as hashes, having told the entries in it that are wanted."""
        opened = segment.opened
        leaves = opened.leaves()
        hashes = hashing.links(segment.prev, leaves, segment.t, hashing.service_of(segment.chain))
        self._left -= len(leaves)
        held = _within(segment, wanted)
        for seq in held:
            at = seq - segment.first
            told = {
                "chain": segment.chain,
                "seq": seq,
                "proven": True,
                "t": segment.t,
                "leaf": leaves[at].hex(),
                "hash": hashes[at].hex(),
            }
            if at in opened.erased:
                self._found.entries.append({**told, "erased": True})
                continue
            trace = named(opened.entries[at])
            body = {"entry": plain(opened.entries[at])} if self._wish.bodies else {}
            self._found.entries.append({**told, **(trace.facts if trace else {}), **body})
        salt = {"nonce": opened.nonce.hex(), "context": plain(opened.context)}
        return {
            "first": segment.first,
            "count": segment.count,
            "t": segment.t,
            "leaves": [leaf.hex() for leaf in leaves],
            "head": segment.head.hex(),
            **(salt if held and self._wish.bodies else {}),
        }


def _check_goal(checked: Verifier, goal: Goal | None) -> None:
    """Raise `Tampered` where a run does not lead to the head that it should lead to."""
    if goal is not None and (checked.next, checked.hash.hex()) != (goal.entries, goal.head):
        told = "the one written down" if goal.which == WRITTEN else "the chain's newest"
        raise Tampered(checked.chain, goal.entries - 1, "rewritten", f"its head is not {told}")


def _within(segment: Segment, wanted: Sequence[int]) -> list[int]:
    return [seq for seq in wanted if segment.first <= seq < segment.first + segment.count]
