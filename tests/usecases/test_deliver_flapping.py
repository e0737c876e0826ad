"""Ten minutes of a sink that is down, flaps, throttles and forgets to reply: nothing is lost."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.loopback_hec import Collector, Server
from sentinel.core.tasks import SECOND
from tests.deliveries import World
from tests.loopback import Told
from tests.siem_targets import Elastic

MINUTES = 10
EACH = 40  # entries of each second


@pytest.fixture
def elastic() -> Iterator[Elastic]:
    """Serve an Elasticsearch on this machine."""
    found = Elastic("ApiKey k")
    yield found
    found.server.stop()


@pytest.fixture
def hec() -> Iterator[Server]:
    """Serve a collector on this machine."""
    server = Server(Collector("k"))
    server.start()
    yield server
    server.shutdown()
    server.server_close()


def prepared(folder: Path) -> World:
    """Return a world into which entries come each second of the time to come."""
    world = World(folder)
    world.secret("key", "k")
    for second in range(60 * MINUTES):
        world.wakes.append(
            (world.now + second * SECOND, lambda at=second * EACH: world.count("shop/0", at, EACH, EACH))  # type: ignore[misc]
        )
    return world


def test_an_exact_sink_has_each_entry_once(tmp_path: Path, elastic: Elastic) -> None:
    """Elasticsearch that is away, busy, or whose replies are lost: nothing lost, nothing doubled."""
    world = prepared(tmp_path)
    world.sink("elastic", kind="elastic", url=elastic.url, token="key", timeout=2)
    world.plan(to="elastic", batch={"events": 200})
    rng = random.Random(3)
    troubles = [Told(503), Told(429, headers={"Retry-After": "3"}), Told(502), Told(lost=True)]

    def trouble() -> None:
        elastic.trouble.answers = [rng.choice(troubles)] * rng.randrange(8)
        elastic.trouble.lost = frozenset(range(len(elastic.requests) + 1, len(elastic.requests) + 3))
        elastic.trouble.busy = rng.sample(range(world.now % 24_000, 24_000), 3) if rng.random() < 0.3 else []

    world.wakes += [(world.now + second * SECOND, trouble) for second in range(1, 60 * MINUTES, 7)]
    world.wakes.sort(key=lambda each: each[0])
    world.run(60 * MINUTES)
    elastic.trouble.answers, elastic.trouble.lost = [], frozenset()
    found = world.run(900)
    many = 60 * MINUTES * EACH
    counted = Counter(each["event"]["sequence"] for each in elastic.documents.values())
    assert counted == Counter(range(many))
    assert (found.twice, world.show.one("all")["twice"], world.show.one("all")["lag"]) == (0, 0, 0)
    world.close()


@pytest.mark.nightly
def test_what_is_there_twice_elsewhere_is_counted(tmp_path: Path, hec: Server) -> None:
    """A collector that is busy and forgets replies: nothing lost, and no more doubled than was counted."""
    world = prepared(tmp_path)
    world.sink("splunk", kind="splunk", url=hec.url, token="key", timeout=2)
    world.plan(to="splunk", batch={"events": 200})
    rng = random.Random(4)

    def trouble() -> None:
        hec.collector.trouble.codes = [rng.choice([8, 9, 23, 26])] * rng.randrange(6)
        hec.collector.trouble.lost_replies = int(rng.random() < 0.4)

    world.wakes += [(world.now + second * SECOND, trouble) for second in range(1, 60 * MINUTES, 11)]
    world.wakes.sort(key=lambda each: each[0])
    world.run(60 * MINUTES)
    hec.collector.trouble.codes, hec.collector.trouble.lost_replies = [], 0
    world.run(900)
    counted = Counter(int(each["fields"]["sentinel_seq"]) for each in hec.collector.events)
    assert set(counted) == set(range(60 * MINUTES * EACH))
    doubled = sum(times - 1 for times in counted.values())
    assert 0 < doubled <= world.show.one("all")["twice"]
    first = list(dict.fromkeys(int(each["fields"]["sentinel_seq"]) for each in hec.collector.events))
    assert first == list(range(60 * MINUTES * EACH))
    world.close()


def test_each_reply_that_is_lost_counts(tmp_path: Path, hec: Server) -> None:
    """A batch whose reply is lost three times is there four times, and counted three times as maybe twice."""
    world = World(tmp_path)
    world.secret("key", "k")
    world.sink("splunk", kind="splunk", url=hec.url, token="key", timeout=2)
    world.plan(to="splunk")
    world.count("shop/0", 0, 10)
    hec.collector.trouble.lost_replies = 3
    world.run(900)
    counted = Counter(int(each["fields"]["sentinel_seq"]) for each in hec.collector.events)
    assert counted == dict.fromkeys(range(10), 4)
    assert world.show.one("all")["twice"] == 30
    world.close()
