"""Prove: an entry is in a chain's tree, and one tree continues another, from tiles and a signed checkpoint.

Every proof is verified against the signed root before it is given, so that tiles which were lost or changed
make it fail and never make it wrong. Reads are few however long the chain: a checkpoint, and the tiles on the
way from a leaf to the root, of 8 levels each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sentinel.core import merkle
from sentinel.core.tiles import TiledNodes
from sentinel.errors import Malformed, Missing, Unavailable
from sentinel.ports import Ledger
from sentinel.ports_log import Notes, Tiles
from sentinel.usecases.seal import LogKeys, Sealed

SEALED_WITHIN = 60.0  # seconds within which a new entry is in a checkpoint
CHECKPOINT = 2  # reads of the newest one: S3 lists it, and gives it


@dataclass(frozen=True, slots=True)
class Inclusion:
    """Entry `entry` is leaf `entry` of the tree that `sealed` says. `leaf` is its leaf hash there.

    `leaf` is SHA256(0x00 ‖ H) with H of the entry, so the head of a receipt is proven by that of its last
    entry. `reads` counts what was read.
    """

    sealed: Sealed
    entry: int
    leaf: bytes
    proof: list[bytes]
    reads: int

    def json(self) -> dict[str, object]:
        """Return it as it is printed and sent: hashes in hex."""
        return {
            "chain": self.sealed.chain,
            "entry": self.entry,
            "size": self.sealed.checkpoint.size,
            "leaf": self.leaf.hex(),
            "proof": [each.hex() for each in self.proof],
            "checkpoint": self.sealed.note.bytes.decode(),
        }


@dataclass(frozen=True, slots=True)
class Consistency:
    """The tree of `second` leaves begins with that of `first`: roots and proof.

    `rest` is the proof that the tree `sealed` says begins with the second, empty where it is that.
    """

    sealed: Sealed
    first: int
    second: int
    roots: tuple[bytes, bytes]
    proof: list[bytes]
    rest: list[bytes]
    reads: int

    def json(self) -> dict[str, object]:
        """Return it as it is printed and sent: hashes in hex."""
        return {
            "chain": self.sealed.chain,
            "from": self.first,
            "to": self.second,
            "from_root": self.roots[0].hex(),
            "to_root": self.roots[1].hex(),
            "proof": [each.hex() for each in self.proof],
            "size": self.sealed.checkpoint.size,
            "rest": [each.hex() for each in self.rest],
            "checkpoint": self.sealed.note.bytes.decode(),
        }


def checkpoint_json(sealed: Sealed) -> dict[str, object]:
    """Return a checkpoint as it is printed and sent."""
    return {
        "chain": sealed.chain,
        "number": sealed.number,
        "size": sealed.checkpoint.size,
        "root": sealed.checkpoint.root.hex(),
        "time": sealed.seconds,
        "checkpoint": sealed.note.bytes.decode(),
    }


@dataclass(slots=True)
class _Counted:
    """What one proof has read."""

    get: Callable[[str], bytes | None]
    reads: int = 0
    _seen: dict[str, bytes | None] = field(default_factory=dict)

    def __call__(self, path: str) -> bytes | None:
        if path not in self._seen:
            self.reads += 1
            self._seen[path] = self.get(path)
        return self._seen[path]


@dataclass(frozen=True, slots=True)
class ProveChain:
    """The use case. `keys` gives the log's public keys."""

    ledger: Ledger
    notes: Notes
    tiles: Tiles
    keys: Callable[[], LogKeys]

    def checkpoint(self, chain: str, number: int | None = None) -> Sealed:
        """Return a chain's checkpoint by its number, the newest without one; its signatures are verified.

        Raises `Missing` where there is none; `Unavailable` where the chain is too young to have its first;
        `Tampered` where this log did not sign it.
        """
        if number is None:
            found = self.notes.newest(chain)
        else:
            note = self.notes.get(chain, number) if number >= 0 else None
            found = (number, note) if note is not None else None
        if found is not None:
            return self.keys().read(chain, *found)
        if number is not None:
            raise Missing(f"there is no checkpoint {number} of chain {chain}")
        if self.ledger.head(chain) is None:
            raise Missing(f"there is no chain {chain}")
        raise Unavailable(f"chain {chain} has no checkpoint yet: it gets one each minute", SEALED_WITHIN)

    def entry(self, chain: str, entry: int, number: int | None = None) -> Inclusion:
        """Prove that an entry is in the tree of a checkpoint, by its number, the newest without one.

        Raises what `checkpoint` does; `Missing` where there is no such entry; `Unavailable` where it is not
        sealed yet, or tiles do not lead to the signed root.
        """
        sealed = self.checkpoint(chain, number)
        size, root = sealed.checkpoint.size, sealed.checkpoint.root
        if not 0 <= entry < size:
            raise self._absent(sealed, entry, newest=number is None)
        read = self._read(chain)
        nodes = TiledNodes(size, read)
        try:
            leaf, proof = nodes(0, entry), merkle.inclusion(entry, size, nodes)
        except LookupError:
            raise _lost(chain) from None
        if not merkle.verify_inclusion(entry, size, leaf, proof, root):
            raise _lost(chain)
        return Inclusion(sealed, entry, leaf, proof, read.reads + CHECKPOINT)

    def between(self, chain: str, first: int, second: int | None = None) -> Consistency:
        """Prove that the tree of `second` leaves, of the newest checkpoint without it, begins with `first`.

        Raises as `entry` does; `Malformed` for a tree that is larger than the one it should have become.
        """
        sealed = self.checkpoint(chain)
        size, root = sealed.checkpoint.size, sealed.checkpoint.root
        second = size if second is None else second
        if not 0 <= first <= second:
            raise Malformed(f"a tree of {first} entries cannot have become one of {second}")
        if second > size:
            raise self._absent(sealed, second - 1, newest=True)
        read = self._read(chain)
        nodes = TiledNodes(size, read)
        try:
            roots = tuple(_root(each, nodes) for each in (first, second))
            proof, rest = merkle.consistency(first, second, nodes), merkle.consistency(second, size, nodes)
        except LookupError:
            raise _lost(chain) from None
        good = merkle.verify_consistency(first, second, proof, *roots)
        if not good or not merkle.verify_consistency(second, size, rest, roots[1], root):
            raise _lost(chain)
        return Consistency(sealed, first, second, (roots[0], roots[1]), proof, rest, read.reads + CHECKPOINT)

    def _read(self, chain: str) -> _Counted:
        return _Counted(lambda path: self.tiles.get(chain, path))

    def _absent(self, sealed: Sealed, entry: int, *, newest: bool) -> Missing | Unavailable:
        """Say why an entry is not in a tree: it is not there, or it is not sealed yet."""
        chain, size = sealed.chain, sealed.checkpoint.size
        if entry < 0 or not newest:
            return Missing(f"checkpoint {sealed.number} of chain {chain} has no entry {entry}, it has {size}")
        head = self.ledger.head(chain)
        if head is None or entry >= head.next:
            return Missing(f"chain {chain} has no entry {entry}")
        return Unavailable(f"entry {entry} of chain {chain} is sealed within a minute", SEALED_WITHIN)


def _root(size: int, nodes: TiledNodes) -> bytes:
    return merkle.root([nodes(level, index) for level, index in merkle.spans(0, size)])


def _lost(chain: str) -> Unavailable:
    mend = f"`sentinel seal --chain {chain} --rebuild` writes them anew"
    return Unavailable(f"tiles of chain {chain} are lost or wrong: {mend}", SEALED_WITHIN)
