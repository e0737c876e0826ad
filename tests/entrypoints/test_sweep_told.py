"""What the sweep's function tells of a run."""

from __future__ import annotations

import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from sentinel.bootstrap import App
from sentinel.core.tasks import SECOND
from sentinel.entrypoints.workers import sweep
from sentinel.errors import Tampered, Unavailable
from sentinel.settings import Settings
from sentinel.usecases.sweep import Swept
from tests.contracts.made_tasks import created
from tests.valkey import running


def test_the_sweep_tells_every_count(tmp_path: Path) -> None:
    """Whatever a sweep counts is in the function's answer, also a count that is added later."""
    for name in ("valkey", "home"):
        (tmp_path / name).mkdir()
    with running(tmp_path / "valkey") as valkey:
        app = App(replace(Settings(), home=str(tmp_path / "home"), redis_url=valkey.url))
        told = sweep(app, lambda: 60.0)
    assert {each.name for each in fields(Swept)} - {"more"} <= set(told)


@pytest.mark.parametrize("part", ["decider", "scheduler"])
@pytest.mark.parametrize("error", [Tampered("task/t", 0, "fork", "x"), Unavailable("away"), KeyError("bug")])
def test_nothing_keeps_tasks_from_being_looked_after(tmp_path: Path, part: str, error: Exception) -> None:
    """What is wrong with schedules or correlations is told, and tasks that are due are hinted."""

    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise error

    for name in ("valkey", "home"):
        (tmp_path / name).mkdir()
    with running(tmp_path / "valkey") as valkey:
        app = App(replace(Settings(), home=str(tmp_path / "home"), redis_url=valkey.url))
        assert app.tasks.create(*created("t" * 26, due=time.time_ns() - SECOND))
        app.__dict__[part] = Broken()
        if isinstance(error, KeyError):
            with pytest.raises(KeyError):
                sweep(app, lambda: 60.0)
        else:
            sweep(app, lambda: 60.0)
        (hint,) = app.queue.take("siem", "w", 10, 0)
    assert hint.task_id == "t" * 26
