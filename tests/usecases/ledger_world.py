"""A ledger with all that happens to it: writers, sealers, an archive, erasures, and requests on their way.

What a writer sends has one of the outcomes in `OUTCOMES`. A request that is held back is carried out when
somebody delivers it, any number of steps later. `World.check` says what must hold at any time.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from sentinel.adapters.log_folder import FolderNotes, FolderTiles
from sentinel.core import merkle
from sentinel.core.payload import CODEC_ERASED, ERASED_ENTRY, Opened
from sentinel.core.segment import Batch, Segment
from sentinel.core.tiles import TiledNodes
from sentinel.core.verify import Verifier
from sentinel.errors import Missing, Unavailable
from sentinel.ports_log import LogSigner
from sentinel.usecases.append import SECOND, Appender, Receipt
from sentinel.usecases.seal import Sealed, Sealer
from tests.faults_calls import Killed
from tests.usecases.ledger_stores import Archived, Store, seam
from tests.writers import CHAIN

DAY = 86_400 * SECOND
LOG = "sentinel.example"
OUTCOMES = (
    "applied",
    "unsent",
    "lost",
    "late",
    "twice",
    "frozen before",
    "frozen after",
    "dies",
    "dies after",
)


class Way:
    """The way of one writer to the ledger: what it sends has the outcomes that the world has for it."""

    def __init__(self, world: World) -> None:
        self.world = world

    def append(self, segment: Segment) -> None:
        world = self.world
        outcome = world.outcomes.popleft() if world.outcomes else "applied"
        world.seen.add(outcome)
        if outcome in {"late", "twice"}:
            world.held.append(lambda: world.seam.append(segment))
        if outcome == "frozen before":
            world.meanwhile()
        if outcome in {"unsent", "late"}:
            raise Unavailable("injected: no answer", 0.001)
        if outcome == "dies":
            raise Killed
        try:
            world.seam.append(segment)
        finally:
            if outcome == "frozen after":
                world.meanwhile()
            if outcome == "dies after":
                raise Killed
            if outcome == "lost":
                raise Unavailable("injected: the answer is lost", 0.001)

    def __getattr__(self, name: str) -> Any:
        if self.world.reads is not None:
            self.world.reads -= 1
            if self.world.reads < 0:
                self.world.reads = None
                raise Unavailable("injected: no answer to a read", 0.001)
        return getattr(self.world.seam, name)


class KeptNotes(FolderNotes):
    """A folder of checkpoints to which a request may be lost or late, too."""

    world: World

    def put(self, chain: str, number: int, note: bytes) -> bool:
        outcome, self.world.noted = self.world.noted, "applied"
        real = super().put
        if outcome in {"late", "twice"}:
            self.world.held.append(lambda: real(chain, number, note))
        if outcome == "frozen before":
            self.world.meanwhile()
        if outcome in {"unsent", "late"}:
            raise Unavailable("injected: no answer", 0.001)
        if outcome == "dies":
            raise Killed
        stored = real(chain, number, note)
        if outcome in {"lost", "dies after"}:
            raise Killed if outcome == "dies after" else Unavailable("injected: the answer is lost", 0.001)
        return stored


@dataclass
class Sent:
    """A batch that a producer has, and since which sequence number it may be stored."""

    batch: Batch
    since: int
    receipt: Receipt | None = None


class World:
    """Everything. `now` is the true time; each writer's clock may be off by its `skews`."""

    def __init__(self, store: Store, folder: Path, signer: LogSigner, large: Callable[[int], Batch]) -> None:
        self.store, self.archive, self.folder = store, Archived(), folder
        self.seam = seam(store.ledger, self.archive)
        self.now = 1_000 * DAY
        self.skews = [0, 0, 0, 0]
        self.outcomes: deque[str] = deque()
        self.noted = "applied"
        self.reads: int | None = None
        self.held: list[Callable[[], object]] = []
        self.planned: list[str] = []
        self.seen: set[str] = set()
        self.sent: dict[int, Sent] = {}
        self.erased: set[int] = set()
        self.sealed: list[Sealed] = []
        self.known = 0
        self.roots: dict[int, bytes] = {0: merkle.EMPTY_ROOT}
        self.verifier = Verifier(CHAIN)
        self.large = large
        self.names = 0
        self.writers = [self.writer(which) for which in range(4)]
        notes = KeptNotes(folder)
        notes.world = self
        tiles = FolderTiles(folder)
        self.sealers = [Sealer(self.seam, notes, tiles, signer, LOG, self.clock(which)) for which in range(2)]

    def clock(self, which: int) -> Callable[[], int]:
        return lambda: self.now + self.skews[which]

    def writer(self, which: int) -> Appender:
        self.names += 1
        rng = random.Random(self.names)
        return Appender(Way(self), self.clock(which), rng.randbytes, rng.random, lambda _: None)

    def append(self, which: int, name: int) -> Receipt | None:
        """Send a batch, once or again; note the receipt, which is the same each time. None without one."""
        sent = self.sent[name]
        try:
            receipt = self.writers[which].append(CHAIN, sent.batch, since=sent.since)
        except Unavailable:
            return None
        except Killed:
            self.writers[which] = self.writer(which)
            return None
        assert sent.receipt in {None, receipt}, "a batch got two receipts"
        sent.receipt = receipt
        self.known = max(self.known, receipt.first + receipt.count)
        return receipt

    def begin(self, batch: Batch) -> int:
        """Let a producer have a new batch; return its name."""
        name = int.from_bytes(batch.batch_id, "big")
        self.sent[name] = Sent(batch, self.known)
        return name

    def meanwhile(self) -> None:
        """Let the world go on while one writer's request is on its way."""
        planned, self.planned = self.planned, []
        outcomes, self.outcomes = self.outcomes, deque()
        for step in planned:
            if step == "append":
                self.names += 1
                self.append(3, self.begin(self.large(1_000_000 + self.names)))
            elif step == "days":
                self.now += 3 * DAY
            elif step == "archive":
                self.move()
            elif step == "seal":
                self.seal(1)
            else:
                self.expire(lambda _: True)
        self.outcomes = outcomes

    def seal(self, which: int, outcome: str = "applied") -> None:
        """Sign a checkpoint, or fail to."""
        self.noted = outcome
        try:
            found = self.sealers[which].seal(CHAIN)
        except (Unavailable, Killed):
            return
        except Missing:
            assert self.store.ledger.head(CHAIN) is None, "a chain that is there was not sealed"
            return
        for each in self.sealed:
            grown = found.checkpoint.size - each.checkpoint.size
            assert grown * (found.number - each.number) >= 0, "a later checkpoint is of a smaller tree"
        self.sealed.append(found)

    def move(self, most: int = 1_000_000) -> None:
        """Archive what is older than a day, but for the newest segment, which stays in the table."""
        segments = list(self.store.ledger.read(CHAIN, self.archive.end(CHAIN)))[:-1]
        old = []
        for segment in segments[:most]:
            if segment.t > self.now - DAY:
                break
            old.append(segment)
        if old:
            self.archive.store(CHAIN, old)

    def expire(self, chosen: Callable[[int], bool]) -> None:
        """Let TTL remove what is archived from the table, in any order."""
        for segment in list(self.archive.read(CHAIN)):
            if chosen(segment.first):
                stray = self.store.ledger.at(CHAIN, segment.first)
                if stray is not None and stray.head == segment.head:
                    self.store.remove(segment.first)

    def erase(self, first: int, last: int) -> None:
        """Erase entries wherever they stand, and leave a record."""
        for segment in list(self.seam.read(CHAIN)):
            places = range(
                max(first, segment.first) - segment.first, min(last + 1, segment.next) - segment.first
            )
            if places:
                self._replace(erased(segment, places))
        self.erased |= set(range(first, last + 1))
        self.names += 1
        line = b'{"sentinel":"erasure","first":%d,"last":%d}' % (first, last)
        self.append(
            3, self.begin(Batch((2_000_000 + self.names).to_bytes(16, "big"), [line], {"endpoint": "erase"}))
        )

    def _replace(self, segment: Segment) -> None:
        stored = self.store.ledger.at(CHAIN, segment.first)
        if stored is not None and stored.head == segment.head:
            self.store.put(segment)
        archived = self.archive.at(CHAIN, segment.first)
        if archived is not None:
            assert self.archive.replace(segment, archived)

    def check(self) -> None:
        """What is new continues what was verified, and checkpoints are of it."""
        for segment in self.seam.read(CHAIN, self.verifier.next):
            self.verifier.check(segment)
            self.roots[self.verifier.next] = self.verifier.root
        assert self.verifier.next >= self.known, "what was acknowledged is gone"
        for sealed in self.sealed:
            assert self.roots[sealed.checkpoint.size] == sealed.checkpoint.root

    def check_all(self) -> None:
        """The whole chain, from its first entry: see `docs/design.md`, what holds whatever happens."""
        self.check()
        verifier, parts = Verifier(CHAIN), dict[int, list[tuple[int, Segment]]]()
        for segment in self.seam.read(CHAIN):
            verifier.check(segment)
            part = segment.parts[-1][0]
            parts.setdefault(int.from_bytes(part.batch_id, "big"), []).append((part.offset, segment))
            self._check_entries(segment, part.offset, self.sent[int.from_bytes(part.batch_id, "big")].batch)
        assert (verifier.next, verifier.hash) == (self.verifier.next, self.verifier.hash)
        for name, found in parts.items():
            ends = [offset + segment.count for offset, segment in found]
            assert [0, *ends[:-1]] == [offset for offset, _ in found], "a batch is doubled, or out of order"
            assert ends[-1] <= len(self.sent[name].batch.entries)
        for name, sent in self.sent.items():
            if sent.receipt is not None:
                self._check_receipt(sent.receipt, len(sent.batch.entries), parts.get(name, []))
        self._check_checkpoints()

    def _check_entries(self, segment: Segment, offset: int, batch: Batch) -> None:
        for place, entry in enumerate(segment.opened.entries):
            gone = segment.first + place in self.erased
            assert (place in segment.opened.erased) == gone
            assert entry == (ERASED_ENTRY if gone else batch.entries[offset + place])

    def _check_receipt(self, receipt: Receipt, count: int, parts: list[tuple[int, Segment]]) -> None:
        assert parts, "an acknowledged batch is not there"
        last = parts[-1][1]
        assert sum(segment.count for _, segment in parts) == count == receipt.count
        assert (receipt.first, receipt.head, receipt.t) == (parts[0][1].first, last.head, last.t)

    def _check_checkpoints(self) -> None:
        """Checkpoints have no gaps, each is of this chain as it was, and tiles prove that they follow."""
        sealer = self.sealers[0]
        newest = sealer.newest(CHAIN)
        raw = [sealer.notes.get(CHAIN, number) for number in range(newest.number + 1 if newest else 0)]
        found = [sealer.keys.read(CHAIN, number, each or b"") for number, each in enumerate(raw)]
        for before, after in pairwise(found):
            assert before.checkpoint.size <= after.checkpoint.size
            assert before.seconds <= after.seconds
        for each in found:
            assert self.roots[each.checkpoint.size] == each.checkpoint.root
        for each in self.sealed:
            assert found[each.number].note == each.note, "a checkpoint that was told is not the one stored"
        if newest is not None:
            size, root = newest.checkpoint.size, newest.checkpoint.root
            nodes = TiledNodes(size, lambda path: sealer.tiles.get(CHAIN, path))
            for each in found:
                proof = merkle.consistency(each.checkpoint.size, size, nodes)
                assert merkle.verify_consistency(
                    each.checkpoint.size, size, proof, each.checkpoint.root, root
                )


def erased(segment: Segment, places: range) -> Segment:
    """Return a segment without the entries at some places of it: their leaves stand for them."""
    opened = segment.opened
    leaves = opened.leaves()
    gone = {**opened.erased, **{place: leaves[place] for place in places}}
    nonce, context = opened.nonce, opened.context
    if len(gone) == segment.count:
        nonce, context = bytes(32), b"{}"
    payload = Opened(nonce, context, opened.entries, gone).pack()
    return replace(segment, payload=payload, codec=segment.codec | CODEC_ERASED)
