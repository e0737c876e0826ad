"""The local workers: a slow step keeps no other task waiting, and a dead worker none of its own for long."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tasks_tree import Target
from sentinel.bootstrap import App, application
from sentinel.core.states import State
from sentinel.core.tasks import LEASE_OVER
from tests.e2e.trees import LOOPBACK, push, until, up

RULE = """
title: Boom
name: boom
logsource: {category: application}
detection: {it: {message|contains: boom}, condition: it}
level: high
"""
RECIPE = """
id: call
on: {{rule: boom}}
steps: [{{id: call, uses: http.call, with: {{url: "{url}", body: {{n: "${{entry.n}}"}}}}}}]
retry: {{attempts: 5, backoff: 10ms..100ms}}
"""


class Gate(Target):
    """A target that does not answer to the number 0 before it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = threading.Event()

    def hold(self, number: int) -> None:
        if number == 0:
            self.opened.wait(60)


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Give a target that holds the first request."""
    found = Gate()
    yield found
    found.opened.set()
    found.close()


def _boom(*numbers: int) -> list[object]:
    return [{"message": "boom", "n": number} for number in numbers]


def _states(app: App) -> dict[int, State]:
    return {_number(task): task.state for task in app.tasks.listing()}


def _number(task: Any) -> int:
    return int(task.cause["entries"][0]["seq"])


@pytest.mark.nightly
def test_a_slow_step_keeps_no_other_task_waiting(tmp_path: Path, gate: Gate) -> None:
    """While one target does not answer, the tasks behind it on the same stream run to their end."""
    home = tmp_path / "home"
    push(home, tmp_path / "docs", rule=RULE, recipe=RECIPE.format(url=gate.url))
    with up(home, settings=LOOPBACK) as tree:
        tree.post(_boom(0))
        until(lambda: 0 in gate.arrived, "the first request did not come")
        tree.post(_boom(*range(1, 31)))
        app = application(str(home))
        until(lambda: list(_states(app).values()).count(State.SUCCEEDED) == 30, "the others wait")
        assert _states(app)[0] is State.RUNNING
        gate.opened.set()
        until(lambda: _states(app)[0] is State.SUCCEEDED, "the first one did not end")
        assert tree.stop() == 0


@pytest.mark.nightly
def test_a_dead_workers_tasks_are_taken_up_at_once(tmp_path: Path, gate: Gate) -> None:
    """A task whose worker was killed runs again within seconds, not when its lease of a minute is over."""
    home = tmp_path / "home"
    push(home, tmp_path / "docs", rule=RULE, recipe=RECIPE.format(url=gate.url))
    with up(home, settings=LOOPBACK) as tree:
        tree.post(_boom(0))
        until(lambda: 0 in gate.arrived, "the first request did not come")
        app = application(str(home))
        began = time.monotonic()
        os.kill(tree.child("work_siem"), signal.SIGKILL)  # it has nothing to do with this one
        time.sleep(1)
        assert _states(app)[0] is State.RUNNING
        os.kill(tree.child("work_action"), signal.SIGKILL)
        gate.opened.set()
        until(lambda: _states(app)[0] is State.SUCCEEDED, "it was not taken up")
        assert time.monotonic() - began < 30
        (task,) = app.tasks.listing()
        reasons = [event.body.get("reason") for event in app.tasks.lineage(task.id)]
        assert reasons.count(LEASE_OVER) == 1
        assert task.attempt == 2
        assert len({key for key, _ in gate.arrived[0]}) == 1
        assert tree.stop() == 0
