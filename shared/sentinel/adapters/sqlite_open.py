"""SQLite databases as every store here opens them, and SQLite's errors as ours.

One file a store, in WAL mode with synchronous FULL: what a transaction wrote when it returned survives a
power cut. Any number of threads and processes may have the same file open; each thread has a connection of
its own, and writers queue on SQLite's lock for up to `BUSY_MS`. The schema's version stands in the file
(`PRAGMA user_version`), and a file of another version is refused rather than guessed at.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar
from uuid import uuid4

from sentinel.adapters.sqlite_group import BUSY_MS, Group, begin
from sentinel.errors import Unavailable, Unsupported

T = TypeVar("T")

MEMORY = ":memory:"
_SWITCH_MS = 10

# Primary result codes (sqlite.org/rescode.html) of what may pass by itself: somebody has the lock, the disk
# is full or failing. The others are faults of ours or of the file, and stay as they are.
_PASSING = {
    sqlite3.SQLITE_BUSY: 0.2,
    sqlite3.SQLITE_LOCKED: 0.2,
    sqlite3.SQLITE_PROTOCOL: 0.2,
    sqlite3.SQLITE_INTERRUPT: 0.2,
    sqlite3.SQLITE_IOERR: 5.0,
    sqlite3.SQLITE_FULL: 30.0,
    sqlite3.SQLITE_CANTOPEN: 5.0,
}


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Raise `Unavailable` for SQLite's errors that may pass by themselves; `place` is for its message."""
    try:
        yield
    except sqlite3.Error as error:
        wait = _PASSING.get((getattr(error, "sqlite_errorcode", None) or 0) & 0xFF)
        if wait is None:
            raise
        raise Unavailable(f"{place}: {error}", wait) from error


class Database:
    """One SQLite file (or `:memory:`), opened and, where it is new, given its schema.

    `schema` is a script that runs once in the life of a file; `version` is at least 1 and goes up with
    every change of the schema; `migrations` has the scripts that bring files of earlier versions to the next,
    each run once. A `:memory:` database lives as long as this object, and all threads of the process see the
    same one; its readers wait for a writer's transaction to end, which those of a file never do. Without
    `durable` a power cut may undo the newest transactions, in order, and none is half there. Raises
    `Unsupported` for a file of another version or of something else.

    A file that may not be written, such as a copy on read-only media, is opened for reading alone.
    """

    def __init__(
        self,
        path: Path | str,
        schema: str,
        version: int,
        sleep: Callable[[float], None] = time.sleep,
        *,
        durable: bool = True,
        migrations: Mapping[int, str] = MappingProxyType({}),
    ) -> None:
        self.path = str(path)
        self._migrations = migrations
        self._durable = durable
        self._sleep = sleep
        self._local = threading.local()
        # Threads queue here: SQLite's own waiting is sleeping and looking again, in steps of milliseconds.
        self._writing = threading.Lock()
        self._group = Group()
        self._all: list[tuple[int, sqlite3.Connection]] = []
        # Threads end and stores are dropped without anybody closing; connections must not wait for that.
        # Not at exit, though: daemon threads may still be reading, and the process takes all with it.
        weakref.finalize(self, _close, self._all).atexit = False
        # SQLite's memdb locks like a file does; a shared cache would answer LOCKED without waiting.
        self._uri = (
            f"file:/{uuid4().hex}?vfs=memdb" if self.path == MEMORY else Path(path).absolute().as_uri()
        )
        self._keeper = self._open() if self.path == MEMORY else None
        if self._keeper is None:
            Path(path).absolute().parent.mkdir(parents=True, exist_ok=True)
            if _only_readable(Path(path).absolute()):
                # Nobody changes it, so it needs no lock and no shared memory, which could not be made.
                self._uri += "?mode=ro&immutable=1"
        with translated(self.path):
            self._prepare(self.connection(), schema, version)

    def connection(self) -> sqlite3.Connection:
        """Return this thread's connection, in autocommit. Errors are SQLite's own: see `reading`."""
        # A connection must not cross a fork (sqlite.org/howtocorrupt.html, 2.6).
        if getattr(self._local, "pid", None) != os.getpid():
            with translated(self.path):
                self._local.connection = self._open()
            self._local.pid = os.getpid()
            # A thread that has ended takes its connection with it, else short ones would pile them up.
            gone = weakref.finalize(threading.current_thread(), _forget, self._all, self._local.connection)
            gone.atexit = False
        found: sqlite3.Connection = self._local.connection
        return found

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give this thread's connection for reads; each statement sees every transaction that returned."""
        connection = self.connection()
        with translated(self.path):
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give this thread's connection for one statement that writes, durable when it has returned.

        One statement is one call into SQLite, which lets other threads run: a transaction of several
        would hold the file's lock while it waits for the interpreter's.
        """
        connection = self.connection()
        with translated(self.path), self._writing:
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give this thread's connection inside a write transaction: all of the block, or nothing of it.

        It is durable when the block has ended without an error. `Unavailable` out of it means that it was
        undone, but for an error of the disk at the commit itself, after which it may have happened.
        """
        connection = self.connection()
        with translated(self.path), self._writing:
            begin(connection)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # SQLite undoes some failures by itself
                    connection.execute("ROLLBACK")
                raise

    def commit(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """Make `change` in a transaction, and return what it returned once that is durable.

        What threads of this process ask for while the disk is busy shares the next transaction and its sync;
        each change is all or nothing by itself, and what it raises goes to its own caller alone. It may run
        in any of these threads: it must use nothing but the connection that it is given, and not for long.
        Errors are those of `transaction`.
        """
        connection = self.connection()  # where there is none, nobody may make the change all the same
        waiting = self._group.add(change)
        with translated(self.path):
            with self._writing:
                self._group.lead(connection, waiting)
            return waiting.answer()

    def scrub(self, statement: str, values: Sequence[object] = ()) -> int:
        """Carry out one statement so that what it takes away is overwritten (SQLite's `secure_delete`).

        Returns the number of rows. The log, which has what was written before, is emptied where nobody reads
        it right now; `rewrite` sees to it. What pages held before that were divided is not overwritten.
        """
        connection = self.connection()
        with translated(self.path), self._writing:
            connection.execute("PRAGMA secure_delete = ON").fetchall()
            try:
                count = connection.execute(statement, values).rowcount
            finally:
                connection.execute("PRAGMA secure_delete = OFF").fetchall()
        with translated(self.path):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return count

    def rewrite(self) -> None:
        """Write the file anew, without anything that it held and holds no more, and empty its log.

        Writers wait meanwhile. Raises `Unavailable` where somebody reads the log for too long.
        """
        connection = self.connection()
        with translated(self.path), self._writing:
            connection.execute("VACUUM")
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy and self.path != MEMORY:
            raise Unavailable(f"{self.path}: its log is being read; try again", 1.0)

    def close(self) -> None:
        """Close every connection that this process opened. The object is of no use afterwards."""
        self._local = threading.local()
        _close(self._all)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._uri, uri=True, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False
        )
        self._all.append((os.getpid(), connection))
        connection.execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'NORMAL'}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
        return connection

    def _prepare(self, connection: sqlite3.Connection, schema: str, version: int) -> None:
        if _look(connection) == (0, 0):
            if self.path != MEMORY:
                self._use_wal(connection)
            with self.transaction():
                if _look(connection) == (0, 0):  # else another process was faster
                    for statement in _statements(schema):
                        connection.execute(statement)
                    connection.execute(f"PRAGMA user_version = {version:d}")
        self._migrate(connection, version)
        found, tables = _look(connection)
        if found != version:
            kind = (
                f"a database of schema version {found}"
                if found or not tables
                else "another program's database"
            )
            raise Unsupported(f"{self.path} is {kind}; this program knows version {version}")

    def _migrate(self, connection: sqlite3.Connection, version: int) -> None:
        """Bring a file of an earlier version up to date, where it may be written."""
        if "?mode=ro" in self._uri:
            return
        while (found := _look(connection)[0]) in self._migrations and found < version:
            with self.transaction():
                if _look(connection)[0] == found:  # else another process was faster
                    for statement in _statements(self._migrations[found]):
                        connection.execute(statement)
                    connection.execute(f"PRAGMA user_version = {found + 1:d}")

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        # Of several processes that switch a new file at once, the later ones get BUSY without waiting.
        for tries_left in range(BUSY_MS // _SWITCH_MS, -1, -1):
            try:
                connection.execute("PRAGMA journal_mode = WAL").fetchall()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or not tries_left:
                    raise
                self._sleep(_SWITCH_MS / 1000)
            else:
                return


def _look(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return the schema's version and how many tables and indexes there are, as of one moment."""
    look = "SELECT user_version, (SELECT count(*) FROM sqlite_master) FROM pragma_user_version"
    found: tuple[int, int] = connection.execute(look).fetchone()
    return found


def _statements(script: str) -> Iterator[str]:
    # `executescript` commits first, so it cannot run inside a transaction of ours.
    statement = ""
    for part in script.split(";"):
        statement += part + ";"
        if statement.strip() != ";" and sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _close(opened: list[tuple[int, sqlite3.Connection]]) -> None:
    while opened:
        pid, connection = opened.pop()
        if pid == os.getpid():  # a fork's copy must not touch its parent's connection
            connection.close()


def _forget(opened: list[tuple[int, sqlite3.Connection]], connection: sqlite3.Connection) -> None:
    mine = (os.getpid(), connection)
    if mine in opened:
        opened.remove(mine)
        connection.close()


def _only_readable(path: Path) -> bool:
    """Say whether a file is there and cannot be written. Raises `Unsupported` for half of a copy."""
    if not path.exists() or (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        return False
    log = path.with_name(path.name + "-wal")
    if log.exists() and log.stat().st_size:
        raise Unsupported(
            f"{path} cannot be written and has changes that are not in it yet ({log.name}): copy both to a "
            "folder that can be written"
        )
    return True
