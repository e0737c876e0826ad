"""Faults of deliveries: each call of each port fails, or kills; nothing is lost and nothing doubled."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from sentinel.errors import Unavailable
from tests.deliveries import World
from tests.faults_calls import Faults, Killed
from tests.sampling import taken

CALLS = 45  # from the first; what comes then is idle looks, each like the one before


class Broken(World):
    """A world whose ports fail as `faults` says."""

    def __init__(self, folder: Path, faults: Faults) -> None:
        super().__init__(folder)
        self.file()
        self.plan(batch={"events": 10})
        self.count("shop/0", 0, 23, each=4)
        self.count("pay/0", 0, 11, each=11)
        self.whole = (self.ledger, self.counters, self.files)
        self.ledger = faults.wrap("ledger", self.ledger)
        self.counters = faults.wrap("counters", self.counters)
        self.files = faults.wrap("files", self.files)

    def heal(self) -> None:
        """Let everything work."""
        self.ledger, self.counters, self.files = self.whole


def scenario(world: Broken) -> None:
    """Deliver a while with what fails; then everything works, and somebody else goes on."""
    for seconds in (4, 40):
        try:
            world.run(seconds)
        except (Unavailable, Killed):
            world.sleep(1)
    world.heal()
    world.count("shop/0", 23, 3)
    world.run(400, holder="two")


@pytest.mark.parametrize(
    ("error", "lasting"), [(Unavailable, 1), (Unavailable, 7), (Unavailable, 10_000), (Killed, 1)]
)
@pytest.mark.parametrize("applied", [False, True], ids=["unsent", "applied"])
def test_a_call_that_fails_loses_and_doubles_nothing(
    tmp_path: Path, error: type[BaseException], applied: bool, lasting: int
) -> None:
    """Whichever call fails, however it fails: each line is in the file once, in its chain's order."""
    # Each call fails in four of the eight ways here.
    for first in taken(range(1, CALLS), 4, applied + lasting % 2 + (error is Killed)):
        faults = Faults(error, applied=applied)
        folder = tmp_path / str(first)
        folder.mkdir()
        world = Broken(folder, faults)
        faults.fails = partial(_between, first, first + lasting)
        scenario(world)
        world.close()
        assert faults.calls >= first
        assert world.numbers("shop/0") == list(range(26)), faults.log[first - 1]
        assert world.numbers("pay/0") == list(range(11)), faults.log[first - 1]
        told = world.show.one("all")
        assert (told["lag"], told["dead"]) == (0, 0)


def _between(first: int, end: int, call: int) -> bool:
    return first <= call < end
