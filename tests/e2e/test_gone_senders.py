"""A sender that hangs up before it is answered: its message is sealed all the same, and stored once."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.bootstrap import App, bootstrap
from sentinel.core.access import Hook, Service, encode
from sentinel.core.ring import Key, Ring
from sentinel.local import functions
from sentinel.ports_doors import Record
from tests.e2e.test_flood import gateway, hooks_api
from tests.webhooks.senders import SENDERS, first

PATIENCE = 0.3  # seconds that the sender waits; Sentry's is 1
GO = threading.Event()  # until then no append is begun


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """A deployment with a webhook of Sentry, whose ledger is slow."""
    monkeypatch.setenv("SENTINEL_HOME", str(tmp_path))
    monkeypatch.setenv("SENTINEL_LIMITS", "false")
    bootstrap.cache_clear()
    made = bootstrap()
    for entity in (Service("payments"), Hook("errors", "payments", "sentry", "hooks.errors")):
        made.registry.put(Record(entity.KIND, entity.id, encode(entity)))
    made.door_secrets.create("hooks.errors", Ring((Key("k", SENDERS["sentry"][0].secret),)).encode())
    real = SqliteLedger.append
    GO.clear()

    def slow(ledger: SqliteLedger, *arguments: Any) -> Any:
        assert GO.wait(60)
        return real(ledger, *arguments)

    monkeypatch.setattr(SqliteLedger, "append", slow)
    yield made
    bootstrap.cache_clear()


def message(number: int = 0) -> bytes:
    """Return a request as Sentry sends it."""
    body = first("sentry") + b" " * number
    signed = SENDERS["sentry"][0].sign(body, SENDERS["sentry"][0].secret, int(time.time()))
    lines = [f"{name}: {value}" for name, value in signed.items()]
    head = ["POST /hooks/sentry/errors HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join([*head, "", ""]).encode() + body


def send(port: int, data: bytes, seconds: float) -> bytes:
    """Send a request and wait for so long; return what came until then, and hang up."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(data)
        with contextlib.suppress(TimeoutError):
            return connection.recv(65_536)
        return b""


def bodies(app: App) -> int:
    """Return how many messages are stored."""
    entries = [entry for segment in app.ledger.read("payments/0") for entry in segment.opened.entries]
    return sum(b'"body"' in entry for entry in entries)


def serve() -> Any:
    """Serve the real function that receives."""
    return gateway(lambda _: 500, make=lambda _load, brake: hooks_api(functions.load, brake))


def within(seconds: float, app: App, wanted: int) -> bool:
    """Wait until so many messages are stored."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and bodies(app) < wanted:
        time.sleep(0.05)
    return bodies(app) == wanted


def test_a_message_is_sealed_after_its_sender_hung_up(app: App) -> None:
    """It is there a moment later; sent once more it gets a receipt, and is no second one."""
    with serve() as port:
        assert send(port, message(), PATIENCE) == b""
        assert bodies(app) == 0
        GO.set()
        assert within(60, app, 1)
        assert send(port, message(), 60).startswith(b"HTTP/1.1 200 ")
    assert bodies(app) == 1


@pytest.mark.nightly
def test_those_that_wait_for_a_thread_are_sealed_too(app: App) -> None:
    """More than the gateway carries out at once: whoever hung up while waiting lost nothing."""
    with serve() as port:
        threads = [
            threading.Thread(target=send, args=(port, message(number), PATIENCE)) for number in range(6)
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert bodies(app) < 6
        GO.set()
        assert within(60, app, 6)
