"""How detection works through a large batch of the feed: in slices, and what is finished counts."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import pytest

from sentinel.adapters.dynamodb_ledger import to_item
from sentinel.core.segment import Segment
from sentinel.core.tripwire import Change
from sentinel.entrypoints import feeds, observe
from sentinel.errors import Tampered, Unavailable
from sentinel.usecases.detect import Detected
from sentinel.usecases.fold_alerts import Folded
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
class Fragile(Detector):
    """Breaks over segments of one kind, as a fault of ours would; `broken` when matched, too."""

    broken: set[int] = field(default_factory=set)
    everything: bool = False

    def match(self, segment: Segment) -> int:
        if segment.first in self.broken:
            raise KeyError("hunter2")
        return 0

    def detect(self, segments: list[Segment]) -> Detected:
        found = super().detect(segments)
        if self.everything or any(segment.first in self.broken for segment in segments):
            raise KeyError("hunter2")
        return found


@dataclass
class Folder:
    """Counts what it is given; call number `away` finds a store away."""

    away: int = 0
    given: list[int] = field(default_factory=list)
    tampered: bool = False

    def fold(self, segments: list[Segment]) -> Folded:
        self.given.append(len(segments))
        if len(self.given) == self.away:
            raise Unavailable("away")
        if self.tampered:
            raise Tampered("a/0", 0, "payload", "does not unpack")
        return Folded(3, 2, 1)


@dataclass
class Wire:
    """A tripwire that finds nothing; look number `away` finds a store away."""

    away: int = 0
    looks: int = 0

    def look(self, change: Change) -> str:
        self.looks += 1
        if self.looks == self.away:
            raise Unavailable("away")
        return ""


@dataclass
class Application:
    """As much of an application as the feed asks for."""

    detector: Detector
    alert_folder: Folder = field(default_factory=Folder)
    tripwire: Wire = field(default_factory=Wire)

    def opens(self, segment: Segment) -> Segment:
        return segment


def records(count: int, entries: int) -> list[dict[str, Any]]:
    """Return the feed's records of as many segments."""
    found = []
    for segment in grow("a/0", [[b"{}"] * entries] * count):
        item = {
            name: {"B": base64.b64encode(value["B"]).decode()} if "B" in value else value
            for name, value in to_item(segment).items()
        }
        keys = {name: item[name] for name in ("chain", "first")}
        found.append({"eventName": "INSERT", "dynamodb": {"NewImage": item, "Keys": keys}})
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


def test_changes_that_cannot_be_judged_yet_are_handed_back() -> None:
    """A slice is not detected before the tripwire has looked at it, so none is passed over."""
    detector = Detector()
    app: Any = Application(detector, tripwire=Wire(away=3))
    assert feeds.detect(app, records(7, 2_500)) == 2
    assert detector.given == [2]


def test_time_that_is_up_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that takes too long is handed back from the slice it has got to; one slice always goes."""
    times = iter([0.0, feeds.SECONDS - 1, feeds.SECONDS + 1])
    monkeypatch.setattr("sentinel.entrypoints.feeds.time.monotonic", lambda: next(times))
    app: Any = Application(Detector())
    assert feeds.detect(app, records(7, 2_500)) == 4


def test_poison_keeps_nobody_waiting(caplog: pytest.LogCaptureFixture, capsys: Any) -> None:
    """A segment that breaks the matching is left out and told of by its place; the others are looked at."""
    detector = Fragile(broken={10, 30})
    app: Any = Application(detector)
    assert feeds.detect(app, records(6, 10)) == 6
    assert detector.given == [6, 4]
    told = [each.getMessage() for each in caplog.records if each.levelname == "CRITICAL"]
    assert [each.partition(", sealed")[0] for each in told] == [
        "poison: entries 10 to 19 of chain a/0",
        "poison: entries 30 to 39 of chain a/0",
    ]
    assert "hunter2" not in caplog.text


def test_a_fault_that_is_no_entrys_is_tried_again() -> None:
    """Where every segment can be matched, what fails is something else: nothing is left out for it."""
    app: Any = Application(Fragile(everything=True))
    with pytest.raises(KeyError):
        feeds.detect(app, records(3, 10))


def test_a_store_that_goes_away_behind_poison_loses_nothing() -> None:
    """What was not looked at, since a store went away, is handed back, the poison too."""
    app: Any = Application(Fragile(broken={10}, away=2))
    assert feeds.detect(app, records(3, 10)) == 0


def test_alerts_are_folded_slice_by_slice_behind_detection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each slice is folded once its tasks are made; what changed is counted."""
    app: Any = Application(Detector())
    counted: list[tuple[object, ...]] = []
    monkeypatch.setattr(observe, "count", lambda *about: counted.append(about))
    assert feeds.detect(app, records(7, 2_500)) == 7
    assert app.alert_folder.given == app.detector.given == [2, 2, 2, 1]
    assert counted.count(("detect", "alerts", 2)) == counted.count(("detect", "alerts_begun_anew", 1)) == 4


def test_a_slice_whose_alerts_cannot_be_stored_is_given_again() -> None:
    """Nothing of it counts as done, though its tasks are made: making them again makes nothing twice."""
    app: Any = Application(Detector(), Folder(away=2))
    assert feeds.detect(app, records(7, 2_500)) == 2
    assert app.detector.given == [2, 2]


@pytest.mark.parametrize("told", [False, True])
def test_what_was_tampered_with_is_told_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    """Where no rule had detection open a segment, folding finds it; where it was told, not again."""
    app: Any = Application(Detector(), Folder(tampered=True))
    if told:

        def detect(segments: list[Segment]) -> Detected:
            raise Tampered("a/0", 0, "payload", "does not unpack")

        monkeypatch.setattr(app.detector, "detect", detect)
    assert feeds.detect(app, records(1, 2)) == 1
    assert [each.getMessage().partition(":")[0] for each in caplog.records] == ["tampered"]
