"""What tests of several folders start: a real Valkey, once a module, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.valkey import Valkey, running

if TYPE_CHECKING:
    import redis


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """Run one server for all of these tests."""
    with running(tmp_path_factory.mktemp("valkey")) as found:
        yield found


@pytest.fixture
def client(server: Valkey) -> Iterator[redis.Redis]:
    """Connect to the server, emptied."""
    from sentinel.adapters.redis_streams import connect

    made = connect(server.url)
    made.flushall()
    yield made
    made.close()
