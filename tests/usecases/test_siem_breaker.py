"""siem.send and the breakers of sinks: one that fails is left alone, by steps and deliveries alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.loopback_hec import Collector, Server
from sentinel import actions
from sentinel.actions.breakers import Breakers
from sentinel.adapters.secrets_file import FileSecrets
from sentinel.adapters.sqlite_counters import SqliteCounters
from sentinel.core.breaker import MOST
from sentinel.core.steps import Action, Again, Done
from sentinel.core.tasks import SECOND
from tests.usecases.test_siem_send import TOKEN, Deployment

START = 1_790_000_000 * SECOND


class Guarded(Deployment):
    """A deployment whose sinks have breakers."""

    def __init__(self, folder: Path, hec: Server) -> None:
        super().__init__(folder, hec)
        self.now = START
        self.counters = SqliteCounters(folder / "counters.db")
        self.breakers = self.another()

    def another(self) -> Breakers:
        """Return the breakers as another process has them."""
        return Breakers(self.counters, self.clock, lambda: 0.999)

    @property
    def action(self) -> Action:
        """The action as `bootstrap` gets it."""
        return actions.build(
            self.http,
            self.files,
            FileSecrets(self.folder / "secrets"),
            lambda: self.sinks,
            clock=self.clock,
            sleep=self.slept.append,
            breakers=lambda: self.breakers,
        )["siem.send"]

    def fail(self, times: int = MOST) -> None:
        """Have the collector be busy so often in a row."""
        self.hec.collector.trouble.codes = [9] * times
        for _ in range(times):
            found = self.send("splunk")
            assert isinstance(found, Again)
            assert not found.idle


@pytest.fixture
def it(tmp_path: Path) -> Iterator[Guarded]:
    """Give a deployment and its collector."""
    server = Server(Collector(TOKEN))
    server.start()
    found = Guarded(tmp_path, server)
    yield found
    found.http.close()
    found.counters.close()
    server.shutdown()
    server.server_close()


def test_a_sink_that_fails_is_left_alone(it: Guarded) -> None:
    """After five failures in a row nobody calls it until the pause is over; that is no attempt."""
    it.fail()
    found = it.send("splunk")
    wait = it.another().now("splunk").wait(it.now)
    assert isinstance(found, Again)
    assert (found.idle, found.unsure) == (True, False)
    assert "breaker is open" in found.reason
    assert found.after is not None
    assert abs(found.after - wait) <= SECOND // 1000
    assert it.events == []
    it.now += wait
    assert isinstance(it.send("splunk"), Done)
    assert it.another().now("splunk").failures == 0


def test_four_failures_are_not_enough(it: Guarded) -> None:
    """Below that a step keeps to its recipe's own backoff, and the sink is called."""
    it.fail(MOST - 1)
    assert isinstance(it.send("splunk"), Done)


def test_no_answer_counts(it: Guarded) -> None:
    """A sink that hangs up fails as one does that says so."""
    it.hec.collector.trouble.lost_replies = MOST
    for _ in range(MOST):
        it.send("splunk")
    assert it.another().now("splunk").tripped


def test_what_a_delivery_has_found_counts(it: Guarded) -> None:
    """The breaker is the sink's: opened elsewhere it holds here, and what succeeds here closes it there."""
    other = it.another()
    for _ in range(MOST):
        other.failed("splunk", "down", 30.0)
    found = it.send("splunk")
    assert isinstance(found, Again)
    assert (found.idle, found.after) == (True, 30 * SECOND)
    it.now += 31 * SECOND
    assert isinstance(it.send("splunk"), Done)
    it.now += 6 * SECOND
    assert not other.now("splunk").tripped


def test_other_sinks_are_told_all_the_same(it: Guarded) -> None:
    """One that is left alone keeps no other sink from its events."""
    it.fail()
    found = it.send("splunk", "file")
    assert isinstance(found, Again)
    assert len(it.lines) == 3
    assert found.idle  # the file has its events: what is left was not called


def test_a_wrong_set_up_is_no_failure(it: Guarded) -> None:
    """Neither what only a set-up is wrong with opens it, nor does one that is open for that hold a step."""
    it.secret("hec-token", "another")
    for _ in range(MOST + 1):
        it.send("splunk")
    assert it.another().now("splunk").failures == 0
    it.secret("hec-token", TOKEN)
    it.breakers.parked("splunk", "no such token", "some set-up")
    assert isinstance(it.send("splunk"), Done)
