"""Group commit: what threads of one process write at once shares a transaction, and nobody's fate."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from sentinel.adapters.sqlite_group import LARGEST
from sentinel.adapters.sqlite_open import Database
from sentinel.errors import Conflict, Unavailable

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = "CREATE TABLE t (x INTEGER UNIQUE);"
Change = Callable[[sqlite3.Connection], Any]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Give a new database."""
    found = Database(tmp_path / "x.db", SCHEMA, 1)
    yield found
    found.close()


def insert(x: int) -> Change:
    """Return a change that adds a number and returns it."""

    def change(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO t VALUES (?)", (x,))
        return x

    return change


def rows(database: Database) -> list[int]:
    """Return the numbers that are stored, as another program sees them."""
    other = sqlite3.connect(database.path)
    found = [x for (x,) in other.execute("SELECT x FROM t ORDER BY x")]
    other.close()
    return found


def together(database: Database, changes: list[Change]) -> tuple[list[Any], list[list[str]]]:
    """Have changes made by a thread each while the disk is busy.

    Return what each answered or raised, and the statements of each connection that made some.
    """
    answers: list[Any] = [None] * len(changes)
    statements: list[list[str]] = []

    def ask(at: int) -> None:
        mine: list[str] = []
        statements.append(mine)
        database.connection().set_trace_callback(mine.append)
        try:
            answers[at] = database.commit(changes[at])
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is looked at
            answers[at] = error

    threads = [Thread(target=ask, args=(at,)) for at in range(len(changes))]
    with database._writing:  # somebody writes
        for number, thread in enumerate(threads, 1):
            thread.start()
            while len(database._group._waiting) < number:
                time.sleep(0.001)
    for thread in threads:
        thread.join(60)
    return answers, statements


def test_changes_that_wait_share_one_commit(database: Database) -> None:
    """What was asked for while the disk was busy is one transaction; each caller gets its own answer."""
    answers, statements = together(database, [insert(x) for x in range(20)])
    assert answers == list(range(20))
    assert sum(each.count("COMMIT") for each in statements) == 1
    assert rows(database) == list(range(20))


def test_a_transaction_has_a_bound(database: Database) -> None:
    """More than the bound is more than one transaction, so that nobody waits for everybody."""
    answers, statements = together(database, [insert(x) for x in range(LARGEST + 3)])
    assert answers == list(range(LARGEST + 3))
    assert sum(each.count("COMMIT") for each in statements) == 2


def test_a_change_that_fails_undoes_itself_alone(database: Database) -> None:
    """All of a change or nothing of it: its error goes to who asked for it, and the others are made."""

    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (100)")
        raise Conflict("another has it")

    def twice(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (200)")
        connection.execute("INSERT INTO t VALUES (1)")

    answers, _ = together(database, [insert(1), half, insert(2), twice, insert(3)])
    assert [answers[0], answers[2], answers[4]] == [1, 2, 3]
    assert isinstance(answers[1], Conflict)
    assert isinstance(answers[3], sqlite3.IntegrityError)
    assert rows(database) == [1, 2, 3]


def test_when_the_commit_fails_nobody_was_served(database: Database) -> None:
    """A transaction that fails as a whole wrote nothing, and every caller is told; later ones succeed."""

    def full(connection: sqlite3.Connection) -> None:
        connection.execute("ROLLBACK")  # as SQLite does by itself for a full disk
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    answers, _ = together(database, [insert(1), full, insert(2)])
    assert [type(answer) for answer in answers] == [Unavailable] * 3
    assert rows(database) == []
    assert database.commit(insert(1)) == 1
    assert rows(database) == [1]


def test_who_has_an_error_of_their_own_keeps_it(database: Database) -> None:
    """A change that was refused is told so, also where the disk was full for the others of its commit."""

    def refuse(_: sqlite3.Connection) -> None:
        raise Conflict("somebody else was faster")

    def full(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA max_page_count = 3")
        connection.execute("INSERT INTO t VALUES (zeroblob(100000))")

    answers, _ = together(database, [refuse, full, insert(1)])
    assert isinstance(answers[0], Conflict)
    assert all(isinstance(answer, Unavailable) for answer in answers[1:])


def test_a_thread_that_is_stopped_takes_nobodys_answer_along(database: Database) -> None:
    """Ctrl-C in the thread that writes for others: they are told that nothing was written."""

    def stop(_: sqlite3.Connection) -> None:
        raise KeyboardInterrupt

    answers, _ = together(database, [stop, insert(1)])
    assert sorted(type(answer).__name__ for answer in answers) == ["KeyboardInterrupt", "Unavailable"]
    assert rows(database) == []
    assert database.commit(insert(1)) == 1


def test_no_answer_comes_before_the_commit(database: Database) -> None:
    """Whoever has an answer finds its change stored, seen from outside of the process's connections."""
    missing: list[int] = []

    def work(first: int) -> None:
        for x in range(first, first + 30):
            database.commit(insert(x))
            other = sqlite3.connect(database.path)
            if other.execute("SELECT 1 FROM t WHERE x = ?", (x,)).fetchone() is None:
                missing.append(x)
            other.close()

    threads = [Thread(target=work, args=(100 * number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert missing == []
    assert len(rows(database)) == 240


WRITER = """
import sys, threading
from sentinel.adapters.sqlite_open import Database
database = Database(sys.argv[1], "CREATE TABLE t (x INTEGER UNIQUE);", 1)
lock = threading.Lock()
def work(first):
    for x in range(first, first + 100_000):
        database.commit(lambda connection: connection.execute("INSERT INTO t VALUES (?)", (x,)).rowcount)
        with lock:
            sys.stdout.write(f"{x}\\n")
            sys.stdout.flush()
for number in range(6):
    threading.Thread(target=work, args=(number * 100_000,)).start()
"""


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    """A process that is killed with -9 while six threads write has lost nothing that it had answered."""
    path = tmp_path / "x.db"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "shared")},
    ) as writer:
        assert writer.stdout is not None
        answered = [int(writer.stdout.readline()) for _ in range(300)]
        writer.send_signal(signal.SIGKILL)
        answered += [int(line) for line in writer.stdout if line.endswith(b"\n")]
    database = Database(path, SCHEMA, 1)
    stored = rows(database)
    database.close()
    assert set(answered) <= set(stored)
    # Each thread's numbers are there without a gap: an order was kept, and nothing is half there.
    for number in range(6):
        mine = [x for x in stored if x // 100_000 == number]
        assert mine == list(range(number * 100_000, number * 100_000 + len(mine)))


def test_who_cannot_open_the_file_leaves_no_change_to_others(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change whose caller was told that it failed, for want of a connection, is made by nobody later."""
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(database.commit(insert(1)))
        except Unavailable as error:
            answers.append(error)

    def refused() -> sqlite3.Connection:
        return sqlite3.connect("file:/nowhere/x.db?mode=ro", uri=True)

    with monkeypatch.context() as patch:
        patch.setattr(database, "_open", refused)
        thread = Thread(target=ask)
        thread.start()
        thread.join(60)
    assert isinstance(answers[0], Unavailable)
    assert database.commit(insert(2)) == 2
    assert rows(database) == [2]


HOG = """
import sys, threading, time
from sentinel.adapters.sqlite_open import Database
from sentinel.errors import Unavailable
database = Database(sys.argv[1], sys.argv[2], 1)
def slow(connection):
    connection.execute("INSERT INTO t VALUES (NULL)")
    time.sleep(0.004)
def write():
    while True:
        try:
            database.commit(slow)
        except Unavailable:
            pass
for _ in range(8):
    threading.Thread(target=write, daemon=True).start()
print("on", flush=True)
sys.stdin.read()
"""


def test_processes_that_write_all_the_time_leave_others_a_turn(database: Database) -> None:
    """A process gets its turn well before it would give up, though others with a backlog hold the file."""
    command = [sys.executable, "-c", HOG, database.path, SCHEMA]
    path = {**os.environ, "PYTHONPATH": str(ROOT / "shared")}
    pipe = subprocess.PIPE
    hogs = [subprocess.Popen(command, env=path, stdin=pipe, stdout=pipe) for _ in range(2)]
    took = []
    try:
        for hog in hogs:
            assert hog.stdout is not None
            hog.stdout.readline()
        time.sleep(1)
        for number in range(15):
            began = time.monotonic()
            database.commit(insert(number))
            took.append(time.monotonic() - began)
    finally:
        for hog in hogs:
            hog.kill()
            hog.communicate()
    assert len(rows(database)) > 50  # they did write all the time
    assert max(took) < 4, took
    assert sum(took) < 10, took
