"""While a batch is on its way the next one is made ready; it leaves only when the one before is settled."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from sentinel.actions.deliver_ship import Shipment, Shipping
from tests.deliveries import World
from tests.loopback import Asked, Loopback, Told

ALL = 200
EACH = 20
TAKEN = Told(200, b'{"text":"Success","code":0}')


class Slow(World):
    """A collector that answers its first request only when another batch is ready, or after a minute."""

    def __init__(self, folder: Path, first: Told) -> None:
        super().__init__(folder)
        self.ready = threading.Event()
        self.waited = False
        self.at_once = 0
        self.most = 0
        self.bodies: list[list[int]] = []
        self._lock = threading.Lock()
        self._first = first
        self.server = Loopback(self.answer)
        self.secret("token", "t")
        self.sink("siem", kind="splunk", url=f"http://127.0.0.1:{self.server.port}", token="token")

    def answer(self, asked: Asked) -> Told:
        """Note what came, and answer."""
        with self._lock:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            rows = gzip.decompress(asked.body).split(b"\n")
            self.bodies.append([int(orjson.loads(row)["fields"]["sentinel_seq"]) for row in rows])
        told = TAKEN
        if len(self.bodies) == 1:
            self.waited = self.ready.wait(60)
            told = self._first
        with self._lock:
            self.at_once -= 1
        return told

    def close(self) -> None:
        """Stop the server, too."""
        super().close()
        self.server.stop()


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Slow]]:
    """Give a place for a world; what is made ready there is told to it."""
    worlds: list[Slow] = []
    prepare = Shipping.prepare

    def told(self: Shipping, shipment: Shipment) -> None:
        prepare(self, shipment)
        worlds[0].ready.set()

    monkeypatch.setattr(Shipping, "prepare", told)
    yield worlds
    for world in worlds:
        world.close()


@pytest.mark.parametrize("chains", [["shop/0"], ["shop/0", "shop/1", "pay/0"]])
@pytest.mark.parametrize(
    "first", [TAKEN, Told(503), Told(lost=True), Told(400, b'{"code":6,"invalid-event-number":7}')]
)
def test_the_next_batch_is_ready_and_waits(
    tmp_path: Path, make: list[Slow], first: Told, chains: list[str]
) -> None:
    """It is made while one is on its way; with `parallel: 1` there is one request at a time, in order."""
    world = Slow(tmp_path, first)
    make.append(world)
    for chain in chains:
        world.count(chain, 0, ALL, each=EACH)
    world.plan(to="siem", batch={"events": EACH})
    counts = world.run(60)
    assert world.waited
    assert world.most == 1
    refused = first.status == 400
    assert (counts.delivered, counts.refused) == (ALL * len(chains) - refused, int(refused))
    assert counts.twice == (EACH if first.lost else 0)
    if len(chains) == 1 and first is TAKEN:
        assert [number for body in world.bodies for number in body] == list(range(ALL))
    elif len(chains) == 1 and not refused:
        assert world.bodies[0] == world.bodies[1]
        assert [number for body in world.bodies[1:] for number in body] == list(range(ALL))
    elif len(chains) == 1:
        assert [number for body in world.bodies[1:] for number in body] == list(range(8, ALL))
