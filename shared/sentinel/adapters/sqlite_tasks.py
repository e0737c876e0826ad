"""The port `Tasks` on SQLite, and the feed of what changed, which dispatch reads.

Every change of a task's row adds a row to `changes` by trigger, in the same transaction. Writers are
serialised, so the order of `seq` is the order of the commits: a reader that has seen `seq` n will never
find a smaller one that it has not seen, and numbers are not used again after pruning. The column `stream`
holds the task's line, so that dispatch need not read the task.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from itertools import groupby
from pathlib import Path
from typing import Literal

from sentinel.adapters.sqlite_open import Database
from sentinel.adapters.task_json import (
    effect_to_json,
    read_effect,
    read_task,
    readable,
    readable_first,
    task_to_json,
)
from sentinel.core.tasks import Effect, Event, State, Task, lineage_chain
from sentinel.errors import Conflict, Tampered

VERSION = 1
_PAGE = 500
SCHEMA = """
CREATE TABLE tasks (
    id TEXT PRIMARY KEY NOT NULL, state TEXT NOT NULL, stream TEXT NOT NULL, version INTEGER NOT NULL,
    due INTEGER, changed INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE INDEX tasks_due ON tasks (due) WHERE due IS NOT NULL;
CREATE INDEX tasks_changed ON tasks (changed);
CREATE INDEX tasks_state ON tasks (state, changed);
CREATE TABLE events (
    task TEXT NOT NULL, seq INTEGER NOT NULL, t INTEGER NOT NULL, nonce BLOB NOT NULL, entry BLOB NOT NULL,
    head BLOB NOT NULL, PRIMARY KEY (task, seq)
);
CREATE TABLE effects (
    task TEXT NOT NULL, key TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (task, key)
);
CREATE TABLE changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, task TEXT NOT NULL, state TEXT NOT NULL,
    stream TEXT NOT NULL, version INTEGER NOT NULL
);
CREATE TRIGGER task_inserted AFTER INSERT ON tasks BEGIN
    INSERT INTO changes (kind, task, state, stream, version)
    VALUES ('INSERT', new.id, new.state, new.stream, new.version);
END;
CREATE TRIGGER task_modified AFTER UPDATE ON tasks BEGIN
    INSERT INTO changes (kind, task, state, stream, version)
    VALUES ('MODIFY', new.id, new.state, new.stream, new.version);
END;
CREATE TRIGGER task_removed AFTER DELETE ON tasks BEGIN
    INSERT INTO changes (kind, task, state, stream, version)
    VALUES ('REMOVE', old.id, old.state, old.stream, old.version);
END
"""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one task: what DynamoDB's stream would tell. For `REMOVE`, the values it had.

    `state` is None where a row has one that we did not write. `line` is where the task's hints stand; rows of
    an earlier version have the stream's plain name there.
    """

    seq: int
    kind: Literal["INSERT", "MODIFY", "REMOVE"]
    task_id: str
    state: State | None
    line: str
    version: int


class SqliteTasks:
    """Tasks in one SQLite file. See `sentinel.ports.Tasks` for the contract."""

    def __init__(self, path: Path | str) -> None:
        self._database = Database(path, SCHEMA, VERSION)

    def create(self, task: Task, event: Event) -> bool:
        """Store a new task with its first event. Return False, changing nothing, where its id exists."""
        return self._database.commit(lambda connection: _create(connection, task, event))

    def create_all(self, births: Sequence[tuple[Task, Event]]) -> list[bool]:
        """Store new tasks, all of them in one transaction; False for each whose id exists."""
        return self._database.commit(lambda connection: [_create(connection, *each) for each in births])

    def get(self, task_id: str) -> Task | None:
        """Return a task as it is now."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT id, body FROM tasks WHERE id = ?", (task_id,)).fetchone()
        return read_task(*row) if row else None

    def move(self, before: Task, after: Task, event: Event) -> None:
        """Replace `before` by `after` and add `event`; `Conflict` where the stored version is another."""
        update = (
            "UPDATE tasks SET state = ?, stream = ?, version = ?, due = ?, changed = ?, body = ?"
            " WHERE id = ? AND version = ?"
        )
        row = (*_row(after, event), before.id, before.version)

        def change(connection: sqlite3.Connection) -> None:
            if not connection.execute(update, row).rowcount:
                raise Conflict(f"task {before.id} is not at version {before.version} any more")
            _add(connection, event)

        self._database.commit(change)

    def extend(self, task: Task, due: int) -> bool:
        """Put `due` into the stored task, and nothing else; False where its version is another."""
        update = "UPDATE tasks SET due = ?, body = ? WHERE id = ? AND version = ?"
        values = (due, task_to_json(replace(task, due=due)), task.id, task.version)
        return self._database.commit(lambda connection: connection.execute(update, values).rowcount > 0)

    def lineage(self, task_id: str) -> list[Event]:
        """Return the events of a task, oldest first."""
        # SQLite takes any type in any column: what was made text is read as the bytes that it is.
        select = (
            "SELECT task, seq, CAST(t AS INTEGER), CAST(nonce AS BLOB), CAST(entry AS BLOB),"
            " CAST(head AS BLOB) FROM events WHERE task = ? ORDER BY seq"
        )
        with self._database.reading() as connection:
            rows = connection.execute(select, (task_id,)).fetchall()
        return [Event(*row) for row in rows]

    def record(self, effect: Effect, known: int = 0) -> bool:
        """Store an effect's state under `(task, key)`; False for an INTENT that is late: see the port."""
        insert = (
            "INSERT INTO effects (task, key, body) VALUES (:task, :key, :body)"
            " ON CONFLICT (task, key) DO UPDATE SET body = :body"
            " WHERE :state <> 'intent' OR (json_extract(CAST(body AS TEXT), '$.state') <> 'done'"
            " AND coalesce(json_extract(CAST(body AS TEXT), '$.attempt'), 0) IN (:attempt, :known))"
        )
        row = {
            "task": effect.task_id,
            "key": effect.key,
            "body": effect_to_json(effect),
            "state": effect.state.value,
            "attempt": effect.attempt,
            "known": known,
        }
        return self._database.commit(lambda connection: connection.execute(insert, row).rowcount > 0)

    def effects(self, task_id: str) -> dict[str, Effect]:
        """Return a task's effects by key."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT key, body FROM effects WHERE task = ?", (task_id,)).fetchall()
        return {key: read_effect(task_id, key, body) for key, body in rows}

    def holder(self, key: str) -> str | None:
        """Return the task that has an effect; reads the index of all effects."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT task FROM effects WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def ids(self) -> Iterator[str]:
        """Yield the id of every task of which there is anything, in order."""
        columns = (("id", "tasks"), ("task", "events"), ("task", "effects"))
        found = merge(*(self._ids(column, table) for column, table in columns))
        return (task_id for task_id, _ in groupby(found))

    def _ids(self, column: str, table: str) -> Iterator[str]:
        select = f"SELECT DISTINCT {column} FROM {table} WHERE {column} > ? ORDER BY {column} LIMIT ?"  # noqa: S608
        at = ""
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(select, (at, _PAGE)).fetchall()
            yield from (str(row[0]) for row in rows)
            if len(rows) < _PAGE:
                return
            at = rows[-1][0]

    def due(self, now: int, limit: int) -> list[Task]:
        """Return unfinished tasks whose `due` is at or before `now`, earliest first."""
        select = "SELECT id, body FROM tasks WHERE due <= ? ORDER BY due, id LIMIT ?"

        def first(count: int) -> list[tuple[str, bytes]]:
            with self._database.reading() as connection:
                return connection.execute(select, (now, count)).fetchall()

        return readable_first(first, limit)

    def listing(self, state: State | None = None, limit: int = 100) -> list[Task]:
        """Return tasks, newest change first, of one state or of all."""
        if state is None:
            return self._tasks("SELECT id, body FROM tasks ORDER BY changed DESC, id LIMIT ?", limit)
        select = "SELECT id, body FROM tasks WHERE state = ? ORDER BY changed DESC, id LIMIT ?"
        return self._tasks(select, state.value, limit)

    def newest(self, states: Sequence[State], until: int) -> Iterator[tuple[int, Task]]:
        """Yield (changed, task) of some states, newest change first, from `until` on."""
        return merge(*(self._newest(state, until) for state in states), key=lambda it: (-it[0], it[1].id))

    def _newest(self, state: State, until: int) -> Iterator[tuple[int, Task]]:
        select = (
            "SELECT changed, id, body FROM tasks WHERE state = ? AND changed <= ?"
            " AND (changed < ? OR id > ?) ORDER BY changed DESC, id LIMIT ?"
        )
        at = (until, "")
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(select, (state.value, at[0], *at, _PAGE)).fetchall()
            for changed, task_id, body in rows:
                yield from ((changed, task) for task in readable([(task_id, body)]))
            if len(rows) < _PAGE:
                return
            at = rows[-1][:2]

    def walk(self, state: State, until: int) -> Iterator[Task]:
        """Yield every task of one state that changed by `until`, oldest change first."""
        select = (
            "SELECT changed, id, body FROM tasks WHERE state = ? AND (changed, id) > (?, ?)"
            " AND changed <= ? ORDER BY changed, id LIMIT ?"
        )
        at = (-1, "")
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(select, (state.value, *at, until, _PAGE)).fetchall()
            yield from readable((row[1], row[2]) for row in rows)
            if len(rows) < _PAGE:
                return
            at = rows[-1][:2]

    def changes(self, after: int, limit: int) -> list[Change]:
        """Return at most `limit` changes with a `seq` above `after`, in order."""
        columns = "seq, kind, task, state, stream, version"
        select = f"SELECT {columns} FROM changes WHERE seq > ? ORDER BY seq LIMIT ?"  # noqa: S608
        with self._database.reading() as connection:
            rows = connection.execute(select, (after, limit)).fetchall()
        known = {state.value: state for state in State}
        return [Change(seq, kind, task, known.get(state), *rest) for seq, kind, task, state, *rest in rows]

    def prune(self, below: int) -> int:
        """Forget changes with a `seq` below `below`, when every reader has passed them; return how many."""
        with self._database.transaction() as connection:
            return connection.execute("DELETE FROM changes WHERE seq < ?", (below,)).rowcount

    def rewrite(self, task: Task, effects: Sequence[Effect]) -> bool:
        """See `ports_erasure.ErasableTasks`."""
        with self._database.transaction() as connection:
            state = (task_to_json(task), task.id, task.version)
            update = "UPDATE tasks SET body = ? WHERE id = ? AND version = ?"
            rows = [(effect_to_json(each), each.task_id, each.key) for each in effects]
            connection.executemany("UPDATE effects SET body = ? WHERE task = ? AND key = ?", rows)
            return connection.execute(update, state).rowcount == 1

    def erase_event(self, event: Event, before: Event) -> bool:
        """See `ports_erasure.ErasableTasks`."""
        update = "UPDATE events SET nonce = ?, entry = ? WHERE (task, seq, CAST(entry AS BLOB)) = (?, ?, ?)"
        row = (event.nonce, event.entry, before.task_id, before.seq, before.entry)
        return self._database.commit(lambda connection: connection.execute(update, row).rowcount == 1)

    def compact(self) -> None:
        """See `ports_erasure.ErasableTasks`."""
        self._database.rewrite()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _tasks(self, select: str, *values: str | int) -> list[Task]:
        with self._database.reading() as connection:
            return [read_task(*row) for row in connection.execute(select, values).fetchall()]


def _create(connection: sqlite3.Connection, task: Task, event: Event) -> bool:
    insert = (
        "INSERT INTO tasks (id, state, stream, version, due, changed, body)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
    )
    if not connection.execute(insert, (task.id, *_row(task, event))).rowcount:
        return False
    _add(connection, event)
    return True


def _row(task: Task, event: Event) -> tuple[object, ...]:
    due = None if task.state.ended else task.due  # so that the index of `due` holds unfinished tasks only
    return (task.state.value, task.line, task.version, due, event.t, task_to_json(task))


def _add(connection: sqlite3.Connection, event: Event) -> None:
    try:
        connection.execute(
            "INSERT INTO events (task, seq, t, nonce, entry, head) VALUES (?, ?, ?, ?, ?, ?)",
            (event.task_id, event.seq, event.t, event.nonce, event.entry, event.head),
        )
    except sqlite3.IntegrityError:
        # The task says that this event is still to come: its row was put back, or its lineage was added to.
        chain = lineage_chain(event.task_id)
        raise Tampered(chain, event.seq, "fork", "an event stands where the task has none") from None
