"""The simulated DynamoDB keeps to its stated model; what runs on it is the product's own append."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from benchmarks import contention
from benchmarks import simulated_dynamodb as simulated
from benchmarks.contention import measure, whole
from benchmarks.simulated_dynamodb import Bucket, SimulatedLedger, item_bytes, units
from benchmarks.timeline import Timeline
from sentinel.core.segment import Segment
from sentinel.errors import Unavailable
from sentinel.ports import SlotTaken
from tests.chains import grow

T = TypeVar("T")


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contention, "WARM", 0.5)


def ran(work: Callable[[Timeline], T], until: float = 1_000.0) -> T:
    """Run one thread on a timeline of its own to its end; return what it returned."""
    found: list[T] = []
    with Timeline() as timeline:
        timeline.spawn(lambda: found.append(work(timeline)))
        timeline.run(until)
    [one] = found
    return one


def test_time_is_virtual_and_only_one_thread_runs() -> None:
    """Threads wake up in the order of their time, at exactly that; a day takes no time."""
    told: list[tuple[str, float]] = []
    with Timeline() as timeline:

        def work(name: str, pause: float) -> None:
            for _ in range(2):
                timeline.sleep(pause)
                told.append((name, timeline.now))

        for name, pause in (("a", 3.0), ("b", 2.0), ("c", 86_400.0)):
            timeline.spawn(lambda name=name, pause=pause: work(name, pause))  # type: ignore[misc]
        timeline.run(5.0)
        assert told == [("b", 2.0), ("a", 3.0), ("b", 4.0)]
        assert timeline.now == 5.0
        timeline.run(100_000.0)
    assert told[3:] == [("a", 6.0), ("c", 86_400.0)], "what was asleep at the end is ended there"


def test_what_a_thread_raises_is_told() -> None:
    """A failure in a thread fails the run: it never looks like a quiet one."""
    with pytest.raises(ZeroDivisionError):
        ran(lambda _: 1 // 0)


def test_a_partition_gives_its_rate_and_what_it_kept() -> None:
    """It lets in while it owes nothing, keeps what it does not use for so long, and begins with nothing."""
    bucket = Bucket(1_000, 2.0)
    assert bucket.take(500, 0.0)
    assert not bucket.take(1, 0.499)
    assert bucket.take(1, 0.501)
    assert [bucket.take(1_000, 100.0) for _ in range(4)] == [True, True, True, False], "two seconds' are kept"
    taken = sum(bucket.take(24, 101 + at / 1_000) for at in range(10_000))
    assert taken * 24 == pytest.approx(10_000, rel=0.02)


def segments(count: int = 3) -> list[Segment]:
    """Return a chain of segments of one entry."""
    return grow("s/0", [[b'{"n":%d}' % number] for number in range(count)])


def test_items_are_as_large_as_dynamodb_counts() -> None:
    """Names and values, whole kilobytes of a write and four of a consistent read, one unit at least."""
    first, second, _ = segments()
    names = len("chainfirstcountprevheadtpayloadcodecrecenttree")
    values = (
        len("s/0") + 2 + 2 + 32 + 32 + 3 + len(second.payload) + 2 + len(second.recent) + len(second.tree)
    )
    assert item_bytes(second) == names + values
    assert item_bytes(first) == item_bytes(second) + len("genesis1") + len(first.recent + first.tree) - len(
        second.recent + second.tree
    ) + len(first.payload) - len(second.payload)
    assert [units(each, 4_096) for each in (1, 4_096, 4_097)] == [1, 1, 2]


def test_it_is_a_ledger() -> None:
    """One segment a slot, the one that is there brought to who came late, and consistent reads."""
    made = segments()

    def work(timeline: Timeline) -> None:
        ledger = SimulatedLedger(timeline)
        assert ledger.head("s/0") is None
        for each in made:
            ledger.append(each)
        with pytest.raises(SlotTaken) as taken:
            ledger.append(made[1])
        assert taken.value.segment is made[1]
        assert (ledger.head("s/0"), ledger.at("s/0", 1), ledger.at("s/0", 3)) == (made[2], made[1], None)
        assert (list(ledger.read("s/0", 1)), list(ledger.chains())) == (made[1:], ["s/0"])
        assert (ledger.counts.writes, ledger.counts.lost, ledger.counts.units) == (4, 1, 4)
        assert 8 * simulated.MEDIAN / 3 < timeline.now < 8 * simulated.MEDIAN * 3

    ran(work)


def test_a_throttled_write_fails_at_once_and_a_read_after_a_second_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both are `Unavailable` in the end, as the adapter has it; nothing of a throttled write is stored."""
    monkeypatch.setattr(simulated, "WRITE_UNITS", 0.001)
    monkeypatch.setattr(simulated, "READ_UNITS", 0.001)
    made = segments()

    def work(timeline: Timeline) -> None:
        ledger = SimulatedLedger(timeline)
        ledger.append(made[0])
        assert ledger.head("s/0") is made[0]
        with pytest.raises(Unavailable):
            ledger.append(made[1])
        assert (ledger.counts.writes, ledger.counts.throttled) == (2, 1)
        with pytest.raises(Unavailable):
            ledger.head("s/0")
        assert (ledger.counts.reads, ledger.counts.throttled) == (3, 3)
        assert list(ledger.read("s/0")) == made[:1]

    ran(work)


@pytest.mark.parametrize("any_lane", [False, True])
def test_contended_writers_store_everything_once(*, any_lane: bool) -> None:
    """Twelve writers on three lanes, throttled and racing: every batch is there once, in whole chains."""
    made, ledger = measure(12, 3, 10, any_lane=any_lane, seconds=0.5)
    assert ledger.counts.lost > 0
    assert len(list(ledger.chains())) == 3
    assert whole(ledger) >= (made.batches + 12) * made.size > 500
    assert made.rate <= made.limit * 1.1


def test_a_run_is_the_same_each_time() -> None:
    """By its seed, however busy the machine is; another seed is another run."""
    one, two, other = (measure(4, 1, 10, seconds=0.3, seed=seed)[0] for seed in (1, 1, 2))
    assert one == two
    assert one.latencies != other.latencies


@pytest.mark.parametrize("size", [10, 500])
def test_writers_with_lanes_of_their_own_reach_the_limit(size: int) -> None:
    """One write a batch and no read, and within 15% of what partitions or round trips take."""
    made, _ = measure(3, 3, size, seconds=1.0)
    assert made.requests == pytest.approx(1.0, abs=0.02)
    assert made.reads == 0
    assert 0.85 <= made.rate / made.limit <= 1.1
    assert made.bound == ("writers" if size == 10 else "partitions")


@pytest.mark.parametrize("any_lane", [False, True])
def test_one_lane_of_many_writers_uses_its_partition(*, any_lane: bool) -> None:
    """Eight writers of large batches on one lane: most of what the partition gives becomes segments."""
    made, _ = measure(8, 1, 500, any_lane=any_lane, seconds=2.0)
    assert made.bound == "partitions"
    assert made.rate / made.limit > 0.75
    assert made.requests < 1.5
