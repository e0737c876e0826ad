"""What a look at a change costs: neighbours share the reads of the archive."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from sentinel.adapters import archive_kept
from sentinel.adapters.archive_folder import FolderArchive
from sentinel.adapters.archive_s3 import S3Archive
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.core.runs import alike, commitment
from sentinel.core.segment import Segment
from sentinel.core.tripwire import Change
from sentinel.errors import Unavailable
from sentinel.ports_log import Archive
from sentinel.usecases.tripwire import Tripwire
from tests.archives import BUCKET, bucket
from tests.chains import grow
from tests.writers import CHAIN, Clock, appender

RUN, RUNS = 40, 5
SEGMENTS = grow(CHAIN, [[b'{"n":%d}' % n] for n in range(RUN * RUNS + 1)])
ARCHIVED = SEGMENTS[: RUN * RUNS]


@dataclass
class Counted:
    """An archive of either kind whose requests are counted by what they ask for; `now` is its clock."""

    archive: Archive
    asked: Counter[str] = field(default_factory=Counter)
    now: float = 1_000.0

    @property
    def runs(self) -> int:
        """How many objects were read whole."""
        return self.asked["get"]

    def wire(self) -> Tripwire:
        """Return a tripwire that looks here."""
        clock = Clock()
        writer = appender(SqliteLedger(":memory:"), clock)
        return Tripwire(lambda: self.archive, self.archive.end, lambda *_: 0, writer, clock)


@pytest.fixture(params=["folder", "s3"])
def counted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Counted]:
    """Five runs of 40 segments, archived."""
    with _counted(request.param, tmp_path) as found:
        yield found


@contextmanager
def _counted(kind: str, folder: Path) -> Iterator[Counted]:
    def kept() -> float:
        return found.now

    if kind == "folder":

        class Folder(FolderArchive):
            def get(self, chain: str, first: int) -> tuple[bytes, str] | None:
                found.asked["get"] += 1
                return super().get(chain, first)

            def version(self, chain: str, first: int) -> str | None:
                found.asked["version"] += 1
                stored = FolderArchive.get(self, chain, first)
                return stored[1] if stored else None

        found = Counted(Folder(folder, clock=kept))
        yield _filled(found)
        return
    with bucket() as s3:
        names = {"GetObject": "get", "HeadObject": "version", "ListObjectsV2": "list"}

        def count(model: Any, **_: Any) -> None:
            found.asked[names.get(model.name, model.name)] += 1

        found = Counted(S3Archive(s3, BUCKET, clock=kept))
        s3.meta.events.register("before-call.s3", count)
        yield _filled(found)


def _filled(found: Counted) -> Counted:
    for at in range(0, RUN * RUNS, RUN):
        found.archive.store(CHAIN, ARCHIVED[at : at + RUN])
    found.asked.clear()
    return found


def removal(segment: Segment, **more: Any) -> Change:
    """Return what TTL does to a segment."""
    return Change("REMOVE", CHAIN, segment.first, segment, by_ttl=True, **more)


def mark(segment: Segment) -> Change:
    """Return what archiving does to a segment."""
    return Change("MODIFY", CHAIN, segment.first, segment, segment, 0, 5_000, same=True)


@pytest.mark.parametrize("change", [removal, mark])
@pytest.mark.parametrize("shuffled", [False, True])
def test_neighbours_share_what_is_read(counted: Counted, change: Any, shuffled: bool) -> None:
    """A run is read once for all of its segments, in whichever order they are marked or dropped."""
    wire = counted.wire()
    segments = random.Random(1).sample(ARCHIVED, len(ARCHIVED)) if shuffled else ARCHIVED
    assert {wire.look(change(each)) for each in segments} == {""}
    assert counted.runs == RUNS
    assert counted.asked.total() <= 2 * RUNS


def test_what_does_not_fit_is_told_whatever_is_kept(counted: Counted) -> None:
    """Other segments in the place of archived ones, and such as are not archived, are alerts each time."""
    wire = counted.wire()
    assert not wire.look(removal(ARCHIVED[3]))
    for forged in (
        replace(ARCHIVED[3], t=1),
        replace(ARCHIVED[3], recent=b""),
        replace(SEGMENTS[7], count=2),
    ):
        for number in "12":
            assert "does not hold" in wire.look(removal(forged, number=number))
            assert "does not hold" in wire.look(removal(SEGMENTS[-1], number=number))
    assert "does not hold" in wire.look(removal(replace(ARCHIVED[3], chain="other/0")))


def test_what_is_not_archived_reads_no_object_again(counted: Counted) -> None:
    """Marks and puts by somebody else are looked up each time: by the versions of objects that are known."""
    wire = counted.wire()
    forged = [replace(each, t=each.t + 1) for each in ARCHIVED[:8]] + [SEGMENTS[-1]] * 8
    for number, each in enumerate(forged):
        assert wire.look(removal(each, number=str(number)))
    assert counted.runs == 2
    assert counted.asked["version"] == len(forged) - 2


def test_a_run_that_came_meanwhile_is_found(counted: Counted) -> None:
    """What was not archived when it was asked for is, once it was stored."""
    wire = counted.wire()
    assert wire.look(mark(SEGMENTS[-1]))
    counted.archive.store(CHAIN, SEGMENTS[-1:])
    assert not wire.look(replace(mark(SEGMENTS[-1]), number="later"))


def test_an_erasure_in_the_archive_changes_nothing(counted: Counted) -> None:
    """A run that was put anew has the same segments: they are held, by what is kept and by what is read."""
    wire = counted.wire()
    assert not wire.look(removal(ARCHIVED[0]))
    erased = replace(ARCHIVED[1], payload=b"x", codec=5)
    assert counted.archive.replace(erased, ARCHIVED[1])
    counted.asked.clear()
    for form in (ARCHIVED[1], erased):
        assert not wire.look(removal(form))
    assert counted.asked.total() == 0
    counted.now += archive_kept.FRESH
    assert not wire.look(removal(erased))
    assert counted.runs == 1


def test_what_is_kept_gets_old(counted: Counted) -> None:
    """After five minutes, or where the clock stepped back, it is asked for; what is gone is told."""
    wire = counted.wire()
    assert not wire.look(removal(ARCHIVED[0]))
    for step in (archive_kept.FRESH, -1.0):
        counted.now += step
        counted.asked.clear()
        assert not wire.look(removal(ARCHIVED[1]))
        assert (counted.runs, counted.asked["version"]) == (0, 1)
    counted.now += archive_kept.FRESH
    _lose(counted)
    assert "does not hold" in wire.look(removal(ARCHIVED[1]))


def _lose(counted: Counted) -> None:
    archive: Any = counted.archive
    if isinstance(archive, S3Archive):
        for each in archive._s3.list_objects_v2(Bucket=BUCKET)["Contents"]:
            archive._s3.delete_object(Bucket=BUCKET, Key=each["Key"])
    else:
        for path in archive._root.glob("*/0*"):
            path.unlink()


@pytest.mark.parametrize(("name", "most"), [("MOST", 2 * RUN), ("MOST_RUNS", 2)])
def test_what_is_kept_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    """Runs that were not asked for longest go first, by their number or by that of their segments."""
    monkeypatch.setattr(archive_kept, name, most)
    with _counted("folder", tmp_path) as counted:
        wire = counted.wire()
        for at in (0, 1, 0, 2, 0, 1):
            assert not wire.look(removal(ARCHIVED[at * RUN]))
        assert counted.runs == 4


@pytest.mark.parametrize("kind", ["newest_at", "get", "version"])
def test_an_archive_that_is_away_is_asked_again(tmp_path: Path, kind: str) -> None:
    """Whichever call fails nothing is known by it: the look is repeated, and says what is there."""
    away = True

    def failing(*_: object) -> None:
        raise Unavailable("away")

    with _counted("folder", tmp_path) as counted:
        archive: Any = counted.archive
        for forged, wanted in ((ARCHIVED[2], ""), (replace(ARCHIVED[2], t=1), "does not hold")):
            wire = counted.wire()
            real = getattr(archive, kind)
            setattr(archive, kind, failing)
            try:
                wire.look(removal(forged))
                away = False
            except Unavailable:
                away = True
            setattr(archive, kind, real)
            assert wanted in wire.look(removal(forged))
        assert away == (
            kind != "get"
        )  # the forged one is asked for, whatever is kept, and nothing read for it


def test_an_object_that_is_damaged_is_told_and_not_kept(tmp_path: Path) -> None:
    """As long as nobody can read it each look says so; once it is mended all is as it was."""
    with _counted("folder", tmp_path) as counted:
        archive: Any = counted.archive
        wire = counted.wire()
        (path,) = archive._root.glob("*/0000000000000000")
        whole = path.read_bytes()
        path.write_bytes(whole[:-9])
        for number in "12":
            assert "nobody can tell" in wire.look(removal(ARCHIVED[0], number=number))
        path.write_bytes(whole)
        assert not wire.look(removal(ARCHIVED[0], number="3"))


def test_a_commitment_is_what_forms_share() -> None:
    """It differs where one attribute differs that all forms have in common, and nowhere else."""
    one = SEGMENTS[3]
    forms = (replace(one, payload=b"x"), replace(one, codec=7), replace(one, key="k"))
    assert {commitment(each) for each in forms} == {commitment(one)}
    changes: dict[str, Any] = {"chain": "b/0", "first": 4, "count": 2, "t": 1, "recent": b"", "tree": b""}
    changes |= {"prev": one.head, "head": one.prev}
    others = [replace(one, **{name: value}) for name, value in changes.items()]
    assert len({commitment(each) for each in (one, *others)}) == len(others) + 1
    assert not any(alike(each, one) for each in others)
