"""What `sentinel up` finds of an earlier run: running tasks whose workers are dead, and damage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sentinel.adapters.sqlite_tasks import SqliteTasks
from sentinel.core.tasks import State
from sentinel.local.recovery import take_up
from sentinel.settings import Settings
from tests.contracts.made_tasks import created, step


def _running(tasks: SqliteTasks, name: str, worker: str) -> None:
    task, event = created(name)
    tasks.create(task, event)
    tasks.move(task, *step(task, State.RUNNING, attempt=1, worker=worker))


def test_damage_keeps_no_other_lease_from_being_ended(tmp_path: Path) -> None:
    """A running task that cannot be read, or with a lineage that goes on, stops no recovery."""
    tasks = SqliteTasks(tmp_path / "tasks.db")
    for name in ("unreadable", "forked", "good", "other"):
        _running(tasks, name, "host:2" if name == "other" else "host:1")
    with tasks._database.transaction() as connection:
        connection.execute("UPDATE tasks SET body = x'7b' WHERE id = 'unreadable'")
        connection.execute(
            "INSERT INTO events (task, seq, t, nonce, entry, head) VALUES ('forked', 2, 0, x'', x'7b7d', x'')"
        )
    settings = replace(Settings(), home=str(tmp_path))
    assert take_up(settings, "host:1") == 1
    good, other = tasks.get("good"), tasks.get("other")
    assert good is not None
    assert other is not None
    assert (good.state, good.tries, other.state) == (State.WAITING, 1, State.RUNNING)
    assert take_up(settings) == 1
    tasks.close()
