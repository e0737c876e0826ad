"""How detection works through a large batch of the feed: in slices, and what is finished counts."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import pytest

from sentinel.adapters.dynamodb_ledger import to_item
from sentinel.core.segment import Segment
from sentinel.entrypoints import feeds
from sentinel.errors import Unavailable
from sentinel.usecases.detect import Detected
from tests.chains import grow


@dataclass
class Detector:
    """Counts what it is given; call number `away` finds a store away."""

    away: int = 0
    given: list[int] = field(default_factory=list)

    def detect(self, segments: list[Segment]) -> Detected:
        self.given.append(len(segments))
        if len(self.given) == self.away:
            raise Unavailable("away")
        return Detected()


@dataclass
class Application:
    """As much of an application as the feed asks for."""

    detector: Detector


def records(count: int, entries: int) -> list[dict[str, Any]]:
    """Return the feed's records of as many segments."""
    found = []
    for segment in grow("a/0", [[b"{}"] * entries] * count):
        item = {
            name: {"B": base64.b64encode(value["B"]).decode()} if "B" in value else value
            for name, value in to_item(segment).items()
        }
        found.append({"eventName": "INSERT", "dynamodb": {"NewImage": item, "Keys": {}}})
    return found


def test_a_batch_is_worked_through_in_slices() -> None:
    """Segments go to detection some thousand entries at a time, however many come in one batch."""
    detector = Detector()
    app: Any = Application(detector)
    assert feeds.detect(app, records(7, 2_500)) == 7
    assert detector.given == [2, 2, 2, 1]


def test_what_was_finished_before_a_store_went_away_counts() -> None:
    """The feed starts again at the first slice that was not finished, not at the batch's beginning."""
    app: Any = Application(Detector(away=3))
    assert feeds.detect(app, records(7, 2_500)) == 4


def test_time_that_is_up_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that takes too long is handed back from the slice it has got to; one slice always goes."""
    times = iter([0.0, feeds.SECONDS - 1, feeds.SECONDS + 1])
    monkeypatch.setattr("sentinel.entrypoints.feeds.time.monotonic", lambda: next(times))
    app: Any = Application(Detector())
    assert feeds.detect(app, records(7, 2_500)) == 4
