"""The endpoints of the service API: a request in, one use case, a response out. `ENDPOINTS` has them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sentinel.entrypoints import limits, observe
from sentinel.entrypoints.api_alerts import ALERT_ENDPOINTS
from sentinel.entrypoints.api_approvals import APPROVAL_ENDPOINTS
from sentinel.entrypoints.api_chains import CHAIN_ENDPOINTS
from sentinel.entrypoints.api_doors import DOOR_ENDPOINTS
from sentinel.entrypoints.api_queues import QUEUE_ENDPOINTS
from sentinel.entrypoints.api_tasks import TASK_ENDPOINTS
from sentinel.entrypoints.collector import COLLECTOR_ENDPOINTS
from sentinel.entrypoints.web import Endpoint, Request, Response, json_response, trace_of
from sentinel.errors import Malformed, Missing
from sentinel.usecases.ingest import Origin

if TYPE_CHECKING:
    from sentinel.bootstrap import App

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
TRACED = 20_000  # leaf hashes in a trace: API Gateway passes on answers of 10 MB, Lambda of 6


def endpoint(app: App, path: str, method: str) -> Endpoint:
    """Return what answers `method` on `path`, a key of `ENDPOINTS`. Raises `Missing`."""
    found = ENDPOINTS.get((method, path))
    if found is None:
        raise Missing("there is nothing at this path; see docs/wire.md for the routes")
    if (method, path) in COUNTED:
        return lambda request: found(app, request)
    return lambda request: limits.held(app, request, found)


def _origin(request: Request) -> Origin:
    return Origin(
        service=request.identity.service,
        endpoint=request.path,
        request_id=request.request_id,
        subject=request.identity.subject,
        certificate=request.identity.certificate,
        address=request.identity.address,
        agent=request.headers.get("user-agent", ""),
        instance=request.headers.get("sentinel-instance", ""),
        trace=trace_of(request),
        signature=request.headers.get("sentinel-signature", ""),
        key=request.headers.get("sentinel-key-id", ""),
        lanes=request.identity.lanes,
        encryption=request.identity.encryption,
    )


def entries(app: App, request: Request) -> Response:
    """`POST /v1/entries`: NDJSON in, the receipt out."""
    with limits.admission(app, request) as admit:
        partial = _flag(request, "partial")
        receipt = app.ingest.entries(_origin(request), request.body, request.headers, partial, admit)
    observe.count("ingest", "entries", float(str(receipt["count"])))
    return admit.answered(json_response(200, receipt))


def _flag(request: Request, name: str) -> bool:
    text = request.query.get(name, "false").lower()
    if text not in {"true", "false", "1", "0"}:
        raise Malformed(f"{name} is true or false")
    return text in {"true", "1"}


def logs(app: App, request: Request) -> Response:
    """`POST /v1/logs`: OTLP/HTTP logs, protobuf or JSON, answered in kind."""
    from sentinel.entrypoints import otlp_http

    return otlp_http.logs(app, _origin(request), request)


def chains(app: App, request: Request) -> Response:
    """`GET /v1/chains`: the caller's own chains with their sizes and heads."""
    return json_response(200, {"chains": app.inspect.chains(request.identity.service)})


def trace(app: App, request: Request) -> Response:
    """`GET /v1/tasks/{task}/trace`: what caused a task, with proofs of the caller's entries."""
    from sentinel.usecases.proofs import Wish

    found = app.trace.of_task(request.params["task"], Wish(TRACED), request.identity.service)
    return json_response(200, found)


ENDPOINTS: Mapping[tuple[str, str], Callable[[App, Request], Response]] = {
    ("POST", "/v1/entries"): entries,
    ("POST", "/v1/logs"): logs,
    ("GET", "/v1/chains"): chains,
    **CHAIN_ENDPOINTS,
    **APPROVAL_ENDPOINTS,
    **TASK_ENDPOINTS,
    **QUEUE_ENDPOINTS,
    **ALERT_ENDPOINTS,
    ("GET", "/v1/tasks/{task}/trace"): trace,
    **DOOR_ENDPOINTS,
    **COLLECTOR_ENDPOINTS,
}

# These take entries and bytes of the limits, too, and do so themselves once they know how many.
COUNTED = {("POST", "/v1/entries"), ("POST", "/v1/logs")}
