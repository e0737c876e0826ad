"""Detection: from segments to tasks."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
import zstandard

from sentinel.adapters.dynamodb_counters import DynamoCounters
from sentinel.core.correlation import Hit
from sentinel.core.correlation_state import State as Counted
from sentinel.core.rules import load
from sentinel.core.sigma_correlation import HIGHEST_COUNT
from sentinel.core.tasks import SECOND, Event, State, Task
from sentinel.errors import Tampered, Unavailable
from sentinel.usecases.agenda import Agenda
from sentinel.usecases.correlate import NAMED, Counting, counter_key
from tests.contracts.tables import dynamodb
from tests.scenario import START, Target, World, correlation, recipe, rule


class NoQueue:
    """Detection has no use for a queue; anything that asks for one is found out."""


@pytest.fixture
def world() -> Iterator[World]:
    """Wire everything, with a rule in force and no recipe yet."""
    found = World(NoQueue(), [Target("tell", "siem"), Target("act", "action")])  # type: ignore[arg-type]
    found.push("rule", "errors", rule("errors", "boom"))
    yield found
    found.close()


def _entry(**fields: object) -> bytes:
    return json.dumps(fields).encode()


BOOM = _entry(message="boom 1")


def test_a_match_makes_a_task(world: World) -> None:
    """A matched entry makes a queued task for the first step's worker that names rule and entry, no body."""
    world.push("recipe", "r", recipe("r", "errors", "tell", "act"))
    found = world.detect(world.store("s/0", [_entry(message="fine"), BOOM]))
    task = world.only()
    assert (found.entries, found.matches, found.tasks) == (2, 1, [task.id])
    assert (task.state, task.stream, task.recipe, task.recipe_version) == (State.QUEUED, "siem", "r", 1)
    assert task.cause["title"] == "Rule errors"
    assert task.cause["level"] == "high"
    assert task.cause["entries"] == [{"chain": "s/0", "seq": 1}]
    assert b"boom 1" not in b"".join(event.entry for event in world.tasks.lineage(task.id))
    assert world.bodies(task)[0]["event"] == "queued"


@pytest.mark.parametrize("reference", ["errors", "Rule errors"])
def test_a_recipe_finds_its_rule(world: World, reference: str) -> None:
    """`on.rule` may be a rule's name or title."""
    world.push("recipe", "r", recipe("r", reference, "tell"))
    assert len(world.detect(world.store("s/0", [BOOM])).tasks) == 1


def test_the_same_segments_give_the_same_tasks(world: World) -> None:
    """A segment that is delivered again, to whatever process, creates nothing; the ids are the same."""
    world.push("recipe", "r", recipe("r", "errors", "tell"))
    segments = world.store("s/0", [BOOM, BOOM], [BOOM])
    first = world.detect(segments)
    assert len(first.tasks) == 3
    assert world.detect(segments).tasks == []
    assert world.new_detector().detect(segments).tasks == []
    other = World(NoQueue(), [Target("tell", "siem")])  # type: ignore[arg-type]
    other.push("rule", "errors", rule("errors", "boom"))
    other.push("recipe", "r", recipe("r", "errors", "tell"))
    other.clock.sleep(12345)
    assert sorted(other.detect(segments[::-1]).tasks) == sorted(first.tasks)
    other.close()


def test_dedup_by_fields(world: World) -> None:
    """Matches with equal values of the fields in `by` are one task in a window, whatever else differs."""
    world.push("recipe", "r", recipe("r", "errors", "tell", by=["user.name"], within="1h"))
    hour = 3600 * SECOND
    ann, bob = {"user": {"name": "ann"}}, {"user": {"name": "bob"}}
    t = START - START % hour
    segments = world.store("s/0", [_entry(message="boom 1", **ann), _entry(message="boom 2", **ann)], t=t)
    segments += world.store("s/1", [_entry(message="boom", **bob), BOOM, _entry(message="boom 9")], t=t + 1)
    segments += world.store("s/2", [_entry(message="boom", **ann)], t=t + hour - 1)
    segments += world.store("s/3", [_entry(message="boom", **ann)], t=t + hour)
    found = world.detect(segments)
    assert len(found.tasks) == 4  # ann, bob, nobody; ann again an hour later
    first = world.tasks.get(found.tasks[0])
    assert first is not None
    assert first.cause["entries"] == [{"chain": "s/0", "seq": 0}, {"chain": "s/0", "seq": 1}]
    assert "ann" not in str(first)


def test_dedup_tells_types_apart(world: World) -> None:
    """1 and "1" are different values, and a map counts as no value at all, however deep it is."""
    world.push("recipe", "r", recipe("r", "errors", "tell", by=["k"]))
    deep = b'{"message": "boom", "k": ' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}"
    entries = [_entry(message="boom", k=1), _entry(message="boom", k="1"), deep, BOOM]
    assert len(world.detect(world.store("s/0", entries)).tasks) == 3


def test_a_task_names_at_most_a_hundred_entries(world: World) -> None:
    """However many entries a task is about, it stays small."""
    world.push("recipe", "r", recipe("r", "errors", "tell", by=["k"]))
    world.detect(world.store("s/0", [BOOM] * 250))
    assert len(world.only().cause["entries"]) == 100  # type: ignore[arg-type]


def test_a_task_that_is_known_is_not_written_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of matches that are one task costs one write in a process, not one for each."""
    world.push("recipe", "r", recipe("r", "errors", "tell", by=["k"]))
    written: list[str] = []
    real = world.tasks.create_all

    def noted(births: Sequence[tuple[Task, Event]]) -> list[bool]:
        written.extend(task.id for task, _ in births)
        return real(births)

    monkeypatch.setattr(world.tasks, "create_all", noted)
    assert len(world.detect(world.store("s/0", *[[BOOM]] * 50)).tasks) == 1
    assert len(written) == 1


def test_a_new_version_of_a_recipe_makes_tasks_of_its_own(world: World) -> None:
    """The version is part of a task's id, and a push is seen when the cache's time is over."""
    world.push("recipe", "r", recipe("r", "errors", "tell"))
    segments = world.store("s/0", [BOOM])
    assert len(world.detect(segments).tasks) == 1
    world.push("recipe", "r", recipe("r", "errors", "tell", "act"))
    assert world.detect(segments).tasks == []
    world.clock.sleep(31)
    assert len(world.detect(segments).tasks) == 1


def test_the_cache_asks_for_the_revision_only(world: World) -> None:
    """While nothing was pushed, rules are not loaded again; a retired recipe is out of force."""
    world.push("recipe", "r", recipe("r", "errors", "tell"))
    before = world.playbook.current()
    world.clock.sleep(31)
    assert world.playbook.current() is before
    world.catalog.retire("recipe", "r")
    world.clock.sleep(31)
    assert world.detect(world.store("s/0", [BOOM])).tasks == []


def test_bad_documents_are_skipped_by_name(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A document that does not load does not stop detection, and the log names it."""
    world.push("rule", "broken", b"title: [")
    world.push("recipe", "broken-recipe", b"id: x")
    world.push("recipe", "on-nothing", recipe("on-nothing", "no-such-rule", "tell"))
    world.push("recipe", "r", recipe("r", "errors", "tell"))
    with caplog.at_level(logging.ERROR):
        assert len(world.detect(world.store("s/0", [BOOM])).tasks) == 1
    for name in ("rule broken", "recipe broken-recipe", "recipe on-nothing"):
        assert name in caplog.text


def test_old_rules_stay_while_the_catalog_is_away(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    """What was loaded stays in force while the catalog does not answer; with nothing loaded, it is said."""

    def away() -> str:
        raise Unavailable("away")

    world.push("recipe", "r", recipe("r", "errors", "tell"))
    with monkeypatch.context() as patch:
        patch.setattr(world.catalog, "revision", away)
        with pytest.raises(Unavailable):
            world.detect(world.store("s/0", [BOOM]))
    world.playbook.current()
    world.clock.sleep(31)
    monkeypatch.setattr(world.catalog, "revision", away)
    assert len(world.detect(world.store("s/1", [BOOM])).tasks) == 1


HOSTILE = [
    b"not json",
    b"[1]",
    b"null",
    b'{"message": "boom", "message": 7}',
    b'{"message": ["boom", {"a": ["boom"]}, null, 1e999]}',
    b'{"message": {"message": "boom"}}',
    b'{"k": 184467440737095516160000, "message": "boom"}',
    b'{"message": "boom", "": {"": []}, "k": "\\u0000"}',
    b'{"message":' + b"[" * 1000 + b'"boom"' + b"]" * 1000 + b"}",
    b'{"Event": 1, "winlog": [], "attributes": "x", "body": {"message": "boom"}, "k": -0.0}',
]


@pytest.mark.parametrize("entry", HOSTILE)
def test_hostile_entries_raise_nothing(world: World, entry: bytes) -> None:
    """Whatever an entry holds, detection goes on with the next."""
    world.push("recipe", "r", recipe("r", "errors", "tell", by=["k"]))
    world.push("rule", "many", correlation("many", "errors", "k", 2))
    found = world.detect(world.store("s/0", [entry, _entry(message="boom", k="last")]))
    assert found.entries == 2
    assert found.matches >= 1


def test_a_tampered_segment_is_said_after_the_others(world: World) -> None:
    """A segment that cannot be opened is never passed over in silence, nor does it stop the others."""
    world.push("recipe", "r", recipe("r", "errors", "tell"))
    first, second = world.store("s/0", [BOOM], [BOOM])
    with pytest.raises(Tampered):
        world.detect([replace(first, payload=b"junk"), second])
    assert world.only().cause["entries"] == [{"chain": "s/0", "seq": 1}]


@pytest.fixture
def counted(world: World) -> World:
    """Add a correlation: three matches for one user, and a recipe on it."""
    world.push("rule", "many", correlation("many", "errors", "user", 3))
    world.push("recipe", "r", recipe("r", "many", "tell"))
    return world


def _boom(user: str) -> bytes:
    return _entry(message="boom", user=user)


def test_a_correlation_makes_one_task(counted: World) -> None:
    """A correlation's recipe fires once when the count is reached, and names the entries that counted."""
    segments = counted.store(
        "s/0", [_boom("ann"), _boom("bob")], [_boom("ann")], [_boom("ann")], [_boom("ann")]
    )
    for segment in segments[:2]:
        assert counted.detect([segment]).tasks == []
    assert counted.detect(segments[2:3]).firings == 1
    assert counted.detect(segments[3:]).tasks == []
    task = counted.only()
    assert [place["seq"] for place in task.cause["entries"]] == [0, 2, 3]  # type: ignore[attr-defined]
    assert task.cause["rule"] == "many"
    assert "ann" not in str(task)


def test_a_counted_rule_is_no_match_of_its_own(counted: World) -> None:
    """As Sigma has it, a rule that a correlation counts sets nothing off itself unless it says `generate`."""
    counted.push("recipe", "own", recipe("own", "errors", "tell"))
    assert counted.detect(counted.store("s/0", [_boom("ann")])).tasks == []
    assert any(name == "recipe own" for name, _ in counted.playbook.current().problems)


def test_redelivery_counts_nothing_twice(counted: World) -> None:
    """The same segment again does not move a count."""
    segments = counted.store("s/0", [_boom("ann"), _boom("ann")])
    for _ in range(3):
        assert counted.new_detector().detect(segments).firings == 0


def test_dedup_by_a_correlations_group(world: World) -> None:
    """With `by`, a firing's key is the group's values: one task for a group, however often it fires."""
    world.push("rule", "many", correlation("many", "errors", "user", 2, "1s"))
    world.push("recipe", "r", recipe("r", "many", "tell", by=["user"]))
    world.push("recipe", "each", recipe("each", "many", "tell"))
    for n, t in enumerate((START, START + 10 * SECOND)):
        world.detect(world.store(f"s/{n}", [_boom("ann"), _boom("ann")], t=t))
    assert sorted(task.recipe for task in world.tasks.listing()) == ["each", "each", "r"]


def test_a_firing_survives_the_process_that_decided_it(
    counted: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies between counting and creating leaves the firing to whoever counts next."""
    segments = counted.store("s/0", [_boom("ann")] * 3)

    def die(*_: object) -> bool:
        raise Unavailable("died")

    with monkeypatch.context() as patch:
        patch.setattr(counted.tasks, "create_all", die)
        with pytest.raises(Unavailable):
            counted.detect(segments)
    assert counted.tasks.listing() == []
    other = counted.store("s/1", [_boom("ann")], t=START + SECOND)
    assert len(counted.new_detector().detect(other).tasks) == 1
    assert counted.new_detector().detect(segments).tasks == []


def test_counting_at_the_same_time_fires_once(counted: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two processes that count for one group at once, one has to count again; the burst is one task."""
    one = counted.store("s/0", [_boom("ann")] * 2)
    two = counted.store("s/1", [_boom("ann")] * 2)
    load = counted.counters.load

    def load_and_let_other_win(key: str) -> tuple[bytes, int]:
        found = load(key)
        monkeypatch.setattr(counted.counters, "load", load)
        counted.new_detector().detect(two)
        return found

    monkeypatch.setattr(counted.counters, "load", load_and_let_other_win)
    assert counted.detect(one).firings == 1
    assert len(counted.tasks.listing()) == 1


def test_a_broken_counter_starts_anew(
    counted: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A state that cannot be read costs counts, not detection."""

    def broken(key: str) -> tuple[bytes, int]:
        return b"[]\n\xff", 1

    monkeypatch.setattr(counted.counters, "load", broken)
    monkeypatch.setattr(counted.counters, "store", lambda *_: True)
    assert counted.detect(counted.store("s/0", [_boom("ann")] * 3)).firings == 1
    assert "starts anew" in caplog.text


def test_a_counter_that_everybody_changes_is_unavailable(
    counted: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losing every race is said to the feed, which gives the segment again."""
    monkeypatch.setattr(counted.counters, "store", lambda *_: False)
    with pytest.raises(Unavailable):
        counted.detect(counted.store("s/0", [_boom("ann")]))


def test_counters_outlive_the_feeds_memory(counted: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state is kept for longer than a feed may deliver its segments again."""
    kept: list[Any] = []
    store = counted.counters.store

    def noted(key: str, state: bytes, version: int, expires: int) -> bool:
        kept.append((state, expires))
        return store(key, state, version, expires)

    monkeypatch.setattr(counted.counters, "store", noted)
    counted.detect(counted.store("s/0", [_boom("ann")]))
    state, expires = kept[0]
    assert expires >= START // SECOND + 24 * 3600 + 600
    plain = zstandard.decompress(state)
    (many,) = counted.playbook.current().rules.correlations
    assert Counted.loads(plain.partition(b"\n")[2], many).hits[0].seq == 0


def test_the_highest_count_fits_an_item_of_dynamodb() -> None:
    """A correlation at the highest count that loads, over chains with long names, is stored and fires."""
    body = "type: value_count, rules: errors, timespan: 1h, group-by: [user]"
    condition = f"condition: {{gte: {HIGHEST_COUNT}, field: host}}"
    text = f"title: Many\nname: many\ncorrelation: {{{body}, {condition}}}\n".encode()
    (many,) = load([("rules.yml", rule("errors", "boom") + b"---\n" + text)]).correlations
    group = json.dumps(["u"])
    values = (sha256(str(n).encode()).hexdigest()[:16] for n in range(HIGHEST_COUNT))
    hits = [Hit(START + 10**9 + n * 1_000_003, f"{'s' * 120}/0", 10**9 + n, v) for n, v in enumerate(values)]
    # As after all but the last; counting thousands one by one is not what is tested.
    before = Counted(many.digest, group, tuple(hits[:-1]))
    fired: list[Any] = []
    with dynamodb("counters") as client:
        counters = DynamoCounters(client, "counters")
        counting = Counting(counters, lambda: START, Agenda(counters, lambda: START))
        assert counters.store(counter_key(many, group), b"[]\n" + before.dumps(), 0, 0)
        counting.count(many, group, hits[-1:], fired.extend)
        counting.count(many, group, hits[-1:], fired.extend)
    told = [(each.count, each.refs[-NAMED:]) for each in fired]
    assert told == [(HIGHEST_COUNT, tuple((hit.chain, hit.seq) for hit in hits[-NAMED:]))] * 2
