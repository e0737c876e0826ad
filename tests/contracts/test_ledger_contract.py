"""The contract of `ports.Ledger`, on SQLite and on DynamoDB."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

from sentinel.adapters.dynamodb_ledger import DynamoLedger
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.core.segment import Segment
from sentinel.core.verify import Verifier
from sentinel.errors import Unavailable
from sentinel.ports import Ledger, SlotTaken
from sentinel.usecases.append import Appender
from tests.chains import grow
from tests.contracts.tables import dynamodb
from tests.writers import appender, entries_of, numbered, once, send_all


@dataclass
class Requests:
    """The requests that a DynamoDB client sends: counted, and failing on demand."""

    seen: list[str] = field(default_factory=list)
    fail: str = ""  # "", "unsent" or "reply-lost"
    which: Callable[[int], bool] = lambda _: True

    def attach(self, client: Any) -> None:
        """Look at every request on its way out and at every answer on its way in."""
        client.meta.events.register("request-created.dynamodb", self._out)
        client.meta.events.register("before-parse.dynamodb", self._in)

    def _out(self, request: Any, operation_name: str, **_: Any) -> None:
        self.seen.append(operation_name)
        if self.fail == "unsent" and self.which(len(self.seen)):
            raise ConnectTimeoutError(endpoint_url=request.url)

    def _in(self, **_: Any) -> None:
        if self.fail == "reply-lost" and self.which(len(self.seen)):
            raise ReadTimeoutError(endpoint_url="https://dynamodb")


@pytest.fixture
def requests() -> Requests:
    """What is sent to DynamoDB; empty for SQLite."""
    return Requests()


@pytest.fixture(params=["sqlite", "dynamodb"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path, requests: Requests) -> Iterator[Ledger]:
    """An empty ledger of each kind."""
    if request.param == "sqlite":
        yield SqliteLedger(tmp_path / "ledger.db")
        return
    with dynamodb("ledger") as client:
        requests.attach(client)
        yield DynamoLedger(client, "ledger")


def test_an_empty_chain(ledger: Ledger) -> None:
    """A chain without entries has no head, no segments and no name in the list."""
    assert ledger.head("a/0") is None
    assert ledger.at("a/0", 0) is None
    assert list(ledger.read("a/0")) == []
    assert list(ledger.chains()) == []


def test_segments_come_back_as_they_were(ledger: Ledger) -> None:
    """Every attribute of a segment survives, whatever bytes it holds, and in order."""
    segments = grow("決済/3", [[b'{"a":1}', b'{"b":"\xf0\x9f\x92\xa5"}'], [b"{}"], [b"{}"]])
    for segment in segments:
        ledger.append(segment)
    assert list(ledger.read("決済/3")) == segments
    assert ledger.head("決済/3") == segments[-1]
    Verifier("決済/3").check_all(ledger.read("決済/3"))


def test_read_from_and_limit(ledger: Ledger) -> None:
    """`read` begins at the first segment whose `first` is at least that number, to the limit."""
    segments = grow("a/0", [[b"{}"] * 3] * 5)
    for segment in segments:
        ledger.append(segment)
    assert list(ledger.read("a/0", 3, 2)) == segments[1:3]
    assert list(ledger.read("a/0", 4)) == segments[2:]
    assert list(ledger.read("a/0", 0, 0)) == []
    assert list(ledger.read("a/0", 99)) == []


def test_at_finds_the_segment_of_an_entry(ledger: Ledger) -> None:
    """`at` gives the segment that holds an entry, and None beyond the end."""
    segments = grow("a/0", [[b"{}"] * 3, [b"{}"] * 2])
    for segment in segments:
        ledger.append(segment)
    assert [ledger.at("a/0", seq) for seq in range(6)] == [segments[0]] * 3 + [segments[1]] * 2 + [None]


def test_a_taken_slot_brings_the_segment_that_took_it(ledger: Ledger) -> None:
    """A second append to a slot changes nothing and shows what stands there, also when it is the same."""
    first = grow("a/0", [[b'{"one":1}']], seed=1)[0]
    second = grow("a/0", [[b'{"two":2}']], seed=2)[0]
    ledger.append(first)
    for late in (second, first):
        with pytest.raises(SlotTaken) as taken:
            ledger.append(late)
        assert taken.value.segment == first
    assert list(ledger.read("a/0")) == [first]


def test_of_many_writers_to_one_slot_one_wins(ledger: Ledger) -> None:
    """Concurrent appends to one slot: exactly one returns, all others see the winner."""
    rivals = [grow("a/0", [[b'{"w":%d}' % seed]], seed=seed)[0] for seed in range(6)]
    won: list[Segment] = []
    seen: list[Segment] = []
    gate = threading.Barrier(len(rivals))

    def write(segment: Segment) -> None:
        gate.wait()
        try:
            ledger.append(segment)
            won.append(segment)
        except SlotTaken as taken:
            seen.append(taken.segment)

    threads = [threading.Thread(target=write, args=(rival,)) for rival in rivals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert seen == won * (len(rivals) - 1)


def test_chains_are_listed_once(ledger: Ledger) -> None:
    """Every chain is listed, once, however many segments it has."""
    for chain in ("b/0", "a/0", "a/1"):
        for segment in grow(chain, [[b"{}"]] * 3):
            ledger.append(segment)
    assert sorted(ledger.chains()) == ["a/0", "a/1", "b/0"]


def test_the_largest_segment_fits(ledger: Ledger) -> None:
    """A segment at the stored limit is one item."""
    segment = replace(grow("a/0", [[b"{}"]])[0], payload=bytes(350_000))
    ledger.append(segment)
    assert ledger.head("a/0") == segment


def test_more_than_a_page(ledger: Ledger) -> None:
    """Reading goes on over the pages of a store: 1 MB in DynamoDB, 64 segments in SQLite."""
    segments = [
        replace(each, payload=bytes([number]) * 20_000)
        for number, each in enumerate(grow("a/0", [[b"{}"]] * 70))
    ]
    for segment in segments:
        ledger.append(segment)
    assert list(ledger.read("a/0")) == segments


def test_appends_through_the_use_case(ledger: Ledger) -> None:
    """Three writers that do not know of each other append to one chain; it verifies and holds each once."""
    writers: list[Appender] = [appender(ledger, seed=seed) for seed in range(3)]
    for name in range(12):
        writers[name % 3].append("checkout/0", numbered(name + 1))
    found = entries_of(ledger)
    assert len(found) == len(set(found)) == 24


@pytest.mark.parametrize("ledger", ["dynamodb"], indirect=True)
def test_a_warm_append_is_one_write_request(ledger: Ledger, requests: Requests) -> None:
    """On the wire, a warm and uncontended append is exactly one PutItem and nothing else."""
    writer = appender(ledger)
    writer.append("checkout/0", numbered(1))
    assert requests.seen == ["Query", "PutItem"]
    requests.seen.clear()
    for name in range(2, 5):
        writer.append("checkout/0", numbered(name))
    assert requests.seen == ["PutItem"] * 3


@pytest.mark.parametrize("ledger", ["dynamodb"], indirect=True)
@pytest.mark.parametrize("fault", ["unsent", "reply-lost"])
def test_lost_requests_and_replies(ledger: Ledger, requests: Requests, fault: str) -> None:
    """A lost request or reply is `Unavailable`; sent again, the batch is there once with one receipt."""
    writer = appender(ledger)
    writer.append("checkout/0", numbered(1))
    requests.fail = fault
    with pytest.raises(Unavailable):
        writer.append("checkout/0", numbered(2))
    requests.fail = ""
    receipt = writer.append("checkout/0", numbered(2))
    assert writer.append("checkout/0", numbered(2)) == receipt
    assert (receipt.first, len(entries_of(ledger))) == (2, 4)


@pytest.mark.parametrize("writers", [1, 3])
@pytest.mark.parametrize("fault", ["unsent", "reply-lost"])
@pytest.mark.parametrize("forever", [False, True], ids=["once", "forever"])
def test_every_request_to_dynamodb_fails(writers: int, fault: str, *, forever: bool) -> None:
    """Let request 1, 2, ... fail below the SDK: nothing acknowledged is lost, no batch is doubled."""
    for k in itertools.count(1):
        requests = Requests(fail=fault)
        requests.which = (lambda n, k=k: n >= k) if forever else (lambda n, k=k: n == k)  # type: ignore[misc]
        with dynamodb("ledger") as client:
            requests.attach(client)
            ledger = DynamoLedger(client, "ledger")
            acknowledged = send_all(ledger, writers, numbered)
            disturbed = len(requests.seen) >= k
            requests.fail = ""
            once(ledger, acknowledged, numbered)
            assert send_all(ledger, writers, numbered) == {1, 2, 3, 4}
            once(ledger, {1, 2, 3, 4}, numbered)
            assert len(entries_of(ledger)) == 8
        if not disturbed:
            assert k > 4
            return


@pytest.mark.parametrize("ledger", ["sqlite"], indirect=True)
def test_every_change_is_noted_in_order(ledger: SqliteLedger, tmp_path: Path) -> None:
    """The change feed tells of each segment, and of a row that somebody changed or removed by hand."""
    import sqlite3

    for segment in grow("a/0", [[b"{}"]] * 2):
        ledger.append(segment)
    connection = sqlite3.connect(tmp_path / "ledger.db")
    with connection:
        connection.execute("UPDATE segments SET t = 5 WHERE first = 1")
        connection.execute("DELETE FROM segments WHERE first = 0")
    connection.close()
    changes = [(each.seq, each.kind, each.first) for each in ledger.changes(0, 10)]
    assert changes == [(1, "INSERT", 0), (2, "INSERT", 1), (3, "MODIFY", 1), (4, "REMOVE", 0)]
    assert [each.seq for each in ledger.changes(2, 1)] == [3]
