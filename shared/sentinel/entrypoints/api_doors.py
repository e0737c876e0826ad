"""The endpoints of the doors. `DOOR_ENDPOINTS` has them all; `api.ENDPOINTS` takes them in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sentinel.entrypoints import oauth
from sentinel.entrypoints.web import Request, Response, json_response

if TYPE_CHECKING:
    from sentinel.bootstrap import App


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
}
