"""Spans: a trace's tasks as OpenTelemetry spans, in the JSON form of OTLP 1.x, for any collector to take.

One span a task, one for each try of a step below it. All ids follow from the task's lineage, so that the same
task exported twice is the same spans. The task's span goes on with the trace of the entry that set it off, as
a child of the span that wrote the entry where that is known, and links to the spans of all its entries. What
has not ended has no end to tell, and is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from sentinel.core.states import State
from sentinel.core.task_trace import step_span

Json = dict[str, Any]
Told = Mapping[str, Any]

INTERNAL, CLIENT, CONSUMER = 1, 3, 5
OK, ERROR = 1, 2
SAMPLED = 1
_INSIDE = frozenset({"wait", "approval"})  # actions that touch nothing outside


def exported(trace: Told) -> tuple[Json, list[str]]:
    """Return an ExportTraceServiceRequest, and the ids of the tasks that are left out.

    `trace` is what `usecases.trace` tells.
    """
    spans: list[Json] = []
    left_out = []
    written = {(each["chain"], each["seq"]): each for each in trace["entries"]}
    for task in trace["tasks"]:
        if task.get("state") in {state.value for state in State if state.ended} and task["lineage"]["events"]:
            bodies = [_body(each) for each in task["lineage"]["events"]]
            spans += [_task(task, bodies, written), *_tries(task, bodies)]
        else:
            left_out.append(task["id"])
    scope = {"scope": {"name": "sentinel.tasks"}, "spans": spans}
    resource = {"attributes": _attributes({"service.name": "sentinel"})}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}, left_out


def _body(event: Told) -> Json:
    try:
        found = orjson.loads(event["entry"])
    except (orjson.JSONDecodeError, TypeError):
        found = {}
    return {**found, "t": event["t"]}


def _task(task: Told, bodies: list[Json], written: Mapping[tuple[str, int], Told]) -> Json:
    cause, recipe = task["cause"], task["recipe"]
    parent = cause.get("span") if cause.get("trace") == task["trace"] else ""
    told = {
        "sentinel.task.id": task["id"],
        "sentinel.task.state": task["state"],
        "sentinel.task.fork_of": task["parent"],
        "sentinel.recipe.id": recipe["id"],
        "sentinel.recipe.version": recipe["version"],
        "sentinel.recipe.digest": recipe["digest"],
        "sentinel.rule.id": cause.get("rule", ""),
        "sentinel.lineage.head": task["lineage"]["head"],
    }
    good = task["state"] == State.SUCCEEDED.value
    span = _span(task, task["span"], str(parent or ""), recipe["id"], CONSUMER)
    return {
        **span,
        "startTimeUnixNano": str(bodies[0]["t"]),
        "endTimeUnixNano": str(bodies[-1]["t"]),
        "attributes": _attributes(told if good else {**told, "error.type": task["state"]}),
        "status": {"code": OK} if good else {"code": ERROR, "message": task["reason"]},
        "events": [_act(each) for each in task["people"]],
        "links": list(_links(cause, written)),
    }


def _links(cause: Told, written: Mapping[tuple[str, int], Told]) -> Iterator[Json]:
    """Yield links to the spans in which a task's entries were written."""
    seen = set()
    for place in cause.get("entries") or ():
        entry = written.get((place["chain"], place["seq"]), {})
        span = (entry.get("trace"), entry.get("span"))
        if all(span) and span not in seen:
            seen.add(span)
            told = {"sentinel.entry.chain": place["chain"], "sentinel.entry.seq": place["seq"]}
            yield {"traceId": span[0], "spanId": span[1], "attributes": _attributes(told), "flags": SAMPLED}


def _act(act: Told) -> Json:
    told = {"enduser.id": act["who"], "sentinel.why": act.get("why", ""), "sentinel.to": act["to"]}
    return {"timeUnixNano": str(act["t"]), "name": "sentinel.act", "attributes": _attributes(told)}


def _tries(task: Told, bodies: list[Json]) -> Iterator[Json]:
    """Yield the spans of all tries: from when a worker has the step to what came of it."""
    begun = tries = 0
    for body in bodies:
        if body.get("from") == State.RUNNING.value and begun:
            span = _try(task, body, begun, tries)
            if span is not None:
                yield span
        tries = int(body.get("tries", 0 if body.get("outcome") else tries))
        begun = body["t"] if body.get("event") == State.RUNNING.value else 0


def _try(task: Told, body: Told, begun: int, tries: int) -> Json | None:
    """Return the span of a try, None where an event tells of none: then the task was only handed on."""
    steps, attempt = task["recipe"]["steps"], int(body.get("attempt", 0))
    step = body.get("step")
    if isinstance(step, int):  # it was taken from its worker, or handed on to another
        step = steps[step]["id"] if step < len(steps) and "stream" not in body else None
    if not isinstance(step, str) or ("span" not in body and not isinstance(body.get("step"), int)):
        return None
    uses = next((each["uses"] for each in steps if each["id"] == step), "")
    effect: Told = next((each for each in task["effects"] if each["key"] == body.get("effect")), {})
    told = {
        "sentinel.task.id": task["id"],
        "sentinel.step.id": step,
        "sentinel.action": uses,
        "sentinel.attempt": attempt,
        "sentinel.effect.key": body.get("effect", ""),
        "sentinel.outcome": body.get("outcome", ""),
        "sentinel.worker": body.get("worker", ""),
    }
    status = effect.get("result", {}).get("status")
    if body.get("outcome") and isinstance(status, int) and uses in {"http.call", "notify"}:
        told["http.response.status_code"] = status
    kind = INTERNAL if uses in _INSIDE else CLIENT
    failed = not body.get("outcome") and not _goes_on(body, tries)
    own = str(body.get("span") or step_span(task["id"], step, attempt))
    return {
        **_span(task, own, task["span"], f"{step} {uses}".strip(), kind),
        "startTimeUnixNano": str(begun),
        "endTimeUnixNano": str(body["t"]),
        "attributes": _attributes({**told, "error.type": body["event"]} if failed else told),
        "status": _status(body, failed=failed),
    }


def _goes_on(body: Told, tries: int) -> bool:
    """Whether a try ended without an outcome and has not failed: it got something done, or asks people."""
    if body["event"] == State.WAITING.value:
        return "tries" in body and int(body["tries"]) <= tries
    return bool(body["event"] == State.AWAITING_APPROVAL.value)


def _status(body: Told, *, failed: bool) -> Json:
    if failed:
        return {"code": ERROR, "message": str(body.get("reason") or body.get("why") or body["event"])}
    return {"code": OK} if body.get("outcome") else {}


def _span(task: Told, span: str, parent: str, name: str, kind: int) -> Json:
    above = {"parentSpanId": parent} if parent else {}
    return {"traceId": task["trace"], "spanId": span, **above, "name": name, "kind": kind, "flags": SAMPLED}


def _attributes(told: Mapping[str, object]) -> list[Json]:
    """Return attributes as OTLP has them; empty ones are left out."""
    return [{"key": name, "value": _value(value)} for name, value in told.items() if value not in {"", None}]


def _value(value: object) -> Json:
    # 64-bit integers are strings in the JSON form of protobuf.
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": str(value)}
