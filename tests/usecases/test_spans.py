"""Spans of tasks: what OpenTelemetry's own classes take, with the ids that steps have handed on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import redis
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from sentinel.core import trace as w3c
from sentinel.core.spans import exported
from sentinel.core.steps import Again, Failed, Outcome, StepRun
from sentinel.core.tasks import SECOND
from sentinel.usecases.proofs import Wish
from tests.faults_calls import Killed
from tests.scenario import World, correlation, recipe
from tests.traced import SPAN, TRACE, entry, eventful, forked, new_world, settled, store, tracing

IDS = {"traceId", "spanId", "parentSpanId"}


@pytest.fixture
def world(client: redis.Redis) -> Iterator[World]:
    """Wire everything."""
    found = new_world(client)
    yield found
    found.close()


def parsed(world: World, task: str) -> tuple[list[Span], list[str]]:
    """Return a task's spans as OpenTelemetry reads them; an unknown field or a wrong type raises."""
    told, left_out = exported(tracing(world).of_task(task, Wish()))
    request = json_format.ParseDict(_base64(orjson.loads(orjson.dumps(told))), ExportTraceServiceRequest())
    (resource,) = request.resource_spans
    assert resource.resource.attributes[0].value.string_value == "sentinel"
    spans = list(resource.scope_spans[0].spans)
    for span in spans:
        assert (len(span.trace_id), len(span.span_id)) == (16, 8)
        assert len(span.parent_span_id) in {0, 8}
        assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.name
    assert len({span.span_id for span in spans}) == len(spans)
    return spans, left_out


def _base64(value: Any) -> Any:
    """Write ids as protobuf's own JSON has them: OTLP's has them in hex."""
    from base64 import b64encode

    if isinstance(value, list):
        return [_base64(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: b64encode(bytes.fromhex(each)).decode() if name in IDS else _base64(each)
        for name, each in value.items()
    }


def attributes(span: Span) -> dict[str, Any]:
    """Return a span's attributes."""
    return {it.key: getattr(it.value, it.value.WhichOneof("value") or "") for it in span.attributes}


def test_a_task_is_spans_of_the_trace_that_set_it_off(world: World) -> None:
    """The task below the span that wrote its entry, its tries below it: the very ids that were handed on."""
    task = eventful(world)
    (whole, *tries), left_out = parsed(world, task.id)
    assert left_out == []
    assert {span.trace_id.hex() for span in (whole, *tries)} == {TRACE}
    assert whole.parent_span_id.hex() == SPAN
    assert [link.span_id.hex() for link in whole.links] == [SPAN]
    assert (whole.kind, whole.status.code) == (Span.SPAN_KIND_CONSUMER, Status.STATUS_CODE_OK)
    assert {span.parent_span_id for span in tries} == {whole.span_id}
    runs = [*world.targets["tell"].runs, *world.targets["act"].runs]
    handed = {found.parent for run in runs if (found := w3c.parse(run.traceparent))}
    assert {span.span_id.hex() for span in tries} == handed
    assert len(tries) == len(runs) == 4
    (act,) = whole.events
    assert {it.key: it.value.string_value for it in act.attributes}["enduser.id"] == "ann"


def test_what_came_of_a_try_is_its_status(world: World) -> None:
    """A failed try is an error with its reason, a good one is not, and the attempt tells them apart."""
    task = eventful(world)
    (_, first, second, lost, last), _ = parsed(world, task.id)
    error, good = Status.STATUS_CODE_ERROR, Status.STATUS_CODE_OK
    assert [it.status.code for it in (first, second, lost, last)] == [error, good, error, good]
    assert first.status.message == "the collector is busy: 日本"
    assert attributes(first)["error.type"] == "waiting"
    assert attributes(lost)["error.type"] == "ambiguous"
    assert [attributes(it)["sentinel.attempt"] for it in (first, second)] == [1, 2]
    assert attributes(second)["sentinel.outcome"] == "done"
    assert len(attributes(second)["sentinel.effect.key"]) == 64


def test_a_look_that_finds_nothing_new_is_no_error(world: World) -> None:
    """A long command is followed by looks: only what counts as a failed try is an error."""
    world.targets["act"].answers = [Again("still running", SECOND, {"looks": 1}), Failed("it ended badly")]
    world.push("recipe", "r", recipe("r", "errors", "act"))
    world.detect(store(world, "shop/0", [entry("boom")]))
    settled(world)
    (whole, look, end), _ = parsed(world, world.only().id)
    assert look.status.code == Status.STATUS_CODE_UNSET
    assert (end.status.code, whole.status.code) == (Status.STATUS_CODE_ERROR,) * 2
    assert "ended badly" in whole.status.message


def killed(_: StepRun) -> Outcome:
    """Be a worker that dies."""
    raise Killed


def test_a_lease_that_ran_out_is_a_try(world: World) -> None:
    """A worker that died leaves a span that ends when the sweep found out, and is an error."""
    world.targets["tell"].answers = [killed]
    world.push("recipe", "r", recipe("r", "errors", "tell"))
    world.detect(store(world, "shop/0", [entry("boom")]))
    world.dispatch()
    with pytest.raises(Killed):
        world.drain("siem")
    world.clock.sleep(70)
    settled(world)
    (_, died, good), _ = parsed(world, world.only().id)
    assert died.status.message.startswith("the lease ran out")
    assert (attributes(died)["sentinel.attempt"], attributes(good)["sentinel.attempt"]) == (1, 2)


def test_a_task_of_many_traces_links_to_all(world: World) -> None:
    """Of a correlation each entry's span is linked, once; the first is the parent."""
    world.push("rule", "many", correlation("many", "odd", "user", 4, "10m"))
    world.push("recipe", "r", recipe("r", "many", "tell"))
    spans = [("1" * 32, "2" * 16), ("3" * 32, "4" * 16), ("1" * 32, "2" * 16), ("5" * 32, "")]
    entries = [entry("odd", user="ann", trace_id=trace, span_id=span) for trace, span in spans]
    world.detect(store(world, "shop/0", entries))
    settled(world)
    (whole, *_), _ = parsed(world, world.only().id)
    assert [link.trace_id.hex()[0] for link in whole.links] == ["1", "3"]
    assert whole.parent_span_id.hex() == "2" * 16


def test_what_has_not_ended_is_left_out(world: World) -> None:
    """A fork that waits has no end to tell: it is named, and its parent told."""
    task = eventful(world)
    fork = forked(world, task)
    spans, left_out = parsed(world, task.id)
    assert left_out == [fork.id]
    assert len(spans) == 5


def test_spans_are_the_same_each_time(world: World) -> None:
    """Exported twice, a task is the same spans."""
    task = eventful(world)
    first = exported(tracing(world).of_task(task.id, Wish()))
    assert exported(tracing(world).of_task(task.id, Wish(leaves=2))) == first
