"""Archive: segments older than their service's limit go from the ledger's table to the archive.

A segment is stored there once it lies below a signed checkpoint and was verified against it, and never the
newest of its chain. Then it is read back from both, compared, and marked, so that the table drops it days
later. Every step may be cut off: the next run first marks what is stored, then goes on. Any number may run at
once: a run of segments begins where the archive ends, and one alone can store it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from sentinel.core import chain as hashing
from sentinel.core import merkle, runs
from sentinel.core.runs import alike
from sentinel.core.segment import Segment
from sentinel.core.tiles import TiledNodes
from sentinel.core.verify import Verifier
from sentinel.errors import Conflict, Forbidden, Tampered
from sentinel.ports import Ledger
from sentinel.ports_log import Archive, Expiring, Tiles
from sentinel.usecases.seal import Sealed

SECOND = 1_000_000_000
DAY = 86_400
GRACE = 7 * DAY  # seconds that a segment stays in the table once it is archived
PATIENCE = 7 * DAY  # seconds that a run may wait beyond its service's limit until it is full
MARGIN = 20.0  # seconds of a call in which no run is begun and no segment marked

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Archived:
    """What a run did. `damaged` chains were left as they are; `more` says that time was up before the end."""

    segments: int = 0
    objects: int = 0
    marked: int = 0
    damaged: int = 0
    more: bool = False

    def add(self, other: Archived) -> None:
        """Take in what was done in another chain."""
        self.segments += other.segments
        self.objects += other.objects
        self.marked += other.marked
        self.damaged += other.damaged
        self.more = self.more or other.more


_Done = tuple[Archived, Forbidden | None]


@dataclass(frozen=True, slots=True)
class Archiver:
    """The use case. `ledger` reads over the seam, `table` is the table alone.

    `sealed` returns a chain's newest checkpoint, `covered` says whether all that a segment says was erased is
    recorded, `days` gives the limit of each service, `clock` epoch nanoseconds. `workers` is how many chains
    are worked at together: each waits for its stores most of the time.
    """

    ledger: Ledger
    table: Ledger
    archive: Archive
    expiring: Expiring
    sealed: Callable[[str], Sealed | None]
    tiles: Tiles
    covered: Callable[[Segment], bool]
    days: Callable[[], Mapping[str, int]]
    clock: Callable[[], int]
    workers: int = 1

    def run(self, left: Callable[[], float], patience: int = PATIENCE) -> Archived:
        """Archive what is due in all chains until the seconds `left` are nearly none. Raises `Unavailable`.

        Damage in one chain is logged and keeps no other waiting. Nor does one that may not be opened: its
        `Forbidden` is raised when all others had their turn.
        """
        days = {service: each for service, each in self.days().items() if each > 0}
        # What a call that was cut off has archived is looked through also where nothing more is to go.
        begun = set(self.archive.chains())
        chains = sorted(
            chain for chain in self.ledger.chains() if chain in begun or hashing.service_of(chain) in days
        )
        # Each call begins with another chain, so that one which takes all the time is not always the same.
        turn = self.clock() // (3_600 * SECOND) % max(len(chains), 1)
        cut = threading.Event()

        def one(chain: str) -> tuple[Archived, Forbidden | None]:
            limit = days.get(hashing.service_of(chain), 0) * DAY
            try:
                return self._one(chain, limit, patience, lambda: 0.0 if cut.is_set() else left())
            except BaseException:
                cut.set()  # nobody waits for the others any more
                raise

        done = Archived()
        refused: Forbidden | None = None
        for found, error in self._each(one, chains[turn:] + chains[:turn]):
            done.add(found)
            refused = error or refused
        if refused is not None:
            raise refused
        return done

    def _each(self, one: Callable[[str], _Done], chains: Sequence[str]) -> Iterator[_Done]:
        if self.workers == 1:
            yield from map(one, chains)
            return
        with ThreadPoolExecutor(self.workers, "archive") as pool:
            yield from pool.map(one, chains)

    def _one(self, chain: str, limit: int, patience: int, left: Callable[[], float]) -> _Done:
        """Archive what is due in one chain."""
        if left() < MARGIN:
            return Archived(more=True), None
        done = Archived()
        try:
            while not done.more and self._step(chain, limit, patience, left, done):
                pass
        except Tampered as error:
            log.critical("tampered: %s", error)
            done.damaged += 1
        except Forbidden as error:
            return done, error
        return done, None

    def _step(self, chain: str, limit: int, patience: int, left: Callable[[], float], done: Archived) -> bool:
        """Mark what is stored of a chain, and store one run more; return whether there was one.

        A `limit` of 0 is none: of such a chain nothing more is stored.
        """
        start = self.archive.end(chain)
        self._mark(chain, start, left, done)
        if done.more or left() < MARGIN:
            done.more = True
            return False
        if not limit:
            return False
        now = self.clock()
        found, full = self._due(chain, start, now - limit * SECOND)
        if not found or not (full or found[0].t <= now - (limit + patience) * SECOND):
            return False
        try:
            self.archive.store(chain, found)
        except Conflict:
            log.info("somebody else archives %s", chain)
            return False
        done.objects += 1
        done.segments += len(found)
        self._mark(chain, found[-1].next, left, done)
        return not done.more

    def _due(self, chain: str, start: int, until: int) -> tuple[list[Segment], bool]:
        """Return the next run, verified, and whether it is full. `until` is in nanoseconds."""
        sealed, newest = self.sealed(chain), self.table.head(chain)
        if sealed is None or newest is None or sealed.checkpoint.size <= start:
            return [], False
        found: list[Segment] = []
        size, full = 0, False
        checked: Verifier | None = None
        for segment in self.table.read(chain, start):
            old = segment.t <= until and segment.first < newest.first
            if not old or segment.next > sealed.checkpoint.size:
                break
            size += runs.weight(segment)
            full = bool(found) and (size > runs.TARGET or len(found) == runs.MOST_SEGMENTS)
            if full:
                break
            checked = checked or self._begin(chain, start)
            checked.check(segment)
            found.append(replace(segment))  # without what it unpacks to, which may be 8 MB of each of 1,000
        if checked is not None:
            self._check_signed(checked, sealed)
        return found, full

    def _begin(self, chain: str, start: int) -> Verifier:
        """Return a verifier of what comes behind the archive. Its tree is held against a signed one later."""
        if start == 0:
            return Verifier(chain)
        last = self.archive.at(chain, start - 1)
        if last is None or last.next != start:
            raise Tampered(chain, start - 1, "archive", "the archive does not hold its last segment")
        if not last.tree:  # of a version before trees
            checked = Verifier(chain)
            checked.check_all(self.archive.read(chain))
            return checked
        checked = Verifier(chain, start, last.head, last.t, tree=last.peaks, treed=True)
        checked.window = tuple(raw for _, raw in last.parts)
        return checked

    def _check_signed(self, checked: Verifier, sealed: Sealed) -> None:
        """Raise `Tampered` where what was verified is not what the signed tree begins with."""
        chain, signed = checked.chain, sealed.checkpoint
        nodes = TiledNodes(signed.size, lambda path: self.tiles.get(chain, path))
        try:
            proof = merkle.consistency(checked.next, signed.size, nodes)
            good = merkle.verify_consistency(checked.next, signed.size, proof, checked.root, signed.root)
        except LookupError:
            good = False
        if not good:  # by the tiles, which anybody may have damaged: then by the segments themselves
            good = self._leads_to(checked, sealed)
        if not good:
            detail = f"the tree of {signed.size} is not the one signed"
            raise Tampered(chain, checked.next - 1, "rewritten", detail)

    def _leads_to(self, checked: Verifier, sealed: Sealed) -> bool:
        ahead = Verifier(checked.chain, checked.next, checked.hash, checked.t, tree=checked.tree)
        ahead.treed, ahead.window = checked.treed, checked.window
        if ahead.next < sealed.checkpoint.size:
            for segment in self.table.read(ahead.chain, ahead.next):
                ahead.check(segment)
                if ahead.next >= sealed.checkpoint.size:
                    break
        return (ahead.next, ahead.root) == (sealed.checkpoint.size, sealed.checkpoint.root)

    def _mark(self, chain: str, end: int, left: Callable[[], float], done: Archived) -> None:
        """Mark what the table has below the archive's end, each held against what the archive has."""
        waiting = set(self.expiring.unmarked(chain, end))
        if not waiting:
            return
        archived = self.archive.read(chain, min(waiting))
        kept = next(archived, None)
        for row in self.table.read(chain, min(waiting)):
            if row.first >= end:
                return
            if left() < MARGIN:
                done.more = True
                return
            while kept is not None and kept.first < row.first:
                kept = next(archived, None)
            if row.first in waiting and not self._mark_one(row, kept, done):
                return  # marks are set in order: what is passed over would not be looked at again

    def _mark_one(self, row: Segment, kept: Segment | None, done: Archived) -> bool:
        """Mark a segment; return False where somebody is changing it, so that the next call has to."""
        if kept is None or not alike(row, kept):
            log.critical("tampered: %s at entry %d stands where another was archived", row.chain, row.first)
            done.damaged += 1
            return True
        if row != kept:  # it was erased, or encrypted anew, while it was on its way
            # Whoever erases begins with the table: what is read of it now is not older than what was kept.
            now = self.table.at(row.chain, row.first)
            if now is None or not alike(now, kept):
                return False
            self._check_sound(now)
            if not _erased(kept) <= set(now.opened.erased):
                detail = "has entries in the table that are erased in the archive: erase them again"
                raise Tampered(row.chain, row.first, "archive", detail)
            if not self.archive.replace(now, kept):
                return False
        self.expiring.expire(row.chain, row.first, self.clock() // SECOND + GRACE)
        done.marked += 1
        return True

    def _check_sound(self, row: Segment) -> None:
        leaves = row.opened.leaves()
        service = hashing.service_of(row.chain)
        if hashing.head(row.prev, leaves, row.t, service) != row.head or not self.covered(row):
            raise Tampered(row.chain, row.first, "archive", "was changed, and the archive keeps what it was")


def _erased(kept: Segment) -> set[int]:
    """Return the places that are erased in what is archived; none where its data key is gone."""
    try:
        return set(kept.opened.erased)
    except Tampered:
        return set()
