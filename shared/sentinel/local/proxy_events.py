"""Requests as API Gateway hands them to a function, and its replies as responses.

Formats: REST API proxy integration, "Input format of a Lambda function for proxy integration", and "Input to
an API Gateway Lambda authorizer" (REQUEST) in the API Gateway guide. Bodies travel in base64, as they do with
`binaryMediaTypes` `*/*`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pybase64
from aiohttp import web
from multidict import CIMultiDict

from sentinel.local.peer import Peer
from sentinel.routes import Route

STAGE = "live"
# Partition, region, account and API of a machine's own gateway.
API_ARN = f"arn:aws:execute-api:local:000000000000:local/{STAGE}"


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way to a function: its route, its parameters, who is at the other end."""

    request: web.BaseRequest
    route: Route
    params: dict[str, str]
    peer: Peer
    request_id: str

    @property
    def arn(self) -> str:
        """The ARN of what is called, with the path as it came."""
        path = self.request.raw_path.partition("?")[0]
        return f"{API_ARN}/{self.request.method}{path}"


def authorizer_event_of(call: Call) -> dict[str, Any]:
    """Return the REQUEST authorizer's event of a request."""
    return {"type": "REQUEST", "methodArn": call.arn, **_common(call), "stageVariables": {}}


def event_of(call: Call, authorizer: Mapping[str, Any] | None, body: bytes) -> dict[str, Any]:
    """Return the REST proxy event of a request; `authorizer` is the context that the authorizer gave."""
    event = _common(call)
    if authorizer is not None:
        event["requestContext"]["authorizer"] = dict(authorizer)
    event["body"] = pybase64.b64encode_as_string(body)
    event["isBase64Encoded"] = True
    return event


def _common(call: Call) -> dict[str, Any]:
    request, route = call.request, call.route
    path = request.raw_path.partition("?")[0]  # still percent-encoded, as REST APIs hand it over
    headers, many = _both((name, _text(value)) for name, value in request.headers.items())
    query, queries = _both(request.rel_url.query.items()) if request.query_string else (None, None)
    identity: dict[str, Any] = {"sourceIp": request.remote}
    if call.peer.client is not None:
        identity["clientCert"] = call.peer.client
    return {
        "resource": route.path,
        "path": path,
        "httpMethod": request.method,
        "headers": headers,
        "multiValueHeaders": many,
        "queryStringParameters": query,
        "multiValueQueryStringParameters": queries,
        "pathParameters": call.params or None,
        "requestContext": {
            "requestId": call.request_id,
            "resourcePath": route.path,
            "httpMethod": request.method,
            "path": path,
            "stage": STAGE,
            "identity": identity,
        },
    }


def _both(pairs: Iterable[tuple[str, str]]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return the last value of each name, and all values of each."""
    last: dict[str, str] = {}
    many: dict[str, list[str]] = {}
    for name, value in pairs:
        last[name] = value
        many.setdefault(name, []).append(value)
    return last, many


def _text(value: str) -> str:
    """Return a header's value as text: bytes that are not UTF-8 are Latin-1 (RFC 9110, 5.5)."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogateescape").decode("latin-1")
    return value


def header(request: web.BaseRequest, name: str, default: str = "") -> str:
    """Return a request's header as text."""
    return _text(request.headers.get(name, default))


def response_of(reply: dict[str, Any], request_id: str) -> web.Response:
    """Return the response that a proxy reply stands for."""
    body = reply.get("body") or ""
    raw = pybase64.b64decode(body) if reply.get("isBase64Encoded") else body.encode()
    headers = CIMultiDict(reply.get("headers") or {})
    headers["Sentinel-Request-Id"] = request_id
    return web.Response(status=reply["statusCode"], body=raw, headers=headers)
