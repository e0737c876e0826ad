"""What the stores on SQLite promise beyond their ports: processes, crashes, full disks, feeds."""

from __future__ import annotations

import gc
import itertools
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from threading import Barrier, Thread

import pytest

from sentinel.adapters.sqlite_catalog import SqliteCatalog
from sentinel.adapters.sqlite_counters import SqliteCounters
from sentinel.adapters.sqlite_cursors import SqliteCursors
from sentinel.adapters.sqlite_open import Database
from sentinel.adapters.sqlite_tasks import Change, SqliteTasks
from sentinel.core.tasks import State, Task, verify_lineage
from sentinel.errors import Conflict, Unavailable, Unsupported
from tests.contracts.made_tasks import T, created, step

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = "CREATE TABLE t (x INTEGER UNIQUE); CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END;"


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start a program of `sqlite_workers`."""
    command = [sys.executable, "-m", "tests.contracts.sqlite_workers", *map(str, arguments)]
    path = os.pathsep.join([str(ROOT / "shared"), str(ROOT)])
    environ = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ, cwd=ROOT
    )


def together(workers: list[subprocess.Popen[str]]) -> None:
    """Wait until all are loaded, then let them begin."""
    for worker in workers:
        assert worker.stdout
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("\n")
        worker.stdin.flush()


def rows(database: Database) -> list[int]:
    """Return what the table of `SCHEMA` holds."""
    with database.reading() as connection:
        return [x for (x,) in connection.execute("SELECT x FROM t ORDER BY x")]


def test_a_file_is_durable_by_its_settings(tmp_path: Path) -> None:
    """Every thread's connection has WAL and synchronous FULL: a commit that returned is on the disk."""
    database = Database(tmp_path / "deep" / "er" / "x.db", SCHEMA, 1)
    found: list[tuple[object, ...]] = []

    def look() -> None:
        settings = ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        connection = database.connection()
        found.append(tuple(connection.execute(f"PRAGMA {name}").fetchone()[0] for name in settings))

    look()
    thread = Thread(target=look)
    thread.start()
    thread.join()
    database.close()
    assert found == [("wal", 2, 10_000, 1)] * 2


@pytest.mark.parametrize("version", [1, 3])
def test_another_version_of_the_schema_is_refused(tmp_path: Path, version: int) -> None:
    """An older or a newer file is not touched; the message says both versions."""
    path = tmp_path / "x.db"
    Database(path, SCHEMA, version).close()
    with pytest.raises(Unsupported, match=f"version {version}; this program knows version 2"):
        Database(path, SCHEMA, 2)
    Database(path, SCHEMA, version).close()


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    """A database with tables of somebody else is not made ours."""
    path = tmp_path / "x.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.close()
    with pytest.raises(Unsupported, match="another program's"):
        Database(path, SCHEMA, 1)


def test_a_file_that_is_no_database_is_a_fault_not_a_pause(tmp_path: Path) -> None:
    """Damage does not pass by itself, so it is not called Unavailable."""
    path = tmp_path / "x.db"
    path.write_bytes(b"not a database, but long enough to be read as a header" * 40)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        Database(path, SCHEMA, 1)


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    """All of a block or nothing of it; the connection works on, and errors of ours pass as they are."""
    database = Database(tmp_path / "x.db", SCHEMA, 1)
    with database.transaction() as connection:
        connection.execute("INSERT INTO t VALUES (1)")

    def fail(values: tuple[int, ...], error: BaseException | None = None) -> None:
        with database.transaction() as connection:
            for x in values:
                connection.execute("INSERT INTO t VALUES (?)", (x,))
            if error:
                raise error

    with pytest.raises(sqlite3.IntegrityError):
        fail((2, 1))
    for error in (Conflict, KeyboardInterrupt):
        with pytest.raises(error):
            fail((3,), error("stop"))
    with database.transaction() as connection:
        connection.execute("INSERT INTO t VALUES (4)")
    assert rows(database) == [1, 4]
    database.close()


@pytest.mark.nightly
def test_a_lock_that_is_held_too_long_is_unavailable(tmp_path: Path) -> None:
    """A writer that waits in vain gets Unavailable and has written nothing; later it succeeds."""
    tasks = SqliteTasks(tmp_path / "x.db")
    tasks._database.connection().execute("PRAGMA busy_timeout = 20")
    other = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked") as caught:
        tasks.create(*created("t1"))
    assert caught.value.retry_after > 0
    assert tasks.get("t1") is None
    other.execute("ROLLBACK")
    other.close()
    assert tasks.create(*created("t1"))
    tasks.close()


def test_a_full_disk_is_unavailable(tmp_path: Path) -> None:
    """Where the disk is full a write raises Unavailable and is undone whole; with room again it succeeds."""
    tasks = SqliteTasks(tmp_path / "x.db")
    connection = tasks._database.connection()
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    big, event = created("big", reason="x" * 50_000)
    with pytest.raises(Unavailable, match="full"):
        tasks.create(big, event)
    assert (tasks.get("big"), tasks.lineage("big"), tasks.changes(0, 9)) == (None, [], [])
    connection.execute("PRAGMA max_page_count = 1000000")
    assert tasks.create(big, event)
    tasks.close()


def test_a_thread_takes_its_connection_with_it(tmp_path: Path) -> None:
    """Threads that come and go, as heartbeats do, leave no connections open."""
    tasks = SqliteTasks(tmp_path / "tasks.db")
    for _ in range(5):
        thread = Thread(target=tasks.get, args=("t1",))
        thread.start()
        thread.join()
        del thread
    gc.collect()
    assert len(tasks._database._all) == 1
    tasks.close()


def test_memory_is_one_database_for_all_threads() -> None:
    """Threads share a `:memory:` database, each other's open transactions unseen; two of them are apart."""
    database, other = Database(":memory:", SCHEMA, 1), Database(":memory:", SCHEMA, 1)
    start_all = Barrier(4)

    def write(first: int) -> None:
        start_all.wait()
        for x in range(first, first + 10):
            with database.transaction() as connection:
                count = connection.execute("SELECT count(*) FROM t").fetchone()[0]
                connection.execute("INSERT INTO t VALUES (?)", (x,))
                assert connection.execute("SELECT count(*) FROM t").fetchone()[0] == count + 1

    threads = [Thread(target=write, args=(100 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rows(database)) == 40
    assert rows(other) == []
    database.close()
    other.close()


def test_of_many_threads_one_wins_each_move(tmp_path: Path) -> None:
    """Workers that move one task at the same time: one succeeds, every other gets Conflict."""
    tasks = SqliteTasks(tmp_path / "x.db")
    task, event = created("t1")
    tasks.create(task, event)
    won: list[Task] = []
    lost: list[Conflict] = []
    start_all = Barrier(8)

    def work(name: str) -> None:
        after, event = step(task, State.RUNNING, by=name, worker=name)
        start_all.wait()
        try:
            tasks.move(task, after, event)
        except Conflict as error:
            lost.append(error)
        else:
            won.append(after)

    threads = [Thread(target=work, args=(f"w{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 7)
    assert tasks.get("t1") == won[0]
    assert verify_lineage("t1", tasks.lineage("t1"), won[0].head) == 2
    tasks.close()


def test_processes_take_each_task_once(tmp_path: Path) -> None:
    """Processes that make a new file and contend for its tasks: each task has one taker, who is told so."""
    path = tmp_path / "x.db"
    workers = [start("contend", path, f"w{number}", 40) for number in range(3)]
    together(workers)
    taken = {f"w{number}": worker.communicate(timeout=60)[0].split() for number, worker in enumerate(workers)}
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    tasks = SqliteTasks(path)
    for name, ids in taken.items():
        assert all((task := tasks.get(found)) and task.worker == name for found in ids)
    assert sorted(itertools.chain(*taken.values())) == sorted(f"t{number}" for number in range(40))
    for task in tasks.listing():
        assert verify_lineage(task.id, tasks.lineage(task.id), task.head) == 2
    tasks.close()


def test_processes_lose_no_count(tmp_path: Path) -> None:
    """Compare and swap from several processes: every addition is there once."""
    path = tmp_path / "x.db"
    workers = [start("count", path, 50) for _ in range(3)]
    together(workers)
    for worker in workers:
        worker.communicate(timeout=60)
    counters = SqliteCounters(path)
    assert counters.load("n") == (b"150", 150)
    counters.close()


def test_threads_lose_no_push(tmp_path: Path) -> None:
    """Threads that push different bodies of one document: every body is a version, the last one is active."""
    catalog = SqliteCatalog(tmp_path / "x.db")
    start_all = Barrier(4)

    def push(name: int) -> None:
        start_all.wait()
        for number in range(5):
            catalog.push("rule", "r", b"%d %d" % (name, number))

    threads = [Thread(target=push, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    versions = [catalog.version("rule", "r", number) for number in range(1, 22)]
    assert versions[20] is None
    assert len({found.body for found in versions if found}) == 20
    assert catalog.active("rule") == [versions[19]]
    assert catalog.revision() == "20"
    catalog.close()


def test_kill_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """After kill -9 in the middle of writing, what was acknowledged is there and every lineage verifies."""
    path = tmp_path / "x.db"
    worker = start("go-on", path)
    together([worker])
    assert worker.stdout
    said = [worker.stdout.readline() for _ in range(60)]
    worker.kill()
    said += worker.communicate(timeout=30)[0].splitlines()
    tasks = SqliteTasks(path)
    acknowledged = [line.split() for line in said if len(line.split()) == 2]
    assert len(acknowledged) >= 60
    for name, version in acknowledged[:-1]:  # the last line may be cut
        found = tasks.get(name)
        assert found is not None
        assert found.version >= int(version)
    for task in tasks.listing(limit=10_000):
        assert verify_lineage(task.id, tasks.lineage(task.id), task.head) == task.version
    assert sum(task.version for task in tasks.listing(limit=10_000)) == len(tasks.changes(0, 100_000))
    tasks.close()


def test_changes_tell_every_change_in_order(tmp_path: Path) -> None:
    """The feed has each insert, update and deletion of a task once, also one made behind our back."""
    tasks = SqliteTasks(tmp_path / "x.db")
    task, event = created("t1")
    tasks.create(task, event)
    assert not tasks.create(task, event)
    after, event = step(task, State.RUNNING)
    tasks.move(task, after, event)
    with pytest.raises(Conflict):
        tasks.move(task, after, event)
    with tasks._database.transaction() as connection:
        connection.execute("DELETE FROM tasks")
    found = [
        Change(1, "INSERT", "t1", State.QUEUED, "siem:normal.0", 1),
        Change(2, "MODIFY", "t1", State.RUNNING, "siem:normal.0", 2),
        Change(3, "REMOVE", "t1", State.RUNNING, "siem:normal.0", 2),
    ]
    assert tasks.changes(0, 10) == found
    assert tasks.changes(0, 2) == found[:2]
    assert tasks.changes(1, 10) == found[1:]
    assert tasks.changes(3, 10) == []
    tasks.close()


def test_pruned_changes_are_gone_and_their_numbers_too(tmp_path: Path) -> None:
    """Pruning forgets what is below; new changes go on counting, also where all were pruned and reopened."""
    path = tmp_path / "x.db"
    tasks = SqliteTasks(path)
    for number in range(3):
        tasks.create(*created(f"t{number}"))
    assert tasks.prune(3) == 2
    assert [change.seq for change in tasks.changes(0, 10)] == [3]
    assert tasks.prune(4) == 1
    tasks.close()
    tasks = SqliteTasks(path)
    tasks.create(*created("t9"))
    assert [change.seq for change in tasks.changes(3, 10)] == [4]
    tasks.close()


def test_cursors_only_go_up(tmp_path: Path) -> None:
    """A cursor begins at 0, is kept by name and across openings, and never goes back."""
    cursors = SqliteCursors(tmp_path / "x.db")
    assert cursors.cursor("dispatch") == 0
    cursors.advance("dispatch", 7)
    cursors.advance("dispatch", 5)
    cursors.advance("detect", 2)
    cursors.close()
    cursors = SqliteCursors(tmp_path / "x.db")
    assert (cursors.cursor("dispatch"), cursors.cursor("detect")) == (7, 2)
    cursors.close()


def test_expired_counters_can_be_forgotten(tmp_path: Path) -> None:
    """`forget` deletes what expired before now and nothing else."""
    counters = SqliteCounters(tmp_path / "x.db")
    counters.store("old", b"a", 0, 99)
    counters.store("new", b"b", 0, 100)
    assert counters.forget(100) == 1
    assert counters.load("old") == (b"", 0)
    assert counters.load("new") == (b"b", 1)
    counters.close()


def test_versions_cannot_be_changed_behind_our_back(tmp_path: Path) -> None:
    """The database itself refuses to change a stored version."""
    catalog = SqliteCatalog(tmp_path / "x.db")
    catalog.push("rule", "r", b"a")
    with pytest.raises(sqlite3.IntegrityError, match="immutable"):
        catalog._database.connection().execute("UPDATE versions SET body = x'00'")
    catalog.close()


def test_a_fork_opens_its_own_connection(tmp_path: Path) -> None:
    """A process that was forked does not use the connection of the one it came from."""
    database = Database(tmp_path / "x.db", SCHEMA, 1)
    before = database.connection()
    real, fake = os.getpid, os.getpid() + 1
    try:
        os.getpid = lambda: fake
        forked = database.connection()
        assert forked is not before
    finally:
        os.getpid = real
    database.close()
    forked.close()  # the process it would have been opened in is not there to do it


def test_due_and_listing_use_their_indexes(tmp_path: Path) -> None:
    """Neither the sweep nor a list reads every task there ever was."""
    tasks = SqliteTasks(tmp_path / "x.db")
    connection = tasks._database.connection()
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    tasks.due(T, 1)
    tasks.listing(limit=1)
    tasks.listing(State.QUEUED, 1)
    connection.set_trace_callback(None)
    plans = [connection.execute("EXPLAIN QUERY PLAN " + each).fetchall() for each in statements]
    assert [plan[0][3].partition(" INDEX ")[2].split()[0] for plan in plans] == [
        "tasks_due",
        "tasks_changed",
        "tasks_state",
    ]
    tasks.close()


def test_one_damaged_task_does_not_stop_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A row that we cannot have written is passed over by `due`, with an alarm; its change has no state."""
    tasks = SqliteTasks(tmp_path / "x.db")
    for name in ("t1", "t2"):
        assert tasks.create(*created(name, due=T))
    with tasks._database.transaction() as connection:
        connection.execute("UPDATE tasks SET body = 'secret', state = 'odd' WHERE id = 't1'")
    assert [task.id for task in tasks.due(T, 10)] == ["t2"]
    assert "task/t1" in caplog.text
    assert "secret" not in caplog.text
    assert [change.state for change in tasks.changes(0, 10)] == [State.QUEUED, State.QUEUED, None]
    tasks.close()


def test_a_file_that_cannot_be_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy on read-only media opens for reading, and nothing is made beside it."""
    path = tmp_path / "x.db"
    database = Database(path, SCHEMA, 1)
    with database.transaction() as connection:
        connection.execute("INSERT INTO t VALUES (1)")
    database.close()
    monkeypatch.setattr(os, "access", lambda *_: False)
    copy = Database(path, SCHEMA, 1)
    assert rows(copy) == [1]
    with pytest.raises(sqlite3.OperationalError, match="readonly"), copy.transaction() as connection:
        connection.execute("INSERT INTO t VALUES (2)")
    copy.close()
    assert [each.name for each in tmp_path.iterdir()] == ["x.db"]


def test_half_of_a_copy_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only file with a write-ahead log beside it would be read without its newest entries."""
    path = tmp_path / "x.db"
    Database(path, SCHEMA, 1).close()
    (tmp_path / "x.db-wal").write_bytes(b"newest")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(Unsupported, match="copy both"):
        Database(path, SCHEMA, 1)
