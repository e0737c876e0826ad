"""A registry that hangs: the doors say so within their functions' time, and wait once a second."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from sentinel.bootstrap import App
from sentinel.errors import Unavailable
from sentinel.settings import Settings
from sentinel.usecases.directory import Directory
from tests.doors import Clock, World


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """Take connections and answer nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        listener.setblocking(False)
        yield listener


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, silent: socket.socket) -> App:
    """Give an application whose DynamoDB is that."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    return App(Settings(ledger_table="ledger", registry_table="registry"))


def _came(listener: socket.socket) -> int:
    """Return how many connections came since it was last asked."""
    came = 0
    with suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
            came += 1
    return came


def test_a_registry_that_hangs_keeps_a_door_waiting_for_a_moment(app: App, silent: socket.socket) -> None:
    """The first to ask waits for half of its function's time at most, others of that second not at all.

    A connection is waited for for a second, so their number is what counts on a machine that is busy.
    """
    world = World(now=int(time.time()))
    clock = Clock(1_000.0)
    app.directory = Directory(app._door_registry, app.settings.door_seconds, clock)
    tried = []
    began = time.monotonic()
    for later in (0.0, 0.0, 0.9, 0.2):
        clock.now += later
        with pytest.raises(Unavailable):
            app.authorizer.admit(world.pem, f"Bearer {world.token()}")
        tried.append(_came(silent))
    assert time.monotonic() - began > 1.0
    assert 1 <= tried[0] <= 4
    assert tried[1:] == [0, 0, tried[0]]
