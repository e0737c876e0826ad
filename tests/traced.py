"""Tasks to trace: a world in which all kinds of things happened, the same ones each time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import redis

from sentinel.adapters.dynamodb_ledger import DynamoLedger
from sentinel.adapters.dynamodb_task_items import event_item, state_item
from sentinel.adapters.dynamodb_tasks import DynamoTasks
from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.segment import Batch, Head, Segment
from sentinel.core.states import State
from sentinel.core.steps import Again, Done
from sentinel.core.tasks import SECOND, Task, born, task_id
from sentinel.errors import Unavailable
from sentinel.usecases.resolve import inputs_of
from sentinel.usecases.set_off import Forward
from sentinel.usecases.trace import Trace
from tests.contracts.tables import dynamodb
from tests.scenario import START, Target, World, correlation, recipe, rule

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
REQUEST = "4bf92f3577b34da6a3ce929d0e0e4736"


def entry(message: str, **fields: object) -> bytes:
    """Return an entry."""
    return json.dumps({"message": message, **fields}).encode()


def batches(chain: str, *those: list[bytes], trace: str = "", t: int = START) -> list[Segment]:
    """Return a chain's segments; their requests were part of a trace where one is named."""
    head = Head.genesis(chain)
    found = []
    context: dict[str, object] = {"service": chain.partition("/")[0], **({"trace": trace} if trace else {})}
    for number, entries in enumerate(those):
        nonce = bytes([number + 1]) * 32
        draft = Batch((number + 1).to_bytes(16, "big"), entries, context).draft(0, nonce)
        segment, head = draft.place(chain, head, t + number * SECOND)
        found.append(segment)
    return found


def store(world: World, chain: str, *those: list[bytes], trace: str = "") -> list[Segment]:
    """Append batches to the ledger as a new chain."""
    found = batches(chain, *those, trace=trace, t=world.clock())
    for segment in found:
        world.ledger.append(segment)
    return found


def new_world(client: redis.Redis) -> World:
    """Wire everything, with rules in force and no recipe yet."""
    world = World(RedisQueue(client), [Target("tell", "siem"), Target("act", "action")])
    world.push("rule", "errors", rule("errors", "boom"))
    world.push("rule", "odd", rule("odd", "odd"))
    world.push("rule", "many", correlation("many", "odd", "user", 3, "10m"))
    return world


def tracing(world: World, ledger: Any = None, tasks: Any = None) -> Trace:
    """Return the use case on a world's stores, or on others."""
    ledger, tasks = ledger or world.ledger, tasks or world.tasks
    forward = Forward(ledger, tasks, world.catalog, world.clock, 0)
    return Trace(ledger, tasks, world.playbook.recipe, inputs_of(world.actions, ledger), forward)


def eventful(world: World) -> Task:
    """Have a task go through a retry, a doubt that a person settles, and its end; return it."""
    world.targets["tell"].answers = [
        Again("the collector is busy: 日本", 3 * SECOND),
        Done({"status": 201, "sinks": ["splunk"]}),
    ]
    world.targets["act"].answers = [Unavailable("no answer came")]
    steps = recipe("respond", "errors", "tell", "act", "tell", step="effect: at-most-once")
    world.push("recipe", "respond", steps)
    fine = [entry("fine", n=n) for n in range(3)]
    boom = entry("boom", trace_id=TRACE, span_id=SPAN)
    world.detect(store(world, "shop/0", fine, [entry("fine"), boom], fine, trace=REQUEST))
    settled(world)
    world.control().resolve(world.only().id, "happened", "ann", "the ticket is there: 4711")
    settled(world)
    task = world.only()
    assert task.state is State.SUCCEEDED, (task.state, task.reason)
    return task


def settled(world: World) -> None:
    """Let everything run until only people have something to do, a second at a time."""
    for _ in range(60):
        world.dispatch()
        world.drain("siem")
        world.drain("action")
        world.sweep()
        if all(task.state.ended or task.state.personal for task in world.tasks.listing()):
            return
        world.clock.sleep(1)
    raise AssertionError([(task.id, task.state, task.reason) for task in world.tasks.listing()])


def forked(world: World, parent: Task, number: int = 1) -> Task:
    """Make a fork of a task, as the use case that forks does."""
    key = json.dumps(["fork", parent.id, number], separators=(",", ":"))
    cause = {**parent.cause, "fork_of": parent.id, "fork": number}
    made = replace(
        parent,
        id=task_id(parent.recipe, parent.recipe_version, key, 0),
        state=State.QUEUED,
        version=0,
        attempt=0,
        step=0,
        tries=0,
        head="",
        results={},
        settled=0,
        cause=cause,
        created=world.clock(),
    )
    facts = {"recipe": made.recipe, "version": made.recipe_version, "digest": made.recipe_digest, **cause}
    task, event = born(made, world.nonce(), {**facts, "who": "ann", "why": "with another input"})
    assert world.tasks.create(task, event)
    return task


@contextmanager
def in_dynamodb(world: World) -> Iterator[tuple[DynamoLedger, DynamoTasks, Any]]:
    """Copy a world's ledger and tasks into tables, as they are; gives the stores and their client."""
    with dynamodb("ledger", "tasks") as client:
        ledger, tasks = DynamoLedger(client, "ledger"), DynamoTasks(client, "tasks")
        for chain in world.ledger.chains():
            for segment in world.ledger.read(chain):
                ledger.append(segment)
        for task in world.tasks.listing(limit=1000):
            events = world.tasks.lineage(task.id)
            client.put_item(TableName="tasks", Item=state_item(task, events[-1]))
            for event in events:
                client.put_item(TableName="tasks", Item=event_item(event))
            for effect in world.tasks.effects(task.id).values():
                tasks.record(effect)
        yield ledger, tasks, client
