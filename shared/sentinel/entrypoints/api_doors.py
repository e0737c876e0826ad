"""The endpoints of the doors. `DOOR_ENDPOINTS` has them all; `api.ENDPOINTS` takes them in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson

from sentinel.entrypoints import limits, oauth, observe
from sentinel.entrypoints.web import Request, Response, json_response, trace_of
from sentinel.errors import Limited, Unavailable

if TYPE_CHECKING:
    from sentinel.bootstrap import App

ORIGIN = "webhook-request-origin"


def receive(app: App, request: Request) -> Response:
    """`POST /hooks/{source}/{hook}`: a webhook's message in, the least of the receipt out."""
    from sentinel.usecases.ingest import Origin

    source, hook = request.params["source"], request.params["hook"]
    proven = app.receiver.admit(source, hook, request.headers, request.body, request.repeated)
    origin = Origin(
        service=proven.service,
        endpoint=request.path,
        request_id=request.request_id,
        address=request.identity.address,
        agent=request.headers.get("user-agent", ""),
        trace=trace_of(request),
    )
    # Whose limits these are is known only now. The sender is a stranger, so it is not told what they are.
    known = replace(request.identity, service=proven.service, tier=proven.tier)
    try:
        limits.Admission(app, replace(request, identity=known))(len(proven.entries), proven.size)
    except Limited as error:
        # Many senders take a 429 for final, and would lose what they told us: they come again after a 503.
        later = Limited if proven.heeds_429 else Unavailable
        raise later("too many messages: send the same again later", error.retry_after) from None
    receipt = app.receiver.store(proven, origin)
    observe.count("receive", "messages", 1)
    return json_response(200, receipt)


def invited(app: App, request: Request) -> Response:
    """`OPTIONS /hooks/{source}/{hook}`: whether a sender may send (CloudEvents, HTTP webhooks, 4).

    What says no is the same for a webhook that is not there and for one that this sender may not send to.
    """
    origin = "" if ORIGIN in request.repeated else request.headers.get(ORIGIN, "")
    told = app.receiver.invited(request.params["source"], request.params["hook"], origin)
    if not told:
        no = {"error": "NotAllowed", "message": "this path takes POST"}
        return Response(405, orjson.dumps(no), headers={"Allow": "POST"})
    return Response(200, b"{}", headers={"Allow": "OPTIONS, POST", **told})


def proxied(app: App, request: Request) -> Response:
    """`ANY /v1/proxy/{upstream}/{path+}`: the request to an upstream, the answer back."""
    from sentinel.usecases.proxy import Call

    # The path as it came, percent-encoded, is in `path`; the parameters are decoded.
    upstream, _, path = request.path.partition("/v1/proxy/")[2].partition("/")
    call = Call(
        method=request.method,
        upstream=upstream,
        path=path,
        service=request.identity.service,
        request_id=request.request_id,
        address=request.identity.address,
        scheme="http" if app.local and not request.identity.pem else "https",
        queries=request.queries,
        headers=request.headers,
        repeated=request.repeated,
        body=request.body,
    )
    answer = app.proxy.passed(call)
    headers = dict(answer.headers)
    kind = headers.pop("content-type", "application/octet-stream")
    return Response(answer.status, answer.body, kind, headers)


def certificate(app: App, request: Request) -> Response:
    """`POST /v1/certificate`: a certificate request (PEM) in, the successor of the certificate in use out."""
    from sentinel.core.certificates import read

    pem = app.authority.renew(read(request.identity.pem), request.identity.service, request.body)
    headers = {"Cache-Control": "no-store"}
    return Response(200, pem.encode(), "application/pem-certificate-chain", headers)  # RFC 8555, 9.1


def services(app: App, request: Request) -> Response:
    """`GET /v1/services`: every service with its rights and its keys' ids and ends; nothing secret."""
    del request
    return json_response(200, {"services": app.services.overview()})


DOOR_ENDPOINTS: Mapping[tuple[str, str], Callable[[App, Request], Response]] = {
    ("POST", "/v1/token"): oauth.token,
    ("GET", "/.well-known/jwks.json"): oauth.keys,
    ("POST", "/v1/certificate"): certificate,
    ("GET", "/v1/services"): services,
    ("POST", "/hooks/{source}/{hook}"): receive,
    ("OPTIONS", "/hooks/{source}/{hook}"): invited,
    ("POST", "/oauth/token"): oauth.hook_token,
    ("ANY", "/v1/proxy/{upstream}/{path+}"): proxied,
}
