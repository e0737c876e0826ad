"""Traces: what caused what, proven by hashes alone, on both stores; and what is told where it cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
import redis

from examples import check_trace
from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.states import State
from sentinel.core.step_inputs import Form
from sentinel.core.tasks import SECOND
from sentinel.errors import Missing
from sentinel.usecases.fork import Wish as Another
from sentinel.usecases.proofs import LEFT_OUT, Wish
from sentinel.usecases.trace import OTHERS, Trace
from tests.approvals import ALICE, AskingWorld, approving_recipe
from tests.scenario import Target, World, correlation, recipe, rule
from tests.traced import (
    SPAN,
    TRACE,
    entry,
    eventful,
    forked,
    in_dynamodb,
    new_world,
    settled,
    store,
    tracing,
)


@pytest.fixture
def world(client: redis.Redis) -> Iterator[World]:
    """Wire everything."""
    found = new_world(client)
    yield found
    found.close()


def sent(trace: dict[str, Any]) -> dict[str, Any]:
    """Return a trace as whoever is sent it reads it."""
    found: dict[str, Any] = orjson.loads(orjson.dumps(trace))
    return found


def test_a_task_is_traced_to_its_entry_and_its_effects(world: World) -> None:
    """From a task to the entry that caused it, with recipe, effects and the person who decided one."""
    task = eventful(world)
    trace = sent(tracing(world).of_task(task.id, Wish()))
    assert trace["whole"]
    assert trace["asked"] == {"task": task.id}
    (cause,) = trace["entries"]
    assert (cause["chain"], cause["seq"], cause["proven"]) == ("shop/0", 4, True)
    assert (cause["trace"], cause["span"]) == (TRACE, SPAN)
    (run,) = trace["runs"]
    assert (run["first"], run["entries"], run["linked"]) == (3, 8, "newest")
    (told,) = trace["tasks"]
    assert told["recipe"]["digest"] == task.recipe_digest
    assert [(it["step"], it["state"], it["decided"]["how"]) for it in told["effects"]] == [
        ("s0", "done", "done"),
        ("s1", "intent", "happened"),
        ("s2", "done", "done"),
    ]
    assert told["effects"][1]["decided"]["who"] == "ann"
    assert [(it["who"], it["verdict"], it["from"]) for it in told["people"]] == [
        ("ann", "happened", "ambiguous")
    ]
    proven = check_trace.check(trace)
    assert proven[0].startswith("shop/0 entry 4: in the chain, up to head")
    assert len(proven) == 5


def test_an_effect_is_traced_by_its_key_and_by_its_step(world: World) -> None:
    """Either way the same task is told, and which of its effects was asked about."""
    task = eventful(world)
    run = tracing(world)
    by_step = run.of_step(task.id, "s1", Wish())
    key = by_step["asked"]["effect"]
    by_key = run.of_effect(key, Wish())
    assert by_key == by_step
    assert by_key["asked"] == {"effect": key, "task": task.id, "step": "s1"}
    assert by_key["tasks"] == run.of_task(task.id, Wish())["tasks"]


def test_an_entry_is_traced_to_the_tasks_it_set_off(world: World) -> None:
    """Forward: all tasks that name the entry, however they came, and what they did."""
    world.push("recipe", "each", recipe("each", "errors", "tell"))
    world.push("recipe", "all", recipe("all", "errors", "act", by=["user"]))
    world.push("rule", "two", correlation("two", "odd", "user", 2, "10m"))
    world.push("recipe", "two", recipe("two", "two", "act"))
    boom = entry("boom odd", user="ann")
    world.detect(store(world, "shop/0", [entry("fine"), boom], [boom], [entry("boom", user="bob")]))
    settled(world)
    trace = sent(tracing(world).of_entry("shop/0", 1, Wish(), 1000))
    named = {it["recipe"]["id"] for it in trace["tasks"]}
    assert named == {"each", "all", "two"}
    assert trace["forward"]["complete"]
    assert {it["how"] for it in trace["forward"]["tasks"]} == {"named"}
    assert [(it["seq"], it["proven"]) for it in trace["entries"]] == [(1, True)]
    assert check_trace.check(trace)


def test_an_entry_that_asked_for_a_task_again_is_traced_to_it(world: World) -> None:
    """A task that was there already does not name the entry; which one it is, is computed as replay does."""
    world.push("recipe", "all", recipe("all", "errors", "act", by=["user"]))
    boom = entry("boom", user="ann")
    for segment in store(world, "shop/0", [boom], [boom]):
        world.new_detector().detect([segment])
    settled(world)
    trace = tracing(world).of_entry("shop/0", 1, Wish(), 1000)
    assert trace["forward"]["tasks"] == [{"task": world.only().id, "how": "asked"}]
    assert [it["id"] for it in trace["tasks"]] == [world.only().id]


def test_an_entry_that_set_nothing_off_yet(world: World) -> None:
    """A task that is asked for and not there is a note, and no damage: detection may be on its way."""
    world.push("recipe", "each", recipe("each", "errors", "tell"))
    store(world, "shop/0", [entry("boom")])
    trace = tracing(world).of_entry("shop/0", 0, Wish(), 1000)
    assert (trace["tasks"], trace["whole"]) == ([], True)
    assert "which is not there" in trace["notes"][0]


def test_the_bound_of_the_look_forward_is_told(world: World) -> None:
    """Where more tasks changed since than are looked through, the trace says that there may be more."""
    world.push("recipe", "each", recipe("each", "errors", "tell"))
    world.detect(store(world, "shop/0", [entry("boom", n=n) for n in range(20)]))
    for most, complete in ((5, False), (1000, True)):
        trace = tracing(world).of_entry("shop/0", 0, Wish(), most)
        assert trace["forward"]["complete"] is complete
        assert any("only 5 tasks" in note for note in trace["notes"]) is not complete
        assert len(trace["tasks"]) == 1, "what a rule asks for is computed, whatever the bound"
        assert [each["how"] for each in trace["forward"]["tasks"]] == ["named"]


def test_tasks_from_before_the_entry_are_not_looked_through(world: World) -> None:
    """A task was made after its entries were sealed: what last changed before needs no look."""
    world.push("recipe", "each", recipe("each", "errors", "tell"))
    world.detect(store(world, "old/0", [entry("boom", n=n) for n in range(20)]))
    settled(world)
    world.clock.sleep(3600)
    later = [replace(it, t=it.t) for it in _later(world)]
    world.detect(later)
    trace = tracing(world).of_entry("shop/0", 0, Wish(), 1000)
    assert len(trace["tasks"]) == 1
    assert trace["forward"]["looked_at"] < 5


def _later(world: World) -> list[Any]:
    from tests.traced import batches

    found = batches("shop/0", [entry("boom")], t=world.clock())
    for segment in found:
        world.ledger.append(segment)
    return found


def test_forks_and_parents_are_told(world: World) -> None:
    """Whichever of a family is asked for, all of it is told, with who made the forks."""
    parent = eventful(world)
    first, second = forked(world, parent), forked(world, parent, 2)
    grandchild = forked(world, second)
    for asked in (parent, first, grandchild):
        trace = sent(tracing(world).of_task(asked.id, Wish()))
        tasks = {it["id"]: it for it in trace["tasks"]}
        assert set(tasks) == {parent.id, first.id, second.id, grandchild.id}
        assert tasks[parent.id]["forks"] == [first.id, second.id]
        assert tasks[grandchild.id]["parent"] == second.id
        assert tasks[first.id]["people"][0]["why"] == "with another input"
        assert trace["whole"]
        check_trace.check(trace)


def test_entries_are_told_on_demand_and_then_proven_by_their_bytes(world: World) -> None:
    """Without asking no body and nothing to guess it by; with it the leaf can be made from what is told."""
    task = eventful(world)
    bare = orjson.dumps(tracing(world).of_task(task.id, Wish()))
    assert b"boom" not in bare
    assert b'nonce":"' + b"02" * 32 not in bare, "the segment's nonce would let entries be guessed"
    trace = sent(tracing(world).of_task(task.id, Wish(bodies=True)))
    assert b"boom" in trace["entries"][0]["entry"].encode()
    check_trace.check(trace)
    trace["entries"][0]["entry"] += " "
    with pytest.raises(check_trace.Broken, match="not what its leaf commits to"):
        check_trace.check(trace)


def test_proofs_lead_to_heads_that_were_written_down(world: World) -> None:
    """With written heads links end at the first that covers the entries; one that is not met is damage."""
    task = eventful(world)
    heads = {it.first + it.count: it.head.hex() for it in world.ledger.read("shop/0")}
    run = tracing(world)
    trace = run.of_task(task.id, Wish(written={"shop/0": {3: heads[3], 5: heads[5], 8: heads[8]}}))
    assert (trace["runs"][0]["entries"], trace["runs"][0]["linked"]) == (5, "written")
    none = run.of_task(task.id, Wish(written={"shop/0": {3: heads[3]}}))
    assert none["notes"] == ["no head was written down that covers entry 4 of shop/0"]
    assert none["runs"][0]["linked"] == "newest"
    for written, kind in (
        ({5: "00" * 32}, "rewritten"),
        ({6: heads[5]}, "rewritten"),
        ({9: "00" * 32}, "cut"),
    ):
        damaged = run.of_task(task.id, Wish(written={"shop/0": written}))
        assert [each["kind"] for each in damaged["damage"]] == [kind]


def test_links_that_would_be_too_many_are_left_out(world: World) -> None:
    """A proof that cannot reach a head within its bound ends at the segment's, and says how far it is."""
    world.push("recipe", "r", recipe("r", "errors", "tell"))
    world.detect(store(world, "shop/0", [entry("boom")], [entry("fine")] * 50, [entry("fine")] * 50))
    task = world.only()
    for leaves, linked in ((101, "newest"), (100, "segment"), (1, "segment")):
        trace = sent(tracing(world).of_task(task.id, Wish(leaves)))
        (run,) = trace["runs"]
        assert run["linked"] == linked
        assert run.get("short_of") == (None if linked == "newest" else 101)
        assert trace["entries"][0]["proven"]
        check_trace.check(trace)
    (untold,) = tracing(world).of_task(task.id, Wish(0))["entries"]
    assert (untold["proven"], untold["why"]) == (False, LEFT_OUT)


def test_entries_far_apart_have_proofs_of_their_own(world: World) -> None:
    """Where all links between do not fit, each has its segment's head, and the last the chain's."""
    world.push("rule", "two", correlation("two", "errors", "user", 2, "10m"))
    world.push("recipe", "two", recipe("two", "two", "act"))
    boom = entry("boom", user="ann")
    world.detect(store(world, "shop/0", [boom], [entry("fine")] * 40, [boom, entry("fine")]))
    trace = sent(tracing(world).of_task(world.only().id, Wish(10)))
    assert [(run["first"], run["entries"], run["linked"]) for run in trace["runs"]] == [
        (0, 1, "segment"),
        (41, 43, "newest"),
    ]
    assert len(check_trace.check(trace)) == 3


def test_a_service_gets_proofs_of_its_own_entries(world: World) -> None:
    """Of another service's entries it is told the places, which its task names anyway, and nothing else."""
    world.push("rule", "two", correlation("two", "errors", "user", 2, "10m"))
    world.push("recipe", "two", recipe("two", "two", "act"))
    boom = entry("boom", user="ann")
    world.detect([*store(world, "shop/0", [boom]), *store(world, "till/0", [boom])])
    run = tracing(world)
    trace = sent(run.of_task(world.only().id, Wish(), "till"))
    assert trace["entries"][0] == {"chain": "shop/0", "seq": 0, "proven": False, "why": OTHERS}
    assert [each["chain"] for each in trace["runs"]] == ["till/0"]
    check_trace.check(trace)
    with pytest.raises(Missing):
        run.of_task(world.only().id, Wish(), "stranger")


def test_a_scheduled_task_has_no_entries(world: World) -> None:
    """What the clock set off is traced to its schedule."""
    from sentinel.core.tasks import born
    from sentinel.usecases.schedule import scheduled

    body = b"id: n\non: {schedule: {every: 1h}}\nsteps:\n  - {id: s, uses: act}\n"
    world.push("recipe", "n", body)
    task = scheduled(world.playbook.recipe("n", 1), 3600 * SECOND, world.clock(), "action")
    made, event = born(task, world.nonce(), {"recipe": "n", "version": 1, **task.cause})
    world.tasks.create(made, event)
    trace = sent(tracing(world).of_task(made.id, Wish()))
    assert (trace["entries"], trace["runs"], trace["whole"]) == ([], [], True)
    check_trace.check(trace)


def test_a_recipe_that_is_gone_is_a_note(world: World) -> None:
    """Without its recipe a task is told all the same."""
    task = eventful(world)
    run = replace(tracing(world), recipe=_no_recipe)
    trace = run.of_task(task.id, Wish())
    assert trace["whole"]
    assert trace["notes"] == [f"of task {task.id}: it is not in the catalog"]
    assert trace["tasks"][0]["recipe"]["steps"] == []


def _no_recipe(*_: object) -> Any:
    raise Missing("it is not in the catalog")


def test_what_is_not_there_is_missing(world: World) -> None:
    """No task, no effect, no step, no chain, no such entry: each is said so."""
    task = eventful(world)
    run = tracing(world)
    asks: tuple[Callable[[], object], ...] = (
        lambda: run.of_task("a" * 26, Wish()),
        lambda: run.of_step("a" * 26, "s0", Wish()),
        lambda: run.of_step(task.id, "s9", Wish()),
        lambda: run.of_effect("0" * 64, Wish()),
        lambda: run.of_entry("none/0", 0, Wish(), 10),
        lambda: run.of_entry("shop/0", 8, Wish(), 10),
    )
    for ask in asks:
        with pytest.raises(Missing):
            ask()


def test_the_tables_of_aws_tell_the_same(world: World) -> None:
    """On DynamoDB every kind of trace is the one that SQLite gives."""
    task = eventful(world)
    forked(world, task)
    here = tracing(world)
    key = here.of_step(task.id, "s1", Wish())["asked"]["effect"]
    with in_dynamodb(world) as (ledger, tasks, _):
        there = tracing(world, ledger, tasks)
        runs: tuple[Callable[[Trace], dict[str, Any]], ...] = (
            lambda it: it.of_task(task.id, Wish(bodies=True)),
            lambda it: it.of_effect(key, Wish()),
            lambda it: it.of_step(task.id, "s2", Wish()),
            lambda it: it.of_entry("shop/0", 4, Wish(), 100),
        )
        for run in runs:
            told = run(there)
            assert told == run(here)
            assert told["whole"]
            check_trace.check(sent(told))


def test_a_task_that_moves_meanwhile_is_read_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """State and lineage are of one moment: a move between the two reads is no damage."""
    world.push("recipe", "r", recipe("r", "errors", "tell", "act"))
    world.detect(store(world, "shop/0", [entry("boom")]))
    task = world.only()
    lineage = world.tasks.lineage
    moves = iter([State.CANCELLED])

    def moving(task_id: str) -> Any:
        if next(moves, None):
            world.control().cancel(task_id, "ann", "now")
        return lineage(task_id)

    monkeypatch.setattr(world.tasks, "lineage", moving)
    trace = tracing(world).of_task(task.id, Wish())
    assert (trace["whole"], trace["tasks"][0]["state"]) == (True, "cancelled")


def test_who_approved_an_effect_is_told(client: redis.Redis) -> None:
    """What was asked names who answered, and what was done afterwards whose approvals it had."""
    targets = [Target("tell", "siem", forms={"body": Form.JSON}), Target("act", "action")]
    world = AskingWorld(RedisQueue(client), targets)
    world.push("rule", "errors", rule("errors", "boom"))
    task = world.begin(approving_recipe("uses: act", by=[ALICE, "service:ops"], more=", needs: 2"))
    asked = tracing(world).of_task(task.id, Wish())["tasks"][0]["effects"]
    assert [each["decided"]["how"] for each in asked] == ["awaiting-approval"]
    for name in (ALICE, "service:ops"):
        world.approve(task, name)
    world.run()
    trace = sent(tracing(world).of_task(task.id, Wish()))
    assert trace["whole"]
    decided = trace["tasks"][0]["effects"][0]["decided"]
    assert (decided["how"], decided["who"]) == ("approve", "service:ops")
    (act,) = [each for each in trace["tasks"][0]["effects"] if each["uses"] == "act"]
    assert (act["decided"]["how"], act["approved_by"]) == ("done", [ALICE, "service:ops"])
    people = trace["tasks"][0]["people"]
    assert [(it["who"], it["how"], it["verdict"]) for it in people] == [
        (ALICE, "link", "approve"),
        ("service:ops", "service", "approve"),
    ]
    check_trace.check(trace)
    world.close()


def test_a_fork_that_was_really_made_is_traced(world: World) -> None:
    """What the use case makes is what the trace finds: by number, with its parent's trace in its lineage."""
    parent = eventful(world)
    made = world.forking().fork(parent.id, Another("ann", "once more", step="s2"))
    trace = sent(tracing(world).of_task(made.id, Wish()))
    assert [it["id"] for it in trace["tasks"]] == [made.id, parent.id]
    assert trace["tasks"][1]["forks"] == [made.id]
    assert trace["tasks"][0]["trace"] == TRACE
    assert orjson.loads(trace["tasks"][0]["lineage"]["events"][0]["entry"])["trace"] == TRACE
    check_trace.check(trace)
