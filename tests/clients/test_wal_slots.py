"""Slots: one process each, taken up by the next, left alone by forked children; and who may use a root."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from sentinel_client import _slots
from sentinel_client._disk import DISK
from sentinel_client._slots import Unusable
from sentinel_client._wal import Wal
from tests.clients.wal_cases import Faulty, always, counts, entry, make, numbers, read_all, segments

PREAMBLE = """
import sys
from pathlib import Path
from tests.clients.wal_cases import *
root = Path(sys.argv[1])
"""
OTHER = 12_345  # a user that is nobody here


def _in_child(work: str, root: Path) -> str:
    """Run some lines in a process of its own, where `root` is set, and return what it prints."""
    command = [sys.executable, "-c", f"{PREAMBLE}\n{work}", str(root)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout.strip()


def _dead(root: Path, count: int) -> list[str]:
    """Leave slots of processes that were killed, with two entries each; return their names, oldest first."""
    logs = [make(root) for _ in range(count)]
    names = []
    for n, wal in enumerate(logs):
        wal.append(entry(10 * n))
        wal.append(entry(10 * n + 1))
        names.append(wal.producer)
        os.utime(root / wal.producer / "lock", ns=(n * 10**9, n * 10**9))
    for wal in logs:
        wal._journal.close(remove=False)
    return names


def test_two_processes_have_a_slot_each(tmp_path: Path) -> None:
    """Both log at the same time; what one left is not taken while it lives."""
    wal = make(tmp_path)
    wal.append(entry(0))
    other = _in_child("wal = make(root); wal.append(entry(1)); print(wal.producer); wal.close()", tmp_path)
    assert other != wal.producer
    assert wal.append(entry(2)) == 1
    assert numbers(read_all(wal)) == [0, 2]
    wal.close()


def test_the_slot_that_was_left_longest_ago_is_taken_first(tmp_path: Path) -> None:
    """A process takes one free slot, and takes the others over to send them."""
    names = _dead(tmp_path, 3)
    wal = make(tmp_path)
    assert wal.append(entry(99)) == 2
    assert wal.producer == names[0]
    orphans = wal.orphans()
    assert [orphan.producer for orphan in orphans] == names[1:]
    assert [numbers(read_all(orphan)) for orphan in orphans] == [[10, 11], [20, 21]]
    assert wal.orphans() == orphans
    wal.close()


def test_an_orphan_is_given_back_once_it_is_sent(tmp_path: Path) -> None:
    """Its folder stays, for the next process, with its numbers; nobody holds its lock."""
    names = _dead(tmp_path, 2)
    wal = make(tmp_path, transports=("http", "file"))
    wal.append(entry(99))
    orphan = wal.orphans()[0]
    orphan.begin("http", 0, 2)
    orphan.acknowledge("http", 2)
    assert wal.orphans() == [orphan]
    orphan.acknowledge("file", 2)
    assert wal.orphans() == []
    assert orphan.read(0, 10, 100).count == 0
    assert orphan.append(entry(5)) == -1
    following = make(tmp_path)
    assert following.append(entry(100)) == 2
    assert following.producer == names[1]
    following.close()
    wal.close()


def test_of_empty_slots_only_some_are_kept(tmp_path: Path) -> None:
    """Many processes at once leave many slots; those that are empty and were not used for longest go."""
    names = _dead(tmp_path, 20)
    wal = make(tmp_path)
    wal.append(entry(99))
    for _ in range(10):
        for orphan in wal.orphans():
            orphan.acknowledge("http", 2)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert len(left) == 17
    assert wal.producer in left
    assert set(left) <= set(names)
    wal.close()


def test_slots_of_the_other_language_are_left_alone(tmp_path: Path) -> None:
    """A process takes slots of its own language only."""
    other = tmp_path / "js-0011223344556677"
    other.mkdir()
    (other / f"{0:016x}.wal").write_bytes(b"")
    wal = make(tmp_path)
    wal.append(entry(0))
    assert wal.producer.startswith("py-")
    assert wal.orphans() == []
    assert [path.name for path in other.iterdir()] == [f"{0:016x}.wal"]
    wal.close()


def test_after_a_crash_of_the_machine_unsynced_numbers_are_not_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `never`, a slot that was in use when the machine went down is sent empty, and removed."""
    wal = make(tmp_path, fsync="never")
    wal.append(entry(0))
    first = wal.producer
    wal.close()
    assert wal.append(entry(1)) == 1
    wal.close()
    monkeypatch.setattr(_slots, "boot", lambda: "another")
    wal = make(tmp_path, fsync="never")
    assert wal.append(entry(2)) == 0
    assert wal.producer != first
    orphan = wal.orphans()[0]
    assert numbers(read_all(orphan)) == [0, 1]
    orphan.acknowledge("http", 2)
    assert wal.orphans() == []
    assert not (tmp_path / first).exists()
    wal.close()


def test_a_child_that_is_forked_has_a_slot_of_its_own(tmp_path: Path) -> None:
    """Both go on logging; the parent keeps its lock, also when the child ends first, or is killed."""
    wal = make(tmp_path)
    wal.append(entry(0))
    for how in ("end", "kill"):
        child = os.fork()
        if child == 0:
            number = wal.append(entry(10))
            if number == 0 and how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            os._exit(0 if number == 0 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == (0 if how == "end" else -signal.SIGKILL)
        assert _slots.lock(DISK, tmp_path / wal.producer) is None
        [orphan] = wal.orphans()
        assert numbers(read_all(orphan)) == [10]
        orphan.acknowledge("http", orphan.next())
        assert wal.orphans() == []
        (tmp_path / orphan.producer / "lock").unlink()
        for path in (tmp_path / orphan.producer).iterdir():
            path.unlink()
    assert wal.append(entry(1)) == 1
    assert numbers(read_all(wal)) == [0, 1]
    wal.close()


def test_a_child_does_not_keep_the_slot_of_a_parent_that_ended(tmp_path: Path) -> None:
    """Its copies of the parent's files are closed at once, also if it never logs."""
    wal = make(tmp_path)
    wal.append(entry(0))
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)  # until the parent says so
        os._exit(0)
    os.close(read)
    producer = wal.producer
    wal._journal.close(remove=False)
    slot = _slots.lock(DISK, tmp_path / producer)
    os.close(write)
    os.waitpid(child, 0)
    assert slot is not None
    slot.release()


def test_a_fork_while_other_threads_log_blocks_nobody(tmp_path: Path) -> None:
    """Locks that other threads hold at the time of the fork do not exist in the child."""
    wal = make(tmp_path, fsync="always")
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            wal.append(entry(1))
            wal.begin("http", 0, 1)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        assert wal.wait(5, 60)
        for _ in range(10):
            child = os.fork()
            if child == 0:
                signal.alarm(60)
                os._exit(0 if wal.append(entry(2)) >= 0 and wal.begin("http", 0, 1) else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    wal.close()


def test_a_fork_from_within_an_append_writes_the_entry_once(tmp_path: Path) -> None:
    """A signal's handler forks while an append runs: the parent's goes to disk, the child's nowhere."""
    wal = make(tmp_path)
    wal.append(entry(0))
    real, children = wal._pwrite, []

    def forking(fd: int, data: Any, at: int, /) -> int:
        wal._pwrite = real
        children.append(os.fork())
        return real(fd, data, at)

    wal._pwrite = forking
    wal.append(entry(1))
    if children == [0]:
        os._exit(0 if wal.append(entry(2)) == 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
    assert wal.append(entry(3)) == 2
    assert numbers(read_all(wal)) == [0, 1, 3]
    assert numbers(read_all(wal.orphans()[0])) == [2]
    wal.close()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_of_multiprocessing_have_slots_of_their_own(tmp_path: Path, method: str) -> None:
    """Forked and spawned workers log beside their parent; everything is there, once."""
    wal = make(tmp_path)
    wal.append(entry(0))
    process: Any = multiprocessing.get_context(method).Process  # type: ignore[attr-defined] # each has it
    workers = [process(target=_worker, args=(tmp_path, wal if method == "fork" else None, n)) for n in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    slots = [numbers(read_all(orphan)) for orphan in wal.orphans()]
    assert sorted(n for slot in slots for n in slot) == [100, 101, 102, 200, 201, 202]
    assert numbers(read_all(wal)) == [0]
    wal.close()


def _worker(root: Path, wal: Wal | None, name: int) -> None:
    log = wal or make(root)
    for n in range(3):
        assert log.append(entry(name * 100 + n)) >= 0


def test_a_root_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """Who owns a folder can put links into it. The error says who it belongs to and what to do."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    root = tmp_path / "root"
    root.mkdir(mode=0o700)
    os.chown(root, OTHER, OTHER)
    with pytest.raises(Unusable, match=rf"of user {OTHER}.*chown"):
        _slots.prepare(DISK, root)
    wal = make(root)
    assert wal.append(entry(0)) == 0
    assert "chown" in (wal.problem or "")
    assert list(root.iterdir()) == []
    wal.close()


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_root_that_others_may_write_into_is_refused(tmp_path: Path, mode: int) -> None:
    """Neither group nor others may write into it; the error says how to mend it."""
    root = tmp_path / "root"
    root.mkdir()
    root.chmod(mode)
    with pytest.raises(Unusable, match="chmod go-w"):
        _slots.prepare(DISK, root)


def test_a_link_that_somebody_else_made_is_not_followed(tmp_path: Path) -> None:
    """In a folder that all may write into, somebody could point a root at another folder of its user's."""
    mine = tmp_path / "mine"
    mine.mkdir(mode=0o700)
    link = tmp_path / "root"
    link.symlink_to(mine)
    assert _slots.prepare(DISK, link) == mine.resolve()
    if os.geteuid() != 0:
        pytest.skip("only root can give a link away")
    os.lchown(link, OTHER, OTHER)
    with pytest.raises(Unusable, match="chown"):
        _slots.prepare(DISK, link)


def test_a_root_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """The error names the folder and what to do."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Unusable, match="name one"):
        _slots.prepare(DISK, tmp_path / "file" / "root")
    with pytest.raises(Unusable, match=r"make the folder|not a folder"):
        _slots.prepare(DISK, tmp_path / "file")


def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    """No file outside of a slot is opened, and none is changed."""
    wal = make(tmp_path)
    wal.append(entry(0))
    first = tmp_path / wal.producer
    wal.close()
    target = tmp_path / "target"
    target.write_text("mine")
    (first / "lock").unlink()
    (first / "lock").symlink_to(target)
    assert wal.append(entry(1)) == 0
    assert wal.producer != first.name
    assert target.read_text() == "mine"
    wal.close()


def test_the_lock_says_who_has_the_slot(tmp_path: Path) -> None:
    """For the doctor and for people: the process, the boot, the policy."""
    wal = make(tmp_path, fsync="never")
    wal.append(entry(0))
    told = json.loads((tmp_path / wal.producer / "lock").read_text())
    assert told == {"pid": os.getpid(), "boot": _slots.boot(), "fsync": "never"}
    wal.close()


def test_a_slot_that_is_removed_meanwhile_is_not_taken(tmp_path: Path) -> None:
    """Between opening and locking a lock it can be deleted: who has it then has nothing."""
    _dead(tmp_path, 1)
    folder = next(tmp_path.iterdir())
    disk = Faulty(always())
    real = disk.open

    def removing(path: str, *rest: int) -> int:
        fd: int = real(path, *rest)
        if path.endswith("lock"):
            Path(path).unlink()
        return fd

    disk.__dict__["open"] = removing
    assert _slots.lock(disk, folder) is None


def test_slots_are_taken_by_one_of_many_processes_each(tmp_path: Path) -> None:
    """However many begin at once, no slot has two, and no number of one is given twice."""
    _dead(tmp_path, 2)
    work = "wal = make(root); [wal.append(entry(7)) for _ in range(20)]; print(wal.producer, flush=True); "
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", f"{PREAMBLE}\n{work} sys.stdin.read()", str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    names = []
    for process in processes:
        assert process.stdout is not None
        names.append(process.stdout.readline().strip())
    assert len(set(names)) == 4
    for process in processes:
        process.kill()
        process.communicate()
    wal = make(tmp_path)
    lines_read = [len(read_all(log)) for log in [*wal.orphans(), wal]]
    assert sum(lines_read) == 4 * 20 + 2 * 2
    assert counts(wal) == {}
    wal.close()


def test_the_keeper_of_a_parent_does_not_run_in_its_child(tmp_path: Path) -> None:
    """A child has a keeper of its own, from its first entry on."""
    wal = make(tmp_path, interval=0.01)
    wal.append(entry(0))
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        none = wal._keeper is None and threading.active_count() == 1
        wal.append(entry(1))
        store = wal._journal.store
        while store is None or store.synced < 1:
            time.sleep(0.01)
        os._exit(0 if none else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    wal.close()
    assert len(segments(tmp_path)) == 2
