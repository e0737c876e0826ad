"""Another number of lanes: where batches go, what it costs, and what is still under way at that moment."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Iterator

import pytest

from sentinel.adapters.dynamodb_ledger import DynamoLedger
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.core.lanes import FORGET, LEASE, MARGIN, MOST, SKEW, UNSEEN, Lanes, Term
from sentinel.errors import Conflict, Unavailable
from sentinel.ports import Ledger
from sentinel.usecases import lanes
from sentinel.usecases.append import SECOND, Receipt
from tests.contracts.tables import dynamodb
from tests.faults_ports import FaultyLedger
from tests.sampling import taken
from tests.usecases.lanes_world import BEGIN, SERVICE, World, wide
from tests.writers import Clock, appender, entries_of, large, numbered

POD = "pod-1"  # lane 0 of 1, lane 1 of 4
STAYS = "pod-0"
BEFORE = (-MARGIN, -LEASE, -SKEW, -1, 0, 1, SKEW)  # seconds from when the new number counts
FATES = (("held",) * 4, ("answer lost",) * 4, ("paused",), ("unsent",) * 4)


def test_where_senders_belong() -> None:
    """A number that is changed moves who hashes elsewhere, and nobody without a name."""
    one, four = Lanes(1), Lanes(4, ((1, 1_000),))
    assert one.terms(POD, 9) == (Term(0),)
    assert four.terms(POD, 9) == (Term(0, 1_000 * SECOND), Term(1))
    assert four.terms(STAYS, 9) == four.terms("", 9) == (Term(0),)
    back = Lanes(1, ((1, 1_000), (4, 2_000)), 500)
    lease = (500 + LEASE) * SECOND
    assert back.terms(POD, 9) == (
        Term(0, 1_000 * SECOND, lease),
        Term(1, 2_000 * SECOND, lease),
        Term(0, None, lease),
    )
    assert back.terms(STAYS, 9) == (Term(0, None, lease),)
    assert Lanes(4, ((0, 1_000),)).terms(POD, 1) == four.terms(POD, 9)


def test_a_change_counts_later() -> None:
    """Ten minutes on, and after those that were made before, which stay for a month."""
    now = 1_000_000.5
    once = Lanes(1).changed(4, 1, now)
    assert once == Lanes(4, ((1, 1_000_000 + MARGIN + 1),))
    twice = once.changed(2, 1, now - 3600)  # by a clock that is behind
    assert twice == Lanes(2, (*once.before, (4, once.before[0][1] + 1)))
    assert twice.changed(2, 1, now) == twice
    assert Lanes(0).changed(0, 4, now) == Lanes(4)
    assert Lanes(0).changed(0, 0, now) == Lanes(0)
    assert Lanes(2).changed(0, 4, now).number == 4
    # A command may see another default than those who store: that one then counts until the end.
    for seen_by_command in (0, 1, 2, 4):
        assert Lanes(0).changed(4, seen_by_command, now) == Lanes(4, ((0, 1_000_000 + MARGIN + 1),))
    assert len(twice.changed(3, 1, now + FORGET - 1).before) == 3
    assert [number for number, _ in twice.changed(3, 1, now + FORGET + MARGIN + 2).before] == [2]
    often = Lanes(1)
    for number in range(2, MOST + 2):
        often = often.changed(number, 1, now)
    assert often.sound()
    with pytest.raises(Conflict):
        often.changed(1, 1, now)
    assert often.changed(1, 1, now + FORGET + MARGIN + MOST + 1).before[-1][0] == MOST + 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4",
        "4 @",
        "65 @1",
        "4 1 @1",
        "4 1<0 @1",
        "4 1<9 2<9 @1",
        "٤ @1",
        "4 @1 ",
        "4" + " 1<2" * 9 + " @1",
    ],
)
def test_what_a_door_says_is_read_or_refused(text: str) -> None:
    """Only what `text` gives is read: it is handed on through others' hands."""
    for made in (Lanes(), Lanes(4, ((1, 1_000), (0, 2_000)), 77)):
        assert Lanes.parse(made.text()) == made
    with pytest.raises(ValueError, match="lanes"):
        Lanes.parse(text)


def test_what_it_costs() -> None:
    """One write and no read, before a change and after it; a process that meets an old lane reads it once."""
    ledger = FaultyLedger(SqliteLedger(":memory:"))
    clock = Clock()
    writer = appender(ledger, clock)
    now = clock.now // SECOND
    changed = Lanes(1).changed(4, 1, now)
    terms = changed.terms(POD, 1)

    def costs(name: int) -> list[str]:
        ledger.log.clear()
        assert lanes.append(writer, terms, SERVICE, numbered(name)).count == 2
        return list(ledger.log)

    assert costs(1) == ["head", "append"]
    assert costs(2) == ["append"]
    clock.now = (changed.before[0][1] + 1) * SECOND
    assert costs(3) == ["head", "append"]  # the head was held for too long anyway; this closes the lane
    assert costs(4) == ["head", "append"]  # of the new lane
    assert [costs(name) for name in range(5, 9)] == [["append"]] * 4
    writer = appender(ledger, clock, seed=2)
    assert costs(9) == ["head", "head", "append"]
    assert costs(10) == ["append"]
    chains = {chain: [segment.count for segment in ledger.read(chain)] for chain in ledger.chains()}
    assert chains == {"checkout/0": [2] * 3, "checkout/1": [2] * 7}


def test_a_lane_is_looked_through_as_far_back_as_ever() -> None:
    """What was stored before a change and is over a window of others back is found with `Sentinel-Since`."""
    ledger = SqliteLedger(":memory:")
    clock = Clock()
    writer = appender(ledger, clock)
    changed = Lanes(1).changed(4, 1, clock.now // SECOND)
    first = lanes.append(writer, changed.terms(POD, 1), SERVICE, numbered(1))
    for name in range(2, 102):
        lanes.append(writer, changed.terms(STAYS, 1), SERVICE, numbered(name))
    clock.now = (changed.before[0][1] + 1) * SECOND
    for name in range(102, 172):
        lanes.append(writer, changed.terms(STAYS, 1), SERVICE, numbered(name))
    for seed in (1, 2):
        writer = appender(ledger, clock, seed)
        for since in ("0", f"0 {first.chain}"):
            assert lanes.append(writer, changed.terms(POD, 1), SERVICE, numbered(1), since=since) == first
    other = lanes.append(writer, changed.terms(POD, 1), SERVICE, numbered(200))
    assert other.chain == "checkout/1"
    assert lanes.append(writer, changed.terms(POD, 1), SERVICE, numbered(1)).chain == "checkout/1"


def test_a_batch_of_several_segments_goes_on_where_it_was_begun() -> None:
    """A part of it is stored when the number changes: the rest follows there, after others and by anybody."""
    clock = Clock()
    changed = Lanes(1).changed(4, 1, clock.now // SECOND)
    for calls in (3, 4):
        ledger = FaultyLedger(SqliteLedger(":memory:"), lambda call, calls=calls: call >= calls)  # type: ignore[misc]
        with pytest.raises(Unavailable):
            lanes.append(appender(ledger, clock), changed.terms(POD, 1), SERVICE, large(1))
        ledger.fails = lambda _: False
        later = Clock()
        later.now = (changed.before[0][1] + 1) * SECOND
        writer = appender(ledger, later)
        lanes.append(writer, changed.terms(STAYS, 1), SERVICE, numbered(2))
        receipt = lanes.append(writer, changed.terms(POD, 1), SERVICE, large(1))
        assert (receipt.chain, receipt.first) == ("checkout/0", 0)
        assert lanes.append(appender(ledger, later, 2), changed.terms(POD, 1), SERVICE, large(1)) == receipt
        assert sorted(entries_of(ledger, "checkout/0")) == sorted([*large(1).entries, *numbered(2).entries])
        assert list(ledger.chains()) == ["checkout/0"]


def test_what_is_known_for_too_long_stores_nothing_new() -> None:
    """What a door read long ago may be about lanes that count no longer; what is stored is found by it."""
    ledger = SqliteLedger(":memory:")
    clock = Clock()
    writer = appender(ledger, clock)
    terms = Lanes(4, (), clock.now // SECOND).terms(POD, 1)
    clock.now += LEASE * SECOND - 1
    first = lanes.append(writer, terms, SERVICE, numbered(1))
    clock.now += 1
    with pytest.raises(Unavailable):
        lanes.append(writer, terms, SERVICE, numbered(2))
    assert lanes.append(writer, terms, SERVICE, numbered(1)) == first


def test_a_chain_whose_time_lies_ahead_ends_with_the_clocks() -> None:
    """A clock that was wrong once does not make senders leave before all know that they do."""
    ledger = SqliteLedger(":memory:")
    clock = Clock()
    changed = Lanes(1).changed(4, 1, clock.now // SECOND)
    clock.now += 10 * MARGIN * SECOND
    appender(ledger, clock).append("checkout/0", numbered(1))
    clock.now -= 10 * MARGIN * SECOND
    writer = appender(ledger, clock)
    assert lanes.append(writer, changed.terms(POD, 1), SERVICE, numbered(2)).chain == "checkout/0"
    until = changed.before[0][1]
    for wall in (
        until - 2 * SKEW,
        until - 1,
    ):  # a clock that is a minute behind may still store in the old one
        clock.now = wall * SECOND
        with pytest.raises(Unavailable):
            lanes.append(writer, changed.terms(POD, 1), SERVICE, numbered(3))
        assert lanes.append(writer, changed.terms(POD, 1), SERVICE, numbered(2)).chain == "checkout/0"
    clock.now = until * SECOND
    assert lanes.append(writer, changed.terms(POD, 1), SERVICE, numbered(3)).chain == "checkout/1"
    clock.now -= 2 * SKEW * SECOND  # it has ended for good, also where a clock steps back
    assert lanes.append(writer, changed.terms(POD, 1), SERVICE, numbered(4)).chain == "checkout/1"


@pytest.mark.parametrize("ahead", [10 * MARGIN, MARGIN + SKEW // 2])
def test_clocks_that_are_apart_agree_on_a_chain_whose_time_lies_ahead(ahead: int) -> None:
    """A batch that is sent by a fast clock and again by a slow one, when its lane ends, is stored once."""
    for moment in range(-4 * SKEW, 2 * SKEW, SKEW // 4):
        ledger = SqliteLedger(":memory:")
        fast, slow = Clock(), Clock()
        changed = Lanes(1).changed(4, 1, fast.now // SECOND)
        fast.now += ahead * SECOND
        appender(ledger, fast).append("checkout/0", numbered(1))
        fast.now = (changed.before[0][1] + moment) * SECOND
        slow.now = fast.now - SKEW * SECOND
        for seed, clock in enumerate((fast, slow, fast)):
            with contextlib.suppress(Unavailable):
                lanes.append(appender(ledger, clock, seed), changed.terms(POD, 1), SERVICE, numbered(2))
        stored = [entry for chain in ledger.chains() for entry in entries_of(ledger, chain)]
        assert len(stored) == len(set(stored)), moment


def test_a_number_is_forgotten_once_nobody_begins_anything_by_it() -> None:
    """A lane to which nobody wrote for a month is left out by the next change.

    Who knows of that does not look there; whoever has not read of it yet begins nothing there any more.
    """
    for silent in (FORGET, FORGET + MARGIN, 12 * FORGET):
        ledger = FaultyLedger(SqliteLedger(":memory:"))
        clock = Clock()
        lanes.append(appender(ledger, clock), Lanes(1).terms(POD, 1), SERVICE, numbered(1))
        once = Lanes(1).changed(4, 1, clock.now // SECOND)
        clock.now = (once.before[0][1] + silent) * SECOND
        twice = once.changed(8, 1, clock.now // SECOND + 1)
        assert len(twice.before) == 1
        first = lanes.append(appender(ledger, clock, 2), once.terms(POD, 1), SERVICE, numbered(2))
        clock.now += 2 * SECOND
        assert lanes.append(appender(ledger, clock, 3), twice.terms(POD, 1), SERVICE, numbered(2)) == first


def test_what_was_begun_until_a_silent_lane_ended_is_found() -> None:
    """By a process, too, that knows the lane as it was shortly before: it looks once more."""
    ledger = SqliteLedger(":memory:")
    fast, slow = Clock(), Clock()
    changed = Lanes(1).changed(4, 1, fast.now // SECOND)
    end = changed.before[0][1] + UNSEEN
    fast.now = (end - 100) * SECOND
    writer = appender(ledger, fast)
    with pytest.raises(Unavailable):
        lanes.append(writer, changed.terms(POD, 1), SERVICE, numbered(1))
    slow.now = (end - 2 * SKEW - 1) * SECOND
    first = lanes.append(appender(ledger, slow, 2), changed.terms(POD, 1), SERVICE, numbered(1))
    fast.now = end * SECOND
    assert lanes.append(writer, changed.terms(POD, 1), SERVICE, numbered(1)) == first


def test_before_a_silent_lane_ends_its_first_batch_closes_it() -> None:
    """For weeks it is closed by who comes first; in the two minutes before its end nothing is begun in it."""
    clock = Clock()
    changed = Lanes(1).changed(4, 1, clock.now // SECOND)
    end = changed.before[0][1] + UNSEEN
    for moment, chain in ((-2 * SKEW - 1, "checkout/0"), (-2 * SKEW, ""), (-1, ""), (0, "checkout/1")):
        ledger = SqliteLedger(":memory:")
        clock.now = (end + moment) * SECOND
        with contextlib.suppress(Unavailable):
            lanes.append(appender(ledger, clock), changed.terms(POD, 1), SERVICE, numbered(1))
        assert list(ledger.chains()) == ([chain] if chain else [])


def test_who_has_left_a_lane_does_not_wait_for_those_who_stay() -> None:
    """A write that hangs in the old lane holds up nobody in the new one."""
    ledger = FaultyLedger(SqliteLedger(":memory:"))
    clock = Clock()
    writer = appender(ledger, clock)
    changed = Lanes(1).changed(4, 1, clock.now // SECOND)
    clock.now = (changed.before[0][1] + 1) * SECOND
    for name in (1, 2):
        lanes.append(writer, changed.terms(POD, 1), SERVICE, numbered(name))
    hangs, go_on = threading.Event(), threading.Event()

    def hang(_: int) -> bool:
        hangs.set()
        assert go_on.wait(30)
        return False

    ledger.fails = hang
    stays = threading.Thread(
        target=lanes.append, args=(writer, changed.terms(STAYS, 1), SERVICE, numbered(3)), daemon=True
    )
    stays.start()
    assert hangs.wait(30)
    ledger.fails = lambda _: False
    receipts: list[Receipt] = []
    moved = threading.Thread(
        target=lambda: receipts.append(lanes.append(writer, changed.terms(POD, 1), SERVICE, numbered(4))),
        daemon=True,
    )
    moved.start()
    moved.join(10)
    told = list(receipts)
    go_on.set()
    stays.join(30)
    moved.join(30)
    assert [each.chain for each in told] == ["checkout/1"]


def test_batches_that_are_sent_again_read_an_old_lane_once() -> None:
    """`Sentinel-Since` names the new lane and tells nothing of the old one: a process reads that once."""
    store = SqliteLedger(":memory:")
    clock = Clock()
    changed = Lanes(1).changed(4, 1, clock.now // SECOND)
    writer = appender(store, clock)
    for name in range(1, 202):
        lanes.append(writer, changed.terms(STAYS, 1), SERVICE, numbered(name))
    clock.now = (changed.before[0][1] + 1) * SECOND
    ledger = FaultyLedger(store)
    writer = appender(ledger, clock, 2)
    last = lanes.append(writer, changed.terms(STAYS, 1), SERVICE, numbered(300))
    last = lanes.append(writer, changed.terms(POD, 1), SERVICE, numbered(301))
    costs = []
    for name in range(302, 306):
        ledger.log.clear()
        since = f"{last.first + last.count} {last.chain}"
        last = lanes.append(writer, changed.terms(POD, 1), SERVICE, numbered(name), since=since)
        costs.append(list(ledger.log))
    assert costs == [["at", "at", "at", "append"], ["append"], ["append"], ["append"]]
    again = lanes.append(
        writer, changed.terms(POD, 1), SERVICE, numbered(9), since=f"{last.first} {last.chain}"
    )
    assert (again.chain, again.first) == ("checkout/0", 16)


def tries(world: World, fate: tuple[str, ...], first: int, pause: int, busy: bool, renewed: bool) -> None:
    """Send one batch twice, by two processes, when a number changes, and somebody else's in between.

    `first` is when, in seconds from when it counts; the other try comes `pause` seconds later, while the
    first one is under way. With `busy` others write to the lane that is left. With `renewed` the second one
    has read the record meanwhile, else it has what it had.
    """
    until = world.record.before[-1][1]
    world.now = until + first
    one, other, third = world.processes
    for name, sender in ((1, POD), (2, STAYS), (3, POD)):
        world.sent[name] = sender, wide(name, 1)

    def meanwhile(_: int = 0) -> None:
        world.outcomes = deque()
        world.now += pause
        if busy:
            third.refresh()
            world.send(third.number, 2)
        if renewed:
            other.refresh()
        world.send(other.number, 1)
        world.send(other.number, 3)

    world.outcomes = deque(fate)
    world.meanwhile = [meanwhile]
    world.send(one.number, 1)
    if fate != ("paused",):
        meanwhile()
    world.check()


BOTH = (False, True)
SKEWS = ((0, 0), (30, -30), (-30, 30))
CASES = list(itertools.product(FATES, BEFORE, (1, LEASE, MARGIN), SKEWS, itertools.product(BOTH, BOTH, BOTH)))


@pytest.mark.parametrize("part", range(4))
def test_two_tries_at_the_moment_of_a_change(part: int) -> None:
    """Whenever they come, whatever each process knows, and however late the first one lands: stored once."""
    for fate, first, pause, skews, (known, busy, renewed) in taken(CASES[part::4], 5):
        world = World(SqliteLedger(":memory:"))
        world.change(4, 0, SKEW)
        for process, skew in zip(world.processes, (*skews, 0), strict=True):
            process.skew = skew
        if known:  # else they know what was so when they began
            world.now = world.record.before[-1][1] + first
            for process in world.processes:
                process.refresh()
        world.now = BEGIN
        tries(world, fate, first, pause, busy, renewed)


@pytest.fixture(params=["sqlite", "dynamodb"])
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    """Give an empty ledger of each kind."""
    if request.param == "sqlite":
        yield SqliteLedger(":memory:")
        return
    with dynamodb("ledger") as client:
        yield DynamoLedger(client, "ledger")


def test_a_first_try_that_lands_after_the_second(ledger: Ledger) -> None:
    """The slot that it is aimed at is taken by then, in both stores."""
    world = World(ledger)
    world.change(4, 0, 0)
    world.now += SKEW
    for process in world.processes:
        process.refresh()
    tries(world, FATES[0], -1, 2, busy=False, renewed=True)
    assert {receipt.chain for receipt in world.receipts.values()} == {"checkout/0", "checkout/1"}
