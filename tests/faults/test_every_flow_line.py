"""A worker or an approver is killed with -9 between any two lines of places and approvals.

Each death has two tasks of its own that want the one place of their service. At each line that a whole run
passes for the first time a process is killed; at every second of them without `SENTINEL_THOROUGH`. Others go
on an hour later by their clock, people approve what asks them, and then no place is left behind, no task, and
no effect.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from sentinel.adapters.lambda_doorbell import NoDoorbell
from sentinel.adapters.redis_streams import connect
from sentinel.core.places import unpacked
from sentinel.core.states import State
from sentinel.core.tasks import SECOND, effect_key, verify_lineage
from sentinel.usecases.detect import Detector
from sentinel.usecases.run import drain
from sentinel.usecases.sweep import sweep
from tests.chains import grow
from tests.faults.flow_line_worker import nonce, parts
from tests.faults.line_worker import Point
from tests.faults.test_every_line import Target, driver_of, run
from tests.sampling import taken
from tests.scenario import rule
from tests.valkey import running

RECIPE = """
id: r
on: {{rule: errors}}
concurrency: [{{most: 1, per: service}}]
retry: {{attempts: 9, backoff: 1ms..1ms}}
steps:
  - {{id: busy, uses: http.call, with: {{url: "{url}/busy"}}}}
  - {{id: ask, uses: approval, with: {{by: [alice], within: 30d}}}}
  - {{id: act, uses: http.call, with: {{url: "{url}/act"}}}}
"""


class Made:
    """The stores, with pairs of tasks, and who goes on after the dead."""

    def __init__(self, home: Path, target: str, url: str) -> None:
        self._later = 0
        self.parts = parts(home, url, "finisher", self._clock)
        self._catalog = self.parts.executor.playbook._catalog
        self._catalog.push("rule", "errors", rule("errors", "boom"))
        self._catalog.push("recipe", "r", RECIPE.format(url=target).encode())
        self.services: list[str] = []

    def _clock(self) -> int:
        return time.time_ns() + self._later

    def pairs(self, count: int) -> list[list[str]]:
        """Make two tasks for each of so many services."""
        to = self.parts
        detector = Detector(
            to.executor.playbook, to.tasks, to.counters, to.executor.actions, self._clock, nonce
        )
        found = []
        for _ in range(count):
            self.services.append(f"p{len(self.services)}")
            for segment in grow(f"{self.services[-1]}/0", [[b'{"message": "boom"}'] * 2], t=time.time_ns()):
                to.executor.ledger.append(segment)
                found.append(detector.detect([segment]).tasks)
        return found

    def finish(self) -> None:
        """Let others go on, an hour later each time, and people approve, until all tasks have ended."""
        to = self.parts
        for _ in range(12):
            self._later += 3600 * SECOND
            for _ in range(3):
                sweep(to.tasks, to.executor.queue, NoDoorbell(), self._clock, nonce, 10_000, gates=to.gates)
                drain(to.executor, self._clock() + 1000 * SECOND)
                self._later += SECOND
            asking = to.tasks.listing(State.AWAITING_APPROVAL, 10_000)
            for task in asking:
                to.approve(task.id)
            if not asking and not to.tasks.due(1 << 62, 1):
                return
        raise AssertionError([(each.id, each.state, each.reason) for each in to.tasks.due(1 << 62, 9)])


def _first(points: list[Point]) -> list[Point]:
    """Return the first time that each line is passed, in order."""
    return list(taken([point for point in points if point[2] == 1], 2))


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_places_and_approvals_survive_death_at_any_line(tmp_path: Path) -> None:
    """Every task is approved and done, its effect arrives once or twice, and every place is given back."""
    home = tmp_path / "home"
    (home / "secrets").mkdir(parents=True)
    (tmp_path / "valkey").mkdir()
    target = Target()
    with (
        running(tmp_path / "valkey") as server,
        driver_of("tests.faults.flow_line_worker", home, server.url) as driver,
    ):
        client = connect(server.url)
        made = Made(home, f"http://127.0.0.1:{target.server_port}", server.url)
        killed, points = run(driver, made.pairs(1)[0], None)
        assert not killed
        points = _first(points)
        assert len(points) > 75
        for pair, point in zip(made.pairs(len(points)), points, strict=True):
            client.flushall()  # the hints of the dead are lost, too
            assert run(driver, pair, point)[0], f"not killed at {point}"
        client.flushall()
        made.finish()
        _check(made, target)
        made.parts.http.close()
        client.close()
    target.shutdown()
    target.server_close()


def _check(made: Made, target: Target) -> None:
    to = made.parts
    steps = to.executor.playbook.recipe("r", 1).steps
    tasks = to.tasks.listing(limit=10_000)
    assert len(tasks) == 2 * len(made.services)
    for task in tasks:
        events = to.tasks.lineage(task.id)
        assert verify_lineage(task.id, events, task.head) == task.version
        assert task.state is State.SUCCEEDED, task
        key = effect_key(task.id, task.recipe_digest, "act", steps[2].with_)
        assert target.arrived["/act", key] in {1, 2}, task
        assert sum(event.body["event"] == "succeeded" for event in events) == 1
    for service in made.services:
        raw, _ = to.counters.load(f"place/recipe/r/service/{service}")
        assert unpacked(raw).empty, service
