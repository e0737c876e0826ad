"""Requests as API Gateway hands them to a function, and its replies as responses.

Format: REST API proxy integration, "Input format of a Lambda function for proxy integration" in the API
Gateway guide. Bodies travel in base64, as they do with `binaryMediaTypes` `*/*`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pybase64
from aiohttp import web
from multidict import CIMultiDict

from sentinel.routes import Route

DEFAULT_SERVICE = "local"


def event_of(
    request: web.BaseRequest, route: Route, params: dict[str, str], body: bytes, request_id: str
) -> dict[str, Any]:
    """Return the REST proxy event of a request."""
    headers, many = _both((name, _text(value)) for name, value in request.headers.items())
    query, queries = _both(request.rel_url.query.items()) if request.query_string else (None, None)
    return {
        "resource": route.path,
        "path": request.path,
        "httpMethod": request.method,
        "headers": headers,
        "multiValueHeaders": many,
        "queryStringParameters": query,
        "multiValueQueryStringParameters": queries,
        "pathParameters": params or None,
        "requestContext": {
            "requestId": request_id,
            "resourcePath": route.path,
            "httpMethod": request.method,
            "identity": {"sourceIp": request.remote},
            "authorizer": {"service": _text(request.headers.get("Sentinel-Service", DEFAULT_SERVICE))},
        },
        "body": pybase64.b64encode_as_string(body),
        "isBase64Encoded": True,
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


def response_of(reply: dict[str, Any], request_id: str) -> web.Response:
    """Return the response that a proxy reply stands for."""
    body = reply.get("body") or ""
    raw = pybase64.b64decode(body) if reply.get("isBase64Encoded") else body.encode()
    headers = CIMultiDict(reply.get("headers") or {})
    headers["Sentinel-Request-Id"] = request_id
    return web.Response(status=reply["statusCode"], body=raw, headers=headers)
