"""Records of erasures are looked up for a bounded price, whoever makes others look for them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest

from sentinel.adapters.dynamodb_ledger import DynamoLedger
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.core.payload import CODEC_SEALED
from sentinel.core.segment import Head, Segment
from sentinel.core.tripwire import CHAIN as ALERTS
from sentinel.core.tripwire import Change
from sentinel.errors import Forbidden, Tampered, Unavailable
from sentinel.usecases import erased_memory
from sentinel.usecases.erased import SPAN, Records
from sentinel.usecases.erased_memory import ALLOWANCE, FRESH, LEAST, Memory
from sentinel.usecases.tripwire import Tripwire
from tests.contracts.tables import dynamodb
from tests.verify.world import CHAIN, KEYS, Content, Signer, content, erased, leaves_of, record, written
from tests.writers import Clock, appender


@dataclass
class Counted:
    """A ledger that counts what is asked of it; call number `away` finds it away."""

    inner: SqliteLedger
    calls: int = 0
    segments: int = 0
    away: int = 0
    damaged: set[int] = field(default_factory=set)

    def head(self, chain: str) -> Segment | None:
        self._call()
        return self.inner.head(chain)

    def at(self, chain: str, seq: int) -> Segment | None:
        self._call()
        return self.inner.at(chain, seq)

    def read(self, chain: str, first: int = 0, limit: int | None = None) -> Iterator[Segment]:
        self._call()
        for segment in self.inner.read(chain, first, limit):
            self.segments += 1
            if segment.first in self.damaged:
                raise Tampered(chain, segment.first, "item", "it is no segment")
            yield segment

    def reset(self) -> None:
        self.calls = self.segments = 0

    def _call(self) -> None:
        self.calls += 1
        if self.calls == self.away:
            raise Unavailable("away")


class World:
    """A chain of segments of one entry each, and those who look at it."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.segments = list(segments)
        self.table = SqliteLedger(":memory:")
        for each in self.segments:
            self.table.append(each)
        self.ledger = Counted(self.table)
        self.clock = Clock()
        self.memory = Memory(self.clock)

    @property
    def records(self) -> Records:
        ledger: Any = self.ledger
        return Records(ledger, lambda: KEYS, self.memory)

    def look(self, *places: int) -> list[int | None]:
        """Look at the erasure of each of these entries, nothing else being erased."""
        return [self.records.unrecorded(gone(self.segments[each])) for each in places]

    def append(self, *contents: Content) -> None:
        for each in contents:
            (segment,) = written([each], Head.after(self.segments[-1]))
            self.segments.append(segment)
            self.table.append(segment)

    def record(self, first: int, last: int, leaves: Sequence[bytes] | None = None) -> Content:
        """Return the record of an erasure of these entries."""
        told = leaves_of(self.segments)[first : last + 1] if leaves is None else leaves
        return content(900_000 + len(self.segments), [record(first, last, told)], "erase")


def gone(segment: Segment) -> Segment:
    """Return a segment with all of its entries erased."""
    return erased(segment, segment.first, segment.next)


def plain(count: int, start: int = 0) -> list[Content]:
    """Return segments of one entry."""
    return [content(number, [b'{"n":%d}' % number]) for number in range(start, start + count)]


CONTENTS = plain(600)
SEGMENTS = written(CONTENTS)


@pytest.fixture
def world() -> World:
    """A chain of 600 segments, of which nothing was erased."""
    return World(SEGMENTS)


def test_many_forged_erasures_read_a_chain_once(world: World) -> None:
    """Of many changes without a record each is told, and what stands behind the first is read once."""
    assert world.look(*range(400)) == [each + 1 for each in range(400)]
    assert world.ledger.segments <= 600 + 10
    assert world.ledger.calls <= 400 + 10  # each asks where the chain ends


def test_what_came_since_is_looked_through(world: World) -> None:
    """A record that is appended later is found by reading what is new, and then without reading."""
    assert world.look(7, 8) == [8, 9]
    world.append(*plain(20, 2_000), world.record(5, 9), *plain(20, 3_000))
    world.ledger.reset()
    assert world.look(7) == [None]
    assert world.ledger.segments <= 41 + 5 + 3
    world.ledger.reset()
    assert world.look(5, 6, 8, 9) == [None] * 4
    assert world.ledger.calls == 0
    assert world.look(4, 10) == [5, 11]


def test_nothing_is_looked_through_for_good(world: World) -> None:
    """After ten minutes, or where the clock stepped back, a chain is read again, as it may be mended."""
    world.append(world.record(3, 3), *plain(3, 2_000))
    world.ledger.damaged = {600}
    assert world.look(3) == [4]
    world.ledger.damaged = set()
    for step in (FRESH - 1, 1):
        assert world.look(3) == [4]
        world.clock.now += step
    assert world.look(3) == [None]
    assert world.look(2) == [3]
    world.ledger.reset()
    world.clock.now -= 1
    assert world.look(2) == [3]
    assert world.ledger.segments > 600


def test_what_a_look_costs_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends where the allowance does and says how far it came; later looks go on from there."""
    monkeypatch.setattr(erased_memory, "ALLOWANCE", 1_000_000)
    monkeypatch.setattr(erased_memory, "LEAST", 600_000)
    world.append(world.record(3, 4), *plain(1_000, 2_000))
    came: list[int | None] = []
    reads: list[int] = []
    while not came or came[-1] is not None:
        world.ledger.reset()
        came += world.look(3)
        reads.append(world.ledger.segments)
        assert len(reads) < 30, "it never came to the record"
    steps = [each for each in came if each is not None]
    assert steps == sorted(steps, reverse=True)
    assert steps[0] < len(world.segments) - SPAN
    assert steps[-1] > 600
    assert len(steps) > 2
    assert max(reads[1:]) <= SPAN * 4
    assert sum(reads) <= 1_000 + 40 * len(reads)


def test_an_allowance_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks in however many chains share it; ten minutes later there is another one."""
    clock = Clock()
    memory = Memory(clock)
    assert memory.budget().whole == ALLOWANCE
    for _ in range(3):
        budget = memory.budget()
        budget.use(ALLOWANCE // 2)
        memory.spend(budget)
    assert memory.budget().whole == LEAST
    clock.now += FRESH - 1
    assert memory.budget().whole == LEAST
    clock.now += 1
    assert memory.budget().whole == ALLOWANCE


def test_an_alert_says_how_far_was_looked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An alert of a look that ended early claims nothing of what it did not see, and there is one."""
    for name in ("ALLOWANCE", "LEAST"):  # two steps
        monkeypatch.setattr(erased_memory, name, 1_000_000)
    alerts = SqliteLedger(":memory:")
    wire = Tripwire(None, lambda _: 0, world.records.unrecorded, appender(alerts, world.clock), world.clock)
    change = Change("MODIFY", CHAIN, 3, world.segments[3], gone(world.segments[3]), number="1")
    told = wire.look(change)
    assert f"no signed record from entry {600 - 2 * SPAN} on" in told
    for _ in range(30):
        told = wire.look(change)
    assert told == "entries were erased, and no signed record says so"
    (alert,) = alerts.read(ALERTS)
    assert f"no signed record from entry {600 - 2 * SPAN} on" in orjson.loads(alert.opened.entries[0])["why"]


def test_what_cannot_be_read_hides_nothing_else(world: World) -> None:
    """Records before and behind items that are damaged are found; those are passed over one by one."""
    world.append(world.record(3, 3), *plain(9, 2_000), world.record(4, 4), *plain(9, 3_000))
    world.append(world.record(5, 5), *plain(9, 4_000))
    garbage = replace(world.segments[605], payload=b"garbage")
    assert world.table.replace(garbage, world.segments[605])
    world.ledger.damaged = {603, 604, 612, 625}
    assert world.look(3, 4, 5, 6) == [None, None, None, 7]


def test_records_stand_alone_and_are_the_log_s(world: World) -> None:
    """One among other entries, by another key, of another chain's leaves or before its entries is none."""
    good = world.record(3, 3).opened.entries[0]
    forged = record(4, 4, leaves_of(world.segments[4:5]), Signer("other"))
    world.append(
        content(5_000, [good, b"{}"], "erase"),
        content(5_001, [good]),
        content(5_002, [forged], "erase"),
    )
    assert world.look(3, 4) == [4, 5]


def test_an_untrue_record_is_held_against_the_chain_once(world: World) -> None:
    """One whose digest is of other leaves covers nothing; what it names is read once for all of them."""
    world.append(world.record(100, 499, [bytes(32)]))
    assert world.look(*range(100, 300)) == [each + 1 for each in range(100, 300)]
    assert world.ledger.segments <= 600 + 400 + 20
    world.append(world.record(100, 499))
    assert world.look(*range(100, 300)) == [None] * 200


def test_leaves_that_cannot_be_told_end_a_check(world: World) -> None:
    """A damaged segment among those that a record names: nothing behind it is read for that record."""
    world.append(world.record(0, 549))
    damaged = replace(world.segments[20], payload=b"garbage")
    assert world.table.replace(damaged, world.segments[20])
    assert world.look(400, 401) == [401, 402]
    assert world.ledger.segments <= 210 + 30


def test_a_step_that_gets_dear_is_left_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps grow by what was cheap; one that comes upon large segments ends not far beyond the allowance."""
    monkeypatch.setattr(erased_memory, "ALLOWANCE", LEAST)
    rng = random.Random(7)
    large = [content(n, [b'{"n":"%s"}' % rng.randbytes(20_000).hex().encode()]) for n in range(200)]
    world = World(written(large + plain(200, 1_000)))
    (found,) = world.look(0)
    assert found is not None
    assert world.memory._used < 2 * LEAST + 200_000
    assert world.ledger.segments < 300


def test_a_short_record_is_held_against_the_chain_whatever_is_spent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only one of very many entries counts by its signature alone."""
    monkeypatch.setattr(erased_memory, "ALLOWANCE", 1)
    monkeypatch.setattr(erased_memory, "LEAST", 1)
    world.append(world.record(3, 9, [bytes(32)]), world.record(12, 14))
    assert [found is None for found in world.look(3, 12)] == [False, True]


def test_a_change_is_judged_by_what_it_was(world: World) -> None:
    """Somebody who damages a segment after it was erased makes no alert of the erasure."""
    world.append(world.record(3, 9))
    assert world.table.replace(replace(world.segments[5], payload=b"garbage"), world.segments[5])
    assert world.look(5) == [None]


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks that may hash the leaves of some segments each."""
    monkeypatch.setattr(erased_memory, "ALLOWANCE", 600_000)
    monkeypatch.setattr(erased_memory, "LEAST", 100_000)
    monkeypatch.setattr("sentinel.usecases.erased.LEAST", 100_000)


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("true", [True, False])
def test_a_record_of_very_many_counts_until_its_digest_is_known(world: World, true: bool) -> None:
    """It is signed, so it counts; each look hashes some more, and none of it twice."""
    world.append(world.record(0, 549, None if true else [bytes(32)]))
    found = []
    for at in range(40):
        world.ledger.reset()
        found += world.look(at)
        assert world.ledger.segments <= 250
    assert found[:5] == [None] * 5
    if true:
        assert found == [None] * 40
        assert world.ledger.calls == 0, "it was not worked through"
    else:
        assert found[-1] is not None


@pytest.mark.parametrize("away", range(1, 13))
def test_a_store_that_is_away_changes_no_answer(world: World, away: int) -> None:
    """Whichever call fails, looking again finds what is there."""
    world.append(world.record(2, 500), *plain(200, 2_000))
    world.ledger.away = away
    failed = 0
    for wanted in (None, 502):
        for _ in range(2):
            try:
                assert world.look(2 if wanted is None else 501) == [wanted]
                break
            except Unavailable:
                failed += 1
    assert failed == (world.ledger.calls >= away)


def test_a_check_that_was_disturbed_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was hashed before a store went away is not hashed again."""
    world.append(world.record(0, 549))
    read, seen = Counted.read, list[int]()

    def breaking(self: Counted, chain: str, first: int = 0, limit: int | None = None) -> Iterator[Segment]:
        for segment in read(self, chain, first, limit):
            if segment.first == 400 and 400 not in seen and limit is None:
                seen.append(400)
                raise Unavailable("away")
            if limit is None:
                seen.append(segment.first)
            yield segment

    monkeypatch.setattr(Counted, "read", breaking)
    with pytest.raises(Unavailable):
        world.look(549)
    assert world.look(549) == [None]
    assert len(seen) == len(set(seen)) + 1


def test_what_was_encrypted_anew_meanwhile_is_read_again(world: World) -> None:
    """A record whose data key was destroyed after it was read is read as it is now."""
    world.append(world.record(3, 3))
    stored, opened = world.segments[-1], list[str]()

    class Keys:
        def open(self, segment: Segment) -> bytes:
            opened.append(segment.key)
            if segment.key == "old":
                raise Forbidden("it was destroyed")
            return stored.payload

    sealed = replace(stored, key="old", codec=stored.codec | CODEC_SEALED, opener=Keys())
    now = replace(sealed, key="new")

    class Racing(Counted):
        def read(self, chain: str, first: int = 0, limit: int | None = None) -> Iterator[Segment]:
            found = super().read(chain, first, limit)
            return (sealed if each.first == sealed.first else each for each in found)

        def at(self, chain: str, seq: int) -> Segment | None:
            return now if seq == now.first else super().at(chain, seq)

    world.ledger = Racing(world.table)
    assert world.look(3) == [None]
    assert opened == ["old", "new"]


@pytest.mark.parametrize(("name", "most"), [("CHAINS", 1), ("RECORDS", 2), ("STRETCHES", 1), ("CHECKS", 1)])
def test_what_is_remembered_is_bounded_and_changes_no_answer(
    monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    """With next to no memory all is found, for more reads."""
    monkeypatch.setattr(erased_memory, name, most)
    world = World(SEGMENTS[:40])
    for at in range(0, 30, 2):
        world.append(world.record(at, at))
    other = replace(world.segments[0], chain="other/0")
    wanted = [None if at % 2 == 0 else at + 1 for at in range(30)]
    for _ in range(2):
        assert world.look(*range(30)) == wanted
        assert world.records.unrecorded(erased(other, 0, 0)) == 1
    known = world.memory
    assert len(known._chains) <= erased_memory.CHAINS
    for each in known._chains.values():
        assert len(each.records) <= erased_memory.RECORDS
        assert len(each.covered) <= erased_memory.RECORDS
        assert len(each.looked) <= erased_memory.STRETCHES


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(each, marks=pytest.mark.nightly) for each in range(2, 40))]
)
def test_any_chain_is_looked_through_as_a_whole_one(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With small budgets, in any order, while it grows: what is answered in the end is what the chain has."""
    rng = random.Random(seed)
    monkeypatch.setattr(erased_memory, "ALLOWANCE", rng.choice([1, 700_000, 10**9]))
    monkeypatch.setattr(erased_memory, "LEAST", rng.choice([1, 600_000]))
    monkeypatch.setattr("sentinel.usecases.erased.SPAN", rng.choice([1, 5, 50]))
    world = World(SEGMENTS[:20])
    named: list[tuple[int, int, int, bool]] = []
    for number in range(1_000, 1_070):
        if rng.random() < 0.3:
            first = rng.randrange(len(world.segments))
            last = min(first + rng.randrange(6), len(world.segments) - 1)
            true = rng.random() < 0.8
            named.append((len(world.segments), first, last, true))
            world.append(world.record(first, last, None if true else [bytes(32)]))
        else:
            world.append(*plain(1, number))
        world.look(rng.randrange(len(world.segments)))
    for at in range(len(world.segments)):
        wanted = any(first <= at <= last < seq and true for seq, first, last, true in named)
        final = None if wanted else at + 1
        looks = (world.look(at)[0] for _ in range(200))
        assert final in looks  # and what came before was that it had not looked everywhere
        assert world.look(at) == [final]
        assert world.records.cover(gone(world.segments[at])) == wanted


def test_a_head_that_nobody_can_have_written_costs_little(world: World) -> None:
    """A segment that somebody put behind all others, far out, keeps nobody reading."""
    far = replace(world.segments[-1], first=2**62, count=2**62 + 5_000)
    world.table.append(far)
    (found,) = world.look(3)
    assert found is not None
    assert world.ledger.calls < 60
    assert world.ledger.segments < 1_400


def test_dynamodb_is_looked_through_as_sqlite_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """In steps of a few items each: records are found, and what has none is told."""
    monkeypatch.setattr("sentinel.usecases.erased.SPAN", 4)
    world = World(SEGMENTS[:20])
    world.append(world.record(2, 5), *plain(15, 2_000), world.record(9, 9), *plain(5, 3_000))
    with dynamodb("ledger") as client:
        table = DynamoLedger(client, "ledger")
        for each in world.segments:
            table.append(each)
        records = Records(table, lambda: KEYS, Memory(world.clock))
        found = [records.unrecorded(gone(each)) for each in world.segments[:12]]
    assert found == [1, 2, None, None, None, None, 7, 8, 9, None, 11, 12]
    assert world.look(*range(12)) == found
