"""Seal: a checkpoint of each chain each minute, grown or not, of a tree that was read back and hashed again.

Nothing is signed that does not continue what was signed before: the new segments are verified from the last
checkpoint on, and a ledger that is smaller, or another one, is told and left unsigned. Checkpoints are
numbered, and a number is taken by one only, so whoever signs has seen all that was signed before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sentinel.core import merkle, notes
from sentinel.core import tiles as tiling
from sentinel.core.notes import COSIGNATURE, ED25519, Checkpoint, Key, Note
from sentinel.core.verify import Verifier
from sentinel.errors import Malformed, Tampered, Unavailable
from sentinel.ports import Ledger
from sentinel.ports_log import LogSigner, Notes, Tiles

SECOND = 1_000_000_000
TRIES = 5  # checkpoints found taken one after the other before the caller is told to come back


@dataclass(frozen=True, slots=True)
class Sealed:
    """A checkpoint that is stored. `seconds` is when it was signed, epoch seconds."""

    chain: str
    number: int
    checkpoint: Checkpoint
    seconds: int
    note: Note


@dataclass(frozen=True, slots=True)
class LogKeys:
    """The public keys of a log: `log` is its name. A chain's checkpoints are signed by `of` and `timed`."""

    log: str
    public: bytes

    def of(self, chain: str) -> Key:
        """Return the key that signs a chain's checkpoints: named as its origin."""
        return Key(notes.origin_of(self.log, chain), ED25519, self.public)

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


@dataclass(frozen=True, slots=True)
class Sealer:
    """The use case. `clock` gives epoch nanoseconds. Raises `Tampered` for what must not be signed."""

    ledger: Ledger
    notes: Notes
    tiles: Tiles
    signer: LogSigner
    log: str
    clock: Callable[[], int]

    @property
    def keys(self) -> LogKeys:
        """The public keys."""
        return LogKeys(self.log, self.signer.public_key())

    def newest(self, chain: str) -> Sealed | None:
        """Return the newest checkpoint of a chain, its signature verified."""
        found = self.notes.newest(chain)
        return self.keys.read(chain, *found) if found else None

    def seal(self, chain: str) -> Sealed:
        """Sign and store the next checkpoint of a chain."""
        for _ in range(TRIES):
            before = self.newest(chain)
            edge = self._grown(chain, before)
            sealed = self._signed(
                chain, before, Checkpoint(self.keys.of(chain).name, edge.size, merkle.root(edge.peaks))
            )
            for level, index, width, tile in edge.tiles():
                self.tiles.put(chain, tiling.path(level, index, width), tile)
            if self.notes.put(chain, sealed.number, sealed.note.bytes):
                return sealed
        raise Unavailable("others sign checkpoints of this chain all the time", 1.0)

    def _signed(self, chain: str, before: Sealed | None, checkpoint: Checkpoint) -> Sealed:
        """Sign a checkpoint with the time, which never goes back."""
        seconds = max(self.clock() // SECOND, before.seconds if before else 0)
        text, keys, sign = checkpoint.text, self.keys, self.signer.sign
        lines = (notes.signed(text, keys.of(chain), sign), notes.cosigned(text, keys.timed, sign, seconds))
        return Sealed(chain, before.number + 1 if before else 0, checkpoint, seconds, Note(text, lines))

    def _grown(self, chain: str, before: Sealed | None) -> tiling.Edge:
        """Verify what is new since a checkpoint, store the tiles that filled up; return the tree's edge."""
        checked, edge = self._begin(chain, before)
        known = before.checkpoint if before else None
        if known is not None and edge.size < known.size:
            self._continues(chain, known)
        for segment in self.ledger.read(chain, checked.next):
            for level, index, tile in edge.add(checked.check(segment)):
                self.tiles.put(chain, tiling.path(level, index), tile)
            # Read a second time, it may be another one.
            if known is not None and edge.size == known.size and merkle.root(edge.peaks) != known.root:
                raise _rewritten(chain, known)
        if known is not None and edge.size < known.size:
            raise _cut(chain, edge.size, known)
        return edge

    def _continues(self, chain: str, known: Checkpoint) -> None:
        """Verify a chain from its beginning up to a checkpoint: only then may tiles be made anew from it."""
        checked = Verifier(chain)
        for segment in self.ledger.read(chain):
            if checked.next >= known.size:
                break
            checked.check(segment)
        if checked.next < known.size:
            raise _cut(chain, checked.next, known)
        if checked.next != known.size or checked.root != known.root:
            raise _rewritten(chain, known)

    def _begin(self, chain: str, before: Sealed | None) -> tuple[Verifier, tiling.Edge]:
        """Return where to go on behind a checkpoint; at the chain's beginning where tiles do not tell."""
        known = before.checkpoint if before else None
        if known is None or known.size == 0:
            return Verifier(chain), tiling.Edge()

        def read(path: str) -> bytes | None:
            return self.tiles.get(chain, path)

        edge, leaf = tiling.edge_of(known.size, read), tiling.last_leaf(known.size, read, known.root)
        if edge is None or leaf is None or merkle.root(edge.peaks) != known.root:
            return Verifier(chain), tiling.Edge()
        last = self.ledger.at(chain, known.size - 1)
        if last is None:
            newest = self.ledger.head(chain)
            if newest is None or newest.next < known.size:
                raise _cut(chain, newest.next if newest else 0, known)
            raise Tampered(chain, known.size - 1, "missing", "the entry that was signed last is gone")
        if last.next != known.size or merkle.leaf(last.head) != leaf:
            raise Tampered(chain, known.size - 1, "rewritten", "its hash is not the one that was signed")
        checked = Verifier(chain, known.size, last.head, last.t, tree=edge.peaks, treed=bool(last.tree))
        checked.window = tuple(raw for _, raw in last.parts)
        return checked, edge


def _cut(chain: str, size: int, known: Checkpoint) -> Tampered:
    detail = f"the chain ends at entry {size - 1}; a tree of {known.size} was signed"
    return Tampered(chain, size, "cut", detail)


def _rewritten(chain: str, known: Checkpoint) -> Tampered:
    return Tampered(chain, known.size - 1, "rewritten", f"the tree of {known.size} is not the one signed")
