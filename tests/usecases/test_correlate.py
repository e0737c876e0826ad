"""Correlations from segments to tasks: in every order of the feeds, through crashes, and by the schedule."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.adapters.sqlite_counters import SqliteCounters
from sentinel.core.correlation_state import State
from sentinel.core.segment import Segment
from sentinel.core.tasks import SECOND, task_id
from sentinel.usecases import agenda as agendas
from sentinel.usecases.agenda import Agenda, Waiting
from sentinel.usecases.correlate import counter_key
from tests.faults_calls import Faults, Killed
from tests.scenario import START, Target, World, recipe, rule

FIRST = START - START % (60 * SECOND)  # the beginning of a window of every timespan below


class NoQueue:
    """Detection has no use for a queue; anything that asks for one is found out."""


def correlated(name: str, body: str) -> bytes:
    """Return a correlation of the rules `bad`, `odd` and `good`, by user."""
    return f"title: {name}\nname: {name}\ncorrelation:\n  group-by: [user]\n  {body}\n".encode()


BODIES = {
    "events": "type: event_count\n  rules: [bad]\n  timespan: 10s\n  condition: {gte: 3}",
    "values": "type: value_count\n  rules: [bad]\n  timespan: 10s\n  condition: {gte: 2, field: host}",
    "together": "type: temporal\n  rules: [bad, odd]\n  timespan: 10s",
    "ordered": "type: temporal_ordered\n  rules: [bad, odd, good]\n  timespan: 15s",
    "range": "type: event_count\n  rules: [bad]\n  timespan: 10s\n  condition: {gte: 2, lte: 3}",
    "without": "type: temporal\n  rules: [bad, good]\n  timespan: 10s\n  condition: bad and not good",
    "sum": "type: value_sum\n  rules: [bad]\n  timespan: 10s\n  condition: {gt: 7, field: n}",
    "twice": "type: event_count\n  rules: [odd]\n  timespan: 5s\n  condition: {gte: 2}",
    "chained": "type: temporal_ordered\n  rules: [twice, good]\n  timespan: 20s",
}


def world(names: Sequence[str], faults: Faults | None = None) -> World:
    """Wire everything, with rules, some of the correlations and a recipe for each."""
    made = World(NoQueue(), [Target("tell", "siem")], faults.wrap if faults else lambda _, port: port)  # type: ignore[arg-type]
    for name in ("bad", "odd", "good"):
        made.push("rule", name, rule(name, name))
    for name in names:
        made.push("rule", name, correlated(name, BODIES[name]))
        if name != "twice":
            made.push("recipe", name, recipe(name, name, "tell"))
    return made


def entry(word: str, user: str = "ann", host: str = "h1", n: int = 1) -> bytes:
    """Return an entry that matches one rule."""
    return json.dumps({"message": word, "user": user, "host": host, "n": n}).encode()


@dataclass
class Feeds:
    """The segments of several chains, each fed in order, as a seed says: interleaved, repeated, crashing."""

    chains: list[list[Segment]]
    seed: int
    delivered: list[list[Segment]] = field(default_factory=list)

    def run(self, at: World, faults: Faults) -> None:
        """Give everything to detection at least once, by processes that die and are followed by others."""
        chance = random.Random(self.seed)
        left = [list(chain) for chain in self.chains]
        detector = at.new_detector()
        while any(left):
            chain = chance.choice([chain for chain in left if chain])
            batch = chain[: chance.randint(1, 3)]
            if self.delivered and chance.random() < 0.2:
                detector.detect(chance.choice(self.delivered))
            dies = faults.calls + chance.randint(1, 12)
            faults.fails = range(dies, dies + chance.choice((0, 1))).__contains__
            faults.applied = chance.random() < 0.5
            try:
                detector.detect(batch)
            except Killed:
                detector = at.new_detector()
                continue
            finally:
                faults.fails = lambda _: False
            del chain[: len(batch)]
            self.delivered.append(batch)
            at.clock.sleep(chance.random())
            if chance.random() < 0.2:
                detector.decide()
        for _ in range(8):  # a level of correlations a turn
            at.clock.sleep(300)
            at.new_detector().decide()


def told(at: World) -> set[tuple[str, str]]:
    """Return the tasks there are, with their recipes."""
    return {(task.recipe, task.id) for task in at.tasks.listing(None, 10_000)}


words = st.tuples(
    st.integers(0, 40),
    st.sampled_from(["bad", "bad", "odd", "good"]),
    st.sampled_from(["ann", "ann", "bob"]),
    st.sampled_from(["h1", "h2"]),
    st.integers(-2, 6),
)


@given(st.lists(st.lists(words, max_size=7), min_size=1, max_size=3), st.integers(0, 2**16))
@settings(max_examples=40, deadline=None)
def test_feeds_of_any_order_set_off_the_same_tasks(drawn: list[list[Any]], seed: int) -> None:
    """However feeds are interleaved and repeated, and wherever processes die, the tasks are the same."""
    names = list(BODIES)
    faults = Faults(Killed)
    at, reference = world(names, faults), world(names)
    chains = []
    for number, rows in enumerate(drawn):
        segments: list[Segment] = []
        for place, (t, word, user, host, n) in enumerate(sorted(rows, key=lambda row: row[0])):
            chain = f"c{number}/{place}"  # chains are fed in order; these are the segments of one feed
            segments += at.store(chain, [entry(word, user, host, n)], t=FIRST + t * SECOND)
        chains.append(segments)
    try:
        Feeds(chains, seed).run(at, faults)
        ordered = sorted((s for chain in chains for s in chain), key=lambda s: (s.t, s.chain))
        Feeds([ordered], 0).run(reference, Faults())
        assert told(at) == told(reference)
    finally:
        at.close()
        reference.close()


def test_failures_and_then_a_success() -> None:
    """A correlation of a correlation fires for what happened in that order, once the first was decided."""
    at = world(["twice", "chained"])
    segments = at.store("s/0", [entry("odd")], [entry("odd")], [entry("good")], t=FIRST)
    assert at.detect(segments).tasks == []
    at.clock.now = FIRST + 61 * SECOND
    found = at.detector.decide()
    assert (found.firings, len(found.tasks)) == (2, 1)
    task = at.only()
    assert (task.recipe, task.cause["entries"]) == (
        "chained",
        [{"chain": "s/0", "seq": 1}, {"chain": "s/0", "seq": 2}],
    )
    assert at.detector.decide().firings == 0
    at.close()


def test_a_success_before_the_failures_is_no_chain() -> None:
    """The order is that of the entries, not of when the correlations were decided."""
    at = world(["twice", "chained"])
    at.detect(at.store("s/0", [entry("good")], [entry("odd")], [entry("odd")], t=FIRST))
    for _ in range(4):
        at.clock.sleep(300)
        at.detector.decide()
    assert at.tasks.listing() == []
    at.close()


def test_without_what_waits_the_schedule_reads_nothing() -> None:
    """Where no correlation waits, a schedule costs no read of the counters."""
    faults = Faults()
    at = world(["events", "together"], faults)
    at.detect(at.store("s/0", [entry("bad")]))
    before = list(faults.log)
    assert at.detector.decide().firings == 0
    assert [name for name in faults.log[len(before) :] if name.startswith("counters")] == []
    at.close()


def test_what_came_too_late_is_told() -> None:
    """Hits that no window takes any more are counted by detection."""
    at = world(["events", "range"])
    at.detect(at.store("s/0", [entry("bad")], t=FIRST + 3600 * SECOND))
    at.clock.now = FIRST + 3700 * SECOND
    at.detector.decide()
    found = at.detect(at.store("s/1", [entry("bad")], t=FIRST))
    assert (found.old, found.let_go) == (2, 0)
    at.close()


def test_a_firing_of_the_earlier_version_is_the_same_task() -> None:
    """A firing that an earlier version stored, and perhaps acted on, keeps the identity it had."""
    at = world(["events"])
    (compiled,) = at.playbook.current().rules.correlations
    group = '["ann"]'
    rows = [["events", compiled.digest, group, FIRST, 3, [["s/0", 0], ["s/0", 1], ["s/0", 2]]]]
    state = [1, compiled.digest, group, ["s/0"], [[FIRST, 0, n, None] for n in range(3)], None, [FIRST]]
    raw = orjson.dumps(rows) + b"\n" + orjson.dumps(state)
    assert at.counters.store(counter_key(compiled, group), raw, 0, 2**40)
    segments = at.store("s/0", [entry("bad")] * 4, t=FIRST)
    key = orjson.dumps([group, "s/0", 2]).decode()
    assert at.detect(segments).tasks == [task_id("events", 1, key, 0)]
    raw, _ = at.counters.load(counter_key(compiled, group))
    assert b"\x28\xb5\x2f\xfd" in raw[:4]
    at.close()


def test_old_windows_of_a_group_are_let_go() -> None:
    """A group that goes on for ever keeps what its newest windows need."""
    at = world(["events"])
    (compiled,) = at.playbook.current().rules.correlations
    for n in range(40):
        at.detect(at.store(f"s/{n}", [entry("bad")] * 5, t=FIRST + n * 300 * SECOND))
    raw, _ = at.counters.load(counter_key(compiled, '["ann"]'))
    import zstandard

    state = State.loads(zstandard.decompress(raw).partition(b"\n")[2], compiled)
    assert min(hit.t for hit in state.hits) >= FIRST + 37 * 300 * SECOND
    assert len(at.tasks.listing(None, 1000)) == 40
    at.close()


@dataclass
class Clock:
    """The time in nanoseconds."""

    now: int = START

    def __call__(self) -> int:
        return self.now


def test_the_agenda_names_what_is_due() -> None:
    """A group is named once its time has come, until it was looked after; an earlier time stays."""
    clock = Clock()
    counters = SqliteCounters(":memory:")
    agenda = Agenda(counters, clock)
    agenda.add("a", "key/1", START + 60 * SECOND)
    agenda.add("b", "key/2", START + 70 * SECOND)
    agenda.add("a", "key/1", START + 80 * SECOND)
    assert list(Agenda(counters, clock).due()) == []
    clock.now += 65 * SECOND
    assert list(agenda.due()) == [Waiting("a", "key/1", START + 60 * SECOND)]
    assert list(agenda.due()) == []
    clock.now += 10 * SECOND
    assert [each.key for each in Agenda(counters, clock).due()] == ["key/2"]
    counters.close()


def test_a_group_that_is_added_while_it_is_looked_after_stays() -> None:
    """Who adds a group whose time has come or is near writes it anew, so that its removal passes it over."""
    clock = Clock()
    counters = SqliteCounters(":memory:")
    agenda = Agenda(counters, clock)
    agenda.add("a", "key", START + 60 * SECOND)
    for seconds in (61, 58):
        clock.now = START + seconds * SECOND
        due = agenda.due() if seconds == 61 else iter(())
        next(due, None)
        Agenda(counters, clock).add("a", "key", clock.now + 60 * SECOND)
        assert list(due) == []
    clock.now += 600 * SECOND
    assert [each.key for each in agenda.due()] == ["key"]
    counters.close()


def test_a_group_that_is_not_decided_stays_on_the_agenda() -> None:
    """A decision that fails leaves its group to the next schedule."""
    clock = Clock()
    counters = SqliteCounters(":memory:")
    agenda = Agenda(counters, clock)
    agenda.add("a", "key", START)
    due = agenda.due()
    assert next(due).key == "key"
    due.close()  # type: ignore[attr-defined] # as an error of whoever decides does
    assert [each.key for each in agenda.due()] == ["key"]
    counters.close()


def test_the_agenda_is_bounded(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Where too many groups wait, the log says so, and those that have room are named in their time."""
    monkeypatch.setattr(agendas, "MOST", 3)
    monkeypatch.setattr(agendas, "SHARDS", 1)
    clock = Clock()
    counters = SqliteCounters(":memory:")
    agenda = Agenda(counters, clock)
    with caplog.at_level(logging.ERROR):
        for n in range(5):
            agenda.add("a", f"key/{n}", START)
    assert len([record for record in caplog.records if "too many groups" in record.message]) == 2
    assert len(list(agenda.due())) == 3
    counters.close()


def test_an_agenda_that_cannot_be_read_starts_anew(caplog: pytest.LogCaptureFixture) -> None:
    """Junk in its place costs decisions until the next hit, not the schedule."""
    counters = SqliteCounters(":memory:")
    clock = Clock()
    agenda = Agenda(counters, clock)
    for shard in range(agendas.SHARDS):
        counters.store(f"correlation-agenda/{shard}", b"junk", 0, 2**40)
    with caplog.at_level(logging.ERROR):
        assert list(agenda.due()) == []
        agenda.add("a", "key", START)
    assert "starts anew" in caplog.text
    assert len(list(agenda.due())) == 1
    counters.close()
