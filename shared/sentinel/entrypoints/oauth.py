"""The token endpoints (RFC 6749) of both APIs, and the public keys of the tokens (RFC 7517)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote_plus

import orjson

from sentinel.entrypoints import limits, observe
from sentinel.entrypoints.web import Request, Response
from sentinel.errors import Malformed, Rejected, Unauthenticated, Unsupported
from sentinel.usecases.issue_token import BadScope

if TYPE_CHECKING:
    from sentinel.bootstrap import App

FORM = "application/x-www-form-urlencoded"
MAX_FORM = 8_192
MAX_FIELDS = 16
JWKS_SECONDS = 300  # that others may keep our public keys

# RFC 6749, 5.2: the code and the status of each kind of refusal; the first that fits.
_CODES: tuple[tuple[type[Rejected], str, int], ...] = (
    (Unauthenticated, "invalid_client", 401),
    (BadScope, "invalid_scope", 400),
    (Unsupported, "unsupported_grant_type", 400),
    (Malformed, "invalid_request", 400),
)
_PRIVATE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def token(app: App, request: Request) -> Response:
    """`POST /v1/token`: an access token for an API key and a client certificate."""
    try:
        told = _issued(app, request)
    except (Malformed, Unauthenticated) as error:
        observe.count("token", "refused", 1)
        return _refusal(error)
    return Response(200, orjson.dumps(told), headers=_PRIVATE)


def _issued(app: App, request: Request) -> dict[str, object]:
    """Return a new token. Whoever keeps failing with one certificate is `Limited` before that is tried."""
    fields = _form(request)
    client_id, api_key = _client(_authorization(request), fields)
    _check_grant(fields.get("grant_type"))
    certificate, owner = app.authorizer.certificate(request.identity.pem)
    # By whose certificate it is, not by who somebody claims to be: that could be another one each time.
    limits.check_failures(app, owner, certificate.thumbprint)
    try:
        return app.token_issuer.token(certificate, owner, client_id, api_key, fields.get("scope", ""))
    except Unauthenticated:
        limits.failed(app, owner, certificate.thumbprint)
        raise


def hook_token(app: App, request: Request) -> Response:
    """`POST /oauth/token`: an access token for a webhook's id and secret."""
    try:
        fields = _form(request)
        hook, given = _hook_client(_authorization(request), fields)
        _check_grant(fields.get("grant_type"))
        told = _hook_issued(app, request, hook, given)
    except (Malformed, Unauthenticated) as error:
        observe.count("token", "refused", 1)
        return _refusal(error)
    return Response(200, orjson.dumps(told), headers=_PRIVATE)


def _hook_issued(app: App, request: Request, hook: str, given: Sequence[str]) -> dict[str, object]:
    """Return a new token. Whoever keeps failing is `Limited` by webhook and address before that is tried."""
    who = f"/hooks/{hook}", request.identity.address  # no service's name has a slash
    limits.check_failures(app, *who)
    try:
        return app.hook_token_issuer.token(hook, given)
    except Unauthenticated:
        limits.failed(app, *who)
        raise


def keys(app: App, request: Request) -> Response:
    """`GET /.well-known/jwks.json`: the public keys that access tokens are signed with."""
    del request
    headers = {"Cache-Control": f"public, max-age={JWKS_SECONDS}"}
    return Response(200, orjson.dumps(app.directory.jwks()), headers=headers)


def _refusal(error: Rejected) -> Response:
    code, status = next((code, status) for kind, code, status in _CODES if isinstance(error, kind))
    told = {"error": code, "error_description": str(error), "message": str(error)}
    challenge = {"WWW-Authenticate": 'Basic realm="sentinel", charset="UTF-8"'} if status == 401 else {}
    return Response(status, orjson.dumps(told), headers={**_PRIVATE, **challenge})


def _authorization(request: Request) -> str | None:
    if "authorization" in request.repeated:
        raise Malformed("there is more than one Authorization header")
    return request.headers.get("authorization")


def _check_grant(grant_type: str | None) -> None:
    if grant_type is None:
        raise Malformed("grant_type is missing")
    if grant_type != "client_credentials":
        raise Unsupported("grant_type is client_credentials")


def _form(request: Request) -> dict[str, str]:
    """Read the form. A field without a value counts as left out, one that is there twice is refused."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM:
        raise Malformed(f"the body is a form: Content-Type: {FORM}")
    if len(request.body) > MAX_FORM:
        raise Malformed(f"the form is over {MAX_FORM} bytes")
    try:
        pairs = parse_qsl(
            request.body.decode("ascii"), strict_parsing=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except ValueError:
        raise Malformed("the body is not a form of percent-encoded UTF-8") from None
    if len({name for name, _ in pairs}) != len(pairs):
        raise Malformed("a field is there twice")
    return dict(pairs)


def _client(authorization: str | None, fields: dict[str, str]) -> tuple[str, str]:
    """Return client id and secret, of HTTP Basic or of the form but not of both (RFC 6749, 2.3.1)."""
    found = _named(authorization, fields)
    if not all(found):
        raise Unauthenticated("name the client: client_id is the service, client_secret its API key")
    return found[0], found[1]


def _hook_client(authorization: str | None, fields: dict[str, str]) -> tuple[str, list[str]]:
    """Return the webhook and the secret that it claims: by Basic, also as it came.

    RFC 6749 has it percent-encoded there, not every client does that, and a `+` would be read as a blank.
    """
    hook, *given = _named(authorization, fields)
    if not hook or not given[0]:
        raise Unauthenticated("name the client: client_id is the webhook, client_secret its secret")
    return hook, given


def _named(authorization: str | None, fields: dict[str, str]) -> tuple[str, ...]:
    """Return client id and secret as the client gives them, of Basic with the secret as it came besides."""
    if authorization is None:
        return fields.get("client_id", ""), fields.get("client_secret", "")
    found = _basic(authorization)
    if "client_secret" in fields or fields.get("client_id", found[0]) != found[0]:
        raise Malformed("the client names itself twice: use HTTP Basic or the form, not both")
    return found


def _basic(authorization: str) -> tuple[str, str, str]:
    scheme, _, text = authorization.partition(" ")
    refusal = Unauthenticated("this is no HTTP Basic authentication (RFC 7617)")
    if scheme.lower() != "basic" or len(text) > MAX_FORM:
        raise refusal
    try:
        client_id, _, secret = base64.b64decode(text, validate=True).decode().partition(":")
        return unquote_plus(client_id, errors="strict"), unquote_plus(secret, errors="strict"), secret
    except (ValueError, binascii.Error):
        raise refusal from None
