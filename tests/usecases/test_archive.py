"""Archiving: what goes, what stays, and every crash at every call of a store."""

from __future__ import annotations

import itertools
import sqlite3
import threading
import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sentinel.adapters import archive_folder
from sentinel.core import runs
from sentinel.core.payload import CODEC_ERASED, Opened
from sentinel.core.segment import Batch, Segment
from sentinel.core.verify import Verifier
from sentinel.errors import Forbidden, Tampered, TooLarge, Unavailable
from sentinel.usecases.append import SECOND
from sentinel.usecases.archive import DAY, GRACE, MARGIN, PATIENCE, Archived, Archiver
from sentinel.usecases.erased import Records
from tests.archives import World
from tests.chains import batch
from tests.faults_calls import Faults, Killed
from tests.writers import CHAIN, entries_of, numbered


def _ready(home: Path, batches: int = 30, **more: Any) -> World:
    """Return a world with a segment an hour, sealed, in which the first few are due."""
    world = World(home, **more)
    world.fill(batches)
    world.sealer.seal(CHAIN)
    return world


def test_what_is_old_goes_and_the_rest_stays(tmp_path: Path) -> None:
    """Segments older than the limit are archived and marked for a week; then the table may drop them."""
    world = _ready(tmp_path)
    done = world.archived()
    due = [each for each in world.stored() if each.t <= world.clock() - DAY * SECOND]
    assert (done.segments, done.objects, done.marked, done.more) == (len(due), 1, len(due), False)
    assert 0 < len(due) < 30
    assert list(world.archive.read(CHAIN)) == due
    assert {world.raw.expires(CHAIN, each.first) for each in due} == {world.clock() // SECOND + GRACE}
    assert {world.raw.expires(CHAIN, each.first) for each in world.stored()[len(due) :]} == {0}
    assert world.drop() == 0
    world.later(7.01)
    assert world.drop() == len(due)
    assert len(entries_of(world.seam())) == 60
    again = world.archived()
    assert again.segments + len(due) == 29


def test_a_run_is_never_unpacked_as_a_whole(tmp_path: Path) -> None:
    """A run of what compresses well may unpack to gigabytes: one segment of it is held at a time."""
    world = World(tmp_path)
    writer, line = world.writer(), b'{"m":"%s"}' % (b"x" * 60_000)
    for name in range(40):
        writer.append(CHAIN, batch(name, [line] * 16))
    world.sealer.seal(CHAIN)
    world.later(100)
    tracemalloc.start()
    try:
        assert world.archived().objects == 1
        verifier = Verifier(CHAIN)
        verifier.check_all(world.archive.read(CHAIN))
        assert tracemalloc.get_traced_memory()[1] < 20_000_000 < 60_000 * verifier.next
    finally:
        tracemalloc.stop()


def test_the_newest_segment_stays_however_old(tmp_path: Path) -> None:
    """A chain that is silent for years keeps its head in the table, and goes on from there."""
    world = _ready(tmp_path)
    world.later(900)
    assert world.archived().segments == 29
    world.later(8)
    assert world.drop() == 29
    assert world.archived() == replace(world.archived(), segments=0)
    assert [each.first for each in world.stored()] == [58]
    assert world.writer(seed=3).append(CHAIN, numbered(99)).first == 60
    assert len(entries_of(world.seam())) == 62


def test_what_was_not_sealed_stays(tmp_path: Path) -> None:
    """Nothing goes beyond the newest checkpoint, and nothing at all where there is none."""
    world = World(tmp_path)
    world.fill(10)
    world.later(100)
    assert world.archived().segments == 0
    world.sealer.seal(CHAIN)
    world.fill(10, start=20)
    world.later(100)
    assert world.archived().segments == 10
    assert world.archive.end(CHAIN) == 20


def test_services_without_a_limit_keep_all(tmp_path: Path) -> None:
    """A limit of 0, or no record of the service, leaves its chains alone."""
    world = _ready(tmp_path)
    world.later(100)
    for days in ({}, {"checkout": 0}, {"other": 1}):
        world.days = days
        assert world.archived().segments == 0
    world.days = {"checkout": 200}
    assert world.archived().segments == 0


def test_a_run_waits_until_it_is_full_or_a_week_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small runs grow for up to a week, so a quiet chain has one object a week; full ones go at once."""
    world = _ready(tmp_path)
    world.later(6.5)
    assert world.archiver().run(lambda: 1_000.0).objects == 0
    world.later(1.6)
    assert world.archiver().run(lambda: 1_000.0).objects == 1
    assert PATIENCE == 7 * DAY

    monkeypatch.setattr(runs, "MOST_SEGMENTS", 4)
    other = _ready(tmp_path / "other")
    other.later(0.5)
    due = sum(each.t <= other.clock() - DAY * SECOND for each in other.stored())
    done = other.archiver().run(lambda: 1_000.0)
    assert (done.objects, done.segments) == (due // 4, due - due % 4)
    assert list(other.archive.read(CHAIN)) == other.stored()[: done.segments]


def test_runs_are_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No run is larger than its target by more than nothing, so an object is read in one piece."""
    world = _ready(tmp_path)
    world.later(100)
    size = runs.weight(world.stored()[0])
    monkeypatch.setattr(runs, "TARGET", size * 5)
    world.archived()
    sizes = [path.stat().st_size for path in (tmp_path / "archive").glob("*/0*")]
    assert len(sizes) > 5
    assert list(world.archive.read(CHAIN)) == world.stored()[:-1]


def test_a_run_can_be_read_when_all_of_it_was_erased(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that are nearly alike compress to a byte each, their leaves to 34: a run has room for these."""
    scale = 20
    monkeypatch.setattr(runs, "TARGET", runs.TARGET // scale)
    for module in (runs, archive_folder):
        monkeypatch.setattr(module, "MOST_BYTES", module.MOST_BYTES // scale)
    monkeypatch.setattr(Records, "cover", lambda *_: True)
    world = World(tmp_path)
    writer = world.writer()
    for name in range(30):
        lines = [b'{"message":"GET /healthz 200","n":%d}' % n for n in range(1_000)]
        writer.append(CHAIN, Batch(name.to_bytes(16, "big"), lines, {}))
        world.clock.now += 3_600 * SECOND
    world.sealer.seal(CHAIN)
    world.later(100)
    assert world.archived().segments == 29
    rows = world.stored()
    for row in rows[:-1]:
        gone = Opened(bytes(32), b"{}", [b""] * row.count, dict(enumerate(row.opened.leaves())))
        erased = replace(row, payload=gone.pack(), codec=row.codec | CODEC_ERASED)
        assert world.archive.replace(erased, row)
    assert [len(each.opened.erased) for each in world.archive.read(CHAIN)] == [1_000] * 29
    sizes = [path.stat().st_size for path in (tmp_path / "archive").glob("*/0*")]
    assert max(sizes) < runs.TARGET * 1.2 < runs.MOST_BYTES / 2


def test_what_could_not_be_read_again_is_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever changes a run to one that is too large is told, and it stays as it is."""
    world = _ready(tmp_path)
    rows = world.stored()[:3]
    world.archive.store(CHAIN, rows)
    monkeypatch.setattr(runs, "MOST_BYTES", 5_000)
    with pytest.raises(TooLarge, match="from entry 0 on would be over 5,000 bytes"):
        world.archive.replace(replace(rows[1], payload=bytes(5_000)), rows[1])
    assert list(world.archive.read(CHAIN)) == rows


def test_time_that_is_up_ends_it(tmp_path: Path) -> None:
    """Nothing is begun in the margin; what was marked stays so, and the next call goes on."""
    world = _ready(tmp_path)
    world.later(100)
    assert world.archived(left=MARGIN - 1) == replace(world.archived(left=0), more=True)
    assert world.archive.end(CHAIN) == 0
    ticks = itertools.count(MARGIN + 9, -1)
    done = world.archiver().run(lambda: next(ticks), patience=0)
    assert done.more
    assert 0 < done.marked < done.segments == 29
    rest = world.archived()
    assert (rest.segments, rest.marked + done.marked, rest.more) == (0, 29, False)


def _update(world: World, sql: str, *values: object) -> None:
    with sqlite3.connect(world.home / "ledger.db") as db:
        db.execute(sql, values)
    db.close()


@pytest.mark.parametrize("change", ["payload = x'00'", "t = t + 1", "recent = x''", "tree = x''"])
def test_nothing_damaged_is_archived(tmp_path: Path, change: str, caplog: pytest.LogCaptureFixture) -> None:
    """A segment that does not verify stops its chain, is told of, and keeps no other chain waiting."""
    world = _ready(tmp_path)
    world.days = {"checkout": 1, "other": 1}
    world.fill(3, start=50, chain="other/0")
    world.sealer.seal("other/0")
    world.later(100)
    _update(world, f"UPDATE segments SET {change} WHERE chain = 'checkout/0' AND first = 8")
    done = world.archived()
    assert done.damaged == 1
    assert "checkout/0 at entry 8" in caplog.text
    assert (world.archive.end(CHAIN), world.archive.end("other/0")) == (0, 4)


def test_another_chain_than_the_signed_one_is_not_archived(tmp_path: Path) -> None:
    """A chain that was written anew verifies, and is not what was signed: nothing of it goes."""
    world, forged = _ready(tmp_path / "a"), World(tmp_path / "b")
    forged.fill(31, start=100)
    (tmp_path / "a" / "ledger.db").unlink()
    for name in ("ledger.db-wal", "ledger.db-shm"):
        (tmp_path / "a" / name).unlink(missing_ok=True)
    fresh = World(tmp_path / "a")
    for segment in forged.stored():
        fresh.raw.append(segment)
    fresh.clock.now = forged.clock.now
    fresh.later(100)
    done = fresh.archived()
    assert (done.damaged, done.segments, world.archive.end(CHAIN)) == (1, 0, 0)


def test_damaged_tiles_keep_nothing(tmp_path: Path) -> None:
    """Where tiles are gone or wrong the segments themselves prove that they lead to what was signed."""
    world = _ready(tmp_path)
    for path in (tmp_path / "log").glob("*/tile/**/*"):
        if path.is_file():
            path.unlink()
    assert world.archived().segments > 0
    world.later(1)
    for path in (tmp_path / "log").glob("*/tile/**/*"):
        if path.is_file():
            path.write_bytes(bytes(path.stat().st_size))
    assert world.archived().damaged == 0


def test_what_was_erased_on_the_way_is_erased_in_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A segment that is erased between being read and being marked goes into the archive as it is then.

    Only where the erasure is recorded: else the archive keeps what it has, and the damage is told.
    """
    world = _ready(tmp_path)
    row = world.stored()[2]
    opened = row.opened
    gone = Opened(opened.nonce, opened.context, list(opened.entries), {0: opened.leaves()[0]})
    erased = replace(row, payload=gone.pack(), codec=row.codec | CODEC_ERASED)
    store = world.archive.store

    def erasing(chain: str, segments: list[Segment]) -> None:
        store(chain, segments)
        sql = "UPDATE segments SET payload = ?, codec = ? WHERE first = ?"
        _update(world, sql, erased.payload, erased.codec, erased.first)

    monkeypatch.setattr(world.archive, "store", erasing)
    done = world.archived()
    assert done.damaged == 1
    assert world.archive.at(CHAIN, row.first) == row
    monkeypatch.setattr(Records, "cover", lambda *_: True)
    assert world.archived().damaged == 0
    assert world.archive.at(CHAIN, row.first) == erased
    assert world.raw.expires(CHAIN, row.first) > 0


@pytest.mark.parametrize("late", [False, True], ids=["before the table is asked again", "after it"])
def test_what_is_erased_while_it_is_marked_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """The row in hand is older than an erasure in table and archive: it takes the place of neither."""
    world = _ready(tmp_path)
    monkeypatch.setattr(Records, "cover", lambda *_: True)
    row = world.stored()[2]
    opened = row.opened
    gone = Opened(opened.nonce, opened.context, list(opened.entries), {0: opened.leaves()[0]})
    erased = replace(row, payload=gone.pack(), codec=row.codec | CODEC_ERASED)
    kept = replace(row, payload=opened.pack(), key="old")  # what is there before it was encrypted anew

    def erase() -> None:
        sql = "UPDATE segments SET payload = ?, codec = ? WHERE first = ?"
        _update(world, sql, erased.payload, erased.codec, erased.first)
        stored = world.archive.at(CHAIN, row.first)
        assert stored is not None
        assert world.archive.replace(erased, stored)

    archiver = world.archiver()
    world.archive.store(CHAIN, [*world.stored()[:2], kept])
    at = world.table.at

    def asked(chain: str, seq: int) -> Segment | None:
        found = at(chain, seq)
        erase()
        return found

    if late:
        monkeypatch.setattr(world.table, "at", asked)
    else:
        erase()
    archiver._mark_one(row, kept, Archived())
    assert world.archive.at(CHAIN, row.first) == erased
    assert world.archived().damaged == 0
    assert world.archive.at(CHAIN, row.first) == erased


def _without_first(row: Segment) -> Segment:
    opened = row.opened
    gone = Opened(opened.nonce, opened.context, list(opened.entries), {0: opened.leaves()[0]})
    return replace(row, payload=gone.pack(), codec=row.codec | CODEC_ERASED)


def _put(world: World, row: Segment) -> None:
    _update(
        world, "UPDATE segments SET payload = ?, codec = ? WHERE first = ?", row.payload, row.codec, row.first
    )


@pytest.mark.parametrize("days", [{}, {"checkout": 0}], ids=["no record", "no limit"])
def test_what_was_erased_behind_a_killed_archiver_goes_though_nothing_more_is_archived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: dict[str, int]
) -> None:
    """A run that was stored as it was before an erasure is mended, whatever became of its service's limit."""
    world = _ready(tmp_path)
    monkeypatch.setattr(Records, "cover", lambda *_: True)
    row = world.stored()[2]
    world.archive.store(CHAIN, world.stored()[:5])
    _put(world, _without_first(row))
    world.days = days
    done = world.archived()
    assert (done.objects, done.marked, done.damaged) == (0, 5, 0)
    assert world.archive.at(CHAIN, row.first) == _without_first(row)


def test_a_table_from_a_backup_brings_nothing_erased_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What is erased in the archive and not in the table is told of; it stays erased."""
    world = _ready(tmp_path)
    monkeypatch.setattr(Records, "cover", lambda *_: True)
    rows = world.stored()
    world.archive.store(CHAIN, [*rows[:2], _without_first(rows[2]), *rows[3:5]])
    assert world.archived().damaged == 1
    assert world.archive.at(CHAIN, rows[2].first) == _without_first(rows[2])
    assert "erase them again" in caplog.text
    _put(world, _without_first(rows[2]))
    assert world.archived().damaged == 0


def test_what_somebody_is_changing_is_marked_by_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Marks are set in order, so none is passed over: the store looks no farther down than the first."""
    world = _ready(tmp_path)
    monkeypatch.setattr(Records, "cover", lambda *_: True)
    rows = world.stored()
    world.archive.store(CHAIN, rows[:5])
    _put(world, _without_first(rows[2]))
    with monkeypatch.context() as busy:
        busy.setattr(world.archive, "replace", lambda *_: False)
        world.days = {}
        assert world.archived().marked == 2
    world.archived()
    assert all(world.raw.expires(CHAIN, row.first) for row in rows[:5])


def test_a_data_key_that_is_gone_from_the_archive_alone_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was archived under a key that was destroyed meanwhile is replaced by what the table has."""
    world = _ready(tmp_path)
    rows = world.stored()
    world.archive.store(CHAIN, [*rows[:2], replace(rows[2], payload=b"what opens no more"), *rows[3:5]])
    assert world.archived().damaged == 0
    assert world.archive.at(CHAIN, rows[2].first) == rows[2]


def test_a_chain_that_may_not_be_opened_keeps_no_other_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All others are archived, and then it is said."""
    world = _ready(tmp_path, 3)
    other = "checkout/1"
    world.fill(3, start=50, chain=other)
    world.sealer.seal(other)
    world.later(2)
    archiver = world.archiver()
    begin = archiver._begin

    def opening(_: Archiver, chain: str, start: int) -> Any:
        if chain == shut:
            raise Forbidden("its key may not be used")
        return begin(chain, start)

    monkeypatch.setattr(Archiver, "_begin", opening)
    for shut in (CHAIN, other):
        for path in (tmp_path / "archive").glob("*/0*"):
            path.unlink()
        with pytest.raises(Forbidden):
            archiver.run(lambda: 1_000.0, patience=0)
        assert {chain: world.archive.end(chain) for chain in (CHAIN, other)} == {
            CHAIN: 0 if shut == CHAIN else 4,
            other: 0 if shut == other else 4,
        }


def test_chains_are_archived_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as there are workers: one that waits for its store keeps no other from going on."""
    world = _ready(tmp_path, 3)
    chains = [CHAIN, *(f"checkout/{lane}" for lane in range(1, 5))]
    for chain in chains[1:]:
        world.fill(3, start=50, chain=chain)
        world.sealer.seal(chain)
    world.later(2)
    store, together = world.archive.store, threading.Barrier(len(chains), timeout=60)

    def waiting(chain: str, segments: list[Segment]) -> None:
        together.wait()
        store(chain, segments)

    monkeypatch.setattr(world.archive, "store", waiting)
    done = replace(world.archiver(), workers=len(chains)).run(lambda: 1_000.0, patience=0)
    assert (done.objects, done.segments, done.marked, done.more) == (5, 10, 10, False)
    assert {world.archive.end(chain) for chain in chains} == {4}


@pytest.mark.parametrize("workers", [1, 3])
def test_a_store_that_is_away_ends_it_for_all_chains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """It is told of, and no further chain is begun."""
    world = _ready(tmp_path, 3)
    for lane in range(1, 30):
        world.fill(2, start=50, chain=f"checkout/{lane}")
    looked = []

    def away(chain: str) -> int:
        looked.append(chain)
        raise Unavailable("the archive is away", 1.0)

    monkeypatch.setattr(world.archive, "end", away)
    with pytest.raises(Unavailable):
        replace(world.archiver(), workers=workers).run(lambda: 1_000.0)
    assert len(looked) <= 2 * workers


def _whole(world: World, batches: int) -> None:
    """Check that every entry is there once, in order, and that the table lacks nothing unarchived."""
    found = Counter(entries_of(world.seam()))
    assert (len(found), set(found.values())) == (2 * batches, {1})
    assert list(world.seam().strays(CHAIN)) == []


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("error", [Unavailable, pytest.param(Killed, marks=pytest.mark.nightly)])
def test_every_call_fails(tmp_path: Path, error: type[BaseException], *, applied: bool) -> None:
    """Let call 1, 2, ... of a store fail, done or not: the next run completes it, and nothing is lost."""
    for k in itertools.count(1):
        faults = Faults(error)
        world = _ready(tmp_path / str(k), 4, wrap=faults.wrap)
        world.later(2)
        faults.calls, faults.applied = 0, applied
        faults.fails = lambda n, k=k: n == k  # type: ignore[misc]
        disturbed = False
        try:
            world.archived()
        except (Unavailable, Killed):
            disturbed = True
        faults.fails = lambda _: False
        world.later(8)
        world.drop()
        _whole(world, 4)
        world.archived()
        world.later(8)
        world.drop()
        _whole(world, 4)
        assert [each.first for each in world.stored()] == [6]
        if not disturbed:
            assert k > 12
            return


def test_many_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three that archive at once, while somebody appends: each segment goes once, and all is there."""
    monkeypatch.setattr(runs, "MOST_SEGMENTS", 3)
    world = _ready(tmp_path)
    world.later(100)
    errors: list[BaseException] = []

    def archive() -> None:
        try:
            world.archived()
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=archive) for _ in range(3)]
    for thread in threads:
        thread.start()
    for name in range(100, 110):
        world.writer(seed=name).append(CHAIN, numbered(name))
    for thread in threads:
        thread.join()
    world.archived()
    assert not errors
    _whole(world, 40)
    world.later(8)
    world.drop()
    _whole(world, 40)


def test_an_archive_that_lost_its_last_run_is_told(tmp_path: Path) -> None:
    """Where the table has no longer what the archive lost, that is a loss and said to be one."""
    world = _ready(tmp_path)
    world.archived()
    world.later(8)
    world.drop()
    for path in (tmp_path / "archive").glob("*/0*"):
        path.unlink()
    assert world.archived().damaged == 1
    with pytest.raises(Tampered, match="gone"):
        entries_of(world.seam())
