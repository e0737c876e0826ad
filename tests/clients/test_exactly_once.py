"""The client against the real local gateway: through its doors, over a way that loses bytes, over kills."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benchmarks.client_kills import judged, run
from sentinel.cli.clients import local_credentials
from sentinel.usecases.producers import Producers
from sentinel_client._counts import Counts
from sentinel_client._door import Credentials, Door
from sentinel_client._shipper import Pace, Shipper
from sentinel_client._wal import Wal
from sentinel_client.transports.http import HttpTransport
from tests.clients.ledgers import Ledger
from tests.clients.relay import DOWN, FLAPPING, UP, Relay
from tests.e2e.trees import Tree, sentinel, up
from tests.sampling import thorough

PACE = Pace(max_age=0.01, base=0.01, cap=0.1, timeout=5.0)
LONG = 60.0


def stored(tree: Tree, chain: str) -> list[int]:
    """Return the numbers of a chain's entries, in order."""
    done = sentinel("export", "--chain", chain, home=tree.home)
    return [
        json.loads(each)["n"] for line in done.stdout.splitlines() for each in json.loads(line)["entries"]
    ]


def test_nothing_is_lost_or_doubled_on_the_way_through_the_doors(tmp_path: Path) -> None:
    """The gateway as it runs locally, behind connections that die anywhere: each entry once, in order.

    Mutual TLS and a bound token: entries are stored as the service that the certificate names.
    """
    rng = random.Random(3)
    root, counts = tmp_path / "log", Counts()
    told: list[object] = []
    with up(tmp_path / "home", insecure=False) as tree:
        files = local_credentials(tree.home, tree.url, "billing", lambda _: None)
        assert files is not None
        credentials = Credentials(files.certificate, files.key, files.api_key, files.roots)
        relay = Relay(urlsplit(tree.url).port or 0, rng)
        transport = HttpTransport(Door(f"https://127.0.0.1:{relay.port}", "billing", credentials))
        wal = Wal(root, counts=counts)
        shipper = Shipper(wal, transport, counts, PACE, tell=told.append, root=root)
        for start in range(0, 400, 20):
            relay.mode = (FLAPPING, FLAPPING, UP, DOWN)[start // 20 % 4]
            for number in range(start, start + 20):
                wal.append(b'{"n":%d,"m":"%s"}' % (number, rng.randbytes(20).hex().encode()))
            shipper.flush(0.3)
        relay.mode = UP
        assert shipper.close(LONG), shipper.stats()
        wal.close()
        relay.close()
        receipt = json.loads((root / "receipts.ndjson").read_bytes().splitlines()[-1])
        assert receipt["chain"].startswith("billing/")
        assert stored(tree, receipt["chain"]) == list(range(400))
    assert relay.cut > 0
    assert (counts.total(), told) == ({}, [])


def test_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    """Processes that log and send are killed, the server up, flapping and down: all is there, once.

    By the producers' own numbers, too: no gap, no repeat.
    """
    ledger = Ledger()
    try:
        figures = run(
            tmp_path, ledger.server.port, 200 if thorough() else 12, lambda: ledger.stored("bench/0")
        )
        tracks = Producers(ledger.ledger).report("bench").tracks
    finally:
        ledger.stop()
    assert sum(track.entries for track in tracks) == figures["accepted"] + figures["unannounced"]
    assert {(track.missing, track.repeated, track.restarts) for track in tracks} == {(0, 0, 0)}
    assert (figures["lost"], figures["doubled"], figures["altered_or_refused"]) == (0, 0, 0)
    assert figures["accepted"] > figures["kills"]


def test_the_judge_of_kills_sees_what_is_wrong() -> None:
    """A number that is missing is lost, one that is there twice doubled, one nobody told of unannounced."""
    figures = judged({1, 2, 3}, Counter({1: 1, 2: 2, 4: 1}))
    assert figures == {"accepted": 3, "lost": 1, "doubled": 1, "unannounced": 1}


def test_a_relay_that_is_down_is_down() -> None:
    """What the tests' own server is said to do it does: nobody gets through while it is down."""
    ledger = Ledger()
    relay = Relay(ledger.server.port, random.Random(1))
    url = f"http://127.0.0.1:{relay.port}"
    door = Door(url, "checkout")
    try:
        assert door.request("POST", "/v1/entries", b"{}", {}, 10.0).status == 200
        relay.mode = DOWN
        begun = time.monotonic()
        with pytest.raises(Exception, match="does not answer"):
            door.request("POST", "/v1/entries", b"{}", {}, 60.0)
        assert time.monotonic() - begun < 30
        relay.mode = UP
        assert door.request("POST", "/v1/entries", b"{}", {}, 10.0).status == 200
    finally:
        door.close()
        relay.close()
        ledger.stop()
    assert len(ledger.batches()) == 2
