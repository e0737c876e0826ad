"""No sequence of events, lost, late and doubled requests loses, doubles or forks anything in the ledger.

A Hypothesis state machine lets three writers append to one chain, each with a clock of its own, while it is
sealed, archived, expired and erased. A request may arrive, or not, or arrive and its answer be lost, or
arrive any number of steps later, or twice; a writer may die, or stand still for days while it waits for an
answer. `ledger_world` has the world, and what must hold at any time.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sentinel.adapters.log_key_file import FileLogKey
from sentinel.core.segment import Batch
from sentinel.ports import SlotTaken
from sentinel.usecases.append import SECOND
from tests.chains import batch
from tests.contracts.tables import dynamodb
from tests.sampling import thorough
from tests.usecases.ledger_stores import DynamoStore, SqliteStore, Store
from tests.usecases.ledger_world import DAY, OUTCOMES, World

WINDOW = 4  # segments: a dedup window that is passed in a few steps
STORED_LIMIT = 700  # bytes: a batch of a few entries takes several segments
WRITER = st.integers(0, 2)
WHICH = st.integers(0, 5)
TROUBLE = st.lists(st.sampled_from(OUTCOMES), max_size=5)
READS = st.sampled_from([None, None, 0, 1, 2])
# What happens while a request is on its way; at the end its slot is empty again though it was taken.
EMPTIED = ["append", "append", "days", "archive", "expire"]
PLANNED = st.lists(st.sampled_from([*EMPTIED, "seal"]), max_size=6) | st.sampled_from([EMPTIED, EMPTIED[1:]])


def wide(name: int, count: int = 7) -> Batch:
    """Make a batch that takes several segments where a segment is small."""
    rng = random.Random(name)
    return batch(
        name, [b'{"b":%d,"m":"%s"}' % (name, rng.randbytes(90).hex().encode()) for _ in range(count)]
    )


class Machine(RuleBasedStateMachine):
    """The events; see the module."""

    store: ClassVar[Callable[[], Store]]
    signer: ClassVar[FileLogKey]
    seen: ClassVar[set[str]] = set()

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="sentinel-ledger-"))
        self.world = World(type(self).store(), self.folder, self.signer, lambda name: wide(name, 1))
        self.batches = 0

    @rule(writer=WRITER, count=st.sampled_from([1, 2, 9]), trouble=TROUBLE, reads=READS, planned=PLANNED)
    def send(
        self, writer: int, count: int, trouble: list[str], reads: int | None, planned: list[str]
    ) -> None:
        """A producer sends a new batch."""
        self.batches += 1
        self.go(writer, self.world.begin(wide(self.batches, count)), trouble, reads, planned)

    @precondition(lambda self: self.world.sent)
    @rule(writer=WRITER, which=WHICH, trouble=TROUBLE, reads=READS, planned=PLANNED)
    def send_again(
        self, writer: int, which: int, trouble: list[str], reads: int | None, planned: list[str]
    ) -> None:
        """A producer sends a batch again: it was not acknowledged, or that was not heard."""
        names = list(self.world.sent)
        open_ones = [name for name in names if self.world.sent[name].receipt is None]
        chosen = open_ones if open_ones and which < 4 else names
        self.go(writer, chosen[-1 - which % len(chosen)], trouble, reads, planned)

    def go(self, writer: int, name: int, trouble: list[str], reads: int | None, planned: list[str]) -> None:
        """Send a batch through trouble."""
        world = self.world
        world.outcomes, world.reads, world.planned = deque(trouble), reads, list(planned)
        world.append(writer, name)
        world.outcomes, world.reads, world.planned = deque(), None, []

    @rule(writer=WRITER)
    def crash(self, writer: int) -> None:
        """A writer forgets everything."""
        self.world.writers[writer] = self.world.writer(writer)

    @precondition(lambda self: self.world.held)
    @rule(which=st.integers(0, 20))
    def deliver(self, which: int) -> None:
        """A request that was held back arrives."""
        with contextlib.suppress(SlotTaken):
            self.world.held.pop(which % len(self.world.held))()

    @rule(seconds=st.sampled_from([1, 60, 250, 400, 3_600, 90_000, 300_000]))
    def wait(self, seconds: int) -> None:
        """Time goes by."""
        self.world.now += seconds * SECOND

    @rule(writer=WRITER, seconds=st.integers(-900, 900))
    def step(self, writer: int, seconds: int) -> None:
        """A clock is set, and is off by up to a quarter of an hour from now on."""
        self.world.skews[writer] = seconds * SECOND

    @rule(which=st.integers(0, 1), outcome=st.sampled_from(OUTCOMES), planned=PLANNED)
    def seal(self, which: int, outcome: str, planned: list[str]) -> None:
        """A checkpoint is signed."""
        self.world.planned = list(planned)
        self.world.seal(which, outcome)

    @rule(most=st.sampled_from([1, 3, 1000]))
    def archive(self, most: int) -> None:
        """What is old is copied to the archive."""
        self.world.move(most)

    @rule(mask=st.integers(1, 1 << 16))
    def expire(self, mask: int) -> None:
        """TTL removes some of what is archived."""
        self.world.expire(lambda first: bool(mask >> first % 17 & 1) or mask == 1 << 16)

    @precondition(lambda self: self.world.known)
    @rule(at=st.integers(0, 40), count=st.integers(1, 9))
    def erase(self, at: int, count: int) -> None:
        """Entries are erased."""
        first = at % self.world.known
        self.world.erase(first, min(self.world.known, first + count) - 1)

    @invariant()
    def nothing_is_lost(self) -> None:
        """What is new verifies, and what was signed stays true."""
        self.world.check()

    def teardown(self) -> None:
        """All that was held back arrives, every batch is sent again: each is there once, as acknowledged."""
        world = self.world
        world.check_all()
        for request in world.held:
            with contextlib.suppress(SlotTaken):
                request()
        world.check_all()
        for name in list(world.sent):
            assert world.append(name % 3, name) is not None
        world.now += 2 * DAY
        world.seal(0)
        world.move()
        world.expire(lambda _: True)
        world.seal(1)
        world.check_all()
        self.seen.update(world.seen)
        shutil.rmtree(self.folder)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Make windows and segments small, and flush nothing: nobody cuts the power here."""
    for module in ("segment", "verify", "window"):
        monkeypatch.setattr(f"sentinel.core.{module}.WINDOW", WINDOW)
    monkeypatch.setattr("sentinel.core.segment.STORED_LIMIT", STORED_LIMIT)
    monkeypatch.setattr("sentinel.usecases.stored.FARTHER", 100)
    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.setattr(Machine, "signer", FileLogKey(tmp_path / "log.key", create=True), raising=False)
    monkeypatch.setattr(Machine, "seen", set())


def run(store: Callable[[], Store], examples: int, monkeypatch: pytest.MonkeyPatch, steps: int = 30) -> None:
    """Try so many sequences of events."""
    monkeypatch.setattr(Machine, "store", staticmethod(store), raising=False)
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    # Hypothesis would take the same examples each time where it finds itself in CI.
    found: Any = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        report_multiple_bugs=False,
        derandomize=False,
        suppress_health_check=checks,
    )
    run_state_machine_as_test(Machine, settings=found)


@pytest.mark.slow
@pytest.mark.timeout(600)  # Hypothesis may take five minutes to make a failure small
@pytest.mark.usefixtures("small")
def test_no_sequence_of_events_loses_or_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    """See the module; on SQLite."""
    for _ in range(5):  # of a hundred examples a run may have a few or none with one of the outcomes
        run(SqliteStore, 2_000 if thorough() else 120, monkeypatch)
        if Machine.seen == set(OUTCOMES):
            break
    assert Machine.seen == set(OUTCOMES)


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("small")
def test_no_sequence_of_events_loses_or_doubles_in_dynamodb(monkeypatch: pytest.MonkeyPatch) -> None:
    """See the module; on DynamoDB."""
    with dynamodb("ledger") as client:
        run(lambda: DynamoStore(client), 100, monkeypatch)
