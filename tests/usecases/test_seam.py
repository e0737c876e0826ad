"""The seam: whoever reads the ledger does not notice what was archived, and strays are never seen."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.core.segment import Batch, Head, Segment
from sentinel.errors import Tampered
from sentinel.usecases.erase_elsewhere import InStrays
from sentinel.usecases.erase_from import Target
from sentinel.usecases.heads import HEAD_FRESH, SECOND, Moment
from sentinel.usecases.inspect import Inspect
from tests.archives import World
from tests.faults_ports import FaultyLedger
from tests.writers import CHAIN, Clock, appender, entries_of, numbered


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A chain of 30 segments, of which the first 24 were archived and have left the table."""
    world = World(tmp_path)
    world.fill(30)
    world.sealer.seal(CHAIN)
    world.later(0.8)
    world.archived()
    world.later(7.1)
    world.drop()
    return world


def test_what_was_archived_is_gone_from_the_table(world: World) -> None:
    """The world that the other tests look at: the table holds the newest segments alone."""
    assert [each.first for each in world.stored()] == list(range(world.archive.end(CHAIN), 60, 2))
    assert 0 < world.archive.end(CHAIN) < 58


def test_every_read_crosses_the_seam(world: World) -> None:
    """Each way to read gives what a table gives that nothing has left, at every place and limit."""
    whole = list(world.seam().read(CHAIN))
    assert [each.first for each in whole] == list(range(0, 60, 2))
    ledger = world.seam()
    assert ledger.head(CHAIN) == whole[-1]
    assert [ledger.at(CHAIN, seq) for seq in range(62)] == [
        *(each for each in whole for _ in range(2)),
        None,
        None,
    ]
    for first in range(62):
        rest = [each for each in whole if each.first >= first]
        assert list(ledger.read(CHAIN, first)) == rest
        for limit in (0, 1, 5, 99):
            assert list(ledger.read(CHAIN, first, limit)) == rest[:limit]
    assert list(ledger.chains()) == [CHAIN]
    assert len(entries_of(ledger)) == 60
    inspect = Inspect(ledger, lambda: pytest.fail("no tasks are looked at"))
    assert inspect.verify(CHAIN).segments == 30
    assert len(list(inspect.export(CHAIN))) == 30


def test_an_archive_that_hides_the_end_of_a_chain_is_told(tmp_path: Path) -> None:
    """Who may write the archive alone gets no other end of a chain read or signed, linked as it may be.

    The table's feed tells nothing of it, so nothing else would.
    """
    world = World(tmp_path)
    world.fill(5)
    world.sealer.seal(CHAIN)
    world.archive.store(CHAIN, world.stored()[:1])
    before = world.seam()
    assert before.end(CHAIN) == 2  # which it holds for true for some minutes
    world.fill(2, start=6)
    *kept, one, two = world.stored()
    forged, head = [], Head.after(kept[-1])
    for name, segment in enumerate((one, two), 8):
        draft = numbered(name).draft(0, bytes(32))
        placed, head = draft.place(CHAIN, head, segment.t)
        forged.append(placed)
    world.archive.store(CHAIN, [*kept[1:], *forged])
    ledger = world.seam()
    sealer = replace(world.sealer, ledger=ledger)
    for read in (sealer.seal, Inspect(ledger, lambda: pytest.fail("no tasks are looked at")).verify):
        with pytest.raises(Tampered) as found:
            read(CHAIN)
        assert (found.value.kind, found.value.seq) == ("archive", two.first)
    with pytest.raises(Tampered, match="stays in the table"):
        list(before.read(CHAIN))


def test_one_that_hides_what_is_before_the_end_is_told(tmp_path: Path) -> None:
    """Where the newest segment is left as it is, it is linked to another one."""
    world = World(tmp_path)
    world.fill(5)
    world.sealer.seal(CHAIN)
    world.fill(2, start=6)
    *kept, one, two = world.stored()
    forged = numbered(8).draft(0, bytes(32)).place(CHAIN, Head.after(kept[-1]), one.t)[0]
    world.archive.store(CHAIN, [*kept, forged])
    with pytest.raises(Tampered) as found:
        replace(world.sealer, ledger=world.seam()).seal(CHAIN)
    assert (found.value.kind, found.value.seq) == ("link", two.first)


def test_a_chain_is_listed_whose_first_segment_left_the_table(world: World) -> None:
    """DynamoDB's list has the chains whose first segment is in the table: the archive has the others."""

    class Sparse(SqliteLedger):
        def chains(self) -> Iterator[str]:
            return iter(["b/0"])

    world.table = Sparse(world.home / "ledger.db")
    assert sorted(world.seam().chains()) == ["b/0", CHAIN]


def test_a_batch_is_recognised_over_the_seam(world: World) -> None:
    """A batch that was archived gets its first receipt again, where its sender says it may be there."""
    stored = len(entries_of(world.seam()))
    receipt = world.writer(seed=5).append(CHAIN, numbered(2), since=0)
    assert (receipt.first, receipt.count) == (2, 2)
    assert len(entries_of(world.seam())) == stored


def test_appending_needs_no_archive(world: World) -> None:
    """A cold writer finds the head, and appends, without one request to the archive."""
    table = FaultyLedger(world.table)
    world.table = table
    ledger = world.seam()
    ledger.archive = lambda: pytest.fail("the archive was asked")
    writer = appender(ledger, world.clock)
    for name in (100, 101):
        writer.append(CHAIN, numbered(name))
    assert table.log == ["head", "append", "append"]


def test_the_end_is_looked_up_again_after_a_while(world: World) -> None:
    """The archive's end is used for some minutes by both clocks; one that stepped back is not believed."""
    asked = 0
    clock, steady = Clock(), Clock()

    @dataclass
    class Ends:
        def end(self, chain: str) -> int:
            nonlocal asked
            asked += 1
            return 0

    ledger = world.seam()
    ledger.archive, ledger.now = Ends, lambda: Moment(clock(), steady())  # type: ignore[assignment]
    for wall, other, expected in (
        (0, 0, 1),
        (HEAD_FRESH - 1, HEAD_FRESH - 1, 1),
        (1, 1, 2),
        (-SECOND, 1, 3),
        (0, HEAD_FRESH, 4),
        (HEAD_FRESH, 0, 5),
    ):
        clock.now += wall
        steady.now += other
        ledger.end(CHAIN)
        assert asked == expected


def _stray(world: World, first: int) -> Segment:
    """Return what a writer would put that knew the head before `first`, and was stopped since."""
    before = world.archive.at(CHAIN, first - 1)
    assert before is not None
    draft = Batch(bytes(16), [b'{"stray":1}'], {}).draft(0, bytes(32))
    return draft.place(CHAIN, Head.after(before), world.clock())[0]


def _put(world: World, segment: Segment) -> None:
    """Put a segment into the table as DynamoDB takes it: the slot alone is looked at."""
    import sqlite3

    with sqlite3.connect(world.home / "ledger.db") as db:
        db.execute(
            "INSERT INTO segments (chain, first, count, prev, head, t, payload, codec, recent, tree)"
            " VALUES (?,?,?,?,?,?,?,?,?,?)",
            (
                *(segment.chain, segment.first, segment.count, segment.prev, segment.head),
                *(segment.t, segment.payload, segment.codec, segment.recent, segment.tree),
            ),
        )
    db.close()


def test_a_stray_is_never_seen_but_told(world: World) -> None:
    """What stands in an emptied slot is in no read, breaks no verification, and `strays` names it."""
    whole = list(world.seam().read(CHAIN))
    stray = _stray(world, 10)
    _put(world, stray)
    ledger = world.seam()
    assert list(ledger.read(CHAIN)) == whole
    assert list(ledger.read(CHAIN, 10, 2)) == whole[5:7]
    assert ledger.at(CHAIN, 10) == whole[5]
    assert ledger.head(CHAIN) == whole[-1]
    (told,) = ledger.strays(CHAIN)
    assert (told.kind, told.seq) == ("stray", 10)
    inspect = Inspect(ledger, lambda: pytest.fail("no tasks are looked at"), strays=ledger.strays)
    with pytest.raises(Tampered, match="stray"):
        inspect.verify(CHAIN)


def test_an_erasure_names_strays_of_its_batches(world: World) -> None:
    """A stray holds its batch once more, which stands at the chain's end: who erases it is told of both."""
    stray = _stray(world, 10)
    _put(world, stray)
    writer = world.writer(seed=5)
    first = writer.append(CHAIN, Batch(bytes(16), [b'{"stray":1}'], {})).first
    place = InStrays(world.raw, world.archive)
    for seq, told in ((first, 1), (first - 1, 0)):
        segment = world.seam().at(CHAIN, seq)
        assert segment is not None
        found = place.forget(Target(CHAIN, seq, seq, {seq: (segment, b"{}")}))
        assert len(found.left) == told
        assert all("at 10 is no part" in each for each in found.left)
    assert place.forget(Target(CHAIN, first, first, {})).left == []


def test_the_command_tells_strays(world: World) -> None:
    """`sentinel verify` tells them, as the API does."""
    command = ["-m", "sentinel.cli.main", "verify", "--json", "--home", str(world.home)]
    for put, told in ((False, None), (True, "stray")):
        if put:
            _put(world, _stray(world, 10))
        done = subprocess.run([sys.executable, *command], capture_output=True, timeout=100, check=False)
        assert [each.get("kind") for each in json.loads(done.stdout)] == [told], done.stderr
        assert done.returncode == bool(told)


def test_what_is_in_both_is_no_stray(tmp_path: Path) -> None:
    """Until the table drops them, archived segments are in both, which verifies."""
    world = World(tmp_path)
    world.fill(30)
    world.sealer.seal(CHAIN)
    world.later(0.8)
    assert world.archived().segments
    assert len(world.stored()) == 30
    assert list(world.seam().strays(CHAIN)) == []
    assert len(list(world.seam().read(CHAIN))) == 30
