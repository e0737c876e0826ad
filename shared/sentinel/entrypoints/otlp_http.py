"""OTLP/HTTP for logs: content types, partial success and error bodies as the specification says.

opentelemetry.io/docs/specs/otlp, "OTLP/HTTP": the answer has the request's content type; 200 with
`partialSuccess` where records were rejected; errors carry a `google.rpc.Status`. Clients retry 429, 502,
503 and 504 only: after a 500 they would drop what they had, so whatever is wrong on our side is a 503.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import orjson

from sentinel.entrypoints import limits, observe
from sentinel.entrypoints.web import Request, Response, error_response
from sentinel.errors import Malformed, SentinelError, Tampered, Unavailable
from sentinel.usecases.ingest import Origin

if TYPE_CHECKING:
    from sentinel.bootstrap import App

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

BROKEN = 30.0  # seconds after which to send again what we failed at

log = logging.getLogger("sentinel")

# google.rpc.Code of an HTTP status; 2 is UNKNOWN.
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 413: 3, 429: 8, 503: 14}


def logs(app: App, origin: Origin, request: Request) -> Response:
    """Answer `POST /v1/logs`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    form: Literal["json", "protobuf"] = "json" if kind == JSON else "protobuf"
    try:
        with limits.admission(app, request) as admit:
            _check_kind(kind)
            stored, rejected, why = app.ingest.logs(origin, request.body, request.headers, form, admit)
    except SentinelError as error:
        if isinstance(error, Tampered):
            observe.tampered("ingest", error)
        return _status(error, form)
    except Exception:
        log.exception("unexpected failure")
        return _status(Unavailable("unexpected failure; it was logged", BROKEN), form)
    observe.count("ingest", "entries", float(stored))
    return admit.answered(_success(rejected, why, form))


def _check_kind(kind: str) -> None:
    if kind not in {JSON, PROTOBUF}:
        raise Malformed(f"Content-Type must be {PROTOBUF} or {JSON}")


def _success(rejected: int, why: str, form: Literal["json", "protobuf"]) -> Response:
    if form == "json":
        partial = {"partialSuccess": {"rejectedLogRecords": str(rejected), "errorMessage": why}}
        return Response(200, orjson.dumps(partial if rejected else {}), JSON)
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

    answer = ExportLogsServiceResponse()
    if rejected:
        answer.partial_success.rejected_log_records = rejected
        answer.partial_success.error_message = why
    return Response(200, answer.SerializeToString(), PROTOBUF)


def _status(error: SentinelError, form: Literal["json", "protobuf"]) -> Response:
    plain = error_response(error)
    if plain.status == 500:
        plain = replace(plain, status=503, headers={"Retry-After": str(int(BROKEN))})
    code, message = _CODES.get(plain.status, 2), orjson.loads(plain.body)["message"]
    if form == "json":
        return replace(plain, body=orjson.dumps({"code": code, "message": message}))
    raw = message.encode()[:2000]
    # google.rpc.Status on the wire: code is field 1 (varint), message field 2 (length-delimited).
    size = bytes([len(raw) & 0x7F | 0x80, len(raw) >> 7]) if len(raw) > 0x7F else bytes([len(raw)])
    return replace(plain, body=bytes([0x08, code, 0x12]) + size + raw, content_type=PROTOBUF)
