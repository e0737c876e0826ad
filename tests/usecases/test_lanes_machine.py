"""No change of a service's number of lanes, whenever it comes, doubles or loses a batch.

A Hypothesis state machine lets three processes take in the batches of a few senders while the number is
changed. Each process has a clock of its own, half a minute off at most, and knows the service as it was when
it read its record, however long ago. A write may arrive, or not, or arrive and its answer be lost, or arrive
any number of steps later; while a process waits for one, time goes by and others go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sentinel.adapters.dynamodb_ledger import DynamoLedger
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.core.lanes import LEASE, MARGIN
from sentinel.ports import Ledger
from tests.contracts.tables import dynamodb
from tests.sampling import thorough
from tests.usecases.lanes_world import World, wide

SENDERS = ("pod-0", "pod-1")
PROCESS = st.integers(0, 2)
# What becomes of the writes of a request, one after the other; a writer tries each four times.
TROUBLE = st.sampled_from(
    [
        *[()] * 2,
        *[("held",) * 4] * 2,
        *[("paused",)] * 3,
        ("answer lost",) * 4,
        ("arrives", *["held"] * 4),
        ("paused", *["held"] * 4),
        ("unsent", "paused"),
    ]
)
PAUSES = st.sampled_from([1, 60, LEASE, MARGIN])


class Machine(RuleBasedStateMachine):
    """The events; see the module."""

    store: ClassVar[Callable[[], Ledger]]

    def __init__(self) -> None:
        super().__init__()
        self.world = World(type(self).store())

    @rule(process=PROCESS, sender=st.sampled_from(SENDERS), count=st.sampled_from([1, 1, 5]), trouble=TROUBLE)
    def send(self, process: int, sender: str, count: int, trouble: tuple[str, ...]) -> None:
        """A sender sends a new batch."""
        name = len(self.world.sent) + 1
        self.world.sent[name] = sender, wide(name, count)
        self.go(process, name, trouble)

    @precondition(lambda self: self.world.sent)
    @rule(process=PROCESS, which=st.integers(0, 3), trouble=TROUBLE)
    def send_again(self, process: int, which: int, trouble: tuple[str, ...]) -> None:
        """A sender sends one of its newest batches again, acknowledged or not."""
        self.go(process, max(1, len(self.world.sent) - which), trouble)

    def go(self, process: int, name: int, trouble: tuple[str, ...]) -> None:
        self.world.outcomes = deque(trouble)
        self.world.send(process, name)
        self.world.outcomes, self.world.meanwhile = deque(), []

    @rule(other=st.integers(1, 2), which=st.integers(0, 3), pause=PAUSES, seen=st.booleans())
    def stop(self, other: int, which: int, pause: int, seen: bool) -> None:
        """The next write that pauses does so for long; another process is sent the batch meanwhile."""

        def others(stopped: int) -> None:
            process = (stopped + other) % 3
            self.world.now += pause
            if seen:
                self.world.processes[process].refresh()
            kept, self.world.outcomes = self.world.outcomes, deque()
            self.world.send(process, max(1, len(self.world.sent) - which))
            self.world.outcomes = kept

        self.world.meanwhile = [others]

    @rule(process=PROCESS)
    def refresh(self, process: int) -> None:
        """A process reads the record."""
        self.world.processes[process].refresh()

    @rule(process=PROCESS)
    def crash(self, process: int) -> None:
        """A process forgets its heads; what it knows of the service may come from a cache."""
        self.world.processes[process].restart(self.world.now)

    @rule(process=PROCESS, seconds=st.integers(-30, 30))
    def step(self, process: int, seconds: int) -> None:
        """A clock is off by up to half a minute from now on."""
        self.world.processes[process].skew = seconds

    @initialize(number=st.sampled_from([1, 5]))
    def begin(self, number: int) -> None:
        """In half of all cases the number is changed at once."""
        self.world.change(number, 0, 0)

    @rule(number=st.sampled_from([1, 3, 5]), skew=st.integers(-30, 30), delay=st.sampled_from([0, 0, 60]))
    def change(self, number: int, skew: int, delay: int) -> None:
        """Somebody changes the number of lanes."""
        self.world.change(number, skew, delay)

    @rule(seconds=st.sampled_from([1, 30, 180, LEASE, MARGIN]))
    def wait(self, seconds: int) -> None:
        """Time goes by."""
        self.world.now += seconds

    @precondition(lambda self: self.world.record.before)
    @rule(seconds=st.integers(-70, 70))
    def wait_for_the_change(self, seconds: int) -> None:
        """Time goes by until shortly before the newest number counts, or shortly after that."""
        self.world.now = max(self.world.now, self.world.record.before[-1][1] + seconds)

    @precondition(lambda self: self.world.held)
    @rule(which=st.integers(0, 20))
    def deliver(self, which: int) -> None:
        """A write that was held back arrives."""
        self.world.deliver(which % len(self.world.held))

    def teardown(self) -> None:
        """See `World.check`."""
        self.world.check()


def run(store: Callable[[], Ledger], examples: int, monkeypatch: pytest.MonkeyPatch, steps: int = 40) -> None:
    """Try so many sequences of events, with segments so small that a batch takes several."""
    monkeypatch.setattr("sentinel.core.segment.STORED_LIMIT", 700)
    monkeypatch.setattr(Machine, "store", staticmethod(store), raising=False)
    # Hypothesis would take the same examples each time where it finds itself in CI.
    found: Any = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        report_multiple_bugs=False,
        derandomize=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    run_state_machine_as_test(Machine, settings=found)


@pytest.mark.timeout(600)  # Hypothesis may take five minutes to make a failure small
def test_no_change_of_lanes_loses_or_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    """See the module; on SQLite."""
    run(lambda: SqliteLedger(":memory:"), 2_000 if thorough() else 40, monkeypatch)


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_no_change_of_lanes_loses_or_doubles_in_dynamodb(monkeypatch: pytest.MonkeyPatch) -> None:
    """See the module; on DynamoDB."""

    def emptied() -> Ledger:
        for item in client.scan(TableName="ledger")["Items"]:
            client.delete_item(TableName="ledger", Key={name: item[name] for name in ("chain", "first")})
        return DynamoLedger(client, "ledger")

    with dynamodb("ledger") as client:
        run(emptied, 60, monkeypatch, 30)
