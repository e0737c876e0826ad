"""A writer that was stopped for days between looking and writing forks no chain, and loses nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sentinel.adapters.dynamodb_ledger import DynamoLedger
from sentinel.core.segment import Batch, Segment
from sentinel.errors import Unavailable
from sentinel.ports import Ledger
from sentinel.usecases.append import SECOND, Appender
from sentinel.usecases.archive import DAY
from sentinel.usecases.heads import HEAD_FRESH
from tests.archives import World
from tests.contracts.tables import dynamodb
from tests.writers import CHAIN, Clock, entries_of, large, numbered


class Emptied(World):
    """A world whose table is DynamoDB's or SQLite's; `sleep` lets days pass, and empties old slots."""

    steady: Clock
    client: Any = None

    def writer(self, seed: int = 1) -> Appender:
        """Return a writer with both clocks."""
        writer = super().writer(seed)
        writer.steady = self.steady
        return writer

    def sleep(self, wall: float = 30, steady: float = 30) -> None:
        """Let others write, seal and archive, and the table drop what it may; clocks go on as told."""
        before = self.clock.now
        self.fill(12, start=1_000)
        self.mirror()
        self.sealer.seal(CHAIN)
        self.later(30)
        assert self.archived().segments
        self.later(30)
        self.drop()
        if self.client is not None:
            for item in self.client.scan(TableName="ledger")["Items"]:
                if int(item["first"]["N"]) < self.archive.end(CHAIN):
                    keys = {name: item[name] for name in ("chain", "first")}
                    self.client.delete_item(TableName="ledger", Key=keys)
        self.clock.now = before + int(wall * DAY * SECOND)
        self.steady.now += int(steady * DAY * SECOND)

    def mirror(self) -> None:
        """Give what DynamoDB has to the SQLite table, on which all else runs here."""
        if self.client is None:
            return
        known = {each.first for each in self.stored()}
        for segment in DynamoLedger(self.client, "ledger").read(CHAIN):
            if segment.first not in known:
                self.raw.append(segment)


@pytest.fixture(params=["sqlite", "dynamodb"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Emptied]:
    """Make an empty world on each kind of table."""
    with ExitStack() as stack:
        world = Emptied(tmp_path)
        world.steady = Clock()
        if request.param == "dynamodb":
            world.client = stack.enter_context(dynamodb("ledger"))
            world.table = DynamoLedger(world.client, "ledger")
        yield world


class Stopped:
    """A table before which a writer is stopped when it is about to put, or right after it has."""

    def __init__(self, inner: Ledger, stop: Callable[[], None], *, after: bool = False) -> None:
        self.inner, self.stop, self.after, self.puts = inner, stop, after, 0
        self.at_put = 0

    def append(self, segment: Segment) -> None:
        """Put; the one that is asked for is interrupted."""
        self.puts += 1
        mine = self.puts == self.at_put
        if mine and not self.after:
            self.stop()
        self.inner.append(segment)
        if mine and self.after:
            self.stop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def _stop(world: Emptied, writer: Appender, stop: Callable[[], None], put: int, *, after: bool) -> None:
    seam: Any = writer.ledger
    stopped = Stopped(seam.table, stop, after=after)
    stopped.at_put = put
    seam.table = stopped


_NIGHTLY = pytest.mark.nightly


@pytest.mark.parametrize(
    ("wall", "steady"),
    [
        pytest.param(30, 30, id="both", marks=_NIGHTLY),
        pytest.param(30, 0, id="wall alone"),
        pytest.param(0, 30, id="wall stood or was set back"),
        pytest.param(-1, 0, id="stepped back alone", marks=_NIGHTLY),
        pytest.param(-1, 30, id="stepped back", marks=_NIGHTLY),
    ],
)
@pytest.mark.parametrize(
    "after",
    [pytest.param(False, id="before the put"), pytest.param(True, id="after it", marks=_NIGHTLY)],
)
def test_stopped_between_looking_and_writing(
    world: Emptied, wall: float, steady: float, *, after: bool
) -> None:
    """The batch stands once, on the chain, whichever clock tells of the pause; its receipt says where."""
    writer = world.writer()
    writer.append(CHAIN, numbered(1))
    _stop(world, writer, lambda: world.sleep(wall, steady), 1, after=after)
    receipt = writer.append(CHAIN, numbered(2))
    found = world.seam().at(CHAIN, receipt.first)
    assert found is not None
    assert found.head == receipt.head
    assert found.opened.entries == list(numbered(2).entries)
    entries = entries_of(world.seam())
    assert len(entries) == len(set(entries)) == 28
    again = world.writer(seed=9).append(CHAIN, numbered(2), since=0)
    assert again == receipt


@pytest.mark.parametrize("put", [pytest.param(1, marks=_NIGHTLY), 2, pytest.param(3, marks=_NIGHTLY)])
def test_stopped_within_a_batch_of_several_segments(world: Emptied, put: int) -> None:
    """Whichever part of a batch was about to be put, the whole of it stands once."""
    writer = world.writer()
    writer.append(CHAIN, numbered(1))
    _stop(world, writer, world.sleep, put, after=False)
    receipt = writer.append(CHAIN, large(2), full=True)
    entries = entries_of(world.seam())
    assert len(entries) == len(set(entries)) == 2 + 24 + 100
    held = [world.seam().at(CHAIN, piece.first) for piece in receipt.segments]
    assert [each.head for each in held if each] == [piece.head for piece in receipt.segments]
    assert sum(piece.count for piece in receipt.segments) == 100


def test_a_taken_slot_makes_no_old_head_new(world: Emptied) -> None:
    """A slot that is still taken, behind one that was emptied, does not say that the next one is free.

    TTL drops in no order: a writer that was stopped meets an old segment, and may not go on from there.
    """
    writer = world.writer()
    writer.append(CHAIN, numbered(1))
    kept: list[Segment] = []

    def stop() -> None:
        world.sleep()
        kept.extend(world.seam().read(CHAIN, 2, 1))
        if world.client is not None:
            from sentinel.adapters.dynamodb_ledger import to_item

            world.client.put_item(TableName="ledger", Item=to_item(kept[0]))

    _stop(world, writer, stop, 1, after=False)
    writer.append(CHAIN, numbered(2))
    assert kept
    entries = entries_of(world.seam())
    assert len(entries) == len(set(entries)) == 28


def test_a_ledger_that_is_away_when_it_wakes(world: Emptied) -> None:
    """Where nobody can tell whether it strayed, it is not acknowledged; sent again it stands once."""
    writer = world.writer()
    writer.append(CHAIN, numbered(1))
    seam: Any = writer.ledger
    archive = world.archive

    class Away:
        def __getattr__(self, name: str) -> Any:
            raise Unavailable("away")

    def stop() -> None:
        world.sleep()
        seam.archive = Away

    _stop(world, writer, stop, 1, after=False)
    if world.client is not None:
        with pytest.raises(Unavailable):
            writer.append(CHAIN, numbered(2))
    seam.archive = lambda: archive
    receipt = writer.append(CHAIN, numbered(2))
    entries = entries_of(world.seam())
    assert len(entries) == len(set(entries)) == 28
    assert entries[receipt.first : receipt.first + 2] == list(numbered(2).entries)


def test_a_short_pause_costs_nothing(world: Emptied) -> None:
    """A writer that was away for less than the limit puts once and reads nothing."""
    writer = world.writer()
    writer.append(CHAIN, numbered(1))
    seam: Any = writer.ledger
    calls: list[str] = []

    class Counted:
        def __getattr__(self, name: str) -> Any:
            calls.append(name)
            return getattr(world.table, name)

    def pause() -> None:
        world.clock.now += HEAD_FRESH - 1
        world.steady.now += HEAD_FRESH - 1

    seam.table = Counted()
    _stop(world, writer, pause, 1, after=True)
    writer.append(CHAIN, numbered(2))
    assert calls == ["append"]


def test_two_that_were_stopped_do_not_find_each_other(world: Emptied) -> None:
    """Two writers that wake up over the same emptied slot both end on the chain, and not on each other."""
    first, second = world.writer(seed=1), world.writer(seed=2)
    first.append(CHAIN, numbered(1))
    second.append(CHAIN, numbered(2))
    first.append(CHAIN, numbered(3))
    second.append(CHAIN, Batch((4).to_bytes(16, "big"), [b'{"four":4}'], {}))
    _stop(world, second, world.sleep, 1, after=False)

    def then() -> None:
        second.append(CHAIN, numbered(5))

    _stop(world, first, then, 1, after=False)
    first.append(CHAIN, numbered(6))
    entries = entries_of(world.seam())
    assert len(entries) == len(set(entries)) == 6 + 1 + 24 + 4
