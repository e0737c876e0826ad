"""The schemas of the OpenAPI document: JSON Schema 2020-12, as OpenAPI 3.1 has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sentinel.core.access import SCOPES, TIERS
from sentinel.core.approvals import How, Verdict
from sentinel.core.tasks import MAX_REASON, State
<<<<<<< HEAD

HEX32 = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
HASH = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
COUNT = {"type": "integer", "minimum": 0}
NANOSECONDS = {"type": "integer", "minimum": 0, "description": "epoch nanoseconds"}
TEXT = {"type": "string"}


def object_of(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the schema of an object with such members."""
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


def list_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a list."""
    return {"type": "array", "items": schema}


def ref(name: str) -> dict[str, str]:
    """Refer to a schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}

=======
from sentinel.entrypoints.openapi_forms import COUNT, HASH, HEX32, NANOSECONDS, TEXT
from sentinel.entrypoints.openapi_forms import list_of as _list
from sentinel.entrypoints.openapi_forms import object_of as _object
from sentinel.entrypoints.openapi_forms import ref_to as _ref
from sentinel.entrypoints.openapi_forms import strict_of as _strict
from sentinel.entrypoints.openapi_trace import TRACE_SCHEMAS
>>>>>>> tasks4b

_PROBLEM = object_of({"line": {"type": "integer", "minimum": 1}, "reason": TEXT})
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

SCHEMAS: Mapping[str, dict[str, Any]] = {
    "Error": object_of({"error": TEXT, "message": TEXT}, {"problems": list_of({"type": "object"})}),
    "Receipt": object_of(
        {"chain": TEXT, "first": COUNT, "count": COUNT, "head": HASH, "t": NANOSECONDS, "batch_id": HEX32},
        {"rejected": COUNT, "problems": list_of(_PROBLEM)},
    ),
    "Received": object_of({"batch_id": HEX32, "head": HASH, "t": NANOSECONDS}),
    "ChainHead": object_of({"chain": TEXT, "entries": COUNT, "head": HASH}),
    "Chains": object_of({"chains": list_of(ref("ChainHead"))}),
    "TaskSummary": object_of(_SUMMARY, _FORK),
    "Tasks": object_of({"tasks": list_of(ref("TaskSummary"))}, {"next": TEXT}),
    "Task": object_of(
        {
            **_SUMMARY,
            "cause": {"type": "object"},
            "results": {"type": "object"},
            "inputs": {"type": "object"},
            "forks": list_of(TEXT),
            "lineage": list_of({"type": "object"}),
        },
        _FORK,
    ),
    "Approval": object_of(
        {
            "task": TEXT,
            "state": {"enum": [state.value for state in State]},
            "step": TEXT,
            "by": list_of(TEXT),
            "needs": {"type": "integer", "minimum": 1},
            "message": TEXT,
            "until": NANOSECONDS,
            "approvals": list_of(object_of({"who": TEXT, "how": {"enum": list(How)}, "t": NANOSECONDS})),
            "missing": TEXT,
            "asked": HASH,
            "digest": HASH,
            "changed": list_of(TEXT),
            "shown": {"type": "object", "description": "docs/approvals.md"},
        }
    ),
    "Decision": object_of(
        {},
        {
            "verdict": {"enum": list(Verdict)},
            "digest": HASH,
            "why": {"type": "string", "maxLength": MAX_REASON},
            "envelope": {"type": "object", "description": "a DSSE envelope, docs/approvals.md"},
        },
    ),
    "Decided": object_of(
        {
            "task": TEXT,
            "state": {"enum": [state.value for state in State]},
            "approved_by": list_of(TEXT),
            "missing": TEXT,
        }
    ),
    "LinkWish": object_of({"for": TEXT}, {"seconds": {"type": "integer", "minimum": 1, "maximum": 86_400}}),
    "Link": object_of({"url": TEXT, "for": TEXT, "until": COUNT}),
    "LinkUse": object_of(
        {"token": TEXT},
        {
            "look": {"const": True},
            "verdict": {"enum": list(Verdict)},
            "why": {"type": "string", "maxLength": MAX_REASON},
        },
    ),
<<<<<<< HEAD
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
                    {"t": NANOSECONDS, "leaf": HASH, "why": TEXT, "trace": HEX32, "span": TEXT},
                )
            ),
            "runs": list_of(ref("TraceRun")),
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
    "Service": object_of(
=======
    **TRACE_SCHEMAS,
    "Service": _object(
>>>>>>> tasks4b
        {
            "id": TEXT,
            "tier": {"enum": list(TIERS)},
            "scopes": list_of({"enum": list(SCOPES)}),
            "disabled": {"type": "boolean"},
            "lanes": COUNT,
            "masking": TEXT,
            "encryption": TEXT,
            "identities": list_of(TEXT),
            "created": NANOSECONDS,
            "keys": list_of(object_of({"id": TEXT, "since": COUNT, "until": COUNT})),
        }
    ),
    "Services": object_of({"services": list_of(ref("Service"))}),
    "OtlpAnswer": object_of(
        {}, {"partialSuccess": object_of({}, {"rejectedLogRecords": TEXT, "errorMessage": TEXT})}
    ),
    "RpcStatus": object_of({"code": {"type": "integer"}, "message": TEXT}),
    "Token": object_of(
        {"access_token": TEXT, "token_type": {"const": "Bearer"}, "expires_in": COUNT, "scope": TEXT}
    ),
    "TokenRequest": object_of(
        {"grant_type": {"const": "client_credentials"}},
        {"client_id": TEXT, "client_secret": {**TEXT, "format": "password"}, "scope": TEXT},
    ),
    "Keys": object_of(
        {
            "keys": list_of(
                object_of({"kty": {"const": "EC"}, "crv": {"const": "P-256"}, "x": TEXT, "y": TEXT})
            )
        }
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
    "queue": _parameter("queue", "path", "a stream, `recipe:ID`, `service:NAME` or `all`"),
    "upstream": _parameter(
        "upstream",
        "path",
        "a name of the deployment's list",
        {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,63}$"},
    ),
    "path": _parameter("path", "path", "the path below the upstream's own, of any number of segments"),
    "source": _parameter("source", "path", "the kind of sender", {"enum": ["standard-webhooks"]}),
    "hook": _parameter(
        "hook", "path", "the webhook's id", {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,63}$"}
    ),
    "partial": _parameter(
        "partial", "query", "store the good lines of a batch with bad ones", {"type": "boolean"}
    ),
    "state": _parameter(
        "state", "query", "only tasks in this state", {"enum": [state.value for state in State]}
    ),
    "recipe": _parameter("recipe", "query", "only tasks of this recipe"),
    "service": _parameter(
        "service", "query", "with the scope `admin`: whose tasks; `*` for everybody's. One's own by default"
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
    "trace": _parameter("traceparent", "header", "W3C trace context; the ledger keeps the trace id"),
    "webhook-id": _parameter("webhook-id", "header", "the message's id, the same each time it is sent"),
    "webhook-timestamp": _parameter("webhook-timestamp", "header", "when it is sent, epoch seconds"),
    "webhook-signature": _parameter(
        "webhook-signature", "header", "`v1,` and base64, several with blanks between"
    ),
}
