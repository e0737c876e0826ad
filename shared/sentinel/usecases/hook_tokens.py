"""Access tokens at webhooks: given for a webhook's id and secret (RFC 6749, 4.4), and taken where it says so.

Whoever cannot prove itself learns nothing here either: an unknown webhook, a disabled one, one that takes no
tokens and a wrong secret are refused with the same words, after the same work. A token ends by itself; what
comes to a webhook that is disabled is refused whatever it brings.
"""

from __future__ import annotations

import hmac
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sentinel.errors import Unauthenticated, Unavailable
from sentinel.usecases.authorize import bearer
from sentinel.usecases.hook_sources import TakesTokens

if TYPE_CHECKING:
    from sentinel.core.access import Hook
    from sentinel.core.hook_tokens import Taken
    from sentinel.core.tokens import Unverified
    from sentinel.usecases.directory import Directory
    from sentinel.usecases.hook_secrets import HookSecrets
    from sentinel.usecases.hook_sources import HookSources
    from sentinel.usecases.outside_issuers import OutsideIssuers
    from sentinel.usecases.signing_keys import SigningKeys

_DECOY: Final = "A" * 50  # what nobody has; as long as the secrets that are made here
_REFUSED: Final = "there is no such webhook, or it takes no tokens of ours, or that is not its secret"

log = logging.getLogger("sentinel.receive")


class HookTokenIssuer:
    """Gives them. `clock` is epoch seconds; threads may share it."""

    def __init__(
        self,
        hooks: HookSources,
        hook_secrets: HookSecrets,
        keys: SigningKeys,
        issuer: str,
        clock: Callable[[], float],
    ) -> None:
        self._hooks = hooks
        self._secrets = hook_secrets
        self._keys = keys
        self._issuer = issuer
        self._clock = clock

    def token(self, hook_id: str, given: Sequence[str]) -> dict[str, object]:
        """Return the answer of RFC 6749, 5.1, to whoever has a webhook's secret; one of `given` is it.

        Raises `Unauthenticated`, and `Unavailable` where it cannot be told now whether they have.
        """
        from sentinel.core import hook_tokens, tokens

        found = self._hook(hook_id)
        if found is None:
            _among(given, [_DECOY])
            raise Unauthenticated(_REFUSED)
        hook, source = found
        if not self._fits(hook, source, given):
            raise Unauthenticated(_REFUSED)
        now = int(self._clock())
        told = hook_tokens.claims(self._issuer, hook.id, now, secrets.token_urlsafe(16))
        return {
            "access_token": tokens.sign(told, self._keys.current(now)),
            "token_type": "Bearer",
            "expires_in": hook_tokens.LIFETIME,
            "scope": hook_tokens.SCOPE,
        }

    def _hook(self, hook_id: str) -> tuple[Hook, TakesTokens] | None:
        """Return a webhook that takes our tokens with its source, None where there is none."""
        known = self._hooks.known(hook_id)
        if known is None:
            return None
        source = self._hooks.source(known[0])
        if not isinstance(source, TakesTokens) or source.tokens is None or source.tokens.issuer:
            return None
        return known[0], source

    def _fits(self, hook: Hook, source: TakesTokens, given: Sequence[str]) -> bool:
        while not _among(given, [each for each in self._secrets.accepted(hook) if source.usable(each)]):
            if not self._secrets.renew(hook):
                return False
        return True


def _among(given: Sequence[str], accepted: Sequence[str]) -> bool:
    """Say whether a secret is one of these, in the same time whichever it is."""
    found = False
    for secret in accepted:
        for each in given:
            found |= hmac.compare_digest(secret.encode(), each.encode("utf-8", "replace"))
    return found


class HookTokens:
    """Checks them. `clock` is epoch seconds; threads may share it."""

    def __init__(
        self, directory: Directory, outside: OutsideIssuers, issuer: str, clock: Callable[[], float]
    ) -> None:
        self._directory = directory
        self._outside = outside
        self._issuer = issuer
        self._clock = clock

    def check(self, hook: str, taken: Taken, headers: Mapping[str, str]) -> None:
        """Raise `Unauthenticated` unless a token came that this webhook takes.

        Raises `Unavailable` where its issuer's keys cannot be had, or that issuer is not on the deployment's
        list: what a webhook's options name is never asked for that reason alone.
        """
        if not taken.issuer:
            self._check_own(hook, headers)
            return
        if self._outside.audience(taken.issuer) is None:
            log.error("webhook %s takes tokens of an issuer that SENTINEL_OIDC_ISSUERS does not list", hook)
            raise Unavailable("the webhook cannot be verified now", 60.0)
        found = _read(headers)
        if found.issuer != taken.issuer:
            raise Unauthenticated("the token is of an issuer that this webhook does not take")
        key = self._outside.key(taken.issuer, found.kid)
        if key is None:
            raise Unauthenticated("the token's key is not known")
        from sentinel.core import hook_tokens

        hook_tokens.check_outside(found, key, taken, int(self._clock()))

    def rehearse(self, headers: Mapping[str, str]) -> None:
        """Do the work of a webhook that takes our tokens for what is refused anyway."""
        with suppress(Unauthenticated, Unavailable):
            self._check_own("", headers)

    def _check_own(self, hook: str, headers: Mapping[str, str]) -> None:
        from sentinel.core import hook_tokens

        found = _read(headers)
        key = self._directory.signing_keys().get(found.kid)
        if key is None:
            self._directory.refresh_jwks()
            key = self._directory.signing_keys().get(found.kid)
        if key is None:
            raise Unauthenticated("the token's key is not known")
        hook_tokens.check_own(found, key, self._issuer, hook, int(self._clock()))


def _read(headers: Mapping[str, str]) -> Unverified:
    from sentinel.core import tokens

    return tokens.read(bearer(headers.get("authorization", "")))
