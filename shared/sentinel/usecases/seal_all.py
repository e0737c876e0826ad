"""Seal all: each minute every chain gets its checkpoint, each also where another's fails.

Chains are those of the ledger and those that ever had a checkpoint, so that one that vanished is told as cut.
What is found is returned by its kind: what was sealed, what must not be signed (`Tampered`, each time anew
until somebody acts), what failed and may pass, and what there was no time for: that goes first next time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256

from sentinel.errors import SentinelError, Tampered
from sentinel.usecases.cosign import Offered
from sentinel.usecases.seal import SECOND, Sealed, Sealer

GAP = 300  # seconds without a checkpoint that are told
MARGIN = 10.0  # seconds before the end of a call in which no further chain is begun, and a long one is cut
ROUND = 50.0  # seconds of a round: then long chains are cut and no more begun; the next round goes on there
WORKERS = 8  # chains at once: each waits for its stores most of the time


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, but no reason not to sign. `kind` is `missing checkpoint`, `clock` or `tiles`."""

    chain: str
    kind: str
    detail: str


@dataclass(slots=True)
class SealedAll:
    """What came of one round. `failed` has what may pass, by chain; "" stands for the list of chains."""

    sealed: list[Sealed] = field(default_factory=list)
    tampered: list[Tampered] = field(default_factory=list)
    failed: dict[str, SentinelError] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    offered: list[Offered] = field(default_factory=list)

    @property
    def unwitnessed(self) -> list[Offered]:
        """What became of the checkpoints that fewer witnesses cosigned than the quorum wants."""
        return [each for each in self.offered if not each.reached]

    @property
    def findings(self) -> list[Finding]:
        """What is wrong with what was sealed."""
        return [finding for sealed in self.sealed for finding in findings_of(sealed)]

    @property
    def unsealed(self) -> int:
        """How many chains have no new checkpoint."""
        return len(self.tampered) + len(self.failed) + len(self.left)


def findings_of(sealed: Sealed) -> Iterator[Finding]:
    """Yield what is wrong with a checkpoint that was just made."""
    if sealed.gap > GAP:
        detail = f"there was none for {sealed.gap:,} seconds"
        yield Finding(sealed.chain, "missing checkpoint", detail)
    if sealed.gap < -GAP:
        detail = f"the last checkpoint is of a time {-sealed.gap:,} seconds ahead"
        yield Finding(sealed.chain, "clock", detail)
    if sealed.rebuilt:
        yield Finding(sealed.chain, "tiles", "tiles were lost or wrong; they were written anew")


@dataclass(slots=True)
class SealAll:
    """The use case; one a process. `clock` gives epoch nanoseconds.

    `offer` shows a checkpoint that is stored to witnesses; None where there are none.
    """

    sealer: Sealer
    clock: Callable[[], int]
    workers: int = WORKERS
    offer: Callable[[Sealed], Offered] | None = None
    _looked: dict[str, int] = field(default_factory=dict, init=False)

    def run(self, left: Callable[[], float], most: float = ROUND) -> SealedAll:
        """Seal every chain. `left` tells the seconds that remain; what goes on is finished within `MARGIN`.

        After `most` seconds no chain is begun, and one that has grown by more than could be verified by then
        is sealed in parts. An error that is none of ours is raised when the others are done.
        """
        found = SealedAll()
        begun = self.clock()

        def enough() -> bool:
            return left() < MARGIN or self.clock() - begun > most * SECOND

        chains = self._chains(found)
        with ThreadPoolExecutor(self.workers, "seal") as pool:
            futures = [pool.submit(self._one, chain, enough, found) for chain in chains]
        for future in futures:
            future.result()
        found.sealed.sort(key=lambda each: each.chain)
        return found

    def _chains(self, found: SealedAll) -> list[str]:
        """Return the chains, those looked at longest ago first; in a new process in any order."""
        names = set(self.sealer.seen)  # also one of which nothing is left anywhere
        for listing in (self.sealer.ledger.chains, self.sealer.notes.chains):
            try:
                names.update(listing())
            except Tampered as error:
                found.tampered.append(error)
            except SentinelError as error:
                found.failed[""] = error
        now = self.clock()

        def turn(chain: str) -> tuple[int, bytes]:
            return self._looked.get(chain, 0), sha256(f"{now} {chain}".encode()).digest()

        return sorted(names, key=turn)

    def _one(self, chain: str, enough: Callable[[], bool], found: SealedAll) -> None:
        if enough():
            found.left.append(chain)
            return
        try:
            sealed = self.sealer.seal(chain, enough)
            found.sealed.append(sealed)
            if self.offer is not None:
                found.offered.append(self.offer(sealed))
        except Tampered as error:
            found.tampered.append(error)
        except SentinelError as error:
            found.failed[chain] = error
        self._looked[chain] = self.clock()
