"""HEC with indexer acknowledgement: a batch counts when an indexer has it, and only then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sentinel.actions.siem_carry import PATIENCE
from sentinel.core.tasks import SECOND
from tests.deliveries import START, World
from tests.loopback import Told
from tests.siem_targets import AcknowledgingHec

TOKEN = "canary-ack"


@pytest.fixture
def hec() -> Iterator[AcknowledgingHec]:
    """Serve a collector that acknowledges."""
    found = AcknowledgingHec(TOKEN)
    yield found
    found.server.stop()


@pytest.fixture
def world(tmp_path: Path, hec: AcknowledgingHec) -> Iterator[World]:
    """Give a world with that sink and twenty entries."""
    found = World(tmp_path)
    found.secret("hec", TOKEN)
    found.sink("splunk", kind="splunk", url=hec.url, token="hec", ack=True)
    found.plan(to="splunk", batch={"events": 10})
    found.count("shop/0", 0, 20)
    yield found
    found.close()


def numbers(hec: AcknowledgingHec) -> list[str]:
    """Return the numbers of the entries that are stored."""
    return [each["fields"]["sentinel_seq"] for each in hec.stored]


def test_a_batch_counts_when_it_is_acknowledged(world: World, hec: AcknowledgingHec) -> None:
    """It is asked for until it is stored; the next one leaves after that."""
    hec.looks = 3
    found = world.run(30)
    assert numbers(hec) == [str(number) for number in range(20)]
    assert (found.delivered, found.twice) == (20, 0)
    paths = [asked.path.rpartition("/")[2] for asked in hec.server.asked]
    assert paths == (["event"] + ["ack"] * 4) * 2


def test_a_batch_that_is_never_acknowledged_is_sent_again(world: World, hec: AcknowledgingHec) -> None:
    """After its patience the same batch goes again, under the same ids, and counts as doubtful."""
    hec.forgets = frozenset({1})
    found = world.run(60)
    assert numbers(hec) == [str(number) for number in range(20)]
    assert (found.delivered, found.twice) == (20, 10)
    assert world.now >= START + PATIENCE * SECOND


def test_a_token_without_acknowledgement_is_told(world: World, hec: AcknowledgingHec) -> None:
    """A collector that gives no number is set up wrongly for this: the reason says what to do."""
    hec.trouble.answers = [Told(200, b'{"text":"Success","code":0}')]
    world.run(5)
    assert "is that on for this token" in world.show.one("all")["reason"]
