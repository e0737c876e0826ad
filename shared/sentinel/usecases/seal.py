"""Seal: a checkpoint of each chain each minute, grown or not, of a tree that was read back and hashed again.

Nothing is signed that does not continue what was signed before: the new segments are verified from the last
checkpoint on, and a ledger that is smaller, or another one, is told and left unsigned. Checkpoints are
numbered, and a number is taken by one only, so whoever signs has seen all that was signed before it. Numbers
are not signed, and an old checkpoint could be put under a new one: the newest is held against older ones.

Tiles are what makes that cheap: they tell the tree's right edge and the hash that the last checkpoint ended
with, both checked against its root. Where they are lost or wrong the whole chain is verified from its
beginning, first without writing anything, until its tree is the one that was signed; then they are written
anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sentinel.core import chain as hashing
from sentinel.core import merkle, notes
from sentinel.core import tiles as tiling
from sentinel.core.notes import COSIGNATURE, ED25519, Checkpoint, Key, Note
from sentinel.core.segment import Segment
from sentinel.core.verify import Verifier
from sentinel.errors import Malformed, Missing, Tampered, Unavailable
from sentinel.ports import Ledger
from sentinel.ports_log import LogSigner, Notes, Tiles

SECOND = 1_000_000_000
TILES = 64  # tiles that are stored together: 16,384 entries, half a megabyte
BEFORE = 8  # checkpoints that the newest is held against by a process that has seen none of its chain
TRIES = 5  # checkpoints found taken one after the other before the caller is told to come back


@dataclass(frozen=True, slots=True)
class Sealed:
    """A checkpoint that is stored. `seconds` is when it was signed, epoch seconds.

    Of one that was just made `gap` is how long before that the chain had its last checkpoint, or its first
    entry where it had none, in seconds; below 0 where the clock stands before that. `rebuilt` says that its
    tiles were lost or wrong, and were written anew.
    """

    chain: str
    number: int
    checkpoint: Checkpoint
    seconds: int
    note: Note
    gap: int = 0
    rebuilt: bool = False


@dataclass(frozen=True, slots=True)
class LogKeys:
    """The public keys of a log: `log` is its name. A chain's checkpoints are signed by `of` and `timed`."""

    log: str
    public: bytes

    def of(self, chain: str) -> Key:
        """Return the key that signs a chain's checkpoints: named as its origin."""
        return Key(notes.origin_of(self.log, chain), ED25519, self.public)

    @property
    def own(self) -> Key:
        """The key under the log's own name: from it and the log's name all others follow."""
        return Key(self.log, ED25519, self.public)

    @property
    def timed(self) -> Key:
        """The same key as the cosigner that says when."""
        return Key(self.log, COSIGNATURE, self.public)

    def read(self, chain: str, number: int, raw: bytes) -> Sealed:
        """Read a stored checkpoint of a chain. Raises `Tampered` where this log did not sign it."""
        try:
            note = notes.read(raw)
            signed = dict(note.verified([self.of(chain), self.timed]))
            found = Checkpoint.read(note.text)
        except Malformed as error:
            raise Tampered(chain, 0, "checkpoint", f"checkpoint {number}: {error}") from None
        if found.origin != notes.origin_of(self.log, chain) or len(signed) != 2:
            raise Tampered(
                chain, 0, "checkpoint", f"checkpoint {number} is not signed by this log for this chain"
            )
        return Sealed(chain, number, found, signed[self.timed], note)


@dataclass(slots=True)
class _Growth:
    """How far a chain was verified: its tree's edge; `began`: its first new segment's time, nanoseconds."""

    checked: Verifier
    edge: tiling.Edge
    rebuilt: bool = False
    began: int = 0


@dataclass(frozen=True, slots=True)
class Sealer:
    """The use case. `clock` gives epoch nanoseconds. Raises `Tampered` for what must not be signed."""

    ledger: Ledger
    notes: Notes
    tiles: Tiles
    signer: LogSigner
    log: str
    clock: Callable[[], int]
    _seen: dict[str, Sealed] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def seen(self) -> Iterable[str]:
        """The chains whose checkpoints this process has seen."""
        return tuple(self._seen)

    @property
    def keys(self) -> LogKeys:
        """The public keys."""
        return LogKeys(self.log, self.signer.public_key())

    def newest(self, chain: str) -> Sealed | None:
        """Return the newest checkpoint of a chain, its signature verified."""
        found = self.notes.newest(chain)
        return self.keys.read(chain, *found) if found else None

    def seal(
        self, chain: str, enough: Callable[[], bool] = lambda: False, *, rebuild: bool = False
    ) -> Sealed:
        """Sign and store the next checkpoint of a chain.

        Where `enough` comes to say True, it is of what was verified by then: the next one goes on there.
        `rebuild` writes all tiles anew. Raises `Missing` where there is no such chain, and never was.
        """
        for _ in range(TRIES):
            before = self._last(chain)
            grown = self._grown(chain, before, enough, rebuild=rebuild)
            edge = grown.edge
            if before is None and edge.size == 0:
                raise Missing(f"there is no chain {chain}; `sentinel chains` lists them")
            checkpoint = Checkpoint(self.keys.of(chain).name, edge.size, merkle.root(edge.peaks))
            sealed = self._signed(chain, before, checkpoint, grown)
            if grown.rebuilt or before is None or before.checkpoint.size != edge.size:
                partial = {tiling.path(level, at, width): tile for level, at, width, tile in edge.tiles()}
                self.tiles.put_all(chain, partial)
            if self.notes.put(chain, sealed.number, sealed.note.bytes):
                self._seen[chain] = sealed
                return sealed
        raise Unavailable("others sign checkpoints of this chain all the time", 1.0)

    def _last(self, chain: str) -> Sealed | None:
        """Return the newest checkpoint, if it goes on from those before it. Raises `Tampered`.

        Those are what this process saw last, which costs no read; in a new one, or where others have signed
        meanwhile, a few that are stored.
        """
        known = self._seen.get(chain)  # first: another thread may see a newer one meanwhile
        newest = self.newest(chain)
        if newest is None:
            if known:
                raise Tampered(chain, 0, "order", f"checkpoint {known.number} is gone, and all others")
            return None
        if known:
            _goes_on(known, newest)
        if known is None or newest.number > known.number + 1:
            self._look_back(newest)
        self._seen[chain] = newest
        return newest

    def _look_back(self, newest: Sealed) -> None:
        chain, after = newest.chain, newest
        for number in range(newest.number - 1, max(-1, newest.number - 1 - BEFORE), -1):
            raw = self.notes.get(chain, number)
            if raw is None:
                raise Tampered(chain, after.checkpoint.size, "order", f"checkpoint {number} is gone")
            before = self.keys.read(chain, number, raw)
            _goes_on(before, after)
            after = before

    def _signed(self, chain: str, before: Sealed | None, checkpoint: Checkpoint, grown: _Growth) -> Sealed:
        """Sign a checkpoint with the time, which never goes back. What cannot be verified is not stored."""
        now = self.clock() // SECOND
        seconds = max(now, before.seconds if before else 0)
        text, keys, sign = checkpoint.text, self.keys, self.signer.sign
        lines = (notes.signed(text, keys.of(chain), sign), notes.cosigned(text, keys.timed, sign, seconds))
        number = before.number + 1 if before else 0
        note = keys.read(chain, number, Note(text, lines).bytes).note
        since = before.seconds if before else grown.began // SECOND
        return Sealed(chain, number, checkpoint, seconds, note, now - since, grown.rebuilt)

    def _grown(
        self, chain: str, before: Sealed | None, enough: Callable[[], bool], *, rebuild: bool
    ) -> _Growth:
        """Verify what is new since a checkpoint, and store the tiles that filled up."""
        known = before.checkpoint if before else Checkpoint("", 0, merkle.EMPTY_ROOT)
        grown = None if rebuild else self._begin(chain, known)
        if grown is None:
            self._walk(chain, known, _Growth(Verifier(chain), tiling.Edge()), lambda: True, store=False)
            grown = _Growth(Verifier(chain), tiling.Edge(), rebuilt=True)
        return self._walk(chain, known, grown, enough, store=True)

    def _walk(
        self, chain: str, known: Checkpoint, grown: _Growth, enough: Callable[[], bool], *, store: bool
    ) -> _Growth:
        """Go on segment by segment, at least to what was signed. Raises `Tampered` where that is not met."""
        checked, edge = grown.checked, grown.edge
        met = edge.size == known.size
        full: dict[str, bytes] = {}
        for segment in self.ledger.read(chain, checked.next):
            grown.began = grown.began or segment.t
            full |= {tiling.path(level, at): tile for level, at, tile in edge.add(checked.check(segment))}
            if len(full) >= TILES or not store:
                self._put(chain, full, store=store)
            if edge.size == known.size:
                _same(chain, known, edge)
                met = True
            if edge.size >= known.size and (not met or enough()):
                break
        if edge.size < known.size:
            raise _cut(chain, edge.size, known)
        if not met:
            detail = f"no segment ends where a tree of {known.size} was signed"
            raise Tampered(chain, known.size - 1, "rewritten", detail)
        self._put(chain, full, store=store)
        return grown

    def _put(self, chain: str, full: dict[str, bytes], *, store: bool) -> None:
        """Store the tiles that filled up, where they are to be stored, and let go of them."""
        if store and full:
            self.tiles.put_all(chain, full)
        full.clear()

    def _begin(self, chain: str, known: Checkpoint) -> _Growth | None:
        """Return where to go on behind a checkpoint; None where tiles do not tell."""
        if known.size == 0:
            return _Growth(Verifier(chain), tiling.Edge())
        seen: dict[str, bytes | None] = {}

        def read(path: str) -> bytes | None:
            if path not in seen:
                seen[path] = self.tiles.get(chain, path)
            return seen[path]

        edge, leaf = tiling.edge_of(known.size, read), tiling.last_leaf(known.size, read, known.root)
        if edge is None or leaf is None or merkle.root(edge.peaks) != known.root:
            return None
        last = self.ledger.at(chain, known.size - 1)
        if last is None:
            newest = self.ledger.head(chain)
            size = newest.next if newest else 0
            if size >= known.size:
                raise Tampered(chain, known.size - 1, "missing", "the segment of this entry is gone")
            raise _cut(chain, size, known)
        if last.next != known.size or merkle.leaf(last.head) != leaf:
            raise Tampered(chain, known.size - 1, "rewritten", "its hash is not the one that was signed")
        _whole(last, edge.peaks)
        checked = Verifier(chain, known.size, last.head, last.t, tree=edge.peaks, treed=bool(last.tree))
        checked.window = tuple(raw for _, raw in last.parts)
        return _Growth(checked, edge)


def _goes_on(before: Sealed, after: Sealed) -> None:
    """Check that a checkpoint can have been signed after another one."""
    old, new, chain = before.checkpoint, after.checkpoint, after.chain
    if after.number < before.number:
        raise Tampered(chain, old.size, "order", f"checkpoint {before.number} is gone")
    if new.size < old.size or after.seconds < before.seconds:
        what = f"checkpoint {after.number} goes back behind one before it"
        raise Tampered(chain, old.size, "order", what)
    if new.size == old.size and new.root != old.root:
        raise Tampered(chain, old.size - 1, "rewritten", f"two trees of {old.size} were signed")


def _whole(last: Segment, peaks: tuple[bytes, ...]) -> None:
    """Check the segment that a checkpoint ends with against its own head: what follows is held against it."""
    leaves = last.opened.leaves()
    if len(leaves) != last.count:
        raise Tampered(last.chain, last.first, "count", f"says {last.count} entries, holds {len(leaves)}")
    service = hashing.service_of(last.chain)
    if not 0 <= last.t < 1 << 64 or hashing.head(last.prev, leaves, last.t, service) != last.head:
        detail = "its entries, context or time are not those its head commits to"
        raise Tampered(last.chain, last.first, "hash", detail)
    if last.tree and last.peaks != peaks:
        raise Tampered(last.chain, last.first, "tree", "its compact range is not that of the tree so far")


def _cut(chain: str, size: int, known: Checkpoint) -> Tampered:
    end = f"ends at entry {size - 1}" if size else "is gone"
    return Tampered(chain, size, "cut", f"the chain {end}; a tree of {known.size} was signed")


def _same(chain: str, known: Checkpoint, edge: tiling.Edge) -> None:
    if merkle.root(edge.peaks) != known.root:
        raise Tampered(chain, known.size - 1, "rewritten", f"the tree of {known.size} is not the one signed")
