"""Verify: a chain from its first entry to its last, against all that was signed for it, on all cores.

A chain is checked in runs. Each begins with what is stored of the segment before it, so runs can be checked
side by side; afterwards each has to have begun where the one before it ended. One that has not is checked
again from there, so whatever is found is what one pass from the first entry finds, at the same place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sentinel.core import erasure_check
from sentinel.core.chain import genesis
from sentinel.core.segment import Segment
from sentinel.core.verify import Verifier
from sentinel.errors import Missing, Tampered
from sentinel.ports import Ledger
from sentinel.usecases.course import Attested, Course, course
from sentinel.usecases.first_difference import first_difference

SMALL = 400_000  # entries of a chain from which on starting other processes pays
RUN = 10_000  # entries of a run, at least
# Runs for each core, at most: whoever is done first takes the next, and waits for short ones at the end.
RUNS = 128


@dataclass(frozen=True, slots=True)
class Job:
    """A run: the segments that begin at `first` and before `end` (None: all that follow).

    `roots` are the signed (size, root) at ends of its segments, smallest first; `heads` what was written
    down elsewhere, hex, by the number of entries.
    """

    chain: str
    first: int
    end: int | None
    roots: tuple[tuple[int, bytes], ...]
    heads: Mapping[int, str]


@dataclass(slots=True)
class Done:
    """What came of a run: where it began, where it ended, and the first damage.

    `erased` are the leaves of erased entries, `records` entries that may be records of that, `met` the
    written-down heads that were there.
    """

    before: Verifier | None
    after: Verifier
    damage: Tampered | None = None
    erased: dict[int, bytes] = field(default_factory=dict)
    records: list[tuple[int, bytes]] = field(default_factory=list)
    met: set[int] = field(default_factory=set)


Spread = Callable[[Sequence[Job]], Iterable[Done]]  # runs jobs elsewhere; answers come in order


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification found to be whole. `erased` counts the erased entries, each with its record.

    `readable` counts entries that such a record names and that are there still: the erasure was broken off,
    or somebody put them back.
    """

    chain: str
    entries: int
    segments: int
    head: str
    erased: int = 0
    readable: int = 0
    course: Course = field(default_factory=Course)

    def json(self) -> dict[str, object]:
        """Return the result as it is printed and sent."""
        return {
            "chain": self.chain,
            "entries": self.entries,
            "segments": self.segments,
            "head": self.head,
            "verified": True,
            **({"erased": self.erased} if self.erased else {}),
            **({"readable": self.readable} if self.readable else {}),
            **self.course.json(self.entries),
        }


def check_run(ledger: Ledger, job: Job, begin: Verifier | None = None) -> Done:
    """Check a run from `begin`, or from what is stored of the segment before it."""
    try:
        begun = begin or _stored(ledger, job)
    except Tampered:
        begun = None
    if begun is None:
        return Done(None, Verifier(job.chain))
    done = Done(begun if begin else begun.copy(), begun)
    try:
        _check(ledger, job, done)
    except Tampered as damage:
        done.damage = damage
    return done


def _stored(ledger: Ledger, job: Job) -> Verifier | None:
    if job.first == 0:
        return Verifier(job.chain)
    before = ledger.at(job.chain, job.first - 1)
    return None if before is None else Verifier.behind(before)


def _check(ledger: Ledger, job: Job, done: Done) -> None:
    checked, waiting = done.after, list(reversed(job.roots))
    _meet(checked, waiting)
    for segment in ledger.read(job.chain, job.first):
        if job.end is not None and segment.first >= job.end:
            return
        checked.check(segment)
        opened = segment.opened
        for place, leaf in opened.erased.items():
            done.erased[segment.first + place] = leaf
        done.records += erasure_check.candidates(segment.first, opened)
        known = job.heads.get(checked.next)
        if known is not None:
            if known != checked.hash.hex():
                what = "its head is not the one written down"
                raise Tampered(job.chain, checked.next - 1, "rewritten", what)
            done.met.add(checked.next)
        if waiting:
            _meet(checked, waiting)


def _meet(checked: Verifier, waiting: list[tuple[int, bytes]]) -> None:
    """Hold the tree against what was signed of it: `waiting`, the smallest size last."""
    while waiting and waiting[-1][0] <= checked.next:
        size, root = waiting.pop()
        if size < checked.next:
            what = f"no segment ends where a tree of {size} was signed"
            raise Tampered(checked.chain, size - 1, "rewritten", what)
        if checked.root != root:
            what = f"the tree of {size} is not the one that was signed"
            raise Tampered(checked.chain, size - 1, "rewritten", what)


@dataclass(frozen=True, slots=True)
class ChainVerification:
    """The use case. Without `attested` a chain is checked by itself, and nothing of it may be erased.

    `spread` checks runs elsewhere, `cores` at once; chains under `small` entries are checked here.
    """

    ledger: Ledger
    attested: Attested | None = None
    spread: Spread | None = None
    cores: int = 1
    small: int = SMALL
    run: int = RUN

    def verify(self, chain: str, expected: Mapping[int, str] | None = None) -> Verified:
        """Check a chain. Raises `Tampered` with the first place and the kind, or `Missing`.

        `expected` are heads that were written down earlier, by the number of entries they were heads of.
        """
        known = course(self.attested, chain) if self.attested else Course()
        heads = dict(expected or {})
        jobs = self._jobs(chain, tuple(sorted(known.roots.items())), heads)
        try:
            done = _joined(self.ledger, jobs, self.spread if len(jobs) > 1 else None)
        except Tampered as damage:
            raise self._placed(damage, known) from None
        checked = done.after
        if not checked.segments and not heads and not known.roots:
            raise known.damage or Missing(f"there is no chain {chain}; `sentinel chains` lists them")
        _check_end(checked, known)
        left = {size: head for size, head in heads.items() if size not in done.met}
        if left:
            raise _unmet(checked, left)
        if known.damage:
            raise known.damage
        readable = self._check_erased(chain, done)
        size, head, erased = checked.next, checked.hash.hex(), len(done.erased)
        return Verified(chain, size, checked.segments, head, erased, readable, known)

    def _placed(self, damage: Tampered, known: Course) -> Tampered:
        """Return damage with the first entry that differs from what was signed, where tiles tell it."""
        tiles = self.attested.tiles if self.attested else None
        size = damage.seq + 1 if damage.kind == "rewritten" else max(known.roots, default=0)
        if damage.kind not in {"rewritten", "hash"} or tiles is None or size not in known.roots:
            return damage
        within = range(size)
        if damage.kind == "hash":
            segment = self.ledger.at(damage.chain, damage.seq)
            within = range(damage.seq, min(size, segment.next) if segment else 0)
        seq = first_difference(self.ledger, tiles, damage.chain, size, known.roots[size], within)
        if seq is None:
            return damage
        return Tampered(damage.chain, seq, damage.kind, f"{damage.detail}; this is the first other entry")

    def _jobs(self, chain: str, roots: tuple[tuple[int, bytes], ...], heads: Mapping[int, str]) -> list[Job]:
        """Cut a chain into runs that begin where segments do."""
        cuts = [0, *self._cuts(chain)]
        ends: list[int | None] = [*cuts[1:], None]
        jobs = []
        for first, end in zip(cuts, ends, strict=True):
            mine = tuple(
                each for each in roots if (each[0] > first or not first) and (end is None or each[0] <= end)
            )
            jobs.append(Job(chain, first, end, mine, heads))
        return jobs

    def _cuts(self, chain: str) -> list[int]:
        if self.spread is None or self.cores < 2:
            return []
        try:
            newest = self.ledger.head(chain)
            size = newest.next if newest else 0
            if size < self.small:
                return []
            parts = max(1, min(RUNS * self.cores, size // self.run))
            found = [self.ledger.at(chain, size * part // parts) for part in range(1, parts)]
        except Tampered:  # the run that reads it says where
            return []
        # A segment of a version before trees does not say what a run behind it has to begin with.
        return sorted({each.first for each in found if each and each.tree and 0 < each.first < size})

    def _check_erased(self, chain: str, done: Done) -> int:
        """Check that each erased entry has its record; return how many that records name are not erased."""
        seq: int | None = min(done.erased, default=None)
        if self.attested is None or not done.records:
            readable = 0
        else:
            key = self.attested.keys().of(chain)
            readable = erasure_check.readable(done.erased, done.records, key)
            seq = erasure_check.unrecorded(done.erased, done.records, key, self._leaf(chain))
        if seq is not None:
            what = "it was erased, and no record that the log signed says so"
            raise Tampered(chain, seq, "erasure", what)
        return readable

    def _leaf(self, chain: str) -> Callable[[int], bytes | None]:
        held: list[Segment] = []

        def leaf(seq: int) -> bytes | None:
            if not held or not held[0].first <= seq < held[0].next:
                found = self.ledger.at(chain, seq)
                held[:] = [found] if found else []
            return held[0].opened.leaves()[seq - held[0].first] if held else None

        return leaf


def _joined(ledger: Ledger, jobs: Sequence[Job], spread: Spread | None) -> Done:
    """Check runs and join them, each to the one before. Raises the first damage."""
    whole: Done | None = None
    for job, done in zip(jobs, _results(ledger, jobs, spread), strict=True):
        found = done
        if whole is not None and (done.before is None or not done.before.same(whole.after)):
            found = check_run(ledger, job, whole.after.copy(segments=0))
        if found.damage:
            raise found.damage
        if whole is not None:
            found.after.segments += whole.after.segments
            found.erased = {**whole.erased, **found.erased}
            found.records = whole.records + found.records
            found.met |= whole.met
        whole = found
    assert whole is not None  # noqa: S101 - there is a run at least
    return whole


def _results(ledger: Ledger, jobs: Sequence[Job], spread: Spread | None) -> Iterator[Done]:
    if spread is None:
        return (check_run(ledger, job) for job in jobs)
    return iter(spread(jobs))


def _check_end(checked: Verifier, known: Course) -> None:
    size = max(known.roots, default=0)
    if size > checked.next:
        what = f"the chain ends at entry {checked.next - 1}; a tree of {size} was signed"
        raise Tampered(checked.chain, checked.next, "cut", what)


def _unmet(checked: Verifier, left: Mapping[int, str]) -> Tampered:
    """Name the damage where a written-down head was not met at a segment's end."""
    size = min(left)
    if size == 0 and left[size] == genesis(checked.chain).hex():
        size = max(left)
    if size > checked.next:
        detail = f"the chain ends at entry {checked.next - 1}; it had {size} entries once"
        return Tampered(checked.chain, checked.next, "cut", detail)
    return Tampered(checked.chain, size - 1, "rewritten", f"no segment ends where it had {size} entries once")
