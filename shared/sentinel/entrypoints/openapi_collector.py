"""Splunk's HTTP Event Collector in the OpenAPI document: its operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sentinel.entrypoints.openapi_forms import ref_to as _ref
from sentinel.entrypoints.openapi_operations import JSON, Answer, Operation, json_content
from sentinel.routes import COLLECTOR

# The gateway's own refusals are in its own form.
_ERROR = {JSON: {"schema": {"anyOf": [_ref("NotCollected"), _ref("Error")]}}}
_WHO: Final = ("hec-token", "hec-channel")
_EVENTS = {
    "description": "events, one after the other, or an array of them; at most 5,000,000 bytes, also unpacked",
    "required": True,
    "content": {
        JSON: {"schema": {"type": "object", "required": ["event"], "properties": {"event": {}}}},
        "text/plain": {"schema": {"type": "string"}},
    },
}
_LINES = {
    "description": "lines of text",
    "required": True,
    "content": {"text/plain": {"schema": {"type": "string"}}},
}
_NAMES: Final = {"": "", "/event": "Event", "/event/1.0": "Event1", "/raw": "Raw", "/raw/1.0": "Raw1"}
_SEALED = (Answer("all events are sealed, now or before", json_content("Collected")),)
_HEALTH = (Answer("events are taken", json_content("NotCollected")),)


def _taking(path: str) -> Operation:
    raw = path.startswith("/raw")
    return Operation(
        f"collect{_NAMES[path]}",
        "Take lines of text in, as Splunk's HTTP Event Collector does"
        if raw
        else "Take log events in, as Splunk's HTTP Event Collector does",
        _SEALED,
        (*_WHO, "encoding", "trace"),
        _LINES if raw else _EVENTS,
        error_content=_ERROR,
    )


COLLECTOR_OPERATIONS: Mapping[tuple[str, str], Operation] = {
    **{("POST", COLLECTOR + path): _taking(path) for path in _NAMES},
    ("POST", COLLECTOR + "/ack"): Operation(
        "collectAck",
        "Whether these ack ids were given out: what they stand for is sealed then",
        (Answer("each of them", json_content("Acks")),),
        _WHO,
        {"description": "ack ids", "required": True, "content": json_content("AckQuestion")},
        error_content=_ERROR,
    ),
    **{
        ("GET", COLLECTOR + path): Operation(
            name,
            "Whether events are taken, and a token is good where one is shown",
            _HEALTH,
            ("hec-token",),
            error_content=_ERROR,
        )
        for path, name in (("/health", "collectHealth"), ("/health/1.0", "collectHealth1"))
    },
    **{
        ("OPTIONS", COLLECTOR + path): Operation(
            f"collect{_NAMES[path]}Options", "Whether somebody is there", _HEALTH
        )
        for path in ("", "/event", "/event/1.0")
    },
}
