"""A registry that hangs: the doors say so within their functions' time, and wait once a second."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from sentinel.bootstrap import App
from sentinel.errors import Unavailable
from sentinel.settings import Settings
from tests.doors import World


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """Give an application whose DynamoDB takes connections and answers nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        yield App(Settings(ledger_table="ledger", registry_table="registry"))


def test_a_registry_that_hangs_keeps_a_door_waiting_for_a_moment(app: App) -> None:
    """The first to ask waits for half of its function's time at most, others of that second not at all."""
    world = World(now=int(time.time()))
    waits = []
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(Unavailable):
            app.authorizer.admit(world.pem, f"Bearer {world.token()}")
        waits.append(time.monotonic() - began)
    assert 1.0 < waits[0] < 5.0
    assert waits[1] < 0.1
