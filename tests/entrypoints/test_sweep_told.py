"""What the sweep's function tells of a run."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

from sentinel.bootstrap import App
from sentinel.entrypoints.workers import sweep
from sentinel.settings import Settings
from sentinel.usecases.sweep import Swept
from tests.valkey import running


def test_the_sweep_tells_every_count(tmp_path: Path) -> None:
    """Whatever a sweep counts is in the function's answer, also a count that is added later."""
    for name in ("valkey", "home"):
        (tmp_path / name).mkdir()
    with running(tmp_path / "valkey") as valkey:
        app = App(replace(Settings(), home=str(tmp_path / "home"), redis_url=valkey.url))
        told = sweep(app, lambda: 60.0)
    assert {each.name for each in fields(Swept)} - {"more"} <= set(told)
