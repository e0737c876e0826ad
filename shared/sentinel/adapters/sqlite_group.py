"""Group commit: changes that several threads ask for at once are made in one transaction, with one sync.

A sync of the disk is most of what a small transaction takes, and SQLite has one writer at a time. So the
thread whose turn it is takes along what others have asked for meanwhile. Every change has a savepoint of its
own, so one that fails undoes itself alone. No caller gets an answer before the commit that holds its change
has returned; where that fails none of the changes was made, and all callers are told.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, cast

from sentinel.errors import Unavailable

BUSY_MS = 10_000
_LOOK_SECONDS = 0.001
LARGEST = 64  # changes a transaction: a bound for how long one of them waits for the others

T = TypeVar("T")


class Waiting(Generic[T]):
    """A change that somebody waits for."""

    __slots__ = ("change", "done", "error", "result")

    def __init__(self, change: Callable[[sqlite3.Connection], T]) -> None:
        self.change = change
        self.done = False
        self.error: Exception | None = None
        self.result: T | None = None

    def answer(self) -> T:
        """Return what the change returned, or raise what became of it."""
        if self.error is not None:
            raise self.error
        return cast(T, self.result)


class Group:
    """The changes that wait for the next transaction of one database."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Waiting[Any]] = []

    def add(self, change: Callable[[sqlite3.Connection], T]) -> Waiting[T]:
        """Put a change in line."""
        waiting = Waiting(change)
        with self._lock:
            self._waiting.append(waiting)
        return waiting

    def lead(self, connection: sqlite3.Connection, mine: Waiting[Any]) -> None:
        """Make what is in line, in order, until `mine` is through. Only one thread at a time may call this.

        Raises nothing but what stops the thread itself, such as Ctrl-C: that goes to this caller alone.
        """
        while not mine.done:
            with self._lock:
                together, self._waiting = self._waiting[:LARGEST], self._waiting[LARGEST:]
            try:
                _commit(connection, together)
            except BaseException as error:
                # It goes to those who wait, each in a thread of its own; what stops this one goes on here.
                if isinstance(error, Exception):
                    _fail(together, error)
                else:
                    _fail(together, Unavailable("the thread that was writing was stopped"))
                    raise
            finally:
                for waiting in together:
                    waiting.done = True


def _fail(together: Sequence[Waiting[Any]], error: Exception) -> None:
    """Tell everyone that nothing was written; who has an error of their own keeps it."""
    for waiting in together:
        waiting.error = waiting.error or error


def begin(connection: sqlite3.Connection) -> None:
    """Begin a transaction that writes, waiting for other processes up to `BUSY_MS`; errors are SQLite's.

    SQLite's own waiting looks again every 100 ms. Where other processes write all the time, such as workers
    with a backlog, the file is free for less than a millisecond between two of them: a process could miss all
    of these moments until its time is up, and its tasks would stay leased until their leases run out.
    """
    end = time.monotonic() + BUSY_MS / 1000
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= end:
                    raise
            else:
                return
            time.sleep(_LOOK_SECONDS)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS:d}")


def _commit(connection: sqlite3.Connection, together: Sequence[Waiting[Any]]) -> None:
    begin(connection)
    try:
        for waiting in together:
            _make(connection, waiting, alone=len(together) == 1)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite undoes some failures by itself
            connection.execute("ROLLBACK")
        raise


def _make(connection: sqlite3.Connection, waiting: Waiting[Any], *, alone: bool) -> None:
    """Make one change. What ends only this one is kept in it; what ends the transaction is raised."""
    if alone:
        waiting.result = waiting.change(connection)
        return
    connection.execute("SAVEPOINT change")
    try:
        waiting.result = waiting.change(connection)
    except BaseException as error:
        if not connection.in_transaction or not isinstance(error, Exception):
            raise
        waiting.error = error
        connection.execute("ROLLBACK TO change")
    connection.execute("RELEASE change")
