"""Access tokens: the claims that are ours (RFC 9068, bound to a certificate by RFC 8705), and others' (OIDC).

Times are epoch seconds. Whoever reads a token reads it twice: `read` takes it apart and tells who claims to
have issued it, `checked` believes it once that issuer's key and every claim hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sentinel.core import jws
from sentinel.core.ring import Key, Ring
from sentinel.errors import Malformed, Unauthenticated

LIFETIME = 900  # seconds that a token of ours is valid
LONGEST = 90_000  # seconds that a token of another issuer may be valid: a day, and some give minutes more
SKEW = 30  # seconds that clocks may be apart
OURS = frozenset({"at+jwt"})
OTHERS = frozenset({"", "jwt", "at+jwt"})

_TEXT = re.compile(r"[\x21-\x7e]{1,500}")
_SCOPE = re.compile(r"(?:[\x21\x23-\x5b\x5d-\x7e]+(?: |\Z))*")  # RFC 6749, 3.3
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")
_LAST = 1 << 53


@dataclass(frozen=True, slots=True)
class Unverified:
    """A token that was taken apart, with the issuer that it claims."""

    token: jws.Unverified
    issuer: str
    claims: Mapping[str, Any] = field(repr=False)

    @property
    def kid(self) -> str:
        """The id of the key that it claims to be signed with."""
        return self.token.header.kid


@dataclass(frozen=True, slots=True)
class Rules:
    """What a token of one issuer has to be. `ours`: of our own, with all that RFC 9068 asks.

    Those of ours that are `bound` have to be so by RFC 8705, and the others must not.
    """

    issuer: str
    audience: str
    ours: bool
    bound: bool = True


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says, believed. `scopes` None: it names none; `thumbprint` "": it is not bound."""

    issuer: str
    subject: str
    scopes: frozenset[str] | None
    thumbprint: str


def read(text: str) -> Unverified:
    """Take a token apart. Raises `Unauthenticated`."""
    token = jws.parse(text)
    claims = jws.json_object(token.payload)
    issuer = claims.get("iss")
    if not isinstance(issuer, str):
        raise Unauthenticated("the token names no issuer")
    return Unverified(token, issuer, claims)


def checked(found: Unverified, key: jws.PublicKey, rules: Rules, now: int) -> Claims:
    """Return what a token says. Raises `Unauthenticated` where its key or a claim does not hold."""
    jws.check(found.token, key, now)
    claims = found.claims
    if found.token.header.typ not in (OURS if rules.ours else OTHERS):
        raise Unauthenticated("the token is of another type")
    if found.issuer != rules.issuer:
        raise Unauthenticated("the token is of another issuer")
    if not _names(claims.get("aud"), rules.audience):
        raise Unauthenticated("the token is for another audience")
    _check_times(claims, rules.ours, now)
    subject = _text(claims, "sub")
    if rules.ours:
        _text(claims, "jti")
        if _text(claims, "client_id") != subject:
            raise Unauthenticated("the token's client_id is not its subject")
    thumbprint = _thumbprint(claims)
    if rules.ours and bool(thumbprint) is not rules.bound:
        raise Unauthenticated(f"the token is {'not ' if rules.bound else ''}bound to a certificate")
    return Claims(found.issuer, subject, _scopes(claims), thumbprint)


def _names(told: object, audience: str) -> bool:
    return told == audience or (isinstance(told, list) and audience in told)


def _check_times(claims: Mapping[str, Any], ours: bool, now: int) -> None:
    """Hold `exp`, `iat` and `nbf` against the clock, and the lifetime against its bound (RFC 7519, 4.1)."""
    expires, issued = _time(claims, "exp"), _time(claims, "iat")
    if expires is None or (ours and issued is None):
        raise Unauthenticated("the token has no exp or iat")
    if now >= expires + SKEW:
        raise Unauthenticated("the token has expired: get a new one")
    before = _time(claims, "nbf")
    if any(time is not None and now < time - SKEW for time in (before, issued)):
        raise Unauthenticated("the token is not valid yet")
    begins = issued if issued is not None else now
    if not 0 < expires - begins <= (LIFETIME if ours else LONGEST):
        raise Unauthenticated("the token is valid for longer than is taken")


def _time(claims: Mapping[str, Any], name: str) -> int | None:
    told = claims.get(name)
    if told is None and name not in claims:
        return None
    if type(told) is float and 0 <= told < _LAST:  # RFC 7519 allows fractions
        return int(told)
    if type(told) is not int or not 0 <= told < _LAST:
        raise Unauthenticated(f"the token's {name} is not a time")
    return told


def _text(claims: Mapping[str, Any], name: str) -> str:
    told = claims.get(name)
    if not isinstance(told, str) or not _TEXT.fullmatch(told):
        raise Unauthenticated(f"the token's {name} is not up to 500 printable characters")
    return told


def _scopes(claims: Mapping[str, Any]) -> frozenset[str] | None:
    if "scope" not in claims:
        return None
    told = claims["scope"]
    if not isinstance(told, str) or not _SCOPE.fullmatch(told):
        raise Unauthenticated("the token's scope is not a list of scopes")
    return frozenset(told.split())


def _thumbprint(claims: Mapping[str, Any]) -> str:
    """Return `cnf.x5t#S256`, "" where there is no `cnf`: a binding that is not understood is refused."""
    if "cnf" not in claims:
        return ""
    told = claims["cnf"]
    found = told.get("x5t#S256") if isinstance(told, dict) else None
    if not isinstance(found, str) or not _THUMBPRINT.fullmatch(found):
        raise Unauthenticated("the token is bound to something that is no certificate")
    return found


def access_claims(
    rules: Rules, service: str, scopes: frozenset[str], thumbprint: str, now: int, token_id: str
) -> dict[str, object]:
    """Return the claims of a new token for a service, bound to the certificate with this thumbprint."""
    return {
        "iss": rules.issuer,
        "aud": rules.audience,
        "sub": service,
        "client_id": service,
        "iat": now,
        "exp": now + LIFETIME,
        "jti": token_id,
        "scope": " ".join(sorted(scopes)),
        "cnf": {"x5t#S256": thumbprint},
    }


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key that signs tokens, with its id and its one algorithm."""

    kid: str
    alg: str
    key: Any = field(repr=False)


def signing_key(key: Key) -> SigningKey:
    """Read a ring's key: PKCS #8 in PEM form, P-256 or Ed25519. Raises `Malformed`, quoting nothing."""
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, OKPKey

    if not jws.KID.fullmatch(key.id):
        raise Malformed("the id of a signing key is up to 128 of letters, digits and ._=+@:-")
    for kind, curve, alg in ((ECKey, "P-256", "ES256"), (OKPKey, "Ed25519", "Ed25519")):
        try:
            found = kind.import_key(key.value)
            if found.is_private and found.curve_name == curve:
                return SigningKey(key.id, alg, found)
        except (JoseError, ValueError, TypeError):
            continue
    raise Malformed("a signing key is a private key on P-256 or Ed25519, PKCS #8 in PEM form")


def sign(claims: Mapping[str, object], key: SigningKey, kind: str = "at+jwt") -> str:
    """Return the token of these claims: a compact JWS of the type `kind`, by default an access token."""
    from joserfc import jwt

    header = {"typ": kind, "alg": key.alg, "kid": key.kid}
    return jwt.encode(header, dict(claims), key.key, algorithms=[key.alg])


def jwks(ring: Ring, now: int) -> dict[str, list[dict[str, object]]]:
    """Return the public keys of the ring that still count: a JSON Web Key Set (RFC 7517).

    `exp` says when a key that was rotated out counts no more, as in OpenID Federation's key sets.
    """
    return {"keys": [_jwk(key) for key in ring.accepted(now)]}


def _jwk(key: Key) -> dict[str, object]:
    found = signing_key(key)
    public = found.key.as_dict(private=False)
    told: dict[str, object] = {name: public[name] for name in ("kty", "crv", "x", "y") if name in public}
    told |= {"kid": key.id, "use": "sig", "alg": found.alg}
    return told | ({"exp": key.until} if key.until else {})
