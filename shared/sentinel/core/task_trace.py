"""The trace context of tasks: which W3C trace a task is part of, and the ids of its spans.

A task goes on with the trace of the entry that set it off: of the first entry that names one, else of the
request that brought the entries, else it begins one of its own. Nothing here is random: the ids of a task's
spans follow from its id, so whoever has its lineage can name them, in any order and at any time. Entries are
written by strangers: what is no trace id is treated as if it were not there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

import orjson

from sentinel.core.trace import Trace, parse

# The fields in which an entry may name its trace and span; of names with dots also as maps in maps.
FIELDS = (
    ("trace_id", "span_id"),
    ("traceId", "spanId"),
    ("trace.id", "span.id"),
    ("dd.trace_id", "dd.span_id"),
)
PARENT = "traceparent"  # a field with both, as W3C Trace Context writes them
SAMPLED = "01"  # every step is recorded: its lineage is its span
_TRACE = re.compile(r"[0-9a-fA-F]{32}", re.ASCII)
_SPAN = re.compile(r"[0-9a-fA-F]{16}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,20}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Carried:
    """A trace and, where it is known, the span in it that something was written in. Lower-case hex."""

    trace: str
    span: str = ""

    @property
    def facts(self) -> dict[str, object]:
        """What a task's cause keeps, and its first event tells."""
        return {"trace": self.trace, **({"span": self.span} if self.span else {})}


def of_entry(event: Mapping[str, object]) -> Carried | None:
    """Return the trace context that an entry names; None where it names none.

    A trace id is 32 hex digits that are not all zero, a span id 16; Datadog writes span ids as decimals.

    >>> of_entry({"trace_id": "5B8EFFF798038103D269B633813FC60C", "span_id": "eee19b7ec3c1b174"})
    Carried(trace='5b8efff798038103d269b633813fc60c', span='eee19b7ec3c1b174')
    >>> of_entry({"dd": {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "255"}}).span
    '00000000000000ff'
    >>> of_entry({"trace_id": "0" * 32}), of_entry({"trace_id": "7"})
    (None, None)
    """
    for trace_name, span_name in FIELDS:
        trace = _hex(_TRACE, _found(event, trace_name))
        if trace:
            span = _found(event, span_name)
            return Carried(trace, _decimal(span) if span_name.startswith("dd.") else _hex(_SPAN, span))
    parent = event.get(PARENT)
    found = parse(parent) if isinstance(parent, str) else None
    return Carried(found.trace, found.parent) if found else None


def of_context(context: bytes) -> str:
    """Return the trace id that a segment's context has; "" where it has none."""
    try:
        found = orjson.loads(context)
    except orjson.JSONDecodeError:
        return ""
    return _hex(_TRACE, found.get("trace")) if isinstance(found, dict) else ""


def of_task(task_id: str, cause: Mapping[str, object]) -> Carried:
    """Return the trace that a task is part of and the span that set it off: its cause's, else its own."""
    trace = _hex(_TRACE, cause.get("trace"))
    return Carried(trace, _hex(_SPAN, cause.get("span"))) if trace else own(task_id)


def own(task_id: str) -> Carried:
    """Return the trace that a task begins which nothing with a trace has set off."""
    return Carried(sha256(b"ST2" + task_id.encode()).hexdigest()[:32])


def task_span(task_id: str) -> str:
    """Return the id of a task's span: the parent of its steps' spans."""
    return _span(task_id)


def step_span(task_id: str, step: str, attempt: int) -> str:
    """Return the id of the span of one try: of a step, under the lease that `attempt` counts."""
    return _span(task_id, step, attempt)


def step_parent(task_id: str, cause: Mapping[str, object], step: str, attempt: int) -> str:
    """Return the `traceparent` that a try of a step hands to its target."""
    return Trace(of_task(task_id, cause).trace, step_span(task_id, step, attempt), SAMPLED).header()


def _span(*parts: object) -> str:
    return sha256(b"SS1" + orjson.dumps(parts)).hexdigest()[:16]


def _found(event: Mapping[str, object], name: str) -> object:
    found = event.get(name)
    head, dot, tail = name.partition(".")
    inner = event.get(head) if found is None and dot else None
    return inner.get(tail) if isinstance(inner, Mapping) else found


def _hex(pattern: re.Pattern[str], value: object) -> str:
    """Return an id in lower case; "" for what is none."""
    if not isinstance(value, str) or not pattern.fullmatch(value) or not value.strip("0"):
        return ""
    return value.lower()


def _decimal(value: object) -> str:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    number = int(text) if _DECIMAL.fullmatch(text) else 0
    return f"{number:016x}" if 0 < number < 1 << 64 else ""
