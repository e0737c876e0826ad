"""A log to test with: a ledger, checkpoints, tiles and a key on disk, with a clock that is told the time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sentinel.adapters.log_folder import FolderNotes, FolderTiles
from sentinel.adapters.log_key_file import FileLogKey
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.core import merkle
from sentinel.core.segment import Head, Segment
from sentinel.core.verify import Verifier
from sentinel.usecases.prove_chain import ProveChain
from sentinel.usecases.seal import SECOND, LogKeys, Sealed, Sealer
from tests.chains import batch

LOG = "log.example"
CHAIN = "checkout/0"
BEGIN = 1_700_000_000  # epoch seconds


@dataclass
class Log:
    """The stores below a folder. `now` is the time in epoch seconds."""

    home: Path
    now: int = BEGIN
    rng: random.Random = field(default_factory=lambda: random.Random(7))
    batches: int = 0

    def __post_init__(self) -> None:
        self.home.mkdir(exist_ok=True)
        self.key = FileLogKey(self.home / "log.key", create=True)
        self.open()

    def open(self) -> None:
        """Open the stores, again where their files were put back."""
        self.ledger = SqliteLedger(self.home / "ledger.db")
        self.notes = FolderNotes(self.home / "log")
        self.tiles = FolderTiles(self.home / "log")

    def sealer(self, **other: Any) -> Sealer:
        """Return a sealer, with other ports where they are given."""
        ports: dict[str, Any] = {
            "ledger": self.ledger,
            "notes": self.notes,
            "tiles": self.tiles,
            "signer": self.key,
            **other,
        }
        return Sealer(**ports, log=LOG, clock=lambda: self.now * SECOND)

    @property
    def keys(self) -> LogKeys:
        """The log's public keys."""
        return LogKeys(LOG, self.key.public_key())

    def prover(self, **other: Any) -> ProveChain:
        """Return what proves."""
        tiles = other.get("tiles", self.tiles)
        return ProveChain(other.get("ledger", self.ledger), self.notes, tiles, lambda: self.keys)

    def segment(self, entries: Sequence[bytes], chain: str = CHAIN) -> Segment:
        """Return the segment that would come next."""
        newest = self.ledger.head(chain)
        head = Head.after(newest) if newest else Head.genesis(chain)
        self.batches += 1
        draft = batch(self.batches, entries).draft(0, self.rng.randbytes(32))
        return draft.place(chain, head, self.now * SECOND)[0]

    def append(self, count: int, chain: str = CHAIN) -> Segment:
        """Store a batch of `count` entries."""
        segment = self.segment([b'{"n":%d}' % self.rng.getrandbits(40) for _ in range(count)], chain)
        self.ledger.append(segment)
        return segment

    def root(self, size: int, chain: str = CHAIN) -> bytes:
        """Return the root of a chain's tree of `size` leaves, made from the ledger alone."""
        checked = Verifier(chain)
        hashes = [each for segment in self.ledger.read(chain) for each in checked.check(segment)]
        return merkle.root(merkle.grow(0, (), hashes[:size]))

    def all(self, chain: str = CHAIN) -> list[Sealed]:
        """Return the checkpoints of a chain, each verified; they are numbered without gaps."""
        newest = self.notes.newest(chain)
        found = []
        for number in range(newest[0] + 1 if newest else 0):
            note = self.notes.get(chain, number)
            assert note is not None, f"there is no checkpoint {number}"
            found.append(self.keys.read(chain, number, note))
        return found
