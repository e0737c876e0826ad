"""The OpenAPI 3.1 document of both APIs, made from `routes`: what is not a route cannot be in it.

`document()` is what `sentinel openapi` prints and `docs/openapi.json` holds. What each route takes and gives
is in `openapi_operations`; its door, its path's parameters and the errors that any route may answer are added
here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sentinel.entrypoints import openapi_operations
from sentinel.entrypoints.openapi_collector import COLLECTOR_OPERATIONS
from sentinel.entrypoints.openapi_log import LOG_OPERATIONS, LOG_PARAMETERS, LOG_SCHEMAS
from sentinel.entrypoints.openapi_operations import Operation, json_content
from sentinel.entrypoints.openapi_schemas import PARAMETERS as OTHER_PARAMETERS
from sentinel.entrypoints.openapi_schemas import SCHEMAS as OTHER_SCHEMAS
from sentinel.routes import HOOK_ROUTES, ROUTES, Route

VERSION = "1"
OPERATIONS: Mapping[tuple[str, str], Operation] = {
    **openapi_operations.OPERATIONS,
    **LOG_OPERATIONS,
    **COLLECTOR_OPERATIONS,
}
PARAMETERS: Mapping[str, dict[str, Any]] = {**OTHER_PARAMETERS, **LOG_PARAMETERS}
SCHEMAS: Mapping[str, dict[str, Any]] = {**OTHER_SCHEMAS, **LOG_SCHEMAS}
METHODS = ("get", "put", "post", "delete", "options", "head", "patch")

ERRORS: Mapping[int, str] = {
    400: "what was sent is not what this takes; nothing was stored",
    401: "no valid identity came with the request",
    403: "the identity may not do this; or the TLS layer does not take the certificate",
    404: "there is no such thing",
    405: "this is not done here",
    408: "the body did not arrive in time",
    409: "the thing is in a state that does not allow this",
    413: "over a limit that the message names",
    429: "over the caller's own limit; `Retry-After` says when to come again",
    431: "the headers are too large",
    500: "something unexpected, or a stored chain does not verify; it was logged",
    502: "what stands behind broke off; it may have arrived",
    503: "what stands behind does not answer; `Retry-After` says when to come again",
    504: "what stands behind took too long; it may have arrived",
}
# Whatever the route, the gateway and the functions can answer these.
ALWAYS = (400, 403, 408, 413, 429, 431, 500, 502, 503, 504)
_WAITS = {429, 502, 503, 504}
_DOORS: Mapping[str, list[dict[str, list[str]]]] = {
    "key": [{"mutualTLS": [], "basic": []}, {"mutualTLS": []}],
    "certificate": [{"mutualTLS": []}],
    "secret": [{"basic": []}, {}],
}
_ABOUT = (
    "The service API, behind mutual TLS as a whole, and the webhook API (`/hooks/`, "
    "`/services/collector`), whose senders have no certificates. docs/wire.md says what the formats mean."
)
_PARAMETER = re.compile(r"\{(\w+)\+?\}")


def document() -> dict[str, Any]:
    """Return the document, in the order of the routes."""
    paths: dict[str, dict[str, Any]] = {}
    for route in (*ROUTES, *HOOK_ROUTES):
        path = _PARAMETER.sub(r"{\1}", route.path)
        for method in METHODS if route.method == "ANY" else (route.method.lower(),):
            found = paths.setdefault(path, {}).setdefault(method, _operation(route, method))
            if route.door == "open":
                found["security"].append({})  # also where it is a route of the other API: there with a door
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sentinel",
            "version": VERSION,
            "description": _ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [
            {"url": "https://localhost:8787", "description": "the service API on one's own machine"},
            {"url": "https://localhost:8788", "description": "the webhook API there"},
        ],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "mutualTLS": {"type": "mutualTLS", "description": "a client certificate of a trusted CA"},
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "an access token of `POST /v1/token`, bound to the certificate (RFC 8705)",
                },
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "an id and its API key or secret",
                },
            },
        },
    }


def _operation(route: Route, method: str) -> dict[str, Any]:
    about = OPERATIONS[route.method, route.path]
    name = f"{about.id}_{method}" if route.method == "ANY" else about.id
    found: dict[str, Any] = {
        "operationId": name,
        "summary": about.summary,
        "tags": ["webhooks" if route in HOOK_ROUTES else "service"],
        "security": _security(route),
        "parameters": [*_path_parameters(route), *(PARAMETERS[each] for each in about.parameters)],
        "responses": {
            str(status): each for status, each in sorted(_responses(route, about).items(), key=_order)
        },
    }
    if about.body and method not in {"get", "head", "options", "delete"}:
        found["requestBody"] = about.body
    return found


def _order(each: tuple[int | str, object]) -> tuple[bool, str]:
    return each[0] == "default", str(each[0])


def _security(route: Route) -> list[dict[str, list[str]]]:
    if route.door == "token":
        return [{"mutualTLS": [], "bearer": [route.scope] if route.scope else []}]
    return [dict(each) for each in _DOORS.get(route.door, ())]


def _path_parameters(route: Route) -> Iterable[dict[str, Any]]:
    for name in _PARAMETER.findall(route.path):
        yield PARAMETERS[name]


def _responses(route: Route, about: Operation) -> dict[int | str, dict[str, Any]]:
    statuses = [
        *ALWAYS,
        *about.errors,
        *([401] if route.door in {"token", "key", "signature", "secret", "link"} else []),
    ]
    content = about.error_content or json_content("Error")
    found: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        found[status] = {"description": ERRORS[status], "headers": _headers(status), "content": content}
    for answer in about.answers:
        headers = {**_headers(0), **answer.headers}
        found[answer.status] = {
            "description": answer.description,
            "headers": headers,
            "content": answer.content,
        }
    return found


def _headers(status: int) -> dict[str, Any]:
    # The one id under which logs, the ledger and an upstream know the request.
    headers: dict[str, Any] = {
        "Sentinel-Request-Id": {"description": "the id of the request", "schema": {"type": "string"}}
    }
    if status in _WAITS:
        seconds = {"type": "integer", "minimum": 1}
        headers["Retry-After"] = {"description": "seconds after which to send it again", "schema": seconds}
    return headers
