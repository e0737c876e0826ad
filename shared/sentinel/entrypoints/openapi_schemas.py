"""The schemas of the OpenAPI document: JSON Schema 2020-12, as OpenAPI 3.1 has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sentinel.core.access import SCOPES, TIERS
from sentinel.core.approvals import How, Verdict
from sentinel.core.selection import TEXTS, TIMES
from sentinel.core.tasks import MAX_REASON, State
from sentinel.entrypoints.openapi_alerts import ALERT_SCHEMAS, SEVERITY, STATUS
from sentinel.entrypoints.openapi_collector_forms import COLLECTOR_SCHEMAS
from sentinel.entrypoints.openapi_forms import COUNT, HASH, HEX32, NANOSECONDS, TEXT
from sentinel.entrypoints.openapi_forms import list_of as _list
from sentinel.entrypoints.openapi_forms import object_of as _object
from sentinel.entrypoints.openapi_forms import ref_to as _ref
from sentinel.entrypoints.openapi_forms import strict_of as _strict
from sentinel.entrypoints.openapi_trace import TRACE_SCHEMAS
from sentinel.webhooks import SOURCES

_PROBLEM = _object({"line": {"type": "integer", "minimum": 1}, "reason": TEXT})
_SUMMARY = {
    "id": TEXT,
    "state": {"enum": [state.value for state in State]},
    "recipe": TEXT,
    "version": {"type": "integer"},
    "rule": {"type": ["string", "null"]},
    "created": NANOSECONDS,
    "attempt": COUNT,
    "step": COUNT,
    "reason": {"type": ["string", "null"]},
}
_FORK = {"fork_of": {**TEXT, "description": "the task that it is a fork of"}}
_COUNTS = {"type": "object", "additionalProperties": COUNT}
WHY = {"type": "string", "minLength": 1, "maxLength": 500}
_FILTER = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "states": _list({"enum": [state.value for state in State]}),
        **{name: {"type": "string", "minLength": 1} for name in TEXTS},
        **dict.fromkeys(TIMES, NANOSECONDS),
    },
}

SCHEMAS: Mapping[str, dict[str, Any]] = {
    "Error": _object({"error": TEXT, "message": TEXT}, {"problems": _list({"type": "object"})}),
    "Receipt": _object(
        {"chain": TEXT, "first": COUNT, "count": COUNT, "head": HASH, "t": NANOSECONDS, "batch_id": HEX32},
        {
            "rejected": COUNT,
            "problems": _list(_PROBLEM),
            "lines": {**_list({"type": "integer"}), "description": "with `full`: all rejected lines"},
            "segments": {**_list(_ref("Piece")), "description": "with `full`, in order"},
        },
    ),
    "Piece": _object(
        {"first": COUNT, "count": COUNT, "prev": HASH, "head": HASH, "t": NANOSECONDS, "salt": HASH}
    ),
    "Received": _object({"batch_id": HEX32, "head": HASH, "t": NANOSECONDS}),
    "ChainHead": _object({"chain": TEXT, "entries": COUNT, "head": HASH}),
    "Chains": _object({"chains": _list(_ref("ChainHead"))}),
    "TaskSummary": _object(_SUMMARY, _FORK),
    "Tasks": _object({"tasks": _list(_ref("TaskSummary"))}, {"next": TEXT}),
    "Reason": _strict({"why": WHY}),
    "Resolution": _strict({"why": WHY, "verdict": {"enum": ["happened", "again", "failed"]}}),
    "ForkOrder": _strict(
        {"why": WHY},
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
        {"act": {"enum": ["cancel", "retry", "redrive", "accept"]}, "filter": _FILTER, "why": WHY},
        {
            "limit": {"type": "integer", "minimum": 1, "maximum": 1000},
            "dry_run": {"type": "boolean"},
            "next": {**TEXT, "description": "what the answer before said, to go on there"},
        },
    ),
    "Pause": _object({"target": TEXT, "who": TEXT, "why": TEXT, "since": NANOSECONDS, "until": NANOSECONDS}),
    "PauseOrder": _strict(
        {"why": WHY}, {"until": {**NANOSECONDS, "description": "epoch nanoseconds; 0: until it is resumed"}}
    ),
    "Resumed": _object({"target": TEXT, "who": TEXT, "why": TEXT, "woken": COUNT}),
    "PurgeOrder": _strict(
        {"why": WHY},
        {
            "all_states": {"type": "boolean"},
            "dry_run": {"type": "boolean"},
            "limit": {"type": "integer", "minimum": 1, "maximum": 500},
        },
    ),
    "Purged": _object(
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
    "Queues": _object(
        {
            "streams": {"type": "object", "additionalProperties": _COUNTS},
            "recipes": {"type": "object", "additionalProperties": _COUNTS},
            "pauses": _list(_ref("Pause")),
            "dead_letters": COUNT,
            "more": {"type": "boolean"},
        }
    ),
    "BulkDone": _object(
        {
            "matched": COUNT,
            "done": COUNT,
            "not_possible": _COUNTS,
            "more": {"type": "boolean"},
        },
        {"next": TEXT},
    ),
    "Task": _object(
        {
            **_SUMMARY,
            "cause": {"type": "object"},
            "results": {"type": "object"},
            "inputs": {"type": "object"},
            "forks": _list(TEXT),
            "lineage": _list({"type": "object"}),
        },
        _FORK,
    ),
    "Approval": _object(
        {
            "task": TEXT,
            "state": {"enum": [state.value for state in State]},
            "step": TEXT,
            "by": _list(TEXT),
            "needs": {"type": "integer", "minimum": 1},
            "message": TEXT,
            "until": NANOSECONDS,
            "approvals": _list(_object({"who": TEXT, "how": {"enum": list(How)}, "t": NANOSECONDS})),
            "missing": TEXT,
            "asked": HASH,
            "digest": HASH,
            "changed": _list(TEXT),
            "shown": {"type": "object", "description": "docs/approvals.md"},
        }
    ),
    "Decision": _object(
        {},
        {
            "verdict": {"enum": list(Verdict)},
            "digest": HASH,
            "why": {"type": "string", "maxLength": MAX_REASON},
            "envelope": {"type": "object", "description": "a DSSE envelope, docs/approvals.md"},
        },
    ),
    "Decided": _object(
        {
            "task": TEXT,
            "state": {"enum": [state.value for state in State]},
            "approved_by": _list(TEXT),
            "missing": TEXT,
        }
    ),
    "LinkWish": _object({"for": TEXT}, {"seconds": {"type": "integer", "minimum": 1, "maximum": 86_400}}),
    "Link": _object({"url": TEXT, "for": TEXT, "until": COUNT}),
    "LinkUse": _object(
        {"token": TEXT},
        {
            "look": {"const": True},
            "verdict": {"enum": list(Verdict)},
            "why": {"type": "string", "maxLength": MAX_REASON},
        },
    ),
    **TRACE_SCHEMAS,
    **ALERT_SCHEMAS,
    **COLLECTOR_SCHEMAS,
    "Service": _object(
        {
            "id": TEXT,
            "tier": {"enum": list(TIERS)},
            "scopes": _list({"enum": list(SCOPES)}),
            "disabled": {"type": "boolean"},
            "lanes": COUNT,
            "lanes_before": _list(_object({"lanes": COUNT, "until": COUNT})),
            "masking": TEXT,
            "encryption": TEXT,
            "identities": _list(TEXT),
            "created": NANOSECONDS,
            "keys": _list(_object({"id": TEXT, "since": COUNT, "until": COUNT})),
        }
    ),
    "Services": _object({"services": _list(_ref("Service"))}),
    "OtlpAnswer": _object(
        {}, {"partialSuccess": _object({}, {"rejectedLogRecords": TEXT, "errorMessage": TEXT})}
    ),
    "RpcStatus": _object({"code": {"type": "integer"}, "message": TEXT}),
    "Token": _object(
        {"access_token": TEXT, "token_type": {"const": "Bearer"}, "expires_in": COUNT, "scope": TEXT}
    ),
    "TokenRequest": _object(
        {"grant_type": {"const": "client_credentials"}},
        {"client_id": TEXT, "client_secret": {**TEXT, "format": "password"}, "scope": TEXT},
    ),
    "Keys": _object(
        {"keys": _list(_object({"kty": {"const": "EC"}, "crv": {"const": "P-256"}, "x": TEXT, "y": TEXT}))}
    ),
}


def _parameter(
    name: str, place: str, description: str, schema: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "description": description,
        "schema": schema or TEXT,
    }


PARAMETERS: Mapping[str, dict[str, Any]] = {
    "task": _parameter("task", "path", "a task's id"),
    "alert": _parameter("alert", "path", "an alert's id"),
    "status": _parameter("status", "query", "only alerts of this status", STATUS),
    "severity": _parameter("severity", "query", "only alerts of this severity", SEVERITY),
    "queue": _parameter("queue", "path", "a stream, `recipe:ID`, `service:NAME` or `all`"),
    "upstream": _parameter(
        "upstream",
        "path",
        "a name of the deployment's list",
        {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,63}$"},
    ),
    "path": _parameter("path", "path", "the path below the upstream's own, of any number of segments"),
    "source": _parameter("source", "path", "the kind of sender", {"enum": list(SOURCES)}),
    "hook": _parameter(
        "hook", "path", "the webhook's id", {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,63}$"}
    ),
    "hec-token": _parameter(
        "token", "query", "the token, of a webhook that allows it here; else in `Authorization: Splunk TOKEN`"
    ),
    "hec-channel": _parameter("X-Splunk-Request-Channel", "header", "the sender's channel, a GUID"),
    "partial": _parameter(
        "partial", "query", "store the good lines of a batch with bad ones", {"type": "boolean"}
    ),
    "state": _parameter(
        "state", "query", "only tasks in this state", {"enum": [state.value for state in State]}
    ),
    "recipe": _parameter("recipe", "query", "only tasks of this recipe"),
    "service": _parameter(
        "service", "query", "with the scope `admin`: whose; `*` for everybody's. One's own by default"
    ),
    "limit": _parameter(
        "limit", "query", "at most so many", {"type": "integer", "minimum": 1, "maximum": 100}
    ),
    "next": _parameter("next", "query", "where the page before ended, as it said it"),
    "encoding": _parameter(
        "Content-Encoding", "header", "how the body is packed", {"enum": ["gzip", "zstd", "identity"]}
    ),
    "batch": _parameter(
        "Sentinel-Batch-Id",
        "header",
        "names the batch, so that it is stored once",
        {"type": "string", "maxLength": 128},
    ),
    "instance": _parameter("Sentinel-Instance", "header", "names the sender among the service's instances"),
    "since": _parameter("Sentinel-Since", "header", "`N CHAIN`: the batch may be stored, at N or behind it"),
    "producer": _parameter(
        "Sentinel-Producer", "header", "who numbered the entries", {"type": "string", "maxLength": 128}
    ),
    "sequence": _parameter(
        "Sentinel-Sequence",
        "header",
        "the number of the first entry",
        {"type": "string", "pattern": "^[0-9]+$"},
    ),
    "receipt": _parameter("Sentinel-Receipt", "header", "`full`: the receipt says what heads are made of"),
    "trace": _parameter("traceparent", "header", "W3C trace context; the ledger keeps the trace id"),
    "webhook-id": _parameter("webhook-id", "header", "the message's id, the same each time it is sent"),
    "webhook-timestamp": _parameter("webhook-timestamp", "header", "when it is sent, epoch seconds"),
    "webhook-request-origin": _parameter("webhook-request-origin", "header", "who asks: a DNS name"),
    "webhook-signature": _parameter(
        "webhook-signature", "header", "`v1,` and base64, several with blanks between"
    ),
}
