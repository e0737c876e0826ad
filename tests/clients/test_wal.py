"""The write-ahead log on a disk that works: order, progress, segments, budget, what the next finds."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from sentinel_client import _frames
from sentinel_client._counts import Counts
from sentinel_client._state import Progress
from sentinel_client._types import MAX_ENTRY
from sentinel_client._wal import Wal
from tests.clients.wal_cases import counts, entry, make, numbers, read_all, segments


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return where the slots are to be, which is not there yet."""
    return tmp_path / "a" / "b"


def test_what_is_appended_is_read_in_order(root: Path) -> None:
    """Numbers begin with 0 and rise by one; a run has the entries of its range."""
    wal = make(root)
    assert [wal.append(entry(n)) for n in range(10)] == list(range(10))
    assert wal.next() == 10
    assert wal.folder == root / wal.producer
    run = wal.read(3, 4, 10_000)
    assert (run.first, run.count, numbers(run.entries)) == (3, 4, [3, 4, 5, 6])
    assert wal.read(10, 5, 10_000).count == 0
    assert counts(wal) == {}
    wal.close()


def test_a_run_keeps_within_its_bytes_but_has_one_entry(root: Path) -> None:
    """A run ends before its bytes are exceeded; an entry that is larger alone is a run of its own."""
    wal = make(root)
    for n in range(5):
        wal.append(entry(n, 1000))
    size = len(entry(0, 1000))
    assert wal.read(0, 10, 3 * size).count == 3
    assert wal.read(0, 10, 3 * size - 1).count == 2
    assert wal.read(0, 10, 1).count == 1
    wal.close()


def test_nothing_is_touched_before_the_first_use(root: Path) -> None:
    """Making one costs no file and no thread."""
    before = threading.active_count()
    make(root)
    assert not root.exists()
    assert threading.active_count() == before


def test_only_the_owner_can_look_into_a_root(root: Path) -> None:
    """Folders have the mode 0700, files 0600."""
    wal = make(root)
    wal.append(entry(0))
    wal.begin("http", 0, 1)
    wal.sync()
    found = [root, *root.rglob("*")]
    assert len(found) == 5  # root, slot, lock, segment, state
    for path in found:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    wal.close()


@pytest.mark.parametrize("size", [1, MAX_ENTRY])
def test_entries_of_either_limit_are_taken(root: Path, size: int) -> None:
    """An entry has 1 to 65,536 bytes."""
    wal = make(root)
    assert wal.append(b"1" * size) == 0
    assert wal.read(0, 1, 1).entries == [b"1" * size]
    wal.close()


def test_entries_beyond_either_limit_are_dropped_and_counted(root: Path) -> None:
    """No entry that a reader could not take is written; the next one has its number."""
    wal = make(root)
    assert wal.append(b"1" * (MAX_ENTRY + 1)) == wal.append(b"") == -1
    assert counts(wal) == {"oversized": 1, "broken": 1}
    assert wal.append(b"1") == 0
    assert wal.append(b"1" * (MAX_ENTRY + 1)) == wal.append(b"") == -1
    assert wal.append(b"1") == 1
    wal.close()


def test_segments_end_at_their_size_and_are_read_as_one(root: Path) -> None:
    """A segment is named by its first number, and none is larger than it may be."""
    wal = make(root, segment_bytes=2000)
    for n in range(100):
        wal.append(entry(n, 50))
    assert len(segments(root)) > 3
    assert all(path.stat().st_size <= 2000 for path in segments(root))
    assert numbers(read_all(wal)) == list(range(100))
    assert [int(path.name[:16], 16) for path in segments(root)][:2] == [0, wal.read(0, 100, 10_000).count]
    wal.close()


def test_an_entry_larger_than_a_segment_has_one_of_its_own(root: Path) -> None:
    """The size at which segments end does not bound entries."""
    wal = make(root, segment_bytes=500)
    for n in range(4):
        assert wal.append(entry(n, 2000 * (n % 2))) == n
    assert numbers(read_all(wal)) == [0, 1, 2, 3]
    wal.close()


def test_a_next_process_goes_on_where_one_was_closed(root: Path) -> None:
    """Entries, numbers, progress and the producer id outlive a process."""
    wal = make(root)
    for n in range(5):
        wal.append(entry(n))
    wal.begin("http", 0, 2)
    wal.acknowledge("http", 2)
    wal.begin("http", 2, 2)
    producer = wal.producer
    wal.close()
    following = make(root)
    assert following.append(entry(5)) == 5
    assert following.producer == producer
    assert following.progress("http") == Progress(2, (2, 2))
    assert numbers(read_all(following, 2)) == [2, 3, 4, 5]
    following.close()


def test_used_again_after_its_end_it_opens_anew(root: Path) -> None:
    """What is logged while a program ends is kept: `close` is no end for good."""
    wal = make(root)
    wal.append(entry(0))
    wal.close()
    assert wal.append(entry(1)) == 1
    assert numbers(read_all(wal)) == [0, 1]
    wal.close()


def test_segments_go_once_all_transports_are_done_with_them(root: Path) -> None:
    """The slower transport holds them; the segment that is written stays."""
    wal = make(root, segment_bytes=1000, transports=("http", "file"))
    for n in range(50):
        wal.append(entry(n, 50))
    before = len(segments(root))
    wal.acknowledge("http", 50)
    assert len(segments(root)) == before
    wal.acknowledge("file", 25)
    assert 1 < len(segments(root)) < before
    assert numbers(read_all(wal, 25)) == list(range(25, 50))
    wal.acknowledge("file", 50)
    assert len(segments(root)) == 1
    assert wal.drained()
    assert counts(wal) == {}
    wal.close()


def test_a_begun_range_is_on_disk_before_begin_returns(root: Path) -> None:
    """`state.json` has the form of docs/clients.md, and the file is whole at any time."""
    wal = make(root)
    wal.append(entry(0))
    assert wal.begin("http", 0, 1)
    path = next(root.glob("*/state.json"))
    told = json.loads(path.read_text())
    assert told["transports"] == {"http": {"acknowledged": 0, "sending": {"first": 0, "count": 1}}}
    assert told["version"] == 1
    assert list(root.glob("*/state.json.new")) == []
    wal.close()


def test_an_acknowledgement_is_written_with_the_next_batch(root: Path) -> None:
    """There is one write a batch; what is acknowledged last is written by the keeper, or at the end."""
    wal = make(root)
    for n in range(4):
        wal.append(entry(n))
    wal.begin("http", 0, 2)
    path = next(root.glob("*/state.json"))
    before = path.stat()
    wal.acknowledge("http", 2)
    assert path.stat().st_ino == before.st_ino
    wal.begin("http", 2, 2)
    assert json.loads(path.read_text())["transports"]["http"]["acknowledged"] == 2
    wal.acknowledge("http", 4)
    wal.keep()
    assert json.loads(path.read_text())["transports"] == {"http": {"acknowledged": 4}}
    wal.close()


def test_drop_oldest_evicts_segments_and_counts_what_was_not_sent(root: Path) -> None:
    """The budget holds, the newest entries stay, and each entry is there, acknowledged, or counted."""
    wal = make(root, max_bytes=8000, segment_bytes=1000)
    for n in range(200):
        assert wal.append(entry(n, 50)) == n
        assert sum(path.stat().st_size for path in segments(root)) <= 8000
        if n == 40:
            wal.acknowledge("http", 20)
    left = numbers(read_all(wal))
    assert left == list(range(left[0], 200))
    assert counts(wal) == {"evicted": left[0] - 20}
    wal.close()
    following = make(root, max_bytes=8000, segment_bytes=1000)
    assert numbers(read_all(following)) == left
    assert counts(following) == {}  # they were counted, and by the reader's numbers are not broken
    following.close()


def test_what_was_evicted_just_before_a_kill_is_counted_by_the_next(root: Path) -> None:
    """A process that is killed before it noted what it evicted takes its counts with it."""
    wal = make(root, segment_bytes=1000)
    for n in range(50):
        wal.append(entry(n, 50))
    wal.close()
    path = segments(root)[1]
    segments(root)[0].unlink()
    assert wal.read(0, 10, 1).first == int(path.name[:16], 16)
    assert counts(wal) == {"evicted": int(path.name[:16], 16)}
    wal.close()
    wal.append(entry(50))
    assert counts(wal) == {"evicted": int(path.name[:16], 16)}
    wal.close()


def test_what_a_batch_under_way_is_made_of_is_not_evicted(root: Path) -> None:
    """A batch that was begun can be sent again the same."""
    wal = make(root, max_bytes=8000, segment_bytes=1000)
    for n in range(20):
        wal.append(entry(n, 50))
    wal.begin("http", 0, 5)
    for n in range(20, 300):
        wal.append(entry(n, 50))
    assert numbers(wal.read(0, 5, 10_000).entries) == [0, 1, 2, 3, 4]
    assert sum(path.stat().st_size for path in segments(root)) <= 8000
    wal.acknowledge("http", 5)
    left = numbers(read_all(wal, 5))
    gap = next(n for n, number in enumerate(left) if number != n + 5)
    assert left[gap:] == list(range(left[gap], 300))
    assert counts(wal) == {"evicted": left[gap] - gap - 5}
    wal.close()


def test_drop_newest_keeps_what_is_there(root: Path) -> None:
    """At the budget entries are dropped and counted, and taken again once there is room."""
    wal = make(root, max_bytes=4000, segment_bytes=1000, when_full="drop_newest")
    taken = [wal.append(entry(n, 50)) for n in range(100)]
    assert max(taken) == wal.next() - 1
    refused = taken.count(-1)
    assert refused > 50
    assert counts(wal) == {"full": refused}
    assert numbers(read_all(wal)) == [n for n, number in enumerate(taken) if number >= 0]
    wal.acknowledge("http", wal.next())
    assert wal.append(entry(100)) == wal.next() - 1 >= 0
    wal.close()


def test_block_waits_for_room_and_then_drops(root: Path) -> None:
    """A caller waits up to its bound; an acknowledgement lets it on."""
    wal = make(root, max_bytes=4000, segment_bytes=1000, when_full="block", block=0.01)
    while wal.append(entry(0, 50)) >= 0:
        pass
    assert counts(wal) == {"full": 1}
    waiting = make(root, max_bytes=4000, segment_bytes=1000, when_full="block", block=60)
    while wal.next() > waiting.next():
        waiting.append(entry(0, 50))
    last = waiting.next()
    got: list[int] = []
    thread = threading.Thread(target=lambda: got.append(waiting.append(entry(1, 900))))
    thread.start()
    waiting.acknowledge("http", last)
    thread.join(60)
    assert got == [last]
    wal.close()
    waiting.close()


def test_wait_ends_when_the_entry_is_there(root: Path) -> None:
    """A reader waits for a number, not for a time; without it, as long as it said."""
    wal = make(root)
    assert not wal.wait(0, 0.01)
    thread = threading.Thread(target=lambda: [wal.append(entry(n)) for n in range(3)])
    thread.start()
    assert wal.wait(2, 60)
    thread.join()
    assert wal.wait(1, 0)
    assert not wal.wait(3, 0.01)
    wal.close()


def test_appends_of_many_threads_are_all_there_once(root: Path) -> None:
    """Each thread's entries are in its order, and each number is given once, also while a reader reads."""
    wal = make(root, segment_bytes=5000, fsync="always")
    given: list[int] = []

    def work(name: int) -> None:
        given.extend([wal.append(entry(name * 1000 + n)) for n in range(100)])

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    read: list[bytes] = []
    while len(read) < 400:
        assert wal.wait(len(read), 60)
        read += wal.read(len(read), 50, 10_000).entries
    for thread in threads:
        thread.join()
    assert sorted(given) == list(range(400))
    for name in range(4):
        assert [n for n in numbers(read) if n // 1000 == name] == [name * 1000 + n for n in range(100)]
    wal.close()


def test_the_keeper_syncs_within_an_interval_and_ends_with_the_log(root: Path) -> None:
    """Its thread begins with the first entry, syncs what is written, and is gone after `close`."""
    before = threading.enumerate()
    wal = make(root, interval=0.01)
    wal.append(entry(0))
    keeper = next(thread for thread in threading.enumerate() if thread not in before)
    assert keeper.daemon
    store = wal._journal.store
    assert store is not None
    deadline = time.monotonic() + 60
    while store.synced < 1 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert store.synced == 1
    wal.close()
    assert not keeper.is_alive()


def test_concurrent_callers_share_a_sync(root: Path) -> None:
    """With `always` each append is covered by a sync before it returns, and one sync covers many."""
    wal = make(root, fsync="always")
    wal.append(entry(0))
    store = wal._journal.store
    assert store is not None
    real, syncs, covered = store.disk.sync, [], []

    class Slow(type(store.disk)):  # type: ignore[misc] # a class that is known by its instance
        @staticmethod
        def sync(fd: int) -> None:
            time.sleep(0.02)
            syncs.append(1)
            real(fd)

    wal._disk = Slow()

    def work() -> None:
        covered.extend([wal.append(entry(1)) < store.synced for _ in range(5)])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(covered)
    assert len(covered) == 40
    assert len(syncs) < 40
    wal.close()


def test_a_signal_handler_may_log_while_its_thread_does(root: Path) -> None:
    """The handler's entry is written behind the one that it interrupted, and nothing waits for itself."""
    wal = make(root)
    wal.append(entry(0))
    real = wal._pwrite

    def interrupted(fd: int, data: Any, at: int, /) -> int:
        wal._pwrite = real
        signal.raise_signal(signal.SIGUSR1)
        return real(fd, data, at)

    before = signal.signal(signal.SIGUSR1, lambda *_: wal.append(entry(2)) and None)
    try:
        wal._pwrite = interrupted
        wal.append(entry(1))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert numbers(read_all(wal)) == [0, 1, 2]
    wal.close()


def test_a_signal_handler_may_close_the_log_and_end_the_program(root: Path) -> None:
    """What it interrupts is written first, into no file but its own; then everything is given back."""
    wal = make(root)
    wal.append(entry(0))
    real = wal._pwrite

    def interrupted(fd: int, data: Any, at: int, /) -> int:
        wal._pwrite = real
        signal.raise_signal(signal.SIGUSR1)
        return real(fd, data, at)

    def end(*_: object) -> None:
        wal.append(entry(2))
        wal.close()

    before = signal.signal(signal.SIGUSR1, end)
    try:
        wal._pwrite = interrupted
        assert wal.append(entry(1)) == 1
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert wal.stats()["folder"] is None
    assert numbers(read_all(wal)) == [0, 1, 2]
    wal.close()


def test_what_an_interruption_left_of_a_new_segment_is_in_nobody_s_way(root: Path) -> None:
    """A file that has the name of the next segment, and no entry that anybody was told of, is made anew."""
    wal = make(root, segment_bytes=100)
    wal.append(entry(0, 100))
    (root / wal.producer / f"{1:016x}.wal").write_bytes(b"SWL1")
    assert wal.append(entry(1)) == 1
    assert counts(wal) == {}
    assert wal.problem is None
    assert numbers(read_all(wal)) == [0, 1]
    wal.close()


def test_an_exception_out_of_a_signal_handler_leaves_the_log_whole(root: Path) -> None:
    """An append that was interrupted never returned: the next one has its number and its place."""
    wal = make(root)
    wal.append(entry(0))
    real = wal._pwrite

    def interrupted(fd: int, data: Any, at: int, /) -> int:
        wal._pwrite = real
        real(fd, data, at)
        raise KeyboardInterrupt

    wal._pwrite = interrupted
    with pytest.raises(KeyboardInterrupt):
        wal.append(entry(1, 500))
    assert wal.append(entry(2)) == 1
    assert numbers(read_all(wal)) == [0, 2]
    wal.close()
    assert numbers(read_all(wal)) == [0, 2]
    wal.close()


def test_times_of_the_clock_decide_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clocks go back and forth: order is by number, waiting by the monotonic clock."""
    for n, now in enumerate([2_000_000_000, 1, 0, -5, 4_000_000_000]):
        monkeypatch.setattr(time, "time_ns", lambda now=now: now * 10**9)
        monkeypatch.setattr("sentinel_client._disk.DISK.now", time.time_ns, raising=True)
        wal = make(root, segment_bytes=200)
        assert wal.append(entry(n, 100)) == n
        wal.close()
    wal = make(root)
    assert numbers(read_all(wal)) == [0, 1, 2, 3, 4]
    wal.close()


def test_a_segment_of_the_other_checksum_is_read_and_not_gone_on_with(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where CRC-32C is native no more, its segments are read, and new ones have what zlib computes."""
    wal = make(root)
    wal.append(entry(0))
    wal.close()
    monkeypatch.setattr("sentinel_client._segments._frames.written_kind", lambda: _frames.CRC32)
    wal = make(root)
    assert wal.append(entry(1)) == 1
    assert [path.read_bytes()[4] for path in segments(root)] == [_frames.CRC32C, _frames.CRC32]
    assert numbers(read_all(wal)) == [0, 1]
    wal.close()


def test_wrong_options_are_told_at_once() -> None:
    """A policy that there is not is an error of the program."""
    with pytest.raises(ValueError, match="fsync"):
        Wal(Path("x"), fsync="sometimes", counts=Counts())
    with pytest.raises(ValueError, match="interval"):
        Wal(Path("x"), interval=0, counts=Counts())
    with pytest.raises(ValueError, match="when_full"):
        Wal(Path("x"), when_full="wait", counts=Counts())


def test_importing_it_is_cheap() -> None:
    """What is not needed by every program is not imported."""
    code = (
        "import sys, sentinel_client._wal; "
        "print(*{'ssl','asyncio','cryptography','http.client','urllib.request','uuid','secrets','google_crc32c'}"
        "&set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "\n"
