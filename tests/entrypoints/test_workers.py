"""A worker's call: how long it may take, and how early it begins no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.bootstrap import App
from sentinel.core.pauses import STREAMS
from sentinel.core.tasks import SECOND
from sentinel.entrypoints import workers
from sentinel.local.functions import load
from sentinel.local.loops import seconds_of
from sentinel.settings import Settings
from sentinel.usecases.run import MARGIN, MARGINS


class Asked(Exception):
    """The queue was asked for hints."""


class Line:
    """A queue that tells that it is asked."""

    def claim(self, *_arguments: object) -> list[object]:
        raise Asked


@pytest.mark.parametrize("stream", STREAMS)
def test_a_worker_begins_nothing_within_its_streams_margin(stream: str, tmp_path: Path) -> None:
    """A call that has the margin left or less asks for no hints; one with more does, on every stream."""
    app = App(Settings(home=str(tmp_path)))
    app.__dict__["queue"] = Line()
    margin = MARGINS.get(stream, MARGIN) / SECOND
    assert workers.worker(stream)(app, lambda: margin)["succeeded"] == 0
    with pytest.raises(Asked):
        workers.worker(stream)(app, lambda: margin + 30)


@pytest.mark.parametrize("stream", STREAMS)
def test_every_stream_has_a_function_and_time_for_it(stream: str) -> None:
    """What runs locally has a handler for each stream, and calls that are longer than its margin."""
    assert callable(load(f"work_{stream}"))
    assert seconds_of(stream) >= 2 * MARGINS.get(stream, MARGIN) / SECOND
