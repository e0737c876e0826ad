"""The trace context of tasks: what entries may say, and the ids that follow from a task's id."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core import trace as w3c
from sentinel.core.task_trace import (
    FIELDS,
    Carried,
    of_context,
    of_entry,
    of_task,
    own,
    step_parent,
    step_span,
    task_span,
)

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"trace_id": TRACE, "span_id": SPAN}, Carried(TRACE, SPAN)),
        ({"traceId": TRACE.upper(), "spanId": SPAN.upper()}, Carried(TRACE, SPAN)),
        ({"trace.id": TRACE, "span.id": SPAN}, Carried(TRACE, SPAN)),
        ({"trace": {"id": TRACE}, "span": {"id": SPAN}}, Carried(TRACE, SPAN)),
        ({"dd": {"trace_id": TRACE, "span_id": str(int(SPAN, 16))}}, Carried(TRACE, SPAN)),
        ({"dd.trace_id": TRACE, "dd.span_id": int(SPAN, 16)}, Carried(TRACE, SPAN)),
        ({"traceparent": f"00-{TRACE}-{SPAN}-01"}, Carried(TRACE, SPAN)),
        ({"trace_id": TRACE}, Carried(TRACE)),
        ({"trace_id": TRACE, "span_id": "x"}, Carried(TRACE)),
        ({"trace_id": TRACE, "span_id": "0" * 16}, Carried(TRACE)),
        ({"trace_id": TRACE, "spanId": SPAN}, Carried(TRACE)),
        ({"trace_id": "odd", "traceId": TRACE}, Carried(TRACE)),
        ({"dd": {"trace_id": TRACE, "span_id": str(1 << 64)}}, Carried(TRACE)),
    ],
)
def test_the_names_that_are_known(event: dict[str, Any], expected: Carried) -> None:
    """An entry names its trace under one of a few names, and its span under the one that goes with it."""
    assert of_entry(event) == expected


@pytest.mark.parametrize(
    "value",
    [
        "0" * 32,
        TRACE[:-1],
        TRACE + "0",
        f" {TRACE}",
        f"{TRACE}\n",
        "g" * 32,
        "٣" * 32,
        7,
        None,
        [TRACE],
        {},
        True,
    ],
)
@pytest.mark.parametrize("name", [trace for trace, _ in FIELDS])
def test_what_is_no_trace_id_is_none(name: str, value: object) -> None:
    """Anything but 32 hex digits that are not all zero is as if it were not there."""
    assert of_entry({name: value}) is None
    assert of_context(orjson.dumps({"trace": value})) == ""


@given(st.recursive(st.none() | st.text() | st.integers(), lambda it: st.dictionaries(st.text(), it)))
def test_no_entry_raises(value: object) -> None:
    """Whatever stands where a trace is looked for, nothing is raised."""
    for name in ("trace", "span", "dd", "trace_id", "dd.span_id", "traceparent"):
        of_entry({"trace_id": TRACE, name: value})
        of_entry({name: value})


@pytest.mark.parametrize("context", [b"", b"{", b"[]", b"null", b"{}"])
def test_a_context_without_a_trace(context: bytes) -> None:
    """A context that has none, or is none, has no trace."""
    assert of_context(context) == ""


def test_what_a_step_hands_on_is_a_traceparent() -> None:
    """It is one by W3C's rules, of the task's trace, and another span for each step and each attempt."""
    seen = set()
    for task, step, attempt in [("a", "s", 1), ("a", "s", 2), ("a", "t", 1), ("b", "s", 1)]:
        found = w3c.parse(step_parent(task, {"trace": TRACE}, step, attempt))
        assert found == w3c.Trace(TRACE, step_span(task, step, attempt), "01")
        seen |= {step_span(task, step, attempt), task_span(task)}
    assert len(seen) == 6


@pytest.mark.parametrize("cause", [{}, {"trace": "odd"}, {"trace": 7}, {"span": SPAN}])
def test_a_task_of_no_trace_has_its_own(cause: dict[str, object]) -> None:
    """A trace that follows from its id, and no span that set it off."""
    assert of_task("a", cause) == own("a") != own("b")
    assert w3c.parse(step_parent("a", cause, "s", 1)) is not None
