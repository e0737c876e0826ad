"""Who sends a request, as the door in front says: its authorizer's context, the TLS layer's certificate.

A header says who somebody is in one case only: where a proxy in front ended TLS, verified the certificate and
hands it on, and the deployment names that header (`client_certificate_header`). Then the proxy has to take
the header off what others send; see docs/tokens.md.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from sentinel.core.lanes import Lanes
from sentinel.core.pem import MAX_DER, MAX_PEM
from sentinel.core.pem import thumbprint as thumbprint_of
from sentinel.entrypoints.web import Identity
from sentinel.errors import Forbidden, Malformed, Missing, Unauthenticated, Unavailable
from sentinel.routes import HOOK_ROUTES, ROUTES, Route

MAX_HEADER = 32_768
XFCC = "x-forwarded-client-cert"

_BY_ROUTE: Mapping[tuple[str, str], Route] = {
    (route.method, route.path): route for route in (*HOOK_ROUTES, *ROUTES)
}
_BINARY = re.compile(r":([A-Za-z0-9+/]+={0,2}):")  # RFC 8941, 3.3.5
# One element of Envoy's header: pairs of a name and a value, the value in quotes where it holds ; , or =.
_PAIR = re.compile(r'([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^;,"]*)(?:;|\Z)')


def route_of(method: str, resource: str) -> Route:
    """Return the route of a request by API Gateway's `resource`. Raises `Missing`."""
    found = _BY_ROUTE.get((method, resource)) or _BY_ROUTE.get(("ANY", resource))
    if found is None:
        raise Missing("there is nothing at this path; see docs/wire.md for the routes")
    return found


def values(event: Mapping[str, Any], name: str) -> list[str]:
    """Return all values of a header, whose name may be in any case (and twice in different ones)."""
    many = event.get("multiValueHeaders")
    if many is not None:
        return [value for key, found in many.items() if key.lower() == name for value in found]
    return [value for key, value in (event.get("headers") or {}).items() if key.lower() == name]


def certificate_of(event: Mapping[str, Any], header: str) -> str:
    """Return the client certificate that the TLS layer verified, PEM; "" where there is none.

    `header` is the setting `client_certificate_header`. Raises `Unauthenticated` where it cannot be read.
    """
    told = (event["requestContext"].get("identity") or {}).get("clientCert") or {}
    pem = told.get("clientCertPem") or ""
    if pem or not header:
        return str(pem)
    name = header.lower()
    found = values(event, name)
    if not found:
        return ""
    if len(found) > 1 or len(found[0]) > MAX_HEADER:
        raise Unauthenticated(f"the header {name} is there twice or over {MAX_HEADER} characters")
    return _envoy(found[0]) if name == XFCC else _client_cert(found[0])


def _client_cert(value: str) -> str:
    """Read RFC 9440's `Client-Cert`: the DER form in base64 between colons."""
    found = _BINARY.fullmatch(value)
    try:
        der = base64.b64decode(found[1], validate=True) if found else b""
    except binascii.Error:
        der = b""
    if not 0 < len(der) <= MAX_DER:
        raise Unauthenticated("the header with the client certificate is not one of RFC 9440")
    text = base64.b64encode(der).decode()
    lines = "\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    return f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"


def _envoy(value: str) -> str:
    """Read Envoy's header: one element whose `Cert` is the percent-encoded PEM form.

    Several elements are several proxies' words, of which any but the last may be the sender's own: refused.
    """
    refusal = Unauthenticated(f"the header {XFCC} is not one element with Cert; let the proxy sanitize it")
    found: dict[str, str] = {}
    at = 0
    while at < len(value):
        pair = _PAIR.match(value, at)
        if pair is None or pair[1].lower() in found:
            raise refusal
        found[pair[1].lower()] = pair[2].strip('"')
        at = pair.end()
    try:
        pem = unquote(found.get("cert", ""), errors="strict")
    except UnicodeDecodeError:
        raise refusal from None
    if not 0 < len(pem) <= MAX_PEM:
        raise refusal
    return pem


def identity_of(event: Mapping[str, Any], header: str) -> Identity:
    """Establish who sends a request, and that its route is theirs.

    Raises `Unauthenticated` where a route that needs a token was reached without one, or over another
    certificate than the authorizer saw: API Gateway may answer from a decision that it kept. Raises
    `Forbidden` where the token's scopes lack the route's, `Missing` where there is no such route.
    """
    about = event["requestContext"]
    route = route_of(event["httpMethod"], event["resource"])
    address = (about.get("identity") or {}).get("sourceIp") or ""
    pem = "" if route.door in {"signature", "secret", "link", "open"} else certificate_of(event, header)
    if route.door != "token":
        return Identity("", address=address, pem=pem)
    door = about.get("authorizer") or {}
    service, thumbprint = door.get("service") or "", door.get("certificate") or ""
    if not service:
        raise Unauthenticated("the request came in by no door: it names no service")
    _check_binding(pem, thumbprint)
    scopes = frozenset((door.get("scopes") or "").split())
    if route.scope and route.scope not in scopes:
        raise Forbidden(f"this needs the scope {route.scope}, which the token or the service does not have")
    return Identity(
        service=service,
        subject=door.get("subject") or "",
        certificate=thumbprint,
        address=address,
        scopes=scopes,
        tier=door.get("tier") or "",
        lanes=_lanes(door.get("lanes"), door.get("spread")),
        encryption=door.get("encryption") or "",
        pem=pem,
    )


def _check_binding(pem: str, thumbprint: str) -> None:
    """Hold the certificate of this very connection against the one that the authorizer decided on."""
    found = thumbprint_of(pem) if pem else ""
    if not hmac.compare_digest(found.encode(), thumbprint.encode()):
        raise Unauthenticated("the client certificate is not the one that the token was checked with")


def _lanes(told: object, spread: object) -> Lanes:
    """Read the lanes, handed on as text. An answer that was kept from an earlier version has no spread."""
    if spread:
        try:
            return Lanes.parse(str(spread))
        except ValueError:
            raise Unavailable("the authorizer's lanes cannot be read", 5.0) from None
    text = str(told or 0)
    if not (text.isascii() and text.isdigit() and len(text) <= 2):
        raise Malformed("the authorizer's lanes are no number")
    return Lanes(int(text))
