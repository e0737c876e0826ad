"""Verification of a stored chain: segment by segment from the genesis hash, trusting nothing that is stored.

What it finds is raised as `Tampered`, with the entry where the chain stops being what it was and the kind
of the damage: `missing`, `place`, `link`, `time`, `codec`, `payload`, `count`, `hash`, `window` or `tree`. A
store whose columns take any type adds `type`. Whether an entry may have been erased is for who knows the
records of that (docs/erasure.md): here its leaf stands for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import orjson

from sentinel.core import chain as hashing
from sentinel.core import merkle
from sentinel.core.payload import BLANK
from sentinel.core.segment import NUMBERS, Segment
from sentinel.core.window import WINDOW, decode_window
from sentinel.errors import Tampered

_PART = ("batch", "offset", "total")  # what a segment's context says of its batch (`Part.context`)


@dataclass(slots=True)
class Verifier:
    """Checks a chain segment by segment, from its first. One for each chain.

    `next` and `hash` say what has been verified so far: as many entries, and H of the last one; `tree` is the
    compact range of the tree over all of their hashes. One that begins further on and is not told that range
    takes the first segment's as it is. Segments of a version before trees have none, and stand before all
    that do: from the first that has one on `treed` is true.
    """

    chain: str
    next: int = 0
    hash: bytes = b""
    t: int = 0
    segments: int = 0
    window: tuple[bytes, ...] = ()
    tree: tuple[bytes, ...] | None = None
    treed: bool = False

    @property
    def root(self) -> bytes:
        """The root of the tree over what has been verified."""
        return merkle.root(self.tree or ())

    def __post_init__(self) -> None:
        self.hash = self.hash or hashing.genesis(self.chain)
        if self.next == 0:
            self.tree = ()

    @staticmethod
    def behind(segment: Segment) -> Verifier:
        """Return one that goes on behind a stored segment, as if all up to it were verified: it is not."""
        return Verifier(
            segment.chain,
            segment.next,
            segment.head,
            segment.t,
            window=tuple(raw for _, raw in segment.parts),
            tree=segment.peaks if segment.tree else None,
            treed=bool(segment.tree),
        )

    def copy(self, **changes: int) -> Verifier:
        """Return one that goes on from the same place by itself."""
        return replace(self, **changes)  # type: ignore[arg-type] # numbers only

    def same(self, other: Verifier) -> bool:
        """Say whether both would find the same in what follows."""
        return self.copy(segments=0) == other.copy(segments=0)

    def check(self, segment: Segment) -> list[bytes]:
        """Take in the next segment; return H of each entry. Raises `Tampered` with the place and the kind."""
        self._check_place(segment)
        opened = segment.opened
        if len(opened.entries) != segment.count:
            held = len(opened.entries)
            raise self._tampered(segment, "count", f"says {segment.count} entries, holds {held}")
        hashes = hashing.links(self.hash, opened.leaves(), segment.t, hashing.service_of(self.chain))
        if hashes[-1] != segment.head:
            raise self._tampered(
                segment, "hash", "its entries, context or time are not those its head commits to"
            )
        if len(opened.erased) == segment.count and (opened.nonce, opened.context) != BLANK:
            raise self._tampered(segment, "hash", "beside erased entries something stands")
        self._check_window(segment)
        self.tree = self._check_tree(segment, hashes)
        self.next += segment.count
        self.hash = hashes[-1]
        self.t = segment.t
        self.segments += 1
        return hashes

    def check_all(self, segments: Iterable[Segment]) -> None:
        """Take in segments in order."""
        for segment in segments:
            self.check(segment)

    def _check_place(self, segment: Segment) -> None:
        if segment.chain != self.chain:
            raise self._tampered(segment, "place", f"belongs to chain {segment.chain}")
        if segment.first > self.next:
            raise Tampered(
                self.chain, self.next, "missing", f"entries {self.next} to {segment.first - 1} are gone"
            )
        if segment.first < self.next:
            raise self._tampered(segment, "place", f"stands where entry {self.next} should begin")
        if segment.prev != self.hash:
            raise self._tampered(segment, "link", "is not linked to the entry before it")
        if not self.t <= segment.t < NUMBERS:
            raise self._tampered(segment, "time", "is older than the segment before it")

    def _check_tree(self, segment: Segment, hashes: list[bytes]) -> tuple[bytes, ...] | None:
        if self.tree is None:
            self.treed = bool(segment.tree)
            return segment.peaks if segment.tree else None
        if not segment.tree and not self.treed:
            return merkle.grow(self.next, self.tree, hashes)
        self.treed = True
        tree = merkle.grow(self.next, self.tree, hashes)
        if merkle.encode(tree) != segment.tree:
            raise self._tampered(segment, "tree", "its compact range is not that of the tree so far")
        return tree

    def _check_window(self, segment: Segment) -> None:
        before = self.window[1 - WINDOW :]
        known = b"".join(before)
        raw = segment.recent[len(known) :]
        try:
            parts = decode_window(raw)
        except ValueError:
            parts = []
        if (
            len(parts) != 1
            or not segment.recent.startswith(known)
            or parts[0][0].count != segment.count
            or parts[0][0].encode() != raw  # LEB128 has many ways to write a number, and one that is ours
        ):
            raise self._tampered(segment, "window", "its dedup window does not follow from the one before")
        if len(segment.opened.erased) == segment.count:  # the context went with the last of its entries
            self.window = (*before, raw)
            return
        context = _object(segment.opened.context)
        # Also what it has of a part where the record says that the batch is whole.
        if {name: context[name] for name in _PART if name in context} != parts[0][0].context():
            raise self._tampered(segment, "window", "its dedup window names another batch than its context")
        self.window = (*before, raw)

    def _tampered(self, segment: Segment, kind: str, detail: str) -> Tampered:
        return Tampered(self.chain, segment.first, kind, detail)


def _object(raw: bytes) -> dict[str, object]:
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
