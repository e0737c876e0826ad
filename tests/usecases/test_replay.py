"""Replay: what was recorded is what is asked for, and every other thing shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.adapters.redis_streams import RedisQueue, connect
from sentinel.core.segment import Segment
from sentinel.core.tasks import SECOND, Effect, EffectState, State, Task, effect_key
from sentinel.errors import Unavailable
from sentinel.usecases.in_force import InForce
from sentinel.usecases.recompute import segments
from sentinel.usecases.replay import SLACK, Replay
from sentinel.usecases.replayed import Replayed
from tests.data import need
from tests.faults_calls import Faults, Killed
from tests.scenario import START, Target, World, correlation, recipe, rule
from tests.usecases.test_correlate import BODIES, FIRST, Feeds, words
from tests.usecases.test_correlate import entry as said
from tests.usecases.test_correlate import world as correlating
from tests.valkey import running

HOUR = 3600 * SECOND
BEGIN = START - START % HOUR + HOUR  # when the entries come
READ_ONLY = {
    *("ledger.chains", "ledger.head", "ledger.at", "ledger.read"),
    *("catalog.activations", "catalog.active", "catalog.version"),
    *("tasks.listing", "tasks.get", "tasks.lineage", "tasks.effects"),
}


def entry(message: str, **fields: object) -> bytes:
    """Return an entry."""
    return json.dumps({"message": message, **fields}).encode()


def push(world: World) -> None:
    """Put rules, correlations and recipes of every kind in force."""
    world.push("rule", "errors", rule("errors", "boom"))
    world.push("rule", "slow", rule("slow", "slow"))
    world.push("rule", "odd", rule("odd", "odd"))
    world.push("rule", "many", correlation("many", "odd", "user", 3, "1m"))
    sums = "type: value_sum\n  rules: [odd]\n  timespan: 1m\n  condition: {gt: 20, field: n}"
    world.push("rule", "sums", f"title: S\nname: sums\ncorrelation:\n  {sums}\n  group-by: [user]\n".encode())
    chain = "type: temporal_ordered\n  rules: [sums, slow]\n  timespan: 5m\n  generate: true"
    world.push(
        "rule", "then", f"title: T\nname: then\ncorrelation:\n  {chain}\n  group-by: [user]\n".encode()
    )
    world.push("recipe", "each", recipe("each", "errors", "tell", "act"))
    world.push("recipe", "hourly", recipe("hourly", "slow", "act", by=["user"], within="1h"))
    for name in ("many", "sums", "then"):
        world.push("recipe", name, recipe(name, name, "act"))


def log(world: World) -> list[Segment]:
    """Store entries of two chains that set everything off."""
    found: list[Segment] = []
    for n in range(12):
        user = "ann" if n % 3 else "bob"
        lines = [entry("fine"), entry("boom" if n % 4 == 0 else "odd", user=user, n=n)]
        lines += [entry("slow", user=user)] if n in {5, 9, 11} else []
        found += world.store(f"c{n % 2}/{n}", lines, t=BEGIN + n * 7 * SECOND)
    return found


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    """Run one server for all of these tests."""
    with running(tmp_path_factory.mktemp("valkey")) as server:
        made = connect(server.url)
        yield made
        made.close()


@pytest.fixture
def world(client: redis.Redis) -> Iterator[World]:
    """Record a run: everything detected, by several processes, dispatched and carried out to its end."""
    client.flushall()
    made = World(RedisQueue(client), [Target("tell", "siem"), Target("act", "action")])
    push(made)
    made.clock.now = BEGIN
    stored = log(made)
    odd, even = stored[1::2], stored[::2]  # the chains' feeds, one long after the other
    for run in (even[:3], odd, even[2:]):
        made.new_detector().detect(run)
    for _ in range(6):
        made.clock.sleep(240)
        made.new_detector().decide()
    made.settle()
    yield made
    made.close()


def replay(world: World, **changes: Any) -> Replay:
    """Return the use case on a world's stores."""
    made = Replay(world.ledger, world.catalog, world.tasks, world.clock, actions=world.actions)
    return replace(made, **changes)


def compared(world: World, **changes: Any) -> Replayed:
    """Compare the whole hour."""
    return replay(world, **changes).compare(BEGIN, BEGIN + HOUR)


def what(found: Replayed) -> list[tuple[str, str]]:
    """Return the kinds of differences and whose recipe's they are."""
    return sorted((each.what, each.recipe) for each in found.differences)


def one(world: World, name: str) -> Task:
    """Return one task of a recipe."""
    return next(task for task in world.tasks.listing(None, 1000) if task.recipe == name)


def test_a_recorded_run_has_no_differences(world: World) -> None:
    """Everything that was made is asked for, and nothing else, with every lineage and effect."""
    found = compared(world)
    made = {task.recipe for task in world.tasks.listing(None, 1000)}
    assert made == {"each", "hourly", "many", "sums", "then"}
    assert found.differences == []
    assert (found.asked, found.recorded) == (len(world.tasks.listing(None, 1000)),) * 2
    assert (found.waiting, found.doubtful, found.notes) == (0, 0, [])
    assert (found.entries, found.firings) == (27, 5)


def test_any_part_of_a_time_has_none(world: World) -> None:
    """Wherever the time begins and ends, correlations look back far enough and no task is half in it."""
    total = 0
    for first in range(12):
        begin = BEGIN + first * 7 * SECOND
        found = replay(world).compare(begin, begin + 7 * SECOND)
        assert found.differences == [], first
        total += found.recorded
    assert total == compared(world).recorded


@given(st.lists(st.lists(words, max_size=7), min_size=1, max_size=3), st.integers(0, 2**16))
@settings(max_examples=30, deadline=None)
def test_feeds_of_any_order_replay_without_a_difference(drawn: list[list[Any]], seed: int) -> None:
    """Whatever the order of the feeds and the crashes, what was made is what is asked for."""
    faults = Faults(Killed)
    made = correlating(list(BODIES), faults)
    begin = made.clock.now = FIRST + 60 * SECOND  # after the pushes
    chains = [
        [
            segment
            for place, (t, word, user, host, n) in enumerate(sorted(rows, key=lambda row: row[0]))
            for segment in made.store(f"c{number}/{place}", [said(word, user, host, n)], t=begin + t * SECOND)
        ]
        for number, rows in enumerate(drawn)
    ]
    Feeds(chains, seed).run(made, faults)
    found = replay(made, slack=0).compare(begin, begin + HOUR)
    assert (found.differences, found.waiting, found.doubtful) == ([], 0, 0)
    assert found.asked == found.recorded == len(made.tasks.listing(None, 1000))
    made.close()


def test_nothing_is_written(client: redis.Redis) -> None:
    """Replay calls nothing of its ports but what reads."""
    faults = Faults()
    made = World(RedisQueue(client), [Target("tell", "siem"), Target("act", "action")], faults.wrap)
    push(made)
    made.detect(log(made))
    faults.log.clear()
    ports = {name: faults.wrap(name, getattr(made, name)) for name in ("ledger", "catalog", "tasks")}
    replay(made, **ports).compare(BEGIN, BEGIN + HOUR)
    replay(made, **ports).instead(BEGIN, BEGIN + HOUR, [("rule", "slow", rule("slow", "fine"))])
    assert set(faults.log) <= READ_ONLY
    assert len(faults.log) > 20
    made.close()


def forget(world: World, task: Task) -> None:
    """Take a task out of the store, as nothing of ours does."""
    with world.tasks._database.transaction() as connection:
        connection.execute("DELETE FROM tasks WHERE id = ?", (task.id,))


def put(world: World, task: Task) -> None:
    """Write a task's row over, as nothing of ours does."""
    from sentinel.adapters.task_json import task_to_json

    with world.tasks._database.transaction() as connection:
        connection.execute("UPDATE tasks SET body = ? WHERE id = ?", (task_to_json(task), task.id))


@pytest.mark.parametrize("name", ["each", "hourly", "many", "sums", "then"])
def test_a_missing_task_shows(world: World, name: str) -> None:
    """A task that is asked for and not there is named, with the entries that ask for it."""
    task = one(world, name)
    forget(world, task)
    (difference,) = compared(world).differences
    assert (difference.what, difference.task, difference.recipe) == ("missing", task.id, name)
    assert [{"chain": c, "seq": s} for c, s in difference.entries] == task.cause["entries"]


def test_an_unexpected_task_shows(world: World) -> None:
    """A task that nothing in force asks for is named."""
    world.push("recipe", "extra", recipe("extra", "slow", "act"))
    world.clock.sleep(31)
    made = world.new_detector().detect(list(segments(world.ledger, 0, 2**62))).tasks
    assert len(made) == 3
    assert what(compared(world)) == [("unexpected", "extra")] * 3


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"entries": [{"chain": "c0/0", "seq": 0}]}, "another entries"),
        ({"fingerprint": "0" * 32}, "another fingerprint"),
        ({"title": "Another"}, "another title"),
        ({"rule": "slow"}, "another rule"),
    ],
)
def test_a_different_cause_shows(world: World, changed: dict[str, object], why: str) -> None:
    """What is recorded of a cause and is not asked for is named."""
    task = one(world, "each")
    put(world, replace(task, cause={**task.cause, **changed}))
    found = [each for each in compared(world).differences if each.what == "different"]
    assert [each.task for each in found] == [task.id]
    assert found[0].why[0] == why


def test_a_firing_may_not_name_what_does_not_count(world: World) -> None:
    """The entries of a firing may be others than in order, but have to count for its group."""
    task = one(world, "many")
    entries = task.cause["entries"]
    assert isinstance(entries, list)
    others = [{"chain": f"c{n % 2}/{n}", "seq": 1} for n in (1, 5, 11)]  # ann's, too
    put(world, replace(task, cause={**task.cause, "entries": others}))
    assert compared(world, actions=None).differences == []
    (why,) = compared(world).differences[0].why
    assert why == "its state has another cause than its lineage gives it"
    bobs = {"chain": "c1/3", "seq": 1}
    put(world, replace(task, cause={**task.cause, "entries": [*entries[:-1], bobs]}))
    (difference,) = compared(world, actions=None).differences
    assert (difference.what, difference.why) == ("different", ("another entries",))


def test_a_lineage_that_was_changed_shows(world: World) -> None:
    """A state that its lineage does not tell of, or an event that was changed, is named."""
    task = one(world, "each")
    put(world, replace(task, state=State.FAILED))
    (difference,) = compared(world).differences
    assert (difference.what, difference.why) == (
        "different",
        ("it is failed, and its lineage ends with succeeded",),
    )
    put(world, task)
    with world.tasks._database.transaction() as connection:
        connection.execute("UPDATE events SET entry = ? WHERE task = ? AND seq = 1", (b"{}", task.id))
    (difference,) = compared(world).differences
    assert "does not follow" in difference.why[0]


def test_a_lineage_that_goes_on_from_elsewhere_shows(world: World) -> None:
    """Events that verify one by one and are no way through the table of transitions are named."""
    from sentinel.core.tasks import event_after

    task = one(world, "each")
    event = event_after(task, State.RUNNING, world.clock(), bytes(32), {"from": "succeeded"})
    after = replace(task, state=State.RUNNING, version=task.version + 1, head=event.head.hex())
    world.tasks.move(task, after, event)
    (difference,) = compared(world).differences
    assert "from succeeded to running, which is no transition" in difference.why[0]


def test_an_effect_of_no_step_shows(world: World) -> None:
    """An effect that is done has the key that the recipe gives to its step."""
    task = one(world, "each")
    key = effect_key(task.id, task.recipe_digest, "s0", {"other": "input"})
    world.tasks.record(Effect(task.id, key, EffectState.DONE, "s0", world.clock()))
    (difference,) = compared(world).differences
    assert difference.why == (f"the effect of step s0 is not one of its recipe: {key}",)


def test_what_detection_may_not_have_seen_yet_is_waited_for(world: World) -> None:
    """Tasks of entries that are just sealed, or of hits that are just decided, are not missing yet."""
    for task in world.tasks.listing(None, 1000):
        forget(world, task)
    world.clock.now = BEGIN + 20 * SECOND
    found = compared(world)
    assert found.differences == []
    assert found.waiting == found.asked > 5
    world.clock.now = BEGIN + 77 * SECOND + SLACK + SECOND
    found = compared(world)
    assert {recipe for _, recipe in what(found)} == {"each", "hourly", "many"}
    assert found.waiting == 2


def test_a_push_counts_from_its_time_on(client: redis.Redis) -> None:
    """What is pushed between two entries is asked for by the second alone; a retirement ends that."""
    world = World(RedisQueue(client), [Target("act", "action")])
    world.push("recipe", "r", recipe("r", "errors", "act"))
    for n, word in enumerate(["boom", "bang", None, "boom"]):
        t = BEGIN + n * 600 * SECOND
        world.clock.now = t - 300 * SECOND
        if word:
            world.push("rule", "errors", rule("errors", word))
        else:
            world.catalog.retire("rule", "errors")
        world.clock.now = t
        world.detect(world.store(f"s/{n}", [entry("boom"), entry("bang")], t=t))
    world.clock.sleep(900)
    found = compared(world)
    assert (found.differences, found.asked, found.doubtful) == ([], 3, 0)
    ids = [task.cause["entries"] for task in world.tasks.listing(None, 10)]
    assert len(ids) == 3
    world.close()


@pytest.mark.parametrize("late", [5, 25])
def test_right_after_a_push_either_may_count(client: redis.Redis, late: int) -> None:
    """While detection may still have used the old rules, what one of both asks for is allowed."""
    world = World(RedisQueue(client), [Target("act", "action")])
    world.push("rule", "errors", rule("errors", "boom"))
    world.push("recipe", "r", recipe("r", "errors", "act"))
    world.clock.now = BEGIN
    world.playbook.current()  # and so it is used for half a minute
    world.push("rule", "errors", rule("errors", "bang"))
    world.clock.sleep(late)
    stored = world.store("s/0", [entry("boom"), entry("bang")], t=BEGIN + late * SECOND)
    world.detect(stored)
    world.clock.sleep(900)
    found = compared(world)
    assert (found.differences, found.recorded, found.doubtful) == ([], 1, 1)
    assert what(compared(world, slack=SECOND)) == [("missing", "r"), ("unexpected", "r")]
    world.close()


def test_a_catalog_that_told_nothing_was_always_so(world: World) -> None:
    """Documents of an earlier version, whose times are not known, count as in force all the time."""
    with world.catalog._database.transaction() as connection:
        connection.execute("DROP TABLE activations")
    force = InForce.of(world.catalog, SLACK)
    assert len(force.changes) == 1
    assert compared(world).differences == []


def test_a_changed_rule_shows_which_tasks_differ(world: World) -> None:
    """With another rule exactly those tasks differ that it would ask for, or would not."""
    found = replay(world).instead(BEGIN, BEGIN + HOUR, [("rule", "errors", rule("errors", "fine"))])
    assert [each.what for each in found.differences].count("gone") == 3
    assert what(found) == [("added", "each")] * 12 + [("gone", "each")] * 3
    gone = {each.task for each in found.differences if each.what == "gone"}
    assert gone == {task.id for task in world.tasks.listing(None, 100) if task.recipe == "each"}


def test_the_same_rules_differ_in_nothing(world: World) -> None:
    """What is in force already, given again, changes nothing."""
    given = [
        ("rule", "errors", rule("errors", "boom")),
        ("recipe", "each", recipe("each", "errors", "tell", "act")),
    ]
    found = replay(world).instead(BEGIN, BEGIN + HOUR, given)
    assert (found.differences, found.notes) == ([], [])


def test_a_changed_correlation_shows(world: World) -> None:
    """Another threshold asks for other firings; a recipe that finds no rule is told of."""
    given = [("rule", "many", correlation("many", "odd", "user", 4, "1m"))]
    found = replay(world).instead(BEGIN, BEGIN + HOUR, given)
    assert set(what(found)) == {("changed", "many"), ("gone", "many")}
    given = [("rule", "many", correlation("many", "odd", "user", 9, "1m"))]
    assert set(what(replay(world).instead(BEGIN, BEGIN + HOUR, given))) == {("gone", "many")}
    lost = [("recipe", "new", recipe("new", "nothing", "act"))]
    assert "'nothing'" in replay(world).instead(BEGIN, BEGIN + HOUR, lost).notes[0]


def test_a_changed_recipe_is_a_version_of_its_own(world: World) -> None:
    """Tasks of a recipe that was changed would be tasks of its next version, each of them."""
    given = [("recipe", "each", recipe("each", "errors", "act"))]
    found = replay(world).instead(BEGIN, BEGIN + HOUR, given)
    assert what(found) == [("added", "each")] * 3 + [("gone", "each")] * 3
    assert {each.version for each in found.differences} == {1, 2}


def test_a_store_that_is_away_is_said(world: World) -> None:
    """Whichever call fails, replay says so rather than to find differences."""
    faults = Faults()
    ports = {name: faults.wrap(name, getattr(world, name)) for name in ("ledger", "catalog", "tasks")}
    replay(world, **ports).compare(BEGIN, BEGIN + HOUR)
    total = faults.calls
    for k in range(1, total + 1, max(total // 25, 1)):
        faults.calls = 0
        faults.fails = lambda n, k=k: n == k  # type: ignore[misc]
        with pytest.raises(Unavailable):
            replay(world, **ports).compare(BEGIN, BEGIN + HOUR)


def test_segments_are_found_by_their_times(world: World) -> None:
    """Reading from a time on gives what reading everything and choosing gives, for every time."""
    chain = [world.ledger.at(name, 0) for name in sorted(world.ledger.chains())]
    long = world.store("long/0", *[[entry("fine")] * (n % 3 + 1) for n in range(20)], t=BEGIN)
    everything = sorted([*filter(None, chain), *long], key=lambda each: (each.t, each.chain, each.first))
    times = sorted({each.t for each in everything})
    for start in [0, *times, times[-1] + 1]:
        found = [(each.chain, each.first) for each in segments(world.ledger, start, times[-1])]
        assert found == [(s.chain, s.first) for s in everything if start <= s.t < times[-1]]


def test_real_logs_replay_without_a_difference(client: redis.Redis) -> None:
    """Real rules over real events, a correlation on them, recorded in two feeds: nothing differs."""
    folder: Path = need("detection")
    world = World(RedisQueue(client), [Target("act", "action")])
    titles: set[str] = set()
    for path in sorted((folder / "sigma_rules").rglob("*.yml")):
        if "aws" in path.parts and len(titles) < 60:
            titles.add(path.stem)
            world.push("rule", path.stem, path.read_bytes())
    plays = world.playbook.current()
    for each in plays.rules.rules:
        world.push("recipe", each.id, recipe(each.id, each.id, "act", by=["eventSource"], within="1h"))
    ids = ", ".join(each.id for each in plays.rules.rules)
    counted = (
        f"type: value_count\n  rules: [{ids}]\n  timespan: 1m\n  condition: {{gte: 3, field: eventName}}"
    )
    text = f"title: Busy\nname: busy\ncorrelation:\n  {counted}\n  generate: true\n"
    world.push("rule", "busy", text.encode())
    world.push("recipe", "busy", recipe("busy", "busy", "act"))
    world.clock.now = BEGIN
    rows = [json.loads(line) for line in (folder / "events_stratus.jsonl").read_bytes().splitlines()]
    lines = [json.dumps(row["event"]).encode() for row in rows if row["log_type"] == "aws.cloudtrail"]
    runs = [world.store(f"trail/{n}", lines[n::40], t=BEGIN + n * SECOND) for n in range(min(40, len(lines)))]
    for run in runs[::2] + runs[1::2]:
        world.detect(run)
    world.clock.sleep(900)
    found = compared(world)
    assert found.differences == []
    assert found.recorded == found.asked > 10
    assert found.firings >= 1
    world.close()
