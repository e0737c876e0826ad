"""The schemas of a trace (docs/trace.md), for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sentinel.entrypoints.openapi_forms import (
    COUNT,
    HASH,
    HEX32,
    NANOSECONDS,
    TEXT,
    list_of,
    object_of,
    ref_to,
)

TRACE_SCHEMAS: Mapping[str, dict[str, Any]] = {
    "Trace": object_of(
        {
            "format": {"const": 1},
            "asked": {"type": "object"},
            "whole": {"type": "boolean"},
            "damage": list_of(object_of({"chain": TEXT, "seq": COUNT, "kind": TEXT, "detail": TEXT})),
            "notes": list_of(TEXT),
            "entries": list_of(
                object_of(
                    {"chain": TEXT, "seq": COUNT, "proven": {"type": "boolean"}},
                    {
                        "t": NANOSECONDS,
                        "leaf": HASH,
                        "hash": HASH,
                        "why": TEXT,
                        "trace": HEX32,
                        "span": TEXT,
                    },
                )
            ),
            "runs": list_of(ref_to("TraceRun")),
            "tasks": list_of({"type": "object"}),
        }
    ),
    "TraceRun": object_of(
        {
            "chain": TEXT,
            "service": TEXT,
            "first": COUNT,
            "prev": HASH,
            "segments": list_of(
                object_of(
                    {"first": COUNT, "count": COUNT, "t": NANOSECONDS, "leaves": list_of(HASH), "head": HASH}
                )
            ),
            "entries": COUNT,
            "head": HASH,
            "linked": {"enum": ["newest", "written", "segment"]},
        },
        {"short_of": COUNT},
    ),
}
