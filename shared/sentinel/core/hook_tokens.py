"""Access tokens at webhooks: ours, got with a webhook's secret, and those of an outside issuer.

Ours are of an audience of their own, name one webhook and are bound to no certificate: for each of these the
service API refuses them, and a webhook those of the service API. Whoever has one can use it, until it ends,
at that webhook and nowhere else. Times are epoch seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sentinel.core import tokens
from sentinel.core.jws import PublicKey
from sentinel.errors import Unauthenticated

LIFETIME = 900  # seconds that a token of ours is valid
SCOPE = "hook"
_PARTIES = ("azp", "appid", "client_id")  # OpenID Connect, Entra's older tokens, RFC 9068


@dataclass(frozen=True, slots=True)
class Taken:
    """Whose tokens a webhook takes. `issuer` "": ours, for its own secret.

    Of an outside issuer those for `audience` that are about one of `subjects` and were given to one of
    `parties`; what is empty does not matter, but one of both is there.
    """

    issuer: str = ""
    audience: str = ""
    subjects: frozenset[str] = frozenset()
    parties: frozenset[str] = frozenset()


def audience(issuer: str) -> str:
    """Return for whom tokens of webhooks are: the deployment's webhooks.

    >>> audience("https://sentinel.example.com/")
    'https://sentinel.example.com/hooks'
    """
    return f"{issuer.rstrip('/')}/hooks"


def claims(issuer: str, hook: str, now: int, token_id: str) -> dict[str, object]:
    """Return the claims of a new token for a webhook."""
    return {
        "iss": issuer,
        "aud": audience(issuer),
        "sub": hook,
        "client_id": hook,
        "iat": now,
        "exp": now + LIFETIME,
        "jti": token_id,
        "scope": SCOPE,
    }


def check_own(found: tokens.Unverified, key: PublicKey, issuer: str, hook: str, now: int) -> None:
    """Raise `Unauthenticated` unless this is a token of ours for this webhook, in force."""
    rules = tokens.Rules(issuer, audience(issuer), ours=True, bound=False)
    if tokens.checked(found, key, rules, now).subject != hook:
        raise Unauthenticated("the token is for another webhook")


def check_outside(found: tokens.Unverified, key: PublicKey, taken: Taken, now: int) -> None:
    """Raise `Unauthenticated` unless this is a token of an outside issuer that a webhook takes, in force."""
    told = tokens.checked(found, key, tokens.Rules(taken.issuer, taken.audience, ours=False), now)
    if told.thumbprint:
        raise Unauthenticated("the token is bound to a certificate, which nobody shows here")
    if taken.subjects and told.subject not in taken.subjects:
        raise Unauthenticated("the token is about somebody else")
    if taken.parties and not _of(found.claims, taken.parties):
        raise Unauthenticated("the token was given to somebody else")


def _of(told: Mapping[str, Any], parties: frozenset[str]) -> bool:
    """Say whether a token was given to one of `parties`, by every claim that says to whom."""
    named = [told[name] for name in _PARTIES if name in told]
    return bool(named) and all(isinstance(each, str) and each in parties for each in named)
