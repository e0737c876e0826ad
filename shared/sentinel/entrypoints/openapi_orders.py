"""The schemas of what people order, and of what is answered: acts on tasks, forks, bulk acts, queues."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sentinel.core.selection import TEXTS, TIMES
from sentinel.core.tasks import State
from sentinel.entrypoints.openapi_schemas import COUNT, NANOSECONDS, TEXT, list_of, object_of, ref


def _strict(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {**object_of(required, optional), "additionalProperties": False}


_WHY = {"type": "string", "minLength": 1, "maxLength": 500}
_COUNTS = {"type": "object", "additionalProperties": COUNT}
_FILTER = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "states": list_of({"enum": [state.value for state in State]}),
        **{name: {"type": "string", "minLength": 1} for name in TEXTS},
        **dict.fromkeys(TIMES, NANOSECONDS),
    },
}

ORDERS: Mapping[str, dict[str, Any]] = {
    "Reason": _strict({"why": _WHY}),
    "Resolution": _strict({"why": _WHY, "verdict": {"enum": ["happened", "again", "failed"]}}),
    "ForkOrder": _strict(
        {"why": _WHY},
        {
            "inputs": {
                "type": "object",
                "additionalProperties": {"type": "object"},
                "description": "by step, the inputs that stand in the place of the recipe's",
            },
            "from": {**TEXT, "description": "the step it begins with; the first by default"},
            "request": {**TEXT, "maxLength": 128, "description": "the same again gives the same fork"},
        },
    ),
    "BulkOrder": _strict(
        {"act": {"enum": ["cancel", "retry", "redrive", "accept"]}, "filter": _FILTER, "why": _WHY},
        {
            "limit": {"type": "integer", "minimum": 1, "maximum": 1000},
            "dry_run": {"type": "boolean"},
            "next": {**TEXT, "description": "what the answer before said, to go on there"},
        },
    ),
    "Pause": object_of(
        {"target": TEXT, "who": TEXT, "why": TEXT, "since": NANOSECONDS, "until": NANOSECONDS}
    ),
    "PauseOrder": _strict(
        {"why": _WHY}, {"until": {**NANOSECONDS, "description": "epoch nanoseconds; 0: until it is resumed"}}
    ),
    "Resumed": object_of({"target": TEXT, "who": TEXT, "why": TEXT, "woken": COUNT}),
    "PurgeOrder": _strict(
        {"why": _WHY},
        {
            "all_states": {"type": "boolean"},
            "dry_run": {"type": "boolean"},
            "limit": {"type": "integer", "minimum": 1, "maximum": 500},
        },
    ),
    "Purged": object_of(
        {
            "target": TEXT,
            "who": TEXT,
            "why": TEXT,
            "dry_run": {"type": "boolean"},
            "cancelled": COUNT,
            "by_state": _COUNTS,
            "more": {"type": "boolean"},
        }
    ),
    "Queues": object_of(
        {
            "streams": {"type": "object", "additionalProperties": _COUNTS},
            "recipes": {"type": "object", "additionalProperties": _COUNTS},
            "pauses": list_of(ref("Pause")),
            "dead_letters": COUNT,
            "more": {"type": "boolean"},
        }
    ),
    "BulkDone": object_of(
        {
            "matched": COUNT,
            "done": COUNT,
            "not_possible": _COUNTS,
            "more": {"type": "boolean"},
        },
        {"next": TEXT},
    ),
}
