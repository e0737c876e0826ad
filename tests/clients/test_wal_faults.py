"""The write-ahead log on a disk that fails: what is accepted is kept, what is dropped is counted."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sentinel_client import _slots, _state
from sentinel_client._disk import DISK, Disk
from sentinel_client._state import Progress
from tests.clients.wal_cases import (
    WRITES,
    Faulty,
    always,
    counts,
    entry,
    make,
    numbers,
    problem,
    read_all,
    read_slots,
    segments,
)
from tests.clients.wal_vectors import flipped
from tests.sampling import taken, thorough

FAULTS = [(errno.EIO, "EIO"), (errno.ENOSPC, "ENOSPC"), (errno.EDQUOT, "EDQUOT"), (-1, "short")]


def _once(at: int, error: int) -> Callable[[str, int], int]:
    return lambda _name, count: error if count == at else 0


def _from(at: int, error: int) -> Callable[[str, int], int]:
    return lambda _name, count: error if count >= at else 0


def _between(at: int, error: int) -> Callable[[str, int], int]:
    return lambda _name, count: error if at <= count < at + 5 else 0


def _work(root: Path, disk: Disk) -> tuple[list[int], dict[str, int]]:
    """Log, send and close on a disk; return the numbers of what was accepted, and what was counted."""
    wal = make(root, disk=disk, segment_bytes=300)
    accepted = []
    for n in range(12):
        if wal.append(entry(n, 60)) >= 0:
            accepted.append(n)
        if n == 5:
            wal.begin("file", 0, 3)
            wal.sync()
        if n == 8:
            wal.keep()
    wal.close()
    return accepted, counts(wal)


@pytest.mark.parametrize(("error", "_name"), FAULTS)
@pytest.mark.parametrize("shape", [_once, _from, _between])
def test_wherever_the_disk_fails_what_is_accepted_is_there_or_counted(
    tmp_path: Path, shape: Callable[[int, int], Callable[[str, int], int]], error: int, _name: str
) -> None:
    """The k-th call fails, once, five times or for ever: all that was accepted is read later, in order, once.

    What only memory held when the program ended is counted; after one failure there is none of it.
    """
    step = 1 if thorough() else 5
    for at in itertools.count(1 + (len(_name) + shape.__code__.co_firstlineno) % step, step):
        root = tmp_path / f"{at}"
        disk = Faulty(shape(at, error))
        accepted, told = _work(root, disk)
        if len(disk.calls) < at:
            break
        wal = make(root)
        left = numbers(read_slots(wal))
        lost = told.get("disk", 0)
        assert left == [n for n in accepted if n in left], (at, disk.calls[at - 1])
        assert len(accepted) - len(left) <= lost, (at, disk.calls[at - 1])
        assert len(left) + lost >= 12, (at, disk.calls[at - 1])
        assert set(told) <= {"disk", "unsynced"}
        assert counts(wal).get("corrupt", 0) <= lost  # a range that was begun, and was in memory
        if shape is _once:
            assert lost == 0, (at, disk.calls[at - 1])
        assert wal.append(entry(99)) >= 0
        wal.close()


def test_a_write_that_the_disk_took_a_part_of_is_completed(tmp_path: Path) -> None:
    """A short write is no failure: the rest is written, and the file is as if it had been one."""
    wal = make(tmp_path / "short", disk=Faulty(always("pwrite", error=-1)))
    other = make(tmp_path / "whole")
    for n in range(5):
        assert wal.append(entry(n)) == other.append(entry(n)) == n
    short, whole = (segments(tmp_path / name)[0].read_bytes() for name in ("short", "whole"))
    assert short[32:] == whole[32:]
    assert counts(wal) == {}
    wal.close()
    other.close()


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_fails_is_bridged_in_memory(tmp_path: Path, error: int) -> None:
    """Entries get their numbers, are read, and are written in order once the disk takes them again."""
    disk = Faulty(always())
    wal = make(tmp_path, disk=disk)
    wal.append(entry(0))
    disk.plan = always("pwrite", "open", "replace", error=error)
    assert [wal.append(entry(n)) for n in range(1, 6)] == [1, 2, 3, 4, 5]
    assert problem(wal) == os.strerror(error)
    assert wal.stats()["bridged"] == 5
    disk.plan = always("pwrite", "replace", error=error)
    assert numbers(read_all(wal)) == [0, 1, 2, 3, 4, 5]
    disk.plan = always()
    wal.keep()
    assert problem(wal) is None
    assert wal.stats()["bridged"] == 0
    assert wal.append(entry(6)) == 6
    wal.close()
    assert numbers(read_all(wal)) == [0, 1, 2, 3, 4, 5, 6]
    assert counts(wal) == {}
    wal.close()


def test_the_bridge_is_bounded_and_what_it_does_not_hold_is_counted(tmp_path: Path) -> None:
    """Memory is bounded; an entry that is dropped gets no number."""
    disk = Faulty(always("pwrite"))
    wal = make(tmp_path, disk=disk, bridge_bytes=2000)
    given = [wal.append(entry(n, 100)) for n in range(20)]
    held = 20 - given.count(-1)
    assert given == [*range(held), *[-1] * (20 - held)]
    assert 5 < held < 20
    assert counts(wal) == {"disk": 20 - held}
    disk.plan = always()
    wal.keep()
    assert wal.append(entry(20)) == held
    assert numbers(read_all(wal)) == [*range(held), 20]
    wal.close()


def test_what_was_sent_out_of_memory_is_not_written_later(tmp_path: Path) -> None:
    """Numbers are used once, also those that never reached the disk."""
    disk = Faulty(always("pwrite"))
    wal = make(tmp_path, disk=disk)
    for n in range(4):
        wal.append(entry(n))
    producer = wal.producer
    assert not wal.begin("http", 0, 3)
    wal.acknowledge("http", 3)
    disk.plan = always()
    assert wal.append(entry(4)) == 4
    assert numbers(read_all(wal, 3)) == [3, 4]
    assert wal.producer == producer
    wal.close()
    assert (wal.producer, wal.next(), wal.progress("http")) == (producer, 5, Progress(3))
    wal.close()


def test_without_a_root_that_can_be_written_everything_is_in_memory(tmp_path: Path) -> None:
    """A root that cannot be made stops no program: entries are numbered, and written if it is made later."""
    (tmp_path / "root").write_text("no folder")
    wal = make(tmp_path / "root")
    assert [wal.append(entry(n)) for n in range(3)] == [0, 1, 2]
    assert "folder" in str(problem(wal))
    assert numbers(read_all(wal)) == [0, 1, 2]
    producer = wal.producer
    (tmp_path / "root").unlink()
    assert wal.append(entry(3)) == 3
    assert problem(wal) is None
    assert [path.parent.name for path in segments(tmp_path / "root")] == [producer]
    assert numbers(read_all(wal)) == [0, 1, 2, 3]
    wal.close()


def test_a_read_only_root_is_no_obstacle(tmp_path: Path) -> None:
    """Each call that changes something fails with EROFS: everything is in memory, and said so."""
    wal = make(tmp_path, disk=Faulty(always(*WRITES, error=errno.EROFS)))
    assert wal.append(entry(0)) == 0
    assert problem(wal) == os.strerror(errno.EROFS)
    assert wal.folder is None
    assert numbers(read_all(wal)) == [0]
    wal.close()
    assert counts(wal) == {"disk": 1}
    assert list(tmp_path.iterdir()) == []


def test_a_sync_that_fails_is_counted_and_not_believed_later(tmp_path: Path) -> None:
    """The segment is left, for another sync of it would succeed whether the bytes are there or not."""
    disk = Faulty(always())
    wal = make(tmp_path, disk=disk)
    for n in range(3):
        wal.append(entry(n))
    wal.sync()
    for n in range(3, 5):
        wal.append(entry(n))
    disk.plan = always("sync")
    wal.sync()
    assert counts(wal) == {"unsynced": 2}
    assert wal.stats()["unsynced"] == 2
    disk.plan = always()
    wal.append(entry(5))
    assert len(segments(tmp_path)) == 2
    wal.sync()
    assert counts(wal) == {"unsynced": 2}
    assert numbers(read_all(wal)) == [0, 1, 2, 3, 4, 5]
    wal.close()


def test_a_reader_without_descriptors_waits_and_gives_nothing_up(tmp_path: Path) -> None:
    """A process that has too many files open reads nothing now, and everything later."""
    disk = Faulty(always())
    wal = make(tmp_path, disk=disk)
    wal.append(entry(0))
    disk.plan = always("open", error=errno.EMFILE)
    assert wal.read(0, 10, 1000).count == 0
    assert counts(wal) == {}
    disk.plan = always()
    assert numbers(read_all(wal)) == [0]
    wal.close()


def test_a_segment_that_cannot_be_read_for_a_moment_is_not_given_up(tmp_path: Path) -> None:
    """Reading says that there is nothing now, and the problem is told."""
    disk = Faulty(always())
    wal = make(tmp_path, disk=disk)
    wal.append(entry(0))
    disk.plan = always("open")
    run = wal.read(0, 10, 1000)
    assert (run.first, run.count) == (0, 0)
    assert "cannot be read" in str(problem(wal))
    disk.plan = always()
    assert numbers(read_all(wal)) == [0]
    assert counts(wal) == {}
    wal.close()


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOENT])
def test_a_segment_that_cannot_be_read_is_passed_over_and_counted(tmp_path: Path, error: int) -> None:
    """Its entries are missing in the run that has the next ones; they are counted once."""
    disk = Faulty(always())
    wal = make(tmp_path, disk=disk, segment_bytes=300, give_up=0)
    for n in range(9):
        wal.append(entry(n, 100))
    second = int(segments(tmp_path)[1].name[:16], 16)
    third = int(segments(tmp_path)[2].name[:16], 16)
    calls = len(disk.calls)
    disk.plan = lambda name, count: error if name == "open" and count == calls + 2 else 0
    left = [n for n in range(9) if not second <= n < third]
    assert numbers(read_all(wal, most=second)) == left
    assert numbers(read_all(wal)) == left
    assert counts(wal) == {"corrupt": third - second}
    wal.close()


@pytest.mark.parametrize("most", [1, 2, 10])
def test_what_memory_holds_is_read_behind_what_is_missing(tmp_path: Path, most: int) -> None:
    """A segment that is gone hides no entry that waits in memory."""
    disk = Faulty(always())
    wal = make(tmp_path, disk=disk)
    for n in range(3):
        wal.append(entry(n))
    disk.plan = always("pwrite")
    for n in range(3, 6):
        wal.append(entry(n))
    segments(tmp_path)[0].unlink()
    assert numbers(read_all(wal, most=most)) == [3, 4, 5]
    assert counts(wal) == {"corrupt": 3}
    disk.plan = always()
    wal.close()


def test_what_is_missing_is_counted_once_for_all_transports(tmp_path: Path) -> None:
    """Broken frames are passed over; a run's count says how many numbers it stands for."""
    wal = make(tmp_path, transports=("http", "file"))
    for n in range(6):
        wal.append(entry(n))
    path = segments(tmp_path)[0]
    data = path.read_bytes()
    size = len(entry(0)) + 16
    path.write_bytes(flipped(data, 32 + 2 * size + 20, 4))
    for _ in range(2):
        run = wal.read(1, 4, 10_000)
        assert (run.first, run.count, numbers(run.entries), run.numbers) == (1, 4, [1, 3, 4], [1, 3, 4])
    run = wal.read(2, 1, 10_000)  # nothing of it is left: the run begins behind
    assert (run.first, run.count, run.numbers) == (3, 1, [3])
    assert counts(wal) == {"corrupt": 1}
    wal.close()


@pytest.mark.parametrize("cut", ["torn", "zeros", "garbage", "header", "empty"])
def test_a_torn_tail_is_cut_away_and_gone_on_behind(tmp_path: Path, cut: str) -> None:
    """What a write that never returned left is no entry, and nothing is counted for it."""
    wal = make(tmp_path)
    for n in range(3):
        wal.append(entry(n))
    wal.close()
    path = segments(tmp_path)[0]
    data, size = path.read_bytes(), len(entry(0)) + 16
    torn = {
        "torn": data[:-5],
        "zeros": data[:-size] + bytes(5000),
        "garbage": data[:-size] + os.urandom(50),
        "header": data[:20],
        "empty": b"",
    }
    path.write_bytes(torn[cut])
    left = [0, 1] if cut in ("torn", "zeros", "garbage") else []
    assert numbers(read_all(wal)) == left
    assert wal.append(entry(2)) == len(left)
    assert numbers(read_all(wal)) == [*left, 2]
    assert counts(wal) == {}
    wal.close()


def test_the_last_frame_that_broke_is_counted(tmp_path: Path) -> None:
    """A complete frame that is broken was an entry, also at the end of the newest segment."""
    wal = make(tmp_path)
    for n in range(3):
        wal.append(entry(n))
    wal.close()
    path = segments(tmp_path)[0]
    path.write_bytes(flipped(path.read_bytes(), path.stat().st_size - 1, 1))
    assert numbers(read_all(wal)) == [0, 1]
    assert counts(wal) == {"corrupt": 1}
    wal.close()


def test_every_byte_of_a_segment_that_flips_costs_one_entry_at_most(tmp_path: Path) -> None:
    """Whatever byte of the files flips, the next process reads all other entries, and takes new ones."""
    wal = make(tmp_path / "a", segment_bytes=120)
    for n in range(4):
        wal.append(entry(n))
    wal.close()
    sizes = [(path.name, path.stat().st_size) for path in segments(tmp_path / "a")]
    assert len(sizes) == 2
    places = [(name, at) for name, size in sizes for at in range(size)]
    for name, at in taken(places, 4, 1):
        root = tmp_path / f"{name}{at}"
        shutil.copytree(tmp_path / "a", root)
        path = next(root.glob(f"*/{name}"))
        path.write_bytes(flipped(path.read_bytes(), at, 64))
        wal = make(root, segment_bytes=120)
        left = numbers(read_all(wal))
        lost = 0 if at < 32 else 1
        assert len(left) == 4 - lost, (name, at)
        assert left == sorted(left)
        assert wal.append(entry(9)) >= 0
        assert numbers(read_all(wal)) == [*left, 9]
        wal.close()


def test_numbers_that_were_sent_are_not_used_again_when_the_entries_are_lost(tmp_path: Path) -> None:
    """What was sent is in `state.json`, its entries went with the power. The next has another number."""
    wal = make(tmp_path)
    for n in range(5):
        wal.append(entry(n))
    wal.acknowledge("http", 1)
    wal.begin("http", 1, 3)
    wal.close()
    path = segments(tmp_path)[0]
    path.write_bytes(path.read_bytes()[: 32 + len(entry(0)) + 16])  # one entry is left
    run = wal.read(1, 3, 10_000)
    assert (run.first, run.count, run.entries) == (4, 0, [])
    assert wal.append(entry(4)) == 4
    run = wal.read(1, 3, 10_000)
    assert (run.first, run.count, numbers(run.entries)) == (4, 1, [4])
    assert counts(wal) == {"corrupt": 3}
    wal.close()


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"version":1,"transports":{"http":{"acknowledged":-1}}}',
        b'{"version":1,"transports":{"http":{"acknowledged":1,"sending":{"first":0}}}}',
        b'{"version":1,"transports":[]}',
        b"[" * 100_000,
    ],
)
def test_a_broken_state_has_its_slot_sent_empty_and_not_gone_on_with(tmp_path: Path, state: bytes) -> None:
    """What was sent is not known: the entries are sent, perhaps again; new ones get a slot of their own."""
    wal = make(tmp_path)
    wal.append(entry(0))
    wal.begin("http", 0, 1)
    wal.close()
    path = next(tmp_path.glob("*/state.json"))
    path.write_bytes(state)
    following = make(tmp_path)
    assert following.append(entry(1)) == 0
    assert following.producer != path.parent.name
    orphan = following.orphans()[0]
    assert orphan.producer == path.parent.name
    assert numbers(read_all(orphan)) == [0]
    orphan.acknowledge("http", 1)
    assert following.orphans() == []
    assert not path.parent.exists()
    following.close()


def test_a_slot_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    """What a later client wrote is neither read nor deleted."""
    wal = make(tmp_path)
    wal.append(entry(0))
    wal.begin("http", 0, 1)
    wal.close()
    path = next(tmp_path.glob("*/state.json"))
    path.write_text(json.dumps({"version": 2}))
    assert wal.append(entry(0)) == 0
    assert wal.producer != path.parent.name
    assert wal.orphans() == []
    wal.close()
    assert json.loads(path.read_text()) == {"version": 2}


def test_a_full_disk_does_not_hold_up_the_sending_that_empties_it(tmp_path: Path) -> None:
    """`state.json` is overwritten in place where there is no room for another."""
    disk = Faulty(always())
    wal = make(tmp_path, disk=disk)
    wal.append(entry(0))
    assert wal.begin("http", 0, 1)
    path = next(tmp_path.glob("*/state.json"))
    inode = path.stat().st_ino
    disk.plan = always("replace", error=errno.ENOSPC)
    wal.acknowledge("http", 1)
    wal.append(entry(1))
    assert wal.begin("http", 1, 1)
    assert path.stat().st_ino == inode
    disk.plan = always()
    wal.close()
    assert wal.progress("http") == Progress(1, (1, 1))
    wal.close()


def test_a_state_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """`begin` says whether the range is on disk; it is written later by the keeper."""
    disk = Faulty(always())
    wal = make(tmp_path, disk=disk)
    wal.append(entry(0))
    disk.plan = always("replace")
    assert not wal.begin("http", 0, 1)
    assert "state.json" in str(problem(wal))
    disk.plan = always()
    wal.keep()
    assert problem(wal) is None
    assert _state.load(DISK, next(tmp_path.iterdir())).of("http").sending == (0, 1)
    wal.close()


def test_foreign_files_in_a_slot_are_neither_read_nor_deleted(tmp_path: Path) -> None:
    """Other names and folders are nobody's segments; a link that has the name of one is not followed."""
    wal = make(tmp_path)
    wal.append(entry(0))
    wal.close()
    slot = next(tmp_path.iterdir())
    (slot / "notes.txt").write_text("mine")
    (slot / "0000.wal").write_text("short name")
    (slot / "000000000000000g.wal").write_text("no number")
    (slot / "folder").mkdir()
    (tmp_path / "not-a-slot").mkdir()
    assert wal.append(entry(1)) == 1
    assert numbers(read_all(wal)) == [0, 1]
    wal.close()
    secret = tmp_path / "secret"
    secret.write_text("x" * 100)
    (slot / f"{2:016x}.wal").symlink_to(secret)
    assert wal.append(entry(2)) >= 0
    wal.close()
    assert secret.read_text() == "x" * 100
    assert (slot / "notes.txt").read_text() == "mine"


def test_a_segment_that_somebody_deletes_is_begun_anew(tmp_path: Path) -> None:
    """What cleans up old files takes those entries, which are counted; what comes later is on disk."""
    wal = make(tmp_path)
    wal.append(entry(0))
    producer = wal.producer
    shutil.rmtree(tmp_path / producer)
    wal.keep()
    assert wal.append(entry(1)) == 1
    assert [path.parent.name for path in segments(tmp_path)] == [producer]
    assert numbers(read_all(wal)) == [1]
    assert counts(wal) == {"corrupt": 1}
    wal.close()


@contextlib.contextmanager
def _small_disk(path: Path, size: str) -> Iterator[Path]:
    """Mount a file system in memory of some size, where this user may."""
    path.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(path)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("a small file system cannot be mounted here: it needs root and CAP_SYS_ADMIN")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="there is no `mount` here")
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """Entries go to memory when the disk is full and to disk when it is not; sending goes on meanwhile."""
    with _small_disk(tmp_path / "disk", "256k") as root:
        wal = make(root / "log", segment_bytes=20_000)
        (root / "other").write_bytes(bytes(4096))
        n = 0
        while problem(wal) is None:
            assert wal.append(entry(n, 500)) == n
            n += 1
            assert n < 1000
        for _ in range(50):
            assert wal.append(entry(n, 500)) == n
            n += 1
        assert problem(wal) == os.strerror(errno.ENOSPC)
        assert numbers(read_all(wal)) == list(range(n))
        sent = int(segments(root / "log")[2].name[:16], 16)
        wal.begin("http", 0, sent)
        wal.acknowledge("http", sent)
        wal.keep()
        assert wal.stats()["bridged"] == 0
        assert problem(wal) is None
        assert numbers(read_all(wal, sent)) == list(range(sent, n))
        wal.close()
        assert numbers(read_all(wal, sent)) == list(range(sent, n))
        assert counts(wal) == {}
        wal.close()


def test_a_file_that_is_larger_than_memory_is_not_read(tmp_path: Path) -> None:
    """What somebody put in the place of a segment does not fill the memory of the program that logs."""
    wal = make(tmp_path, give_up=0)
    wal.append(entry(0))
    producer = wal.producer
    wal.close()
    os.truncate(segments(tmp_path)[0], 1 << 40)
    assert wal.append(entry(1)) == 0
    assert wal.producer != producer
    wal.close()


def test_an_unreadable_slot_is_left_and_another_taken(tmp_path: Path) -> None:
    """Whatever is wrong with what is there, the program logs."""
    wal = make(tmp_path)
    wal.append(entry(0))
    producer = wal.producer
    wal.close()
    segments(tmp_path)[0].unlink()
    (tmp_path / producer / f"{0:016x}.wal").mkdir()
    assert wal.append(entry(1)) == 0
    assert wal.producer != producer
    assert problem(wal) is None
    wal.close()
    assert _slots.free(DISK, tmp_path)[0].name == producer
