"""Exactly-once append: cost, recognition, races, and every fault at every call."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.core import chain as hashing
from sentinel.core.chain import lane_of
from sentinel.core.segment import Batch, Segment
from sentinel.core.window import WINDOW, Part
from sentinel.errors import Conflict, Tampered, Unavailable
from sentinel.ports import SlotTaken
from sentinel.usecases.append import HOT, SECOND, Receipt
from sentinel.usecases.heads import HEAD_FRESH, SHARED_FRESH, Warm
from tests.faults_ports import FaultyLedger
from tests.usecases.ledger_stores import Archived, SqliteStore, seam
from tests.usecases.ledger_world import DAY, erased
from tests.writers import CHAIN, Clock, appender, entries_of, large, numbered, once, send_all


def test_a_warm_append_is_one_write_and_no_read() -> None:
    """Only the first append of a process reads; each later one is one write request."""
    ledger = FaultyLedger(SqliteLedger(":memory:"))
    writer = appender(ledger)
    writer.append(CHAIN, numbered(1))
    assert ledger.log == ["head", "append"]
    for name in range(2, 6):
        writer.append(CHAIN, numbered(name))
    assert ledger.log == ["head", *["append"] * 5]


def test_a_head_is_read_again_after_five_minutes_or_a_clock_step() -> None:
    """Old slots leave the table, so a head that was held for long, or since the future, is read again."""
    ledger = FaultyLedger(SqliteLedger(":memory:"))
    clock = Clock()
    writer = appender(ledger, clock)
    writer.append(CHAIN, numbered(1))
    for step, reads in ((HEAD_FRESH - 1, 1), (HEAD_FRESH, 2), (-SECOND, 3)):
        clock.now += step
        writer.append(CHAIN, numbered(clock.now % 999983))
        assert ledger.log.count("head") == reads
    assert len(entries_of(ledger)) == 8


@pytest.mark.parametrize(("seconds", "sends"), [(0, 4), (2, 3), (6, 1)])
def test_a_ledger_that_hangs_is_given_up_early(seconds: int, sends: int) -> None:
    """Where a send takes long to fail, the caller is told after seconds, not after as many sends as ever."""
    ledger = SqliteLedger(":memory:")
    clock = Clock()
    calls = []

    def hang(_: Segment) -> None:
        calls.append(clock.now)
        clock.now += seconds * SECOND
        raise Unavailable("no answer")

    writer = appender(ledger, clock)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "append", hang)
        with pytest.raises(Unavailable):
            writer.append(CHAIN, numbered(1))
    assert len(calls) == sends
    assert writer.append(CHAIN, numbered(1)).first == 0


def test_receipts_tell_where_a_batch_stands() -> None:
    """The receipt has chain, first, count, the head after the batch, and its time."""
    ledger = SqliteLedger(":memory:")
    writer = appender(ledger)
    writer.append(CHAIN, numbered(1, 3))
    receipt = writer.append(CHAIN, numbered(2, 2))
    newest = ledger.head(CHAIN)
    assert newest is not None
    assert receipt == Receipt(CHAIN, 3, 2, newest.head, newest.t, (2).to_bytes(16, "big"))
    assert receipt.json()["batch_id"] == "00" * 15 + "02"


@pytest.mark.parametrize("make", [numbered, large])
@pytest.mark.parametrize("later", [0, 1, WINDOW - 4])
def test_the_same_batch_gets_the_same_receipt(make: Callable[[int], Batch], later: int) -> None:
    """A batch that is sent again, to the same writer or a cold one, is answered with its first receipt."""
    ledger = SqliteLedger(":memory:")
    writer = appender(ledger)
    writer.append(CHAIN, numbered(500))
    first = writer.append(CHAIN, make(1))
    for name in range(2, 2 + later):
        writer.append(CHAIN, numbered(name))
    stored = len(entries_of(ledger))
    assert writer.append(CHAIN, make(1)) == first
    assert appender(ledger, seed=9).append(CHAIN, make(1)) == first
    assert len(entries_of(ledger)) == stored


def test_a_batch_id_used_for_something_else_is_refused() -> None:
    """One id for two different batches is the producer's mistake, not a retry, whatever their sizes."""
    ledger = SqliteLedger(":memory:")
    writer = appender(ledger)
    writer.append(CHAIN, numbered(1, 3))
    with pytest.raises(Conflict, match="batch of 3 entries"):
        writer.append(CHAIN, numbered(1, 4))
    other = Batch(numbered(1, 3).batch_id, numbered(2, 3).entries, {})
    for again in (writer, appender(ledger)):
        with pytest.raises(Conflict, match="other entries"):
            again.append(CHAIN, other)
    assert len(entries_of(ledger)) == 3


def test_recognition_can_be_limited_in_time() -> None:
    """With `within`, equal content is a retry for so long, and news afterwards."""
    ledger = SqliteLedger(":memory:")
    clock = Clock()
    writer = appender(ledger, clock)
    first = writer.append(CHAIN, numbered(1), within=60 * SECOND)
    clock.now += 60 * SECOND
    assert writer.append(CHAIN, numbered(1), within=60 * SECOND) == first
    clock.now += 1
    assert writer.append(CHAIN, numbered(1), within=60 * SECOND).first == 2
    assert len(entries_of(ledger)) == 4


def test_a_loser_of_a_race_tries_the_next_slot() -> None:
    """Writers that know nothing of each other take turns by the slots they lose; nothing is lost."""
    ledger = SqliteLedger(":memory:")
    writers = [appender(ledger, seed=seed) for seed in range(3)]
    for name, writer in zip(range(1, 31), itertools.cycle(writers), strict=False):
        writer.append(CHAIN, numbered(name))
    found = entries_of(ledger)
    assert len(found) == len(set(found)) == 60


def test_a_writer_far_behind_reads_the_head() -> None:
    """After two lost slots a writer asks for the head instead of walking through all it missed."""
    inner = SqliteLedger(":memory:")
    behind = FaultyLedger(inner)
    slow, fast = appender(behind), appender(inner, seed=2)
    slow.append(CHAIN, numbered(1))
    for name in range(2, 42):
        fast.append(CHAIN, numbered(name))
    behind.log.clear()
    slow.append(CHAIN, numbered(50))
    assert behind.log == ["append", "append", "head", "append"]


def test_threads_of_one_writer() -> None:
    """Many threads may append to many chains of one appender at once."""
    ledger = SqliteLedger(":memory:")
    writer = appender(ledger)

    def work(thread: int) -> None:
        for name in range(10):
            writer.append(f"s/{thread % 3}", numbered(1000 * (thread + 1) + name))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [entry for lane in range(3) for entry in entries_of(ledger, f"s/{lane}")]
    assert len(found) == len(set(found)) == 120


def test_lanes() -> None:
    """A producer always has the same lane, and producers spread over all lanes."""
    assert lane_of("anything", 1) == 0
    lanes = Counter(lane_of(f"instance-{i}", 8) for i in range(400))
    assert set(lanes) == set(range(8))
    assert lane_of("instance-1", 8) == lane_of("instance-1", 8)


@pytest.mark.parametrize("make", [numbered, large])
@pytest.mark.parametrize("writers", [1, 3])
@pytest.mark.parametrize("applied", [False, True], ids=["unsent", "reply-lost"])
@pytest.mark.parametrize("forever", [False, True], ids=["once", "forever"])
def test_every_request_fails(
    make: Callable[[int], Batch], writers: int, *, applied: bool, forever: bool
) -> None:
    """Let call 1, 2, ... fail until a run is undisturbed: nothing acknowledged is lost, nothing is doubled.

    Afterwards the faults stop and everything is sent once more: then all is there exactly once.
    """
    for k in itertools.count(1):
        inner = SqliteLedger(":memory:")
        ledger = FaultyLedger(inner, (lambda n, k=k: n >= k) if forever else (lambda n, k=k: n == k), applied)  # type: ignore[misc]
        acknowledged = send_all(ledger, writers, make)
        disturbed = ledger.calls >= k
        once(inner, acknowledged, make)
        ledger.fails = lambda _: False
        everything = send_all(ledger, writers, make)
        assert everything == {1, 2, 3, 4}
        once(inner, everything, make)
        assert len(entries_of(inner)) == sum(len(make(name).entries) for name in range(1, 5))
        if not forever:
            assert acknowledged == {1, 2, 3, 4}, "one fault is hidden by the retries"
        if not disturbed:
            assert k > 4
            return


def test_a_chain_that_is_always_taken_is_said_to_be_busy() -> None:
    """Who loses every race for longer than its patience is told to come back, instead of trying for ever."""
    inner = SqliteLedger(":memory:")
    clock = Clock()
    rival = appender(inner, clock, seed=5)
    names = itertools.count(1000)

    class Contended(FaultyLedger):
        def append(self, segment: Segment) -> None:
            rival.append(CHAIN, numbered(next(names)))
            clock.now += SECOND
            super().append(segment)

    with pytest.raises(Unavailable, match="too many others"):
        appender(Contended(inner), clock).append(CHAIN, numbered(1))
    assert appender(inner, clock).append(CHAIN, numbered(1)).count == 2
    found = entries_of(inner)
    assert len(found) == len(set(found))


@pytest.mark.parametrize("make", [numbered, large])
@pytest.mark.parametrize("later", [0, 1])
def test_a_full_receipt_says_what_heads_are_made_of(make: Callable[[int], Batch], later: int) -> None:
    """From salt, prev, t and the entries anybody computes the head; the same batch again has the same."""
    ledger = SqliteLedger(":memory:")
    writer = appender(ledger)
    writer.append(CHAIN, numbered(500))
    batch = make(1)
    first = writer.append(CHAIN, batch, full=True)
    at, prev = 0, first.segments[0].prev
    for piece in first.segments:
        entries = batch.entries[at : at + piece.count]
        assert (piece.first, piece.prev) == (first.first + at, prev)
        prev = hashing.follow(piece.prev, piece.salt, entries, piece.t, "checkout")
        assert prev == piece.head
        at += piece.count
    assert (at, prev) == (first.count, first.head)
    for name in range(2, 2 + later):
        writer.append(CHAIN, numbered(name))
    for again in (writer, appender(ledger, seed=9)):
        assert again.append(CHAIN, make(1), full=True) == first
    assert writer.append(CHAIN, make(1)) == replace(first, segments=()), "only where it is asked for"


def test_a_full_receipt_passes_over_what_others_put_between() -> None:
    """Where another's segment stands between two of the batch, the receipt has the batch's own."""
    inner = SqliteLedger(":memory:")
    rival = appender(inner, seed=5)
    names = itertools.count(1000)

    class Contended(FaultyLedger):
        def append(self, segment: Segment) -> None:
            super().append(segment)
            rival.append(CHAIN, numbered(next(names)))

    receipt = appender(Contended(inner)).append(CHAIN, large(1), full=True)
    assert [each.count for each in receipt.segments] == [
        each.count for each in inner.read(CHAIN) if each.parts[-1][0].batch_id == large(1).batch_id
    ]
    assert receipt.segments[1].first == receipt.segments[0].first + receipt.segments[0].count + 2
    assert appender(inner).append(CHAIN, large(1), full=True) == receipt


@pytest.mark.parametrize("make", [numbered, large])
@pytest.mark.parametrize("applied", [False, True], ids=["unsent", "reply-lost"])
@pytest.mark.parametrize("forever", [False, True], ids=["once", "forever"])
def test_full_receipts_of_a_disturbed_batch_are_those_of_the_ledger(
    make: Callable[[int], Batch], *, applied: bool, forever: bool
) -> None:
    """Whichever call fails, what is answered at last is what stands in the ledger."""
    for k in itertools.count(1):
        inner = SqliteLedger(":memory:")
        ledger = FaultyLedger(inner, (lambda n, k=k: n >= k) if forever else (lambda n, k=k: n == k), applied)  # type: ignore[misc]
        writer = appender(ledger)
        with contextlib.suppress(Unavailable):
            writer.append(CHAIN, make(1), full=True)
        disturbed = ledger.calls >= k
        ledger.fails = lambda _: False
        answered = writer.append(CHAIN, make(1), full=True)
        assert [(each.first, each.head) for each in answered.segments] == [
            (each.first, each.head) for each in inner.read(CHAIN)
        ]
        if not disturbed:
            return


@pytest.mark.parametrize("make", [numbered, large])
@pytest.mark.parametrize("others", [WINDOW, 5 * WINDOW])
def test_a_batch_beyond_the_window_is_found_where_it_may_be(
    make: Callable[[int], Batch], others: int
) -> None:
    """A batch that is sent again after many others is found, where its sender says that it may be."""
    ledger = FaultyLedger(SqliteLedger(":memory:"))
    writer = appender(ledger)
    writer.append(CHAIN, numbered(900))
    first = writer.append(CHAIN, make(1))
    for name in range(2, 2 + others):
        writer.append(CHAIN, numbered(name))
    stored = len(entries_of(ledger))
    for again in (writer, appender(ledger, seed=9)):
        for since in (0, first.first):
            assert again.append(CHAIN, make(1), since=since) == first
    assert len(entries_of(ledger)) == stored
    assert writer.append(CHAIN, make(1), since=first.first + first.count).first == stored, (
        "it looks no farther"
    )


def test_looking_farther_back_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that is not there costs a read for each window back to where it may be, 16 at most."""
    ledger = FaultyLedger(SqliteLedger(":memory:"))
    writer = appender(ledger)
    for name in range(2, 2 + 4 * WINDOW):
        writer.append(CHAIN, numbered(name))
    ledger.log.clear()
    writer.append(CHAIN, numbered(1), since=0)
    assert ledger.log == ["at"] * 3 + ["append"]
    ledger.log.clear()
    at = writer.append(CHAIN, numbered(3_000)).first
    writer.append(CHAIN, numbered(3_001), since=at)
    assert ledger.log == ["append", "append"], "what is in the newest window costs nothing"
    monkeypatch.setattr("sentinel.usecases.stored.FARTHER", 2)
    ledger.log.clear()
    writer.append(CHAIN, numbered(2), since=0)
    assert ledger.log == ["at"] * 2 + ["append"]


def test_a_part_of_a_batch_beyond_the_window_is_completed() -> None:
    """A batch that broke off after its first segment, long ago, is gone on with, and not begun anew."""
    inner = SqliteLedger(":memory:")
    broken = FaultyLedger(inner, lambda n: n > 2, False)
    with pytest.raises(Unavailable):
        appender(broken).append(CHAIN, large(1))
    writer = appender(inner, seed=2)
    for name in range(2, 2 + 2 * WINDOW):
        writer.append(CHAIN, numbered(name))
    receipt = writer.append(CHAIN, large(1), full=True, since=0)
    assert (receipt.first, receipt.count) == (0, 100)
    assert sum(each.count for each in receipt.segments) == 100
    once(inner, {1}, large)


@pytest.mark.parametrize("since", [None, 0])
def test_a_batch_between_an_old_head_and_the_newest_window_is_found(since: int | None) -> None:
    """A writer whose head is windows behind finds what another stored since then, and does not double it."""
    ledger = SqliteLedger(":memory:")
    behind, fast = appender(ledger), appender(ledger, seed=2)
    behind.append(CHAIN, numbered(1))
    fast.append(CHAIN, numbered(2))
    fast.append(CHAIN, numbered(3))
    first = fast.append(CHAIN, numbered(4))
    for name in range(5, 5 + WINDOW):
        fast.append(CHAIN, numbered(name))
    stored = len(entries_of(ledger))
    assert behind.append(CHAIN, numbered(4), since=since) == first
    assert len(entries_of(ledger)) == stored


@pytest.mark.parametrize("cold", [False, True])
def test_a_batch_id_that_another_took_meanwhile_is_refused(*, cold: bool) -> None:
    """Who loses its slot to other entries under its own batch id has stored nothing, and gets no receipt."""
    inner = SqliteLedger(":memory:")
    rival = appender(inner, seed=5)
    rival.append(CHAIN, numbered(9))
    other = Batch(numbered(1).batch_id, numbered(2).entries, {})

    class Contended(FaultyLedger):
        def append(self, segment: Segment) -> None:
            rival.append(CHAIN, other)
            super().append(segment)

    writer = appender(Contended(inner))
    if not cold:
        assert writer.ledger.head(CHAIN) is not None
    with pytest.raises(Conflict, match="other entries"):
        writer.append(CHAIN, numbered(1))
    assert entries_of(inner)[2:] == other.entries


def test_news_with_old_content_are_stored_also_by_who_loses_a_race() -> None:
    """A batch that is too old to be a retry's is not taken for one because others wrote in between."""
    inner = SqliteLedger(":memory:")
    clock = Clock()
    rival = appender(inner, clock, seed=5)
    rival.append(CHAIN, numbered(1), within=60 * SECOND)
    clock.now += 61 * SECOND

    class Contended(FaultyLedger):
        def append(self, segment: Segment) -> None:
            if "append" not in self.log:
                rival.append(CHAIN, numbered(2))
            super().append(segment)

    receipt = appender(Contended(inner), clock).append(CHAIN, numbered(1), within=60 * SECOND)
    assert (receipt.first, len(entries_of(inner))) == (4, 6)


def test_windows_that_were_changed_lead_nowhere() -> None:
    """Records that name no beginning of a batch end in `Tampered` after some reads, not in a walk."""
    ledger = FaultyLedger(SqliteLedger(":memory:"))
    writer = appender(ledger)
    for name in range(1, 300):
        writer.append(CHAIN, numbered(name))
    newest = ledger.head(CHAIN)
    assert newest is not None
    part = Part(numbered(900).batch_id, 2, 98, 100).encode()
    window = b"".join(raw for _, raw in newest.parts[:-1]) + part
    with ledger.inner._db.writing() as connection:  # type: ignore[attr-defined]
        connection.execute("UPDATE segments SET recent = ? WHERE first = ?", (window, newest.first))
    ledger.log.clear()
    opened = newest.opened.entries
    whole = Batch(numbered(900).batch_id, [b"{}"] * 98 + opened, {})
    with pytest.raises(Tampered):
        appender(ledger).append(CHAIN, whole)
    assert ledger.log.count("at") < 12


@pytest.mark.parametrize("when", ["before", "after", "taken"])
@pytest.mark.parametrize("make", [numbered, large])
def test_who_was_held_up_for_days_acknowledges_nothing_that_nobody_reads(
    when: str, make: Callable[[int], Batch]
) -> None:
    """A slot that is empty again because its segment was archived is no slot: the batch goes to the head.

    The writer stands still while its request is on its way, `before` or `after` it was carried out, or finds
    the slot still taken and only those behind it empty.
    """
    store = SqliteStore()
    archive = Archived()
    whole = seam(store.ledger, archive)
    clock = Clock()
    rival = appender(whole, clock, seed=5)

    class Held(FaultyLedger):
        def append(self, segment: Segment) -> None:
            asleep = self.log.count("append") == 0
            if asleep and when != "after":
                self.sleep(segment.first)
            try:
                super().append(segment)
            finally:
                if asleep and when == "after":
                    self.sleep(segment.first)

        def sleep(self, first: int) -> None:
            for name in (2, 3, 4):
                rival.append(CHAIN, numbered(name))
            clock.now += 3 * DAY
            archive.store(CHAIN, list(store.ledger.read(CHAIN))[:-1])
            for segment in archive.read(CHAIN):
                if when != "taken" or segment.first > first:
                    store.remove(segment.first)

    writer = appender(Held(whole), clock)
    receipt = writer.append(CHAIN, make(1))
    rival.append(CHAIN, numbered(8))
    once(whole, {1, 2, 3, 4, 8}, lambda name: make(1) if name == 1 else numbered(name))
    assert writer.append(CHAIN, make(1)) == receipt
    assert writer.append(CHAIN, numbered(9)).first == len(make(1).entries) + 8


@pytest.mark.parametrize("gone", [range(1), range(1, 3), range(3)])
def test_a_batch_that_was_erased_since_is_recognised(gone: range) -> None:
    """A batch sent again after some of it, or all, was erased gets its receipt; others are refused."""
    store = SqliteStore()
    writer = appender(store.ledger)
    receipt = writer.append(CHAIN, numbered(1, 3))
    newest = store.ledger.head(CHAIN)
    assert newest is not None
    store.put(erased(newest, gone))
    for again in (writer, appender(store.ledger, seed=9)):
        assert again.append(CHAIN, numbered(1, 3)) == receipt
    if len(gone) < 3:
        other = Batch(numbered(1).batch_id, numbered(2, 3).entries, {})
        with pytest.raises(Conflict, match="other entries"):
            writer.append(CHAIN, other)


def test_where_others_write_the_head_is_read_before_a_write_is_lost() -> None:
    """Once a slot was lost to another, a head that is not quite new is read, until nobody else wrote."""
    inner, clock = SqliteLedger(":memory:"), Clock()
    ledger = FaultyLedger(inner)
    writer, other = appender(ledger, clock), appender(inner, clock, seed=2)
    names = itertools.count(1)

    def logged(pause: int, by_other: int) -> list[str]:
        for _ in range(by_other):
            other.append(CHAIN, numbered(next(names)))
        clock.now += pause
        ledger.log.clear()
        writer.append(CHAIN, numbered(next(names)))
        return ledger.log

    writer.append(CHAIN, numbered(next(names)))
    assert logged(SHARED_FRESH, 0) == ["append"]
    assert logged(SECOND, 1) == ["append", "head", "append"], "whoever took the slot did so long ago"
    assert logged(SHARED_FRESH, 1) == ["head", "append"]
    assert logged(SHARED_FRESH - 1, 0) == ["append"], "nothing that is this new is read again"
    assert logged(SHARED_FRESH, 0) == ["head", "append"]
    assert logged(SHARED_FRESH, 0) == ["append"], "nobody else wrote"
    assert len(entries_of(inner)) == 2 * (next(names) - 1)


def test_a_slot_that_was_lost_to_a_racer_is_waited_for_longer_each_time() -> None:
    """Jitter grows with the races lost, also over reads of the head; one who was just away does not wait."""
    inner, clock = SqliteLedger(":memory:"), Clock()
    waits: list[float] = []
    rival = appender(inner, clock, seed=5)
    names = itertools.count(1000)

    class Contended(FaultyLedger):
        def append(self, segment: Segment) -> None:
            if len(waits) < 7:
                rival.append(CHAIN, numbered(next(names)))
            super().append(segment)

    writer = appender(Contended(inner), clock)
    writer.jitter, writer.sleep = lambda: 1.0, waits.append
    writer.append(CHAIN, numbered(1))
    assert waits == [0.02, 0.04, 0.08, 0.16, 0.32, 0.32, 0.32]
    waits[:] = [0.0] * 7
    rival.append(CHAIN, numbered(next(names)))
    clock.now += HOT
    writer.append(CHAIN, numbered(2))
    assert len(waits) == 7
    once(inner, {1, 2}, numbered)


class Lossy(FaultyLedger):
    """Loses the answer of the first write from entry 8 on, which lands as `landing` says.

    Never, at once, late (once the slot was looked at) or very late (before the next write).
    """

    landing = ""
    failed = False
    held: Segment | None = None

    def append(self, segment: Segment) -> None:
        """See the class."""
        if self.landing == "very late":
            self._land()
        if self.failed or segment.first < 8:
            return super().append(segment)
        self.failed = True
        self.held = segment
        if self.landing == "at once":
            self._land()
        raise Unavailable("no answer", 1.0)

    def at(self, chain: str, seq: int) -> Segment | None:
        """See the class."""
        found = super().at(chain, seq)
        if self.landing == "late":
            self._land()
        return found

    def _land(self) -> None:
        late, self.held = self.held, None
        if late is not None:
            with contextlib.suppress(SlotTaken):
                self.inner.append(late)


@pytest.mark.parametrize("make", [numbered, large])
@pytest.mark.parametrize("landing", ["never", "at once", "late", "very late"])
def test_a_lost_write_to_a_shared_chain_is_not_doubled(make: Callable[[int], Batch], landing: str) -> None:
    """Where others write, too, the slot is read after a lost answer: whenever that write lands, it is one."""
    inner, clock = SqliteLedger(":memory:"), Clock()
    ledger, other = Lossy(inner), appender(inner, clock, seed=2)
    ledger.landing = landing
    writer = appender(ledger, clock)
    writer.append(CHAIN, numbered(50))
    other.append(CHAIN, numbered(51))
    other.append(CHAIN, numbered(52))
    writer.append(CHAIN, numbered(53))
    ledger.log.clear()
    receipt = writer.append(CHAIN, make(1), full=True)
    assert ledger.log[0] == "at", "it is looked what stands there before anything is sent again"
    assert (receipt.first, ledger.failed) == (8, True)
    assert [each.head for each in receipt.segments] == [
        each.head for each in inner.read(CHAIN) if each.parts[-1][0].batch_id == make(1).batch_id
    ]
    once(inner, {1}, make)
    found = entries_of(inner)
    assert len(found) == len(set(found)) == 8 + len(make(1).entries)


@pytest.mark.parametrize("make", [numbered, large])
def test_a_lost_write_is_found_though_others_wrote_a_window_of_segments_since(
    make: Callable[[int], Batch],
) -> None:
    """The very slot is looked at, not only the newest window: a landed write may be far behind the head."""
    inner, clock = SqliteLedger(":memory:"), Clock()
    ledger, other = Lossy(inner), appender(inner, clock, seed=2)
    ledger.landing = "at once"
    writer = appender(ledger, clock)
    names = itertools.count(1000)

    def busy(_: float) -> None:
        clock.now += SECOND
        for _ in range(WINDOW + 1 if ledger.failed else 0):
            other.append(CHAIN, numbered(next(names)))

    writer.sleep = busy
    for each, name in ((writer, 50), (other, 51), (other, 52), (writer, 53)):
        each.append(CHAIN, numbered(name))
    receipt = writer.append(CHAIN, make(1), full=True)
    assert (receipt.first, ledger.failed) == (8, True)
    found = entries_of(inner)
    assert len(found) == len(set(found)) == 8 + 2 * (next(names) - 1000) + len(make(1).entries)


def test_old_content_does_not_hide_that_a_lost_write_landed() -> None:
    """A lost write is found behind a window of others' also where the same content was stored before."""
    inner, clock = SqliteLedger(":memory:"), Clock()
    ledger, other = Lossy(inner), appender(inner, clock, seed=2)
    writer = appender(ledger, clock)
    for name in (1, 50, 51, 52, 53):
        other.append(CHAIN, numbered(name))
    names = itertools.count(1000)

    def busy(_: float) -> None:
        if ledger.failed and next(names) == 1000:
            for _ in range(WINDOW + 1):
                other.append(CHAIN, numbered(next(names)))
        clock.now += SECOND

    writer.sleep = busy
    writer._warm[CHAIN] = Warm(shared=True)
    clock.now += 61 * SECOND
    ledger.landing = "at once"
    receipt = writer.append(CHAIN, numbered(1), within=60 * SECOND)
    assert (receipt.first, ledger.failed) == (10, True)
    assert entries_of(inner).count(numbered(1).entries[0]) == 2
