"""The HTTP transport on real sockets: what each answer means, and that nothing holds its thread."""

from __future__ import annotations

import json
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import zstandard

from sentinel_client._connection import MAX_ANSWER
from sentinel_client._door import Door
from sentinel_client._types import Batch, Later, Outcome, Refused, Sent, TooLarge
from sentinel_client.transports.http import MAX_AFTER, HttpTransport, content_id
from tests.clients.ledgers import SERVICE, Ledger
from tests.loopback import Told

PRODUCER = "py-0011223344556677"


def batch(first: int = 0, count: int = 3, pad: int = 0) -> Batch:
    """Return a batch of small entries."""
    made = [b'{"n":%d,"m":"%s"}' % (number, b"x" * pad) for number in range(first, first + count)]
    return Batch(PRODUCER, first, count, made)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A gateway without doors."""
    made = Ledger()
    yield made
    made.stop()


@contextmanager
def transport(url: str, compression: str = "gzip") -> Iterator[HttpTransport]:
    """Open a transport to an address."""
    made = HttpTransport(Door(url, SERVICE), compression=compression)
    try:
        yield made
    finally:
        made.close()


def test_a_batch_is_stored_once_however_often_it_is_sent(ledger: Ledger) -> None:
    """The id is that of the range, so a retry after a lost answer is not stored a second time."""
    ledger.lose = lambda number: number < 2
    with transport(ledger.url) as to:
        outcomes = [to.send(batch(), 10.0) for _ in range(4)]
    assert [type(each) for each in outcomes] == [Later, Later, Sent, Sent]
    assert ledger.stored() == batch().entries
    told = {name.lower(): value for name, value in ledger.batches()[0].headers.items()}
    assert told["sentinel-batch-id"] == batch().id.hex()
    assert told["sentinel-instance"] == told["sentinel-producer"] == PRODUCER
    assert (told["sentinel-sequence"], told["sentinel-receipt"], told["sentinel-service"]) == (
        "0",
        "full",
        SERVICE,
    )


@pytest.mark.parametrize(
    ("compression", "encoding", "unpack"),
    [
        ("gzip", "gzip", lambda raw: zlib.decompress(raw, 31)),
        ("zstd", "zstd", zstandard.decompress),
        ("auto", "zstd", zstandard.decompress),
        ("none", "", bytes),
    ],
)
def test_bodies_are_compressed(
    ledger: Ledger, compression: str, encoding: str, unpack: Callable[[bytes], bytes]
) -> None:
    """Bodies over half a kilobyte go out as the option says, and are stored byte for byte."""
    sent = batch(0, 20, 100)
    with transport(ledger.url, compression) as to:
        assert isinstance(to.send(sent, 10.0), Sent)
    (asked,) = ledger.batches()
    assert asked.headers.get("Content-Encoding", "") == encoding
    assert unpack(asked.body) == b"\n".join(sent.entries)
    assert ledger.stored() == sent.entries


def test_what_is_sent_is_what_the_server_takes_at_most(ledger: Ledger) -> None:
    """A batch of both limits, 10,000 entries and 4,000,000 bytes, is taken, and its receipt fits."""
    entries = [b'{"n":"%0392d"}' % number for number in range(10_000)]
    assert sum(map(len, entries)) == HttpTransport.max_bytes
    with transport(ledger.url) as to:
        outcome = to.send(Batch(PRODUCER, 0, 10_000, entries), 30.0)
    assert isinstance(outcome, Sent)
    assert outcome.altered == ""


def answers(ledger: Ledger, told: Told) -> Outcome:
    """Return what becomes of a batch that is answered so."""
    ledger.answer = lambda _number, _asked: told
    with transport(ledger.url) as to:
        return to.send(batch(), 5.0)


@pytest.mark.parametrize("status", [301, 401, 403, 404, 405, 408, 418, 429, 500, 502, 503, 504])
def test_statuses_that_are_not_the_last_word(ledger: Ledger, status: int) -> None:
    """What a gateway or whoever stands before it says of itself is no word on the batch: it is sent again."""
    found = answers(ledger, Told(status))
    assert isinstance(found, Later)
    assert str(status) in found.why


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("100000", MAX_AFTER), ("soon", 0.0), ("-5", 0.0), ("", 0.0), ("1e9", 0.0)],
)
def test_retry_after_counts_and_is_bounded(ledger: Ledger, value: str, seconds: float) -> None:
    """Seconds of Retry-After are taken up to five minutes; what is no number is none."""
    found = answers(ledger, Told(429, headers={"Retry-After": value}))
    assert isinstance(found, Later)
    assert found.after == seconds


def test_only_the_servers_own_word_refuses_a_batch(ledger: Ledger) -> None:
    """400 `Malformed` is final, any other 400 is whoever stands between; 413 asks for smaller batches."""
    malformed = json.dumps({"error": "Malformed", "message": "no"}).encode()
    assert answers(ledger, Told(400, malformed)) == Refused("400 Malformed")
    assert isinstance(answers(ledger, Told(400, b"<html>Bad Request</html>")), Later)
    assert isinstance(answers(ledger, Told(413)), TooLarge)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>Please log in</html>", b"[]", b"{}", b"[" * 100_000, b'{"ok":true}', b"\xff\x00", b"null"],
)
def test_a_200_without_a_receipt_is_not_stored(ledger: Ledger, body: bytes) -> None:
    """A captive portal answers 200 to everything: only a receipt counts."""
    assert isinstance(answers(ledger, Told(200, body)), Later)


def test_an_answer_without_end_is_not_read(ledger: Ledger) -> None:
    """A body over a megabyte is given up, and the connection with it."""
    assert isinstance(answers(ledger, Told(200, b" " * (MAX_ANSWER + 1))), Later)


def test_an_id_that_stands_for_other_entries_gets_another(ledger: Ledger) -> None:
    """Where a copied folder used the same numbers, both batches are stored, each once."""
    other = Batch(PRODUCER, 0, 3, [b'{"other":%d}' % number for number in range(3)])
    with transport(ledger.url) as to:
        for each in (batch(), other, other, batch()):
            outcome = to.send(each, 10.0)
            assert isinstance(outcome, Sent)
            assert outcome.altered == ""
    assert ledger.stored() == [*batch().entries, *other.entries]
    assert content_id(other) != content_id(batch())


def test_a_conflict_of_a_range_with_gaps_was_stored_before(ledger: Ledger) -> None:
    """Where entries were lost here after a range was stored, another batch has its id: that is no loss."""
    with transport(ledger.url) as to:
        assert isinstance(to.send(batch(), 10.0), Sent)
        gap = Batch(PRODUCER, 0, 3, [batch().entries[0], batch().entries[2]])
        assert to.send(gap, 10.0) == Sent()
    assert ledger.stored() == batch().entries


def test_a_batch_that_may_be_there_is_found_however_many_came_since(ledger: Ledger) -> None:
    """What was begun before says so, and since when it may be there: it is stored once."""
    with transport(ledger.url) as to:
        assert isinstance(to.send(batch(0), 10.0), Sent)
        ledger.lose = lambda number: number == 1
        assert isinstance(to.send(batch(3), 10.0), Later)
        with transport(ledger.url) as other:
            for first in range(0, 3 * 70, 3):
                sent = Batch("py-aaaaaaaaaaaaaaaa", first, 3, batch(1_000 + first).entries)
                assert isinstance(other.send(sent, 10.0), Sent)
        with transport(ledger.url) as restarted:
            for by in (to, restarted):
                again = Batch(PRODUCER, 3, 3, batch(3).entries, again=True)
                outcome = by.send(again, 10.0)
                assert isinstance(outcome, Sent)
                assert outcome.receipt["first"] == 3
    assert len(ledger.stored()) == 6 + 3 * 70
    told = [asked.headers.get("Sentinel-Since") for asked in ledger.batches()]
    assert told == [None] * 72 + ["3 checkout/0", "0"]


def test_a_service_may_have_a_name_of_any_script(ledger: Ledger) -> None:
    """Service ids are UTF-8, in the header, too."""
    to = HttpTransport(Door(ledger.url, "決済"))
    for again in (False, True):
        outcome = to.send(Batch(PRODUCER, 0, 3, batch().entries, again=again), 10.0)
        assert isinstance(outcome, Sent), outcome
        assert outcome.altered == ""
    to.close()
    assert ledger.stored("決済/0") == batch().entries


def test_a_server_that_is_down_is_waited_for() -> None:
    """A refused connection is no loss."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with transport(f"http://127.0.0.1:{unused.getsockname()[1]}") as to:
            found = to.send(batch(), 10.0)
            assert isinstance(found, Later)
            assert "does not answer" in found.why


def test_names_that_do_not_resolve() -> None:
    """A name without an address is told as that."""
    with transport("http://nobody.invalid:80") as to:
        found = to.send(batch(), 10.0)
    assert isinstance(found, Later)
    assert "nobody.invalid" in found.why


@contextmanager
def raw(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Run a server of bytes: `serve` has each connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            held.append(connection)
            threading.Thread(target=quiet, args=(connection,), daemon=True).start()

    def quiet(connection: socket.socket) -> None:
        try:
            serve(connection)
        except OSError:
            return

    threading.Thread(target=accept, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for each in held:
        each.close()


def trickle(connection: socket.socket) -> None:
    """Send a head of one header a moment, for ever."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-A: b\r\n")
        time.sleep(0.05)


def trickle_body(connection: socket.socket) -> None:
    """Send a body of one byte a moment, for ever."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        connection.sendall(b" ")
        time.sleep(0.05)


def silent(connection: socket.socket) -> None:
    """Read nothing, say nothing."""
    time.sleep(30)


@pytest.mark.parametrize("serve", [trickle, trickle_body, silent])
@pytest.mark.parametrize("size", [3, 300])
def test_no_server_holds_a_thread_beyond_its_deadline(
    serve: Callable[[socket.socket], None], size: int
) -> None:
    """A byte now and then, or none, or one who does not read: the time-out is that of the whole."""
    sent = batch(0, size, 20_000 if size > 3 else 0)
    with raw(serve) as url, transport(url, "none") as to:
        begun = time.monotonic()
        found = to.send(sent, 0.4)
        took = time.monotonic() - begun
    assert isinstance(found, Later)
    assert took >= 0.1  # it waited; and ended, or the test's own time-out would have
    assert took < 20


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\x00" * 100,
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 300,
    ],
)
def test_what_is_no_http_is_no_answer(garbage: bytes) -> None:
    """Whatever else comes, the batch is sent again later."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(garbage)
        connection.shutdown(socket.SHUT_WR)
        connection.close()

    with raw(serve) as url, transport(url) as to:
        assert isinstance(to.send(batch(), 5.0), Later)


def test_a_kept_connection_that_was_closed_is_opened_anew(ledger: Ledger) -> None:
    """A server that closes an idle connection costs no try: it is seen before the next request goes out."""
    closing = Told(200, headers={"Connection": "close"})
    with transport(ledger.url) as to:
        assert isinstance(to.send(batch(), 10.0), Sent)
        ledger.answer = lambda number, _: closing if number == 1 else None
        assert isinstance(to.send(batch(3), 10.0), Later)  # it has no body
        assert isinstance(to.send(batch(3), 10.0), Sent)
    assert len(ledger.stored()) == 6


def test_no_reason_tells_what_was_sent(ledger: Ledger) -> None:
    """Reasons are for people and reports: they have no byte of an entry, a body or a header."""
    body = json.dumps({"error": "hunter2", "message": "hunter2"}).encode()
    for status in (200, 400, 401, 403, 404, 409, 413, 429, 500):
        found = answers(ledger, Told(status, body, {"X-Why": "hunter2"}))
        assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    "url",
    ["ftp://x", "x", "http://", "http://h:99999", "http://u:p@h", "http://h/?q", "http://h/#f", "https://h"],
)
def test_addresses_that_are_none(url: str) -> None:
    """An address that cannot be one is an error of the options, before anything is sent."""
    with pytest.raises(ValueError, match=r"address|https"):
        Door(url, SERVICE)


def test_compressions_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without zstandard `zstd` is an error of the options, and `auto` is gzip."""
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    with pytest.raises(ValueError, match="zstandard"):
        HttpTransport(Door("http://h", SERVICE), compression="zstd")
    assert HttpTransport(Door("http://h", SERVICE), compression="auto")._encoding == "gzip"
    with pytest.raises(ValueError, match="gzip, zstd"):
        HttpTransport(Door("http://h", SERVICE), compression="br")
