"""The ports of the transparency log: what is kept outside of the ledger's table, and who signs.

A *lane* here is a chain id. All of these stores are written by few and hold no entries, but for the archive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from sentinel.core.segment import Segment
from sentinel.core.witnessing import Seen


class Notes(Protocol):
    """Keeps each chain's checkpoints, numbered from 0 without gaps, write-once.

    Durability: what was put is there after a crash of everything, and nobody can change it or take it away
    (S3 Object Lock in compliance mode; a folder's files that are never written twice). Consistency: all see
    what was put before they began to look. Concurrency: of any number that put one number exactly one
    succeeds. All raise `Unavailable`; a put may have happened then: whoever puts again, or looks, finds it.
    """

    def put(self, chain: str, number: int, note: bytes) -> bool:
        """Store a checkpoint if none has its number; return whether it was stored, or is there as it is."""

    def get(self, chain: str, number: int) -> bytes | None:
        """Return a checkpoint, or None."""

    def newest(self, chain: str) -> tuple[int, bytes] | None:
        """Return the checkpoint with the greatest number, and that; None where there is none."""

    def attach(self, chain: str, number: int, name: str, data: bytes) -> None:
        """Store something beside a checkpoint: a witness's cosignature, a timestamp. The first one stays.

        `name` is a word of letters, digits, dots and dashes.
        """

    def attached(self, chain: str, number: int) -> dict[str, bytes]:
        """Return what was stored beside a checkpoint, by name."""

    def chains(self) -> Iterator[str]:
        """Yield the id of every chain that has a checkpoint, in any order."""


class Tiles(Protocol):
    """Keeps the tiles of each chain's tree (C2SP tlog-tiles). All raise `Unavailable`."""

    def put(self, chain: str, path: str, tile: bytes) -> None:
        """Store a tile under its path below the chain (`0/x001/067`, `1/000.p/17`); again is nothing."""

    def put_all(self, chain: str, tiles: Mapping[str, bytes]) -> None:
        """Store tiles by their paths, each as `put` does, in any order. After an error any may be stored."""

    def get(self, chain: str, path: str) -> bytes | None:
        """Return a tile, or None."""


class LogSigner(Protocol):
    """The log's Ed25519 key."""

    def public_key(self) -> bytes:
        """Return the public key, 32 bytes (RFC 8032). Raises `Unavailable`, `Forbidden`."""

    def sign(self, message: bytes) -> bytes:
        """Return the signature of a message, 64 bytes. Raises `Unavailable`, `Forbidden`."""


class Witnessed(Protocol):
    """Keeps what a witness cosigned last of each log. All raise `Unavailable`.

    Durability: what `advance` stored when it returned is there after a crash of everything. Consistency: all
    see what was stored before they began to look.
    """

    def advance(self, origin: str, decide: Callable[[Seen | None], Seen]) -> None:
        """Store what `decide` makes of what was cosigned last (None: nothing yet), in one atomic step.

        `decide` may run in any thread, must not take long, and runs again in no case. What it raises is
        raised, and nothing is stored.
        """

    def get(self, origin: str) -> Seen | None:
        """Return what was cosigned last, or None."""


class Archive(Protocol):
    """Keeps segments that left the ledger's table, or are about to.

    Durability as of `Ledger`. Objects hold runs of segments of one chain. All raise `Unavailable`.
    """

    def store(self, chain: str, segments: list[Segment]) -> None:
        """Store a run of segments, contiguous and in order; the same run again is nothing.

        Raises `Conflict` where other segments are stored there.
        """

    def replace(self, segment: Segment, before: Segment) -> bool:
        """Put another form of a segment in the place of `before`: one that was erased, or encrypted anew.

        Return False, changing nothing, where what is there is not `before`, and not what was to be put.
        """

    def replace_all(self, changes: Sequence[tuple[Segment, Segment]]) -> bool:
        """Do what `replace` does for many (segment, before) of one chain, in the order of the chain.

        An object that holds several is read and written once. Return False where one is neither: those of the
        objects before it have been replaced then.
        """

    def end(self, chain: str) -> int:
        """Return the sequence number behind the last archived entry; 0 where nothing is archived."""

    def at(self, chain: str, seq: int) -> Segment | None:
        """Return the archived segment that holds entry `seq`, or None."""

    def holds(self, segment: Segment) -> bool:
        """Say whether this segment is archived, in whichever form (`core.runs.alike`).

        That it is may be known from what was read some minutes ago; that it is not is looked up each time.
        Asking for neighbours, in any order, reads what they share once.
        """

    def read(self, chain: str, first: int = 0) -> Iterator[Segment]:
        """Yield archived segments in order, from the first whose `first` is at least `first`."""

    def tidy(self, chain: str) -> str:
        """Take away what was left by who was cut off while writing what is archived of a chain.

        Return what stays of what this process has replaced, as a sentence for people; "" where nothing does.
        """

    def chains(self) -> Iterator[str]:
        """Yield the id of every chain that has an archived segment, in any order."""


class Expiring(Protocol):
    """Marks segments that are in the archive: the ledger's table may drop them. All raise `Unavailable`."""

    def expire(self, chain: str, first: int, seconds: int) -> None:
        """Let the table drop the segment at `first` after a time, epoch seconds; one that is marked stays so.

        Nothing where there is no such segment. Idempotent.
        """

    def unmarked(self, chain: str, end: int) -> list[int]:
        """Return where the segments below entry `end` begin that are not marked, newest first.

        Only as far down as the first that is marked: segments are marked in order.
        """


class DataKeys(Protocol):
    """Keeps data keys, each wrapped by a key that never leaves its place (KMS, a file of one machine).

    `id` is a word. All raise `Unavailable`.
    """

    def make(self, chain: str) -> tuple[str, bytes]:
        """Make and store a data key for a chain; return (its id, the key: 32 bytes, in the clear)."""

    def open(self, chain: str, key: str) -> bytes:
        """Return a data key, in the clear. Raises `Missing` where it was destroyed, `Forbidden`."""

    def destroy(self, chain: str, key: str) -> None:
        """Destroy a data key: what it encrypted cannot be read any more, in no copy. Idempotent."""

    def ids(self, chain: str) -> list[tuple[str, int]]:
        """Return (id, when it was made in epoch nanoseconds) of a chain's keys, oldest first."""
