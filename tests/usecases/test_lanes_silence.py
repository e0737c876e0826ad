"""Lanes over months: numbers that are forgotten, lanes that fall silent, chains whose time lies ahead."""

from __future__ import annotations

import random
from collections import Counter, deque

import pytest

from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.core.lanes import FORGET, MARGIN, UNSEEN
from tests.sampling import thorough
from tests.usecases.lanes_world import World, wide
from tests.writers import entries_of

SENDERS = ("pod-0", "pod-1", "pod-2", "pod-3")
JUMPS = (0, 1, 60, MARGIN, 3_600, UNSEEN - 200, FORGET, FORGET + MARGIN + 100, 12 * FORGET)
AHEAD = (300, MARGIN + 20, MARGIN + 50, 5_000, 10_000_000)  # seconds by which a clock was wrong once
GAP = 200  # seconds in which a lane that ends by the clocks has ended for all


class Months:
    """One service: what it sends is tried again within minutes, and between that months may pass."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.world = World(SqliteLedger(":memory:"))
        self.name = seed * 1_000
        if self.rng.random() < 0.4:
            wrong = self.world.processes[2]
            wrong.skew = self.rng.choice(AHEAD)
            self.send_other(2)
            wrong.restart(seed)

    def send_other(self, process: int) -> None:
        self.name += 1
        self.world.sent[self.name] = self.rng.choice(SENDERS), wide(self.name, 1)
        self.world.send(process, self.name)

    def pass_by(self) -> None:
        """Let time go by, preferably to where something ends; clocks are set, records read or not."""
        rng, world = self.rng, self.world
        jump = rng.choice(JUMPS)
        if world.record.before and rng.random() < 0.5:
            ends = rng.choice(world.record.before)[1] + rng.choice((0, 0, UNSEEN, FORGET))
            jump = max(0, ends + rng.randint(-GAP, GAP) - world.now)
        world.now += jump
        for process in world.processes:
            process.skew = rng.randint(-30, 30)
            if rng.random() < 0.3:
                process.restart(rng.randrange(1_000))
            process.refresh()
        if rng.random() < 0.4:
            world.change(rng.choice((1, 3, 4, 5, 8)), rng.randint(-30, 30), rng.choice((0, 60)))
            world.now += rng.choice((0, 0, 200, 350))
        rng.choice(world.processes).refresh()

    def send(self) -> None:
        """Have a new batch tried by several, with answers lost and writes that hang for up to a minute."""
        rng, world = self.rng, self.world
        world.sent.clear()
        self.name = name = self.name + 1
        world.sent[name] = rng.choice(SENDERS), wide(name, rng.choice((1, 1, 5)))
        for _ in range(rng.randint(1, 4)):
            world.outcomes = deque(
                rng.choices(("arrives", "answer lost", "unsent", "held"), (4, 3, 1, 2), k=4)
            )
            world.send(rng.randrange(3), name)
            world.outcomes.clear()
            world.now += rng.choice((0, 1, 5, 14))
            if rng.random() < 0.2:
                self.send_other(rng.randrange(3))
        while world.held:
            world.deliver(-1)
        self.settle(name)

    def settle(self, name: int) -> None:
        """Everybody sends it until it is acknowledged: it is stored once, and nobody is shut out for long."""
        world = self.world
        for process in world.processes:
            until = world.now + GAP
            process.refresh()
            while not world.send(process.number, name):
                world.now += 5
                assert world.now < until, "shut out"
        found = Counter(entry for chain in world.ledger.chains() for entry in entries_of(world.ledger, chain))
        assert {found[entry] for entry in world.sent[name][1].entries} == {1}


def test_over_months_each_batch_is_stored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ends, is forgotten, or was of a clock that was wrong, between its first try and its last."""
    monkeypatch.setattr("sentinel.core.segment.STORED_LIMIT", 700)
    for seed in range(5_000 if thorough() else 250):
        months = Months(seed)
        for _ in range(6):
            months.pass_by()
            months.send()
