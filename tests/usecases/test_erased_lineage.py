"""Who reads or verifies a lineage with erased events: nobody breaks, and nobody without the key agrees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pytest
import redis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from examples import check_trace
from sentinel.cli.picture import Canvas
from sentinel.cli.trace_picture import draw
from sentinel.core.notes import Key
from sentinel.core.payload import CODEC_ERASED
from sentinel.core.spans import exported
from sentinel.core.states import State
from sentinel.core.steps import Again, Failed
from sentinel.core.tasks import SECOND, Task
from sentinel.errors import Tampered
from sentinel.usecases.erase_from import Target as Erased
from sentinel.usecases.erase_lineage import InLineage, LogNotes
from sentinel.usecases.erase_tasks import InTasks
from sentinel.usecases.fork import Wish as ForkWish
from sentinel.usecases.inspect import Inspect
from sentinel.usecases.proofs import Wish
from sentinel.usecases.replay import Replay
from sentinel.usecases.seal import LogKeys
from sentinel.usecases.story import read
from sentinel.usecases.verify_tasks import verify_tasks
from tests.scenario import World, recipe
from tests.traced import entry, forked, new_world, settled, store, tracing

TEXT = "xyzzy-plugh-4711 is what it said"


@dataclass
class Signer:
    """A log's key in memory."""

    key: Ed25519PrivateKey

    def public_key(self) -> bytes:
        return self.key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        return self.key.sign(message)


SIGNER = Signer(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


def key_of(chain: str) -> Key:
    """Return the log's key of a chain."""
    return LogKeys("log.test", SIGNER.public_key()).of(chain)


@pytest.fixture
def world(client: redis.Redis) -> Iterator[World]:
    """A task that failed, whose target said what an entry says, and of which a person said it, too."""
    made = new_world(client)
    refusal = Failed(f"the target answered 422: {TEXT} is no name")
    made.targets["tell"].answers = [Again(f"busy with {TEXT}", 3 * SECOND), refusal, refusal]
    made.push("recipe", "respond", recipe("respond", "errors", "tell", "act"))
    made.detect(store(made, "shop/0", [entry("fine")], [entry("boom", said=TEXT)]))
    settled(made)
    made.control().redrive(made.only().id, "ann", f"try {TEXT} once more")
    settled(made)
    assert made.only().state is State.FAILED
    yield made
    made.close()


def erase(world: World, **changes: Any) -> dict[str, int]:
    """Erase the entry where tasks have it; return what was forgotten."""
    (segment,) = (each for each in world.ledger.read("shop/0") if each.first == 1)
    held = {1: (segment, segment.opened.entries[0])}
    lineages = InLineage(world.tasks, LogNotes(key_of, SIGNER, world.clock), key_of)
    found = InTasks(world.tasks, lineages).forget(replace(Erased("shop/0", 1, 1, held, record=2), **changes))
    assert found.unfinished == []
    assert TEXT.encode() not in everything(world)
    return found.counts


def everything(world: World) -> bytes:
    """Return all that is stored of all tasks."""
    tasks = world.tasks
    held = [(tasks.get(each), tasks.effects(each), tasks.lineage(each)) for each in tasks.ids()]
    return repr(held).encode()


def traced(world: World, **changes: Any) -> dict[str, Any]:
    """Return a trace of the task as JSON."""
    use = replace(tracing(world), **{"keys": key_of, **changes})
    found: dict[str, Any] = json.loads(orjson.dumps(use.of_task(world.only().id, Wish()), default=dict))
    return found


def events_of(world: World, task: Task) -> tuple[list[int], int]:
    """Return the numbers of the erased events, and how many there are."""
    events = world.tasks.lineage(task.id)
    return [event.seq for event in events if event.erased], len(events)


def test_every_reader_shows_what_stays_and_that_words_are_gone(world: World) -> None:
    """By the command and the API: each transition, who and when; the trace is whole and can be checked."""
    assert TEXT.encode() in everything(world)
    before = [event.body for event in world.tasks.lineage(world.only().id)]
    assert erase(world) == {"tasks": 1, "events": 4}
    task = world.only()
    gone, count = events_of(world, task)
    assert len(gone) == 4

    told: Any = Inspect(world.ledger, lambda: world.tasks, keys=key_of).task(None, task.id)
    assert [each["event"] for each in told["lineage"]] == [body["event"] for body in before]
    assert [each["seq"] for each in told["lineage"] if each.get("erased")] == gone
    assert TEXT not in json.dumps(told)

    found = traced(world)
    assert found["whole"], found["damage"]
    assert TEXT not in json.dumps(found)
    (one,) = found["tasks"]
    assert [each["who"] for each in one["people"]] == ["ann"]
    assert [each["seq"] for each in one["lineage"]["events"] if "note" in each] == gone
    lines = check_trace.check(found)
    assert sum("was erased, as a note of the log says" in line for line in lines) == 4
    picture = "\n".join(draw(found, Canvas(120, unicode=False)))
    assert picture.count("(its words were erased)") == 4
    spans, left_out = exported(found)
    assert left_out == []
    assert len(spans["resourceSpans"][0]["scopeSpans"][0]["spans"]) == 4  # the task, and three tries

    verified = verify_tasks(world.tasks, keys=key_of)
    assert (verified.whole, verified.erased, verified.events) == (True, 4, count)


def test_without_the_key_nobody_agrees(world: World) -> None:
    """Each verifier takes the first erased event for damaged, and says where."""
    erase(world)
    task = world.only()
    gone, _ = events_of(world, task)
    with pytest.raises(Tampered) as damage:
        Inspect(world.ledger, lambda: world.tasks).task(None, task.id)
    assert (damage.value.seq, damage.value.kind) == (gone[0], "erased")
    assert verify_tasks(world.tasks).damaged == 1
    found = traced(world, keys=None)
    assert [(each["seq"], each["kind"]) for each in found["damage"]] == [(gone[0], "erased")]
    with pytest.raises(check_trace.Broken):
        check_trace.check(found)
    replayed = Replay(world.ledger, world.catalog, world.tasks, world.clock, actions=world.actions)
    assert [each.what for each in replayed.compare(0, world.clock()).differences] == ["different"]


@pytest.mark.parametrize("ledger", ["erased", "there"])
def test_a_replay_compares_what_stays(world: World, ledger: str) -> None:
    """Words are part of what was hashed, so nothing is re-enacted; lineage and effects are looked at."""
    replay = Replay(
        world.ledger, world.catalog, world.tasks, world.clock, 0, actions=world.actions, keys=key_of
    )
    before = replay.compare(0, world.clock())
    assert (before.differences, before.reenacted) == ([], 1)
    erase(world)
    if ledger == "erased":
        (segment,) = (each for each in world.ledger.read("shop/0") if each.first == 1)
        leaves = segment.opened.leaves()
        payload = replace(segment.opened, erased=dict(enumerate(leaves))).pack()
        assert world.ledger.replace(
            replace(segment, payload=payload, codec=segment.codec | CODEC_ERASED), segment
        )
    found = replay.compare(0, world.clock())
    assert (found.differences, found.reenacted) == ([], 0)
    assert found.erased == (ledger == "erased")
    told = f"task {world.only().id} is not re-enacted: events of its lineage were erased"
    assert (told in found.notes) == (ledger == "there")


def test_a_task_goes_on_behind_erased_events(world: World) -> None:
    """It is redriven and forked as before; what comes then is erased in a later run, without any text."""
    erase(world)
    parent = world.only()
    world.targets["tell"].answers = [Failed(f"again: {TEXT}")]
    world.control().redrive(parent.id, "ann", "for the last time")
    settled(world)
    fork = world.forking().fork(parent.id, ForkWish("bob", "with other words"))
    settled(world)
    for task_id in (parent.id, fork.id):
        story = read(world.tasks, task_id, key_of)
        assert story is not None
        assert story.damage == ()
    assert TEXT.encode() in everything(world)
    counts = erase(world, entries={})
    assert counts["events"] >= 2
    again = read(world.tasks, parent.id, key_of)
    assert again is not None
    assert again.damage == ()


def test_a_fork_s_first_event_keeps_who_made_it(world: World) -> None:
    """Only why is gone; its makers are still asked as such, and its cause still has to agree."""
    fork = forked(world, world.only())
    settled(world)
    assert world.tasks.get(fork.id) is not None
    erase(world)
    events = world.tasks.lineage(fork.id)
    assert events[0].erased
    assert events[0].body["who"] == "ann"
    story = read(world.tasks, fork.id, key_of)
    assert story is not None
    assert story.damage == ()
    stored = world.tasks.get(fork.id)
    assert stored is not None
    assert world.tasks.rewrite(replace(stored, cause={**stored.cause, "rule": "odd"}), [])
    story = read(world.tasks, fork.id, key_of)
    assert story is not None
    assert [each.kind for each in story.damage] == ["state"]
