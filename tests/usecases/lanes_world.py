"""A world in which several processes store the batches of a service while its number of lanes changes."""

from __future__ import annotations

import contextlib
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace

from sentinel.core.lanes import LEASE, MARGIN, Lanes
from sentinel.core.segment import Batch, Segment
from sentinel.errors import Conflict, Unavailable
from sentinel.ports import Ledger, SlotTaken
from sentinel.usecases import lanes
from sentinel.usecases.append import SECOND, Appender, Receipt
from tests.chains import batch
from tests.writers import entries_of

BEGIN = 1_000_000  # epoch seconds
SERVICE = "checkout"


class Process:
    """One process: its clock, what it knows of the service, and its heads; a ledger behind a bad line."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.number, self.skew = world, number, 0
        self.read, self.chains = world.ledger.read, world.ledger.chains
        self.head, self.at = world.ledger.head, world.ledger.at
        self.view = world.record
        self.restart(number)
        self.refresh()

    def now(self) -> int:
        return (self.world.now + self.skew) * SECOND

    def restart(self, seed: int) -> None:
        rng = random.Random(seed)
        self.appender = Appender(self, self.now, rng.randbytes, rng.random, lambda _: None)

    def refresh(self) -> None:
        self.view = replace(self.world.record, seen=self.now() // SECOND)

    def append(self, segment: Segment) -> None:
        outcome = self.world.outcomes.popleft() if self.world.outcomes else "arrives"
        if outcome == "paused" and self.world.meanwhile:
            self.world.meanwhile.pop()(self.number)
        if outcome == "held":
            self.world.held.append(segment)
        if outcome not in {"unsent", "held"}:
            self.world.ledger.append(segment)
        if outcome in {"answer lost", "unsent", "held"}:
            raise Unavailable(outcome, 0.001)


class World:
    """What there is once: the ledger, the record of the service, the time, what is under way."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.now = BEGIN
        self.record = Lanes(1)
        self.outcomes: deque[str] = deque()
        self.held: list[Segment] = []
        self.meanwhile: list[Callable[[int], object]] = []
        self.sent: dict[int, tuple[str, Batch]] = {}
        self.receipts: dict[int, Receipt] = {}
        self.processes = [Process(self, number) for number in range(3)]

    def send(self, process: int, name: int) -> bool:
        """Have a process take a batch in; what is acknowledged twice is acknowledged with one receipt."""
        by = self.processes[process]
        instance, made = self.sent[name]
        try:
            receipt = lanes.append(by.appender, by.view.terms(instance, 1), SERVICE, made)
        except Unavailable:
            return False
        assert self.receipts.setdefault(name, receipt) == receipt
        return True

    def change(self, number: int, skew: int, delay: int) -> None:
        """Change the number, by a clock that is off, and with the record written only later."""
        with contextlib.suppress(Conflict):
            made = self.record.changed(number, 1, self.now + skew)
            self.now += delay
            self.record = made

    def deliver(self, which: int) -> None:
        """Let a write arrive that was held back."""
        with contextlib.suppress(SlotTaken):
            self.ledger.append(self.held.pop(which))

    def check(self) -> None:
        """Everything that is under way arrives, all is sent again: each batch is there once, in one lane."""
        self.outcomes, self.meanwhile = deque(), []
        while self.held:
            self.deliver(-1)
        for _ in range(2):
            for number, process in enumerate(self.processes):
                process.refresh()
                for name in self.sent:
                    assert self.send(number, name)
            self.now += MARGIN + LEASE
        found = Counter(entry for chain in self.ledger.chains() for entry in entries_of(self.ledger, chain))
        assert found == Counter(entry for _, made in self.sent.values() for entry in made.entries)


def wide(name: int, count: int) -> Batch:
    """Make a batch of a few entries that are found nowhere else, and fill small segments."""
    rng = random.Random(name)
    return batch(
        name, [b'{"b":%d,"m":"%s"}' % (name, rng.randbytes(90).hex().encode()) for _ in range(count)]
    )
