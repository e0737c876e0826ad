"""Tells what Sentinel does as it happens, from its own stores: stored, matched, task, delivered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sentinel.adapters.sqlite_cursors import SqliteCursors
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.adapters.sqlite_tasks import SqliteTasks
from sentinel.core.tasks import State, Task
from sentinel.local.home import FEEDS_DB

Say = Callable[[str, str], None]
_PAGE = 500
_POLL = 0.05


def sinks_of(task: Task) -> list[str]:
    """Return where a task's effects went: the sinks of its `siem.send` steps, `http` for a call."""
    found: list[str] = []
    for result in task.results.values():
        if isinstance(result, Mapping):
            told: Any = result.get("sinks")
            found += map(str, told) if told else [f"http {result['status']}"] if "status" in result else []
    return found


class Narrator:
    """Follows the stores below `home` from where they are now."""

    def __init__(self, home: Path, say: Say) -> None:
        self.ledger = SqliteLedger(home / "ledger.db")
        self.tasks = SqliteTasks(home / "tasks.db")
        self._cursors = SqliteCursors(home / FEEDS_DB)
        self._say = say
        self._ledger_seq = self._end(self.ledger)
        self._tasks_seq = self._end(self.tasks)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="narrator", daemon=True)

    @staticmethod
    def _end(store: SqliteLedger | SqliteTasks) -> int:
        seq = 0
        while changes := store.changes(seq, _PAGE):
            seq = changes[-1].seq
        return seq

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def stop(self) -> None:
        """Tell what is left, and end."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_POLL):
            self._look()
        self._look()

    def _look(self) -> None:
        for stored in self.ledger.changes(self._ledger_seq, _PAGE):
            segment = self.ledger.at(stored.chain, stored.first)
            if segment is not None:
                entries = "entry" if segment.count == 1 else "entries"
                size = f"{segment.count:,} {entries} from {segment.first:,}"
                self._say("stored", f"{segment.chain}  {size}, head {segment.head.hex()[:12]}")
            self._ledger_seq = stored.seq
        for change in self.tasks.changes(self._tasks_seq, _PAGE):
            task = self.tasks.get(change.task_id)
            if task is not None:
                self._tell(task, change.kind, change.state)
            self._tasks_seq = change.seq

    def _tell(self, task: Task, kind: str, state: State | None) -> None:
        if kind == "INSERT":
            places: Any = task.cause.get("entries") or [{"chain": "?", "seq": 0}]
            more = f" and {len(places) - 1:,} more" if len(places) > 1 else ""
            where = f"{places[-1]['chain']} entry {places[-1]['seq']:,}{more}"
            self._say("matched", f"{task.cause.get('title')}  at {where}")
            self._say("task", f"{task.id[:10]}  {task.recipe}")
        elif state is State.SUCCEEDED:
            self._say("delivered", f"{task.id[:10]}  to {', '.join(sinks_of(task))}")
        elif state is not None and (state.personal or state in {State.FAILED, State.WAITING}):
            self._say(state.value, f"{task.id[:10]}  {task.reason}")

    def settle(self, seconds: float, concerns: Callable[[Task], bool]) -> list[Task]:
        """Wait until the feeds are at their ends, every task that `concerns` has ended, and all is told.

        One that waits for a person is waited for no longer.
        Returns those tasks. Raises `TimeoutError` that says what is still open where nothing has moved for
        `seconds`.
        """
        seen: tuple[object, ...] = ()
        end = time.monotonic() + seconds
        while True:
            at = tuple(self._cursors.cursor(name) for name in ("detect", "dispatch"))
            behind = self.ledger.changes(at[0], 1) or self.tasks.changes(at[1], 1)
            # Listing reads every task of the home, so it waits until it can be the last thing to ask.
            found = [] if behind else [task for task in self.tasks.listing(None, 1_000_000) if concerns(task)]
            unfinished = [task for task in found if not (task.state.ended or task.state.personal)]
            told = not self.ledger.changes(self._ledger_seq, 1) and not self.tasks.changes(self._tasks_seq, 1)
            if told and not behind and not unfinished:
                return found
            now = (at, [(task.id, task.version) for task in found])
            if now != seen:
                seen, end = now, time.monotonic() + seconds
            if time.monotonic() > end:
                named = ", ".join(f"{task.id} ({task.state}: {task.reason})" for task in unfinished[:3])
                raise TimeoutError(f"still open: {named or 'the feeds are behind'}")
            time.sleep(0.1)
