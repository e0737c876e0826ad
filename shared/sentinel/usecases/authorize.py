"""Who comes in: a client certificate and an access token that belong together, and what they allow now.

The order is: the certificate (bounded, of a root of its own trust domain, not revoked; one of our own CA is
on record, so that its key is of no use behind our back), the token (signature, issuer, audience, times), that
both stand for the same service, that the service is known and not disabled.
What the token allows counts only as far as the registry still allows it. No answer about a token is kept:
every call verifies its signature. Of certificates it is kept that a root signed them, until the roots are
read anew; whether one was revoked is asked every time.
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sentinel.core.access import Service
from sentinel.errors import Forbidden, Unauthenticated

if TYPE_CHECKING:
    from sentinel.core.access import Root
    from sentinel.core.certificates import ClientCertificate
    from sentinel.core.jws import PublicKey
    from sentinel.core.tokens import Claims, Rules, Unverified
    from sentinel.usecases.directory import Directory
    from sentinel.usecases.outside_issuers import OutsideIssuers

MOST: Final = 1_024  # certificates that are kept


@dataclass(frozen=True, slots=True)
class Grant:
    """What somebody may do. `certificate` is the thumbprint; `subject` names who the token is about."""

    service: Service
    subject: str
    certificate: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Checked:
    certificate: ClientCertificate
    domain: str
    service: str | None
    roots: list[Root]


class Authorizer:
    """Lets requests in, or not. `clock` is epoch seconds; threads may share it."""

    def __init__(
        self,
        directory: Directory,
        issuer: str,
        audience: str,
        trust_domain: str,
        outside: OutsideIssuers,
        clock: Callable[[], float],
    ) -> None:
        from sentinel.core.tokens import Rules

        self._directory = directory
        self._rules = Rules(issuer, audience, ours=True)
        self._trust_domain = trust_domain
        self._outside = outside
        self._clock = clock
        self._lock = threading.Lock()
        self._certificates: dict[str, _Checked] = {}

    def admit(self, pem: str, authorization: str) -> Grant:
        """Return what the bearer of a certificate and an `Authorization: Bearer` header may do.

        Raises `Unauthenticated`; `Forbidden` for a service that was disabled; `Unavailable` where the
        registry or an outside issuer cannot be asked.
        """
        certificate, owner = self.certificate(pem)
        claims = self._claims(bearer(authorization))
        bound = claims.thumbprint
        if bound and not hmac.compare_digest(bound, certificate.thumbprint):
            raise Unauthenticated("the token belongs to another client certificate: get one with this one")
        ours = claims.issuer == self._rules.issuer
        subject = claims.subject if ours else f"oidc:{claims.issuer}#{claims.subject}"
        named = subject if ours else self._directory.alias(subject)
        if named != owner:
            raise Unauthenticated("the token and the client certificate are not of the same service")
        service = self._directory.service(owner)
        if service is None:
            raise Unauthenticated("the service is not known")
        if service.disabled:
            raise Forbidden("the service is disabled")
        allowed = frozenset(service.scopes)
        scopes = allowed if claims.scopes is None else allowed & claims.scopes
        return Grant(service, subject, certificate.thumbprint, scopes)

    def certificate(self, pem: str) -> tuple[ClientCertificate, str]:
        """Return a client certificate that counts now, and the id of the service that it stands for.

        Raises `Unauthenticated`, `Unavailable`. Says nothing of whether that service is known or disabled.
        """
        from sentinel.core import certificates

        if not pem:
            raise Unauthenticated("the request came without a client certificate")
        now = int(self._clock())
        kept = self._certificates.get(pem)
        found = kept.certificate if kept is not None else certificates.read(pem)
        domain = kept.domain if kept is not None else certificates.domain_of(found.spiffe)
        roots = self._directory.roots(domain)
        if kept is None or kept.roots is not roots or not found.not_before <= now <= found.not_after:
            certificates.check(found, roots, now)
            own = certificates.service_of(found.spiffe, self._trust_domain)
            kept = _Checked(found, domain, own, roots)
            self._keep(pem, kept)
        if self._directory.revoked(found.thumbprint):
            raise Unauthenticated("the client certificate was revoked")
        if kept.domain == self._trust_domain:
            self._check_issued(found, kept.service)
        service = kept.service or self._directory.alias(found.spiffe)
        if service is None:
            raise Unauthenticated("the client certificate stands for no service that is known")
        return found, service

    def _check_issued(self, certificate: ClientCertificate, service: str | None) -> None:
        issued = self._directory.issued(certificate.thumbprint)
        if issued is None or issued.revoked or issued.service != service:
            raise Unauthenticated("the client certificate is not on record here: have a new one issued")

    def _keep(self, pem: str, checked: _Checked) -> None:
        with self._lock:
            if len(self._certificates) >= MOST and pem not in self._certificates:
                del self._certificates[next(iter(self._certificates))]
            self._certificates[pem] = checked

    def _claims(self, text: str) -> Claims:
        from sentinel.core import tokens

        token = tokens.read(text)
        key, rules = self._own(token) if token.issuer == self._rules.issuer else self._others(token)
        if key is None:
            raise Unauthenticated("the token's key is not known")
        return tokens.checked(token, key, rules, int(self._clock()))

    def _own(self, token: Unverified) -> tuple[PublicKey | None, Rules]:
        key = self._directory.signing_keys().get(token.kid)
        if key is None:
            self._directory.refresh_jwks()
            key = self._directory.signing_keys().get(token.kid)
        return key, self._rules

    def _others(self, token: Unverified) -> tuple[PublicKey | None, Rules]:
        from sentinel.core.tokens import Rules

        audience = self._outside.audience(token.issuer)
        if audience is None:
            raise Unauthenticated("the token is of an issuer that is not taken here")
        return self._outside.key(token.issuer, token.kid), Rules(token.issuer, audience, ours=False)


def bearer(authorization: str) -> str:
    """Return the token of an `Authorization` header (RFC 6750, 2.1). Raises `Unauthenticated`.

    >>> bearer("Bearer abc")
    'abc'
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated(
            "send the access token as Authorization: Bearer TOKEN; POST /v1/token gives one"
        )
    return token
