"""The targets that deliveries are measured with: what they take, count and answer, and how fast they are."""

from __future__ import annotations

import gzip
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from benchmarks.delivery_targets import KINDS, SECRET, Bulk, Hec, Mood, Served, Target
from sentinel.adapters.hosts import Hosts
from sentinel.adapters.http import HttpClient
from sentinel.errors import Unavailable
from sentinel.ports import HttpRequest, HttpResponse
from sentinel.siem.elastic import ElasticConfig, ElasticSink
from sentinel.siem.sink import Batch, Delivered, Item, Notice, Outcome, Partly, RetryAfter, Sink
from sentinel.siem.splunk import SplunkConfig, SplunkSink
from tests.loopback import Asked, Told

ROOT = Path(__file__).resolve().parents[2]
URL = "http://127.0.0.1:9"
KIND = pytest.mark.parametrize("kind", KINDS)


def sink(kind: str, url: str = URL) -> Sink:
    """Return the product's sink at an address."""
    if kind == "splunk":
        return SplunkSink(SplunkConfig(kind="splunk", url=url, token="t"), SECRET)
    return ElasticSink(ElasticConfig(kind="elastic", url=url, token="t"), SECRET)


def notice(seq: int, chain: str = "shop/0", key: str = "k") -> Notice:
    """Return one event."""
    return Notice(10**18, "shop", chain, seq, "", "", "", "", "", key, b'{"message": "a\\nb"}')


def batch(kind: str, *notices: Notice) -> Batch:
    """Return events as the sink encodes them."""
    made = sink(kind)
    return Batch("b", tuple(Item(each.id, made.encode(each)) for each in notices))


def asked(kind: str, told: Batch) -> Asked:
    """Return the request that carries a batch."""
    request = sink(kind).request(told)
    assert isinstance(request, HttpRequest)
    return Asked("POST", request.url, request.headers, request.body)


def outcome(kind: str, target: Target, told: Batch) -> Outcome:
    """Send a batch to a target without a socket; return what the sink makes of the answer."""
    answer = target.answer(asked(kind, told))
    assert not answer.lost
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return sink(kind).outcome(HttpResponse(answer.status, headers, answer.body), told)


@KIND
def test_what_comes_once_is_stored_once(kind: str) -> None:
    """In order, of two chains, in two requests."""
    target = KINDS[kind]()
    first = batch(kind, notice(0), notice(1), notice(7, "shop/1"))
    assert outcome(kind, target, first) == Delivered()
    assert outcome(kind, target, batch(kind, notice(2), notice(8, "shop/1"))) == Delivered()
    counted = target.counted
    assert (counted.requests, counted.stored, counted.doubled, counted.disorder) == (2, 5, 0, 0)
    assert set(target.places) == {("shop/0", seq) for seq in range(3)} | {("shop/1", 7), ("shop/1", 8)}


def test_what_comes_again() -> None:
    """A collector stores it once more; `_bulk` knows it, unless its id is another one."""
    for kind, target in ((kind, KINDS[kind]()) for kind in KINDS):
        for _ in range(2):
            assert outcome(kind, target, batch(kind, notice(0), notice(1))) == Delivered()
        found = target.counted
        expected = (2, 2, 0) if kind == "splunk" else (2, 0, 2)
        assert (found.stored, found.doubled, found.known) == expected
        outcome(kind, target, batch(kind, notice(0, key="another")))
        assert target.counted.doubled == expected[1] + 1


@KIND
def test_order_is_that_of_a_chain(kind: str) -> None:
    """An event that is new and earlier than one before it; what comes again is in nobody's way."""
    target = KINDS[kind]()
    outcome(kind, target, batch(kind, notice(1), notice(0), notice(5, "shop/1"), notice(2)))
    assert target.counted.disorder == 1
    outcome(kind, target, batch(kind, notice(0), notice(1)))
    assert target.counted.disorder == 1


def test_what_is_put_off_comes_before_what_is_later() -> None:
    """Not in order itself, which nobody can help; but nothing else of its chain comes in between."""
    for between, disorder in ((False, 0), (True, 1)):
        mood = Mood.PARTLY
        target = Bulk(lambda: mood)  # noqa: B023 - it is over before the next one
        outcome("elastic", target, batch("elastic", *map(notice, range(4))))
        assert target.counted.stored == 3
        mood = Mood.GOOD
        if between:
            outcome("elastic", target, batch("elastic", notice(4)))
        outcome("elastic", target, batch("elastic", notice(0, "shop/1"), notice(2), notice(5)))
        assert target.counted.disorder == disorder


@KIND
def test_moods(kind: str) -> None:
    """Busy takes nothing, partly takes some or asks to slow down, lost takes all and answers nothing."""
    mood = Mood.BUSY
    target = KINDS[kind](lambda: mood)
    told = batch(kind, *map(notice, range(6)))
    outcomes = [outcome(kind, target, told) for _ in range(6)]
    assert all(isinstance(each, RetryAfter) and not each.unsure for each in outcomes)
    assert {each.after for each in outcomes if isinstance(each, RetryAfter)} == {None, 2.0}
    assert target.counted.stored == 0
    mood = Mood.HUNG
    assert target.answer(asked(kind, told)) == Told(lost=True)
    assert target.counted.stored == 0
    mood = Mood.PARTLY
    found = outcome(kind, target, told)
    if kind == "splunk":
        assert found == Delivered(slow_down=True)
    else:
        assert isinstance(found, Partly)
        assert [fate.value for fate in found.fates] == ["delivered", "delivered", "open"] * 2
    mood = Mood.LOST
    assert target.answer(asked(kind, told)) == Told(lost=True)
    assert target.counted.stored == 6


@KIND
def test_what_is_wrong_is_refused(kind: str) -> None:
    """A wrong secret, what is no gzip and no JSON, and an event without its place."""
    target = KINDS[kind]()
    good = asked(kind, batch(kind, notice(0)))
    for wrong in (
        Asked("POST", good.path, {**good.headers, "Authorization": "x"}, good.body),
        Asked("POST", good.path, good.headers, good.body[:-9]),
        Asked("POST", good.path, good.headers, gzip.compress(b"{")),
        Asked("POST", good.path, good.headers, gzip.compress(b"{}\n{}\n")),
    ):
        assert target.answer(wrong).status in {400, 401, 403}
    assert target.counted.stored == 0


@KIND
def test_it_comes_back_where_it_was(kind: str) -> None:
    """A target that is stopped refuses connections; the next one at its port has what it had."""
    target = KINDS[kind]()
    served = Served(target)
    client = HttpClient(Hosts(("127.0.0.1",), private=True))
    told = batch(kind, notice(0))

    def send() -> int:
        request = sink(kind, f"http://127.0.0.1:{served.port}").request(told)
        assert isinstance(request, HttpRequest)
        return client.send(request).status

    assert send() == 200
    port = served.port
    served.stop()
    client.close()
    with pytest.raises(Unavailable) as refused:
        send()
    assert refused.value.unsent
    served = Served(target, port)
    assert (send(), served.port, target.counted.requests) == (200, port, 2)
    client.close()
    served.stop()


@pytest.mark.parametrize("made", [Hec, Bulk])
def test_targets_are_not_what_is_measured(made: type[Target]) -> None:
    """They take twice as many events a second of one core as is asked of deliveries, in processor time."""
    kind = "splunk" if made is Hec else "elastic"
    told = asked(kind, batch(kind, *map(notice, range(2_000))))
    best = 0.0
    for _ in range(5):
        target = made()
        begun = time.process_time()
        assert target.answer(told).status == 200
        best = max(best, 2_000 / (time.process_time() - begun))
    assert best > 2 * 20_000


def test_as_a_program() -> None:
    """It prints its port, and what it counted for each line that it is told; then it begins anew."""
    command = [sys.executable, "-m", "benchmarks.delivery_targets", "elastic"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    client = HttpClient(Hosts(("127.0.0.1",), private=True))
    with subprocess.Popen(command, **pipes, cwd=ROOT) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        request = sink("elastic", f"http://127.0.0.1:{program.stdout.readline().strip()}").request(
            batch("elastic", notice(0))
        )
        assert isinstance(request, HttpRequest)
        assert client.send(request).status == 200
        for stored in (1, 0):
            print("count", file=program.stdin, flush=True)
            assert orjson.loads(program.stdout.readline())["stored"] == stored
        program.stdin.close()
    client.close()
    assert program.returncode == 0
