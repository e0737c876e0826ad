"""The benchmark of deliveries: its weather, what it takes for lost and for too fast, and short runs of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import delivery
from benchmarks.delivery_targets import Mood
from benchmarks.delivery_trouble import (
    NAME,
    PERIOD,
    RATE,
    SEALED,
    WEATHERS,
    Bucket,
    Flapping,
    Throttling,
    Troubled,
    Weather,
    measured,
    trouble,
)
from sentinel.core.tasks import SECOND


@pytest.mark.parametrize(
    ("arrivals", "peak"),
    [
        ([(0.0, 100)], 100),
        ([(0.0, 100), (1.0, 100)], 100),
        ([(0.0, 100), (0.5, 100)], 150),
        ([(0.0, 100), (0.5, 50), (1.0, 50)], 100),
        ([(0.0, 100), (100.0, 100), (100.0, 1)], 101),
        ([(t / 10, 11) for t in range(1000)], 11 + 999 * 1),
    ],
)
def test_a_pace_that_is_passed_shows(arrivals: list[tuple[float, int]], peak: float) -> None:
    """At 100 a second with a burst of 100: over 100 in the bucket is too much, however it gets there."""
    bucket = Bucket(100)
    for t, events in arrivals:
        bucket.add(t, events)
    assert bucket.peak == pytest.approx(peak)
    assert bucket.total == sum(events for _, events in arrivals)


def test_weather_that_is_down() -> None:
    """Until its end and no longer; whoever has a connection still is hung up on."""
    weather = Weather(60)
    assert [weather.up(t) for t in (0, 59.9, 60, 999)] == [False, False, True, True]
    assert [weather.mood(t) for t in (59.9, 60)] == [Mood.HUNG, Mood.GOOD]


def test_weather_that_flaps() -> None:
    """Each time that it goes down it loses one reply first, if anybody asks, and then it is down."""
    weather = Flapping(4 * PERIOD)
    assert weather.mood(1) is Mood.GOOD
    assert weather.up(PERIOD + 1)
    assert [weather.mood(PERIOD + 1) for _ in range(3)] == [Mood.LOST, Mood.HUNG, Mood.HUNG]
    assert not weather.up(PERIOD + 1)
    assert weather.up(2 * PERIOD)
    assert weather.up(3 * PERIOD)
    assert not weather.up(3.5 * PERIOD)
    assert weather.mood(3.5 * PERIOD) is Mood.LOST
    assert weather.up(4 * PERIOD)
    assert weather.up(5 * PERIOD)


def test_weather_that_throttles() -> None:
    """It takes half of what is sealed, whatever it is offered, in all moods, and all once it is over."""
    weather = Throttling(100)
    taken, moods = 0, set()
    for step in range(1000):
        mood = weather.mood(step / 10)
        moods.add(mood)
        if mood is not Mood.BUSY:
            weather.took(step / 10, 51)
            taken += 51
    assert taken == pytest.approx(100 * SEALED / 2, rel=0.15)
    assert moods == {Mood.GOOD, Mood.BUSY, Mood.PARTLY, Mood.LOST}
    assert {weather.mood(t) for t in range(100, 110)} == {Mood.GOOD}


@pytest.fixture
def world(tmp_path: Path) -> Troubled:
    """A world whose target is well after two seconds."""
    return Troubled(tmp_path / "world", "elastic", Weather(2))


def test_what_does_not_arrive_is_lost(world: Troubled) -> None:
    """Each sealed entry is looked for by its place, so one that is missing is seen, and no other makes up."""
    counts = world.delivered()
    assert counts.delivered == sum(world.sealed.values()) == 2 * SEALED
    assert world.lost() == 0
    del world.target.places["shop/1", 3]
    world.target.places["shop/1", 10_000] = "x"
    assert world.lost() == 1
    world.close()


def test_entries_are_sealed_each_second_until_the_end(world: Troubled) -> None:
    """However long somebody sleeps, and not after the trouble."""
    assert sum(world.sealed.values()) == SEALED
    world.sleep(0.9)
    assert sum(world.sealed.values()) == SEALED
    world.sleep(0.1)
    assert sum(world.sealed.values()) == 2 * SEALED
    world.sleep(30)
    assert sum(world.sealed.values()) == 2 * SEALED
    assert {segment.t for segment in world.ledger.read("shop/0")} == {
        world.now - n * SECOND for n in (30, 31)
    }
    world.close()


@pytest.mark.parametrize("kind", ["splunk", "elastic"])
@pytest.mark.parametrize("name", WEATHERS)
def test_a_minute_of_trouble(kind: str, name: str, tmp_path: Path) -> None:
    """Nothing is lost or out of order, nothing is there twice that was not counted, and the rate is kept."""
    found = trouble(tmp_path / "run", kind, name, 60)
    assert found["sealed"] == 60 * SEALED
    assert (found["lost"], found["refused"], found["disorder"], found["doubled_uncounted"]) == (0, 0, 0, 0)
    assert found["peak_of_allowed"] <= 1.001
    assert found["caught_up_after_s"] < 400
    if kind == "elastic":
        assert found["doubled"] == 0
    elif name != "down":
        assert found["doubled"] > 0  # else no reply was lost


def test_a_delivery_without_a_rate_is_seen_to_be_too_fast(tmp_path: Path) -> None:
    """The bound that runs do not pass is passed by one that is not bound."""
    world = Troubled(tmp_path / "world", "splunk", Weather(60))
    world.plan(NAME, to="siem")
    world.delivered()
    world.close()
    assert world.arrived.peak > 2 * RATE


def test_the_sums_are_over_all_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is lost anywhere is lost; doubled counts apart at Elastic."""
    usual = dict.fromkeys(
        ("sealed", "lost", "doubled", "doubled_uncounted", "counted_as_maybe_twice", "disorder", "refused"),
        1.0,
    )
    usual |= {"caught_up_after_s": 1.0, "peak_of_allowed": 0.5}
    monkeypatch.setattr("benchmarks.delivery_trouble.trouble", lambda *_: usual)
    found = measured(tmp_path)
    assert (found["lost"], found["disorder"], found["doubled_uncounted"]) == (6, 6, 6)
    assert (found["doubled_at_elastic"], found["peak_of_allowed"]) == (3, 0.5)
    assert set(delivery.targets_of(found)) == {name for name in delivery.TARGETS if "second" not in name}


@pytest.mark.nightly
@pytest.mark.slow
def test_a_short_run_of_speed(capsys: pytest.CaptureFixture[str]) -> None:
    """Real processes: everything arrives once and in order, and no delivery is faster than its floor."""
    delivery.main(["--json", "--only", "speed", "--events", "6000"])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])["figures"]
    for kind in ("splunk", "elastic"):
        assert figures[f"{kind}_events_per_second"] > 0
        assert figures[f"{kind}_cpu_ratio_to_floor"] > 1
