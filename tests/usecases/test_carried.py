"""Trace context: from an entry into its task, through every step and attempt, out to what steps touch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from sentinel.core import trace as w3c
from sentinel.core.steps import Again
from sentinel.core.task_trace import own, step_span
from sentinel.core.tasks import SECOND, task_id
from sentinel.errors import Unavailable
from sentinel.usecases.carried import LOOKED_AT
from tests.scenario import World, recipe
from tests.traced import REQUEST, SPAN, TRACE, entry, new_world, settled, store


@pytest.fixture
def world(client: redis.Redis) -> Iterator[World]:
    """Wire everything."""
    found = new_world(client)
    yield found
    found.close()


def caused(
    world: World, *entries: bytes, trace: str = "", by: tuple[str, ...] = ("user",)
) -> dict[str, object]:
    """Return the cause of the one task that entries of one batch set off, which its first event tells too."""
    world.push("recipe", "r", recipe("r", "errors", "tell", by=by))
    world.detect(store(world, "shop/0", list(entries), trace=trace))
    task = world.only()
    born = world.bodies(task)[0]
    for name in ("trace", "span"):
        assert born.get(name) == task.cause.get(name)
    return dict(task.cause)


def test_the_first_entry_that_names_a_trace_counts(world: World) -> None:
    """Not the first entry, nor a later one with another trace, nor the request's."""
    cause = caused(
        world,
        entry("boom"),
        entry("boom", trace_id=TRACE, span_id=SPAN),
        entry("boom", trace_id="1" * 32),
        trace=REQUEST,
    )
    assert (cause["trace"], cause["span"]) == (TRACE, SPAN)


def test_else_the_request_counts(world: World) -> None:
    """Entries that name no trace have that of the request that brought them, of which no span is known."""
    cause = caused(world, entry("boom", trace_id="none"), trace=REQUEST)
    assert cause["trace"] == REQUEST
    assert "span" not in cause


def test_else_the_task_begins_one(world: World) -> None:
    """A task of entries without any trace has one that follows from its id."""
    assert caused(world, entry("boom"))["trace"] == own(world.only().id).trace


def test_a_trace_changes_no_id(world: World) -> None:
    """A task's id is of recipe, key and window: the trace is not a part of it."""
    caused(world, entry("boom", user="ann", trace_id=TRACE))
    assert world.only().id == task_id("r", 1, '["ann"]', 0)


def test_a_correlation_has_the_trace_of_what_it_counted(world: World) -> None:
    """It counts places: the trace is read from the ledger, from the first entry that names one."""
    world.push("recipe", "r", recipe("r", "many", "tell"))
    odd = [entry("odd", user="ann"), entry("odd", user="ann", trace_id=TRACE, span_id=SPAN)]
    for segment in store(world, "shop/0", odd[:1], odd[1:], odd[:1], trace=REQUEST):
        world.new_detector().detect([segment])
    cause = world.only().cause
    assert (cause["trace"], cause["span"]) == (TRACE, SPAN)


def test_of_a_firing_the_first_entries_are_looked_at(world: World) -> None:
    """Among so many entries a trace is looked for, and no further: then the request's counts."""
    world.push("rule", "many", _many(LOOKED_AT + 2))
    world.push("recipe", "r", recipe("r", "many", "tell"))
    odd = [entry("odd", user="ann")] * (LOOKED_AT + 1)
    world.detect(store(world, "shop/0", [*odd, entry("odd", user="ann", trace_id=TRACE)], trace=REQUEST))
    assert world.only().cause["trace"] == REQUEST


def _many(at_least: int) -> bytes:
    from tests.scenario import correlation

    return correlation("many", "odd", "user", at_least, "10m")


def test_what_cannot_be_read_names_no_trace(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Damage in the ledger keeps no firing from its task."""
    world.push("recipe", "r", recipe("r", "many", "tell"))
    odd = [entry("odd", user="ann", trace_id=TRACE)] * 3
    segments = store(world, "shop/0", odd)
    broken = replace(segments[0], payload=b"x")
    monkeypatch.setattr(world.ledger, "at", lambda *_: broken)
    world.detect(segments)
    assert world.only().cause["trace"] == own(world.only().id).trace


def test_a_ledger_that_does_not_answer_is_asked_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """No task is made with less than there is: the run is given again, and makes the same one."""
    world.push("recipe", "r", recipe("r", "many", "tell"))
    segments = store(world, "shop/0", [entry("odd", user="ann", trace_id=TRACE)] * 3)

    def busy(*_: object) -> None:
        raise Unavailable("busy")

    with monkeypatch.context() as patched:
        patched.setattr(world.ledger, "at", busy)
        with pytest.raises(Unavailable):
            world.detect(segments)
    assert world.tasks.listing() == []
    world.new_detector().detect(segments)
    assert world.only().cause["trace"] == TRACE


def test_each_try_has_a_span_that_its_target_is_told(world: World) -> None:
    """A step hands on the task's trace with a span of its own for each try, which the lineage tells."""
    world.targets["tell"].answers = [Again("busy", SECOND), Unavailable("no answer")]
    world.push("recipe", "r", recipe("r", "errors", "tell", "act"))
    world.detect(store(world, "shop/0", [entry("boom", trace_id=TRACE, span_id=SPAN)]))
    settled(world)
    task = world.only()
    told = [body["span"] for body in world.bodies(task)[1:] if "span" in body]
    runs = [*world.targets["tell"].runs, *world.targets["act"].runs]
    handed = [w3c.parse(run.traceparent) for run in runs]
    assert [(it.trace, it.parent) for it in handed if it] == [(TRACE, span) for span in told]
    assert len(set(told)) == 4
    assert told == [step_span(task.id, run.step.id, run.task.attempt) for run in runs]


def test_the_key_of_an_effect_is_the_same_in_every_trace(world: World) -> None:
    """Attempts have spans of their own and one key: tracing makes no effect another one."""
    world.targets["tell"].answers = [Again("busy", SECOND)]
    world.push("recipe", "r", recipe("r", "errors", "tell"))
    world.detect(store(world, "shop/0", [entry("boom")]))
    settled(world)
    runs = world.targets["tell"].runs
    assert len({run.key for run in runs}) == 1
    assert len({run.traceparent for run in runs}) == 2
