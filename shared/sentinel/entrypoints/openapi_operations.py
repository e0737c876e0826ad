"""What each route takes and gives, for the OpenAPI document. Every route has its entry; a test says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NDJSON = "application/x-ndjson"
PROTOBUF = "application/x-protobuf"
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
CHAIN = "application/pem-certificate-chain"
Content = Mapping[str, Mapping[str, Any]]


def json_content(schema: str) -> Content:
    """Return the content of a JSON answer with one of the schemas."""
    return {JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer that is no error. `status` may be `default`."""

    description: str
    content: Content
    status: int | str = 200
    headers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """One route. `parameters` are names in `openapi_schemas.PARAMETERS`, beside those of the path.

    `errors` are statuses beside those that every route may answer; `error_content` is their form, where it is
    another than usual.
    """

    id: str
    summary: str
    answers: tuple[Answer, ...]
    parameters: tuple[str, ...] = ()
    body: Mapping[str, Any] = field(default_factory=dict)
    errors: tuple[int, ...] = ()
    error_content: Content = field(default_factory=dict)


def _body(description: str, content: Content, *, required: bool = True) -> Mapping[str, Any]:
    return {"description": description, "required": required, "content": content}


_BINARY: Mapping[str, Any] = {"schema": {}}
_ANYTHING: Content = {"*/*": {"schema": {}}}
_ENTRY = {"type": "object", "description": "an entry: one JSON object a line"}
_STATUS = {"anyOf": [{"$ref": "#/components/schemas/RpcStatus"}, {"$ref": "#/components/schemas/Error"}]}
_TOKEN_ERROR = {
    "allOf": [{"$ref": "#/components/schemas/Error"}],
    "properties": {"error_description": {"type": "string"}},
}
_ALLOWED = {
    "WebHook-Allowed-Origin": {"description": "who may", "schema": {"type": "string"}},
    "WebHook-Allowed-Rate": {"description": "messages a minute", "schema": {"type": "string"}},
}
_KEYS = Operation(
    "keys", "The public keys of access tokens (RFC 7517)", (Answer("the keys", json_content("Keys")),)
)

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("POST", "/v1/entries"): Operation(
        "entries",
        "Store a batch of entries",
        (Answer("the receipt: the entries are durable", json_content("Receipt")),),
        ("partial", "encoding", "batch", "instance", "since", "producer", "sequence", "receipt", "trace"),
        _body("newline-delimited JSON, at most 5,000,000 bytes unpacked", {NDJSON: {"schema": _ENTRY}}),
        (409,),
    ),
    ("POST", "/v1/logs"): Operation(
        "logs",
        "Store OpenTelemetry log records (OTLP/HTTP)",
        (
            Answer(
                "what was rejected, if anything; in the form of the request",
                {**json_content("OtlpAnswer"), PROTOBUF: _BINARY},
            ),
        ),
        ("encoding", "trace"),
        _body(
            "an ExportLogsServiceRequest",
            {
                JSON: {"schema": {"type": "object"}},
                PROTOBUF: {"schema": {"type": "string", "format": "binary"}},
            },
        ),
        (409,),
        {JSON: {"schema": _STATUS}, PROTOBUF: _BINARY},
    ),
    ("GET", "/v1/chains"): Operation(
        "chains", "The caller's chains", (Answer("sizes and heads", json_content("Chains")),)
    ),
    ("GET", "/v1/tasks"): Operation(
        "tasks",
        "Tasks that the caller's entries set off, newest change first",
        (Answer("a page of up to 100 tasks; with `next` there is more", json_content("Tasks")),),
        ("state", "recipe", "service", "limit", "next"),
    ),
    ("POST", "/v1/tasks/bulk"): Operation(
        "bulk",
        "Act on all tasks of a selection, up to 1,000 a call",
        (Answer("what was done; with `more` there may be others", json_content("BulkDone")),),
        body=_body("the act, the selection and the reason", json_content("BulkOrder")),
    ),
    **{
        ("POST", f"/v1/tasks/{{task}}/{act}"): Operation(
            act,
            summary,
            (Answer("the task as it then is", json_content("TaskSummary")),),
            body=_body("why: it is kept in the lineage", json_content(body)),
            errors=(404, 409),
        )
        for act, summary, body in (
            ("accept", "Have a proposed task done", "Reason"),
            ("cancel", "End a task that has not ended", "Reason"),
            ("redrive", "Have a failed task go on from the step that failed", "Reason"),
            ("resolve", "Say what became of an ambiguous effect", "Resolution"),
            ("retry", "Have a waiting task tried now", "Reason"),
            ("fork", "Make a new task of one, with other inputs", "ForkOrder"),
        )
    },
    ("GET", "/v1/tasks/{task}"): Operation(
        "task",
        "One task with its cause, results and lineage",
        (Answer("the task", json_content("Task")),),
        errors=(404,),
    ),
    ("GET", "/v1/tasks/{task}/approval"): Operation(
        "approval",
        "What a task asks to be approved, exactly as it would be done now",
        (Answer("what is asked, and who has approved", json_content("Approval")),),
        errors=(404, 409),
    ),
    ("POST", "/v1/tasks/{task}/approval"): Operation(
        "approve",
        "Approve or refuse what was seen, as the calling service or by somebody's signature",
        (Answer("what became of the task", json_content("Decided")),),
        body=_body("the verdict on a digest", {JSON: {"schema": {"$ref": "#/components/schemas/Decision"}}}),
        errors=(404, 409),
    ),
    ("POST", "/v1/tasks/{task}/links"): Operation(
        "link",
        "A one-time link with which an author approves or refuses",
        (Answer("the link", json_content("Link")),),
        body=_body("for whom", {JSON: {"schema": {"$ref": "#/components/schemas/LinkWish"}}}),
        errors=(404, 409),
    ),
    ("GET", "/approve"): Operation(
        "approvalPage",
        "The page that a one-time link opens",
        (Answer("the page", {"text/html": {"schema": {"type": "string"}}}),),
    ),
    ("POST", "/approve"): Operation(
        "approveByLink",
        "What a link's bearer is asked, or what they say",
        (
            Answer(
                "what is asked, or what became of the task",
                {
                    JSON: {
                        "schema": {
                            "anyOf": [
                                {"$ref": "#/components/schemas/Approval"},
                                {"$ref": "#/components/schemas/Decided"},
                            ]
                        }
                    }
                },
            ),
        ),
        body=_body("the link's token", {JSON: {"schema": {"$ref": "#/components/schemas/LinkUse"}}}),
        errors=(404, 409),
    ),
    ("GET", "/v1/tasks/{task}/trace"): Operation(
        "trace",
        "What set a task off and what it did, with proofs of the caller's entries (docs/trace.md)",
        (Answer("the trace", json_content("Trace")),),
        errors=(404,),
    ),
    ("GET", "/v1/alerts"): Operation(
        "alerts",
        "Alerts that the caller's webhooks told, the last heard first",
        (Answer("a page of up to 100 alerts; with `next` there is more", json_content("Alerts")),),
        ("status", "severity", "service", "limit", "next"),
    ),
    ("GET", "/v1/alerts/{alert}"): Operation(
        "alert",
        "One alert with its history (docs/alerts.md)",
        (Answer("the alert", json_content("Alert")),),
        errors=(404,),
    ),
    ("GET", "/v1/queues"): Operation(
        "queues", "What waits and what is paused", (Answer("counts and pauses", json_content("Queues")),)
    ),
    **{
        ("POST", f"/v1/queues/{{queue}}/{act}"): Operation(
            act,
            summary,
            (Answer("what was done", json_content(answer)),),
            body=_body("why: it is kept in the lineage", json_content(order)),
            errors=errors,
        )
        for act, summary, order, answer, errors in (
            ("pause", "Let no task of a queue start", "PauseOrder", "Pause", ()),
            ("resume", "End a pause", "Reason", "Resumed", (404,)),
            ("purge", "Cancel what waits in a queue", "PurgeOrder", "Purged", ()),
        )
    },
    ("GET", "/v1/services"): Operation(
        "services",
        "The services that are known",
        (Answer("all of them", json_content("Services")),),
    ),
    ("POST", "/v1/certificate"): Operation(
        "certificate",
        "Renew the certificate in use, from its 60th day on",
        (Answer("the new certificate with its chain", {CHAIN: {"schema": {"type": "string"}}}),),
        body=_body(
            "a certificate signing request (RFC 2986), PEM",
            {
                "application/pkcs10": {"schema": {"type": "string"}},
                "text/plain": {"schema": {"type": "string"}},
            },
        ),
        errors=(404, 409),
    ),
    ("ANY", "/v1/proxy/{upstream}/{path+}"): Operation(
        "proxy",
        "Pass a request on to one of the deployment's upstreams",
        (Answer("the upstream's answer, or an error of ours", _ANYTHING, "default"),),
        ("trace",),
        _body("whatever the upstream takes", {"application/octet-stream": {"schema": {}}}, required=False),
        (404,),
        _ANYTHING,
    ),
    ("POST", "/v1/token"): Operation(
        "token",
        "An access token for an API key and a client certificate (RFC 6749, client credentials)",
        (Answer("the token", json_content("Token")),),
        body=_body(
            "client id and API key are here, or in `Authorization: Basic`",
            {FORM: {"schema": {"$ref": "#/components/schemas/TokenRequest"}}},
        ),
        error_content={JSON: {"schema": _TOKEN_ERROR}},
    ),
    ("POST", "/oauth/token"): Operation(
        "hookToken",
        "An access token for a webhook's id and secret (RFC 6749, client credentials)",
        (Answer("the token", json_content("Token")),),
        body=_body(
            "the webhook's id and its secret are here, or in `Authorization: Basic`",
            {FORM: {"schema": {"$ref": "#/components/schemas/TokenRequest"}}},
        ),
        error_content={JSON: {"schema": _TOKEN_ERROR}},
    ),
    ("OPTIONS", "/hooks/{source}/{hook}"): Operation(
        "invited",
        "Whether a sender may send (CloudEvents, HTTP webhooks, 4)",
        (Answer("it may", {JSON: {"schema": {"type": "object"}}}, headers=_ALLOWED),),
        ("webhook-request-origin",),
        errors=(405,),
    ),
    ("GET", "/.well-known/jwks.json"): _KEYS,
    ("POST", "/hooks/{source}/{hook}"): Operation(
        "receive",
        "Take a webhook's message in",
        (Answer("the message is sealed, now or before", json_content("Received")),),
        ("webhook-id", "webhook-timestamp", "webhook-signature", "trace"),
        _body(
            "the message, at most 1,000,000 bytes; kept byte for byte. The `webhook-` headers are those of "
            "`standard-webhooks`: other sources prove themselves by their own (docs/connectors.md)",
            {JSON: {"schema": {}}, "text/plain": {"schema": {}}},
        ),
        (409,),
    ),
}
