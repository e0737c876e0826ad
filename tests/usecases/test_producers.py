"""The report on producers: what never came, what came twice or late, over all lanes of a service."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.core.numbering import Numbering
from sentinel.core.payload import CODEC_ERASED, Opened
from sentinel.core.segment import Batch, Head, Segment
from sentinel.core.verify import Verifier
from sentinel.errors import Malformed, Missing, Tampered
from sentinel.usecases import producers as module
from sentinel.usecases.append import SECOND, Appender
from sentinel.usecases.ingest import Ingest, Origin
from sentinel.usecases.producers import Producers, Track
from tests.writers import Clock, appender


class Bench:
    """A ledger and what producers send to it. Numbers are those of entries; each is stored as its number."""

    def __init__(self) -> None:
        self.ledger = SqliteLedger(":memory:")
        self.clock = Clock()
        self.writer: Appender = appender(self.ledger, self.clock)
        self.names = itertools.count(1)

    def send(
        self, first: int, count: int = 1, producer: str = "p", chain: str = "s/0", start: int = 0
    ) -> None:
        """Store a batch; `start` tells one start of the producer from another."""
        self.clock.now += SECOND
        entries = [b'{"n":%d,"s":%d}' % (number, start) for number in range(first, first + count)]
        name = next(self.names).to_bytes(16, "big")
        self.writer.append(chain, Batch(name, entries, {"service": "s"}, Numbering(producer, first)))

    def track(self, producer: str = "p", chain: str | None = None) -> Track:
        """Return what is reported of one producer."""
        found = Producers(self.ledger).report("s", chain)
        return next(each for each in found.tracks if each.producer == producer)

    def gaps(self, producer: str = "p") -> list[tuple[int, int]]:
        """Return the gaps that are reported, as first and last."""
        return [(each.first, each.end - 1) for each in self.track(producer).listed()]


@pytest.fixture
def bench() -> Bench:
    """An empty one."""
    return Bench()


def test_what_never_came_is_reported_with_where_that_was_seen(bench: Bench) -> None:
    """A batch that did not arrive is a gap, noticed at the segment behind it; others have none."""
    bench.send(0, 5)
    bench.send(0, 3, "q")
    bench.send(9, 2)
    track = bench.track()
    assert bench.gaps() == [(5, 8)]
    assert (track.missing, track.next, track.entries, track.repeated) == (4, 11, 7, 0)
    gap = track.listed()[0]
    assert (gap.chain, gap.entry, gap.t) == ("s/0", 8, bench.clock.now)
    assert bench.gaps("q") == []
    assert not Producers(bench.ledger).report().whole


def test_the_beginning_is_missed_too(bench: Bench) -> None:
    """Numbers begin with 0: a first batch that never came is a gap as any."""
    bench.send(7)
    assert bench.gaps() == [(0, 6)]


def test_what_came_before_producers_were_numbered_is_no_gap(bench: Bench) -> None:
    """A sender whose entries are there without numbers may go on with any."""
    name = (999).to_bytes(16, "big")
    bench.writer.append("s/0", Batch(name, [b"{}"], {"service": "s", "instance": "p"}))
    bench.send(70)
    assert bench.gaps() == []


def test_what_comes_late_fills_its_gap(bench: Bench) -> None:
    """A gap is what is missing in the end: a late batch takes its numbers out of it, and is told as late."""
    for first in (0, 10, 4, 2):
        bench.send(first, 2)
    assert bench.gaps() == [(6, 9)]
    assert (bench.track().backwards, bench.track().repeated) == (2, 0)


def test_what_is_stored_twice_is_told(bench: Bench) -> None:
    """The same numbers in two batches are repeats; what of them was missing is not."""
    bench.send(0, 4)
    bench.send(6, 2)
    bench.send(2, 5)
    track = bench.track()
    assert (track.repeated, track.missing, track.next) == (3, 0, 8)
    assert [(each.first, each.end) for each in track.repeats] == [(2, 7)]
    assert Producers(bench.ledger).report().whole


def test_a_producer_that_begins_anew_is_told_from_a_repeat(bench: Bench) -> None:
    """Number 0 with another entry is a new start, whose gaps count; with the same it is a repeat."""
    bench.send(0, 4)
    bench.send(6, 1)
    bench.send(0, 4)
    assert (bench.track().restarts, bench.track().repeated) == (0, 4)
    bench.send(0, 2, start=1)
    bench.send(3, 1, start=1)
    track = bench.track()
    assert (track.restarts, track.repeated, track.next) == (1, 4, 4)
    assert bench.gaps() == [(4, 5), (2, 2)]


def test_lanes_of_a_service_are_one(bench: Bench) -> None:
    """A producer that moved to another lane has no gap; of one chain alone it looks so."""
    for first, chain in ((0, "s/0"), (2, "s/3"), (4, "s/10"), (6, "s/0")):
        bench.send(first, 2, chain=chain)
    assert bench.gaps() == []
    assert bench.track().lanes == {"s/0", "s/3", "s/10"}
    assert bench.track(chain="s/0").missing == 4


def test_services_are_apart(bench: Bench) -> None:
    """The same producer's name in two services is two producers."""
    bench.send(0, 2)
    bench.send(2, 2, chain="t/0")
    found = Producers(bench.ledger).report()
    assert [(each.service, each.missing) for each in found.tracks] == [("s", 0), ("t", 2)]
    assert [each.service for each in Producers(bench.ledger).report("t").tracks] == ["t"]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 8), st.integers(0, 2)), max_size=25))
def test_gaps_are_what_is_missing(sent: list[tuple[int, int, int]]) -> None:
    """Against a model that keeps every number: gaps are those missing, repeats those counted twice."""
    bench, counted = Bench(), Counter[int]()
    for first, count, lane in sent:
        bench.send(first, count, chain=f"s/{lane}")
        counted.update(range(first, first + count))
    if not sent:
        return
    track = bench.track()
    missing = {number for gap in track.listed() for number in range(gap.first, gap.end)}
    assert missing == set(range(max(counted) + 1)) - set(counted)
    assert track.missing == len(missing)
    assert track.repeated == counted.total() - len(counted)
    assert track.restarts == 0


def test_memory_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gaps beyond those that are listed are counted; so are segments of producers beyond those kept."""
    monkeypatch.setattr(module, "LISTED", 3)
    monkeypatch.setattr(module, "PRODUCERS", 2)
    for first in range(1, 21, 2):
        bench.send(first)
    for first in (1, 3, 5, 7):
        bench.send(first)
    for name in ("q", "r", "r"):
        bench.send(0, 1, name)
    track = bench.track()
    assert (len(track.listed()), track.unlisted, track.missing, len(track.repeats)) == (3, 7, 10, 3)
    found = Producers(bench.ledger).report()
    assert (len(found.tracks), found.passed_over, found.whole) == (2, 2, False)


def erased(segment: Segment) -> Segment:
    """Return a segment whose entries were all erased: context and nonce went, too."""
    leaves = segment.opened.leaves()
    payload = Opened(bytes(32), b"{}", [b""] * segment.count, dict(enumerate(leaves))).pack()
    return replace(segment, payload=payload, codec=segment.codec | CODEC_ERASED)


class Erasing:
    """The read side of a ledger of which some segments were erased, by the number of their first entry."""

    def __init__(self, inner: SqliteLedger, firsts: set[int]) -> None:
        self.chains = inner.chains
        self._inner, self._firsts = inner, firsts

    def read(self, chain: str) -> object:
        """Yield the segments."""
        for each in self._inner.read(chain):
            yield erased(each) if each.first in self._firsts else each


def test_what_was_erased_is_not_lost(bench: Bench) -> None:
    """A gap where at least as many entries were erased is told as such, once; a larger one is a loss."""
    for first in range(0, 12, 2):
        bench.send(first, 2)
    bench.send(0, 2, "q")
    bench.send(4, 2, "q")
    ledger: object = Erasing(bench.ledger, {2, 4})
    found = Producers(ledger).report("s")  # type: ignore[arg-type]
    p, q = found.tracks
    assert [(each.first, each.end, each.erased) for each in p.listed()] == [(2, 6, True)]
    assert (p.missing, q.missing) == (0, 2), "what one gap was put down to is nobody else's"
    assert p.json()["gaps"] == [p.listed()[0].json()]
    assert p.listed()[0].json()["erased"] is True
    ledger = Erasing(bench.ledger, {2})
    assert Producers(ledger).report("s").tracks[0].missing == 0  # type: ignore[arg-type]


def test_a_chain_that_is_not_whole_proves_nothing(bench: Bench) -> None:
    """Every segment is verified: from a changed one no report is made."""
    bench.send(0, 2)
    bench.send(2, 2)

    class Changed(Erasing):
        def read(self, chain: str) -> object:
            for each in self._inner.read(chain):
                yield replace(each, t=each.t + 1)

    with pytest.raises(Tampered):
        Producers(Changed(bench.ledger, set())).report("s")  # type: ignore[arg-type]
    with pytest.raises(Missing):
        Producers(bench.ledger).report("nobody")
    with pytest.raises(Missing):
        Producers(bench.ledger).report(chain="s/9")


def test_a_damaged_service_hides_no_other(bench: Bench) -> None:
    """Of several services the one whose chain is damaged is named, and the gaps of the others are told."""
    bench.send(0)
    bench.send(3)
    bench.send(0, chain="r/0")
    (segment,) = bench.ledger.read("r/0")
    other = SqliteLedger(":memory:")
    for each in (replace(segment, t=segment.t + 1), *bench.ledger.read("s/0")):
        other.append(each)
    found = Producers(other).report()
    assert [(each.service, each.missing) for each in found.tracks] == [("s", 2)]
    assert list(found.unread) == ["r"] == list(found.json()["unread"])  # type: ignore[call-overload]
    assert not found.whole
    for of in ({"service": "r"}, {"chain": "r/0"}):
        with pytest.raises(Tampered):
            Producers(other).report(**of)
    assert Producers(other).report("s").unread == {}


def test_headers_become_context(bench: Bench) -> None:
    """Both headers are in the context, refused lines beside them, and all numbers are accounted for."""
    ingest = Ingest(bench.writer)
    headers = {"sentinel-producer": "p", "sentinel-sequence": "0"}
    ingest.entries(
        Origin("s", "/v1/entries", "a", encryption="store"),
        b'[]\n{}\n\n{}\nx\n{"a":1}',
        headers,
        partial=True,
    )
    ingest.entries(
        Origin("s", "/v1/entries", "b", encryption="store"), b"{}", {**headers, "sentinel-sequence": "5"}
    )
    contexts = [orjson.loads(each.opened.context) for each in bench.ledger.read("s/0")]
    assert [(each["producer"], each["sequence"], each.get("refused")) for each in contexts] == [
        ("p", 0, [[0, 0], [3, 3]]),
        ("p", 5, None),
    ]
    track = bench.track()
    assert (track.missing, track.refused, track.entries, track.next) == (0, 2, 4, 6)


def test_nothing_is_stored_with_bad_headers(bench: Bench) -> None:
    """A bad number refuses the request as a whole, before anything is stored or taken of a limit."""
    taken: list[int] = []
    for headers in ({"sentinel-producer": "p"}, {"sentinel-producer": "p", "sentinel-sequence": "x"}):
        with pytest.raises(Malformed):
            Ingest(bench.writer).entries(
                Origin("s", "/v1/entries", "a", encryption="store"),
                b"{}",
                headers,
                admit=lambda n, _: taken.append(n),
            )
    assert (list(bench.ledger.chains()), taken) == ([], [])


def test_a_batch_that_was_cut_short_goes_on_with_its_numbers(bench: Bench) -> None:
    """Of a batch in several segments each has its own numbers: no gap between them, and one behind."""
    rng = random.Random(2)
    large = [b'{"m":"%s"}' % rng.randbytes(9_000).hex().encode() for _ in range(100)]
    bench.writer.append("s/0", Batch(bytes(16), large, {"service": "s"}, Numbering("p", 0)))
    bench.send(101)
    assert len(list(bench.ledger.read("s/0"))) > 2
    assert bench.gaps() == [(100, 100)]


@pytest.mark.parametrize(
    "told",
    [
        {"producer": "p", "sequence": 1, "refused": 5},
        {"producer": "p", "sequence": 1, "refused": [[1]]},
        {"producer": "p", "sequence": 1, "refused": [["a", "b"]]},
        {"producer": "p", "sequence": 1, "refused": [[9, 2]]},
        {"producer": "p", "sequence": -1},
    ],
)
def test_a_context_that_is_none_of_ours_is_tampered_with(bench: Bench, told: dict[str, object]) -> None:
    """Who can write the table may give a segment any context that its head commits to: that is said."""
    draft = Batch(bytes(16), [b"{}"], told).draft(0, bytes(32))
    bench.ledger.append(draft.place("s/0", Head.genesis("s/0"), SECOND)[0])
    Verifier("s/0").check_all(bench.ledger.read("s/0"))
    with pytest.raises(Tampered, match="context"):
        Producers(bench.ledger).report("s")


def test_an_instance_that_is_no_text_does_not_end_a_report(bench: Bench) -> None:
    """It is of a segment without numbers, of which nothing is reported."""
    bench.writer.append("s/0", Batch(bytes(16), [b"{}"], {"service": "s", "instance": [1]}))
    bench.send(0)
    assert bench.gaps() == []
