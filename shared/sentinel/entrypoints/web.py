"""Requests and responses as the use cases' callers see them, and the one table from error to status.

Nothing here knows API Gateway, Lambda or a socket: `aws.py` turns events into a `Request`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from sentinel import errors
from sentinel.core import trace
from sentinel.core.lanes import DEFAULT, Lanes


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sends a request, as the door in front of us established it; never taken from the body.

    `service` is the service id; empty where a door lets strangers in (`Route.door` `key`, `certificate`,
    `signature`, `open`), whose function finds out itself. `subject` is the token's subject, `certificate` the
    client certificate's thumbprint (SHA-256 of its DER form, base64url without padding, as in `x5t#S256`).
    `scopes` are what the token allows, `tier` names the limits (`core.access.TIERS`), `lanes` over how many
    chains the service is spread, `encryption` is its policy (`core.access.ENCRYPTIONS`; "" where the door
    does not say). `address` is the sender's IP address,
    `pem` the client certificate as the TLS layer verified it, "" where there was none.
    """

    service: str
    subject: str = ""
    certificate: str = ""
    address: str = ""
    scopes: frozenset[str] = frozenset()
    tier: str = ""
    lanes: Lanes = DEFAULT
    encryption: str = ""
    pem: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. Header names in lower case; `body` as it came, still encoded.

    `headers` and `query` have the last value of each name. `repeated` has the headers that came more than
    once, with all their values: what proves an identity may come once only. `queries` has all query values.
    """

    method: str
    path: str
    identity: Identity
    request_id: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    repeated: Mapping[str, Sequence[str]] = field(default_factory=dict)
    queries: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


Endpoint = Callable[[Request], Response]

STATUS: Mapping[type[errors.SentinelError], int] = {
    errors.TooLarge: 413,
    errors.Malformed: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.Missing: 404,
    errors.Conflict: 409,
    errors.Limited: 429,
    errors.BadAnswer: 502,
    errors.TimedOut: 504,
    errors.Unavailable: 503,
    errors.Tampered: 500,
}


def trace_of(request: Request) -> str:
    """Return the id of the W3C trace that a request is a part of; "" where it says none, or says it twice."""
    found = trace.parse(request.headers.get("traceparent", ""))
    return found.trace if found is not None and "traceparent" not in request.repeated else ""


def json_response(status: int, value: object) -> Response:
    """Answer with a JSON value."""
    return Response(status, orjson.dumps(value))


def error_response(error: errors.SentinelError) -> Response:
    """Answer with an error: `{"error", "message"}`, `problems` where there are details."""
    name = type(error).__name__
    status = next((STATUS[cls] for cls in type(error).__mro__ if cls in STATUS), 400)
    if isinstance(error, errors.Tampered):
        return json_response(500, {"error": name, "message": "a stored chain does not verify"})
    told: dict[str, object] = {"error": name, "message": str(error)}
    if isinstance(error, errors.Rejected) and error.problems:
        told["problems"] = error.problems
    headers = {}
    if isinstance(error, errors.Unavailable):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if isinstance(error, errors.Limited):
        headers |= error.limits
    return Response(status, orjson.dumps(told), headers=headers)
