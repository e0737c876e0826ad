"""Access tokens for API keys: the client credentials grant of OAuth 2.0 (RFC 6749, 4.4).

A service shows its client certificate and its API key, and gets a token that is worth something with that
certificate only. Whatever is wrong with either, the refusal is the same, and so is the work done for it: the
service that is looked up is the certificate's, never one that the request names.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sentinel.core.access import ApiKey
from sentinel.errors import Malformed, Unauthenticated
from sentinel.usecases.signing_keys import SigningKeys

if TYPE_CHECKING:
    from sentinel.core.access import Service
    from sentinel.core.certificates import ClientCertificate
    from sentinel.ports_doors import SecretVersions
    from sentinel.usecases.directory import Directory

NOBODY: Final = ApiKey("", "", "0" * 64)


class BadScope(Malformed):
    """A scope was asked for that the service does not have, or that is no scope."""


class TokenIssuer:
    """Gives access tokens. `clock` is epoch seconds, `monotonic` seconds; threads may share it."""

    def __init__(
        self,
        directory: Directory,
        secret_versions: SecretVersions,
        signing_secret: str,
        issuer: str,
        audience: str,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        from sentinel.core.tokens import Rules

        self._directory = directory
        self._rules = Rules(issuer, audience, ours=True)
        self._clock = clock
        self._keys = SigningKeys(directory, secret_versions, signing_secret, monotonic)

    def token(
        self, certificate: ClientCertificate, owner: str, client_id: str, api_key: str, scope: str = ""
    ) -> dict[str, object]:
        """Return the answer of RFC 6749, 5.1, for `owner`, the service of the certificate.

        `scope` is what is asked for, separated by spaces; "" is everything that the service may. Raises
        `Unauthenticated` for a key, a service or a certificate that do not belong together, `BadScope`,
        `Unavailable`.
        """
        from sentinel.core import tokens

        now = int(self._clock())
        service = self._service(owner, client_id, api_key, now)
        scopes = _granted(service, scope)
        token_id = secrets.token_urlsafe(16)
        claims = tokens.access_claims(self._rules, service.id, scopes, certificate.thumbprint, now, token_id)
        return {
            "access_token": tokens.sign(claims, self._keys.current(now)),
            "token_type": "Bearer",
            "expires_in": tokens.LIFETIME,
            "scope": claims["scope"],
        }

    def _service(self, owner: str, client_id: str, api_key: str, now: int) -> Service:
        from sentinel.core import api_keys

        refusal = Unauthenticated("the client certificate, the client id and the API key do not fit together")
        try:
            key_id, secret = api_keys.parse(api_key)
        except Unauthenticated:
            raise refusal from None
        key = self._directory.key(key_id)
        service = self._directory.service(owner)
        fits = api_keys.matches(key or NOBODY, secret, now)
        known = service is not None and not service.disabled
        if service is None or not (fits and known and key and key.service == owner == client_id):
            raise refusal
        return service


def _granted(service: Service, scope: str) -> frozenset[str]:
    """Return the scopes to grant. Raises `BadScope` for one that the service does not have."""
    asked = frozenset(scope.split(" ")) if scope else frozenset(service.scopes)
    if asked - frozenset(service.scopes):
        raise BadScope("a scope was asked for that this service does not have")
    return asked
