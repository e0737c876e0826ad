"""The narrator of the example: what it waits for."""

from __future__ import annotations

from pathlib import Path

from examples.narrator import Narrator
from sentinel.adapters.sqlite_cursors import SqliteCursors
from sentinel.core.states import NEVER, State
from sentinel.local.home import FEEDS_DB
from tests.contracts.made_tasks import created, step


def test_a_task_that_waits_for_a_person_is_waited_for_no_longer(tmp_path: Path) -> None:
    """The run is over when only people have something to do, and it says for what."""
    told: list[tuple[str, str]] = []
    narrator = Narrator(tmp_path, lambda word, text: told.append((word, text)))
    task, event = created("mfrggzdfmztwq2lknnwg23tpoa")
    assert narrator.tasks.create(task, event)
    for to, changes in (
        (State.RUNNING, {"attempt": 1}),
        (State.AWAITING_APPROVAL, {"due": NEVER, "reason": "two of team-payments are to approve"}),
    ):
        after, event = step(task, to, **changes)
        narrator.tasks.move(task, after, event)
        task = after
    cursors = SqliteCursors(tmp_path / FEEDS_DB)
    cursors.advance("dispatch", narrator.tasks.changes(0, 100)[-1].seq)
    narrator.start()
    try:
        assert [found.id for found in narrator.settle(5, lambda _: True)] == [task.id]
    finally:
        narrator.stop()
    assert ("awaiting-approval", f"{task.id[:10]}  two of team-payments are to approve") in told
