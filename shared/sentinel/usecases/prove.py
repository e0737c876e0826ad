"""Prove: who sends to a webhook has its secret, or a token for it; until then nothing is told, nothing done.

An unknown hook, a disabled one, another source's and a wrong signature are refused with the same words, after
the same work.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic

from sentinel.errors import Unauthenticated, Unavailable
from sentinel.usecases.hook_sources import How, TakesTokens

if TYPE_CHECKING:
    from sentinel.core.access import Hook, Service
    from sentinel.usecases.hook_secrets import HookSecrets
    from sentinel.usecases.hook_sources import HookWays
    from sentinel.usecases.hook_tokens import HookTokens

_DECOY: Final = "whsec_" + "A" * 43 + "="  # 32 zero bytes: whoever signs with it is refused all the same
_REFUSED: Final = (
    "there is no such webhook, or the message is not signed with its secret, or its time is off; "
    "check the address, the secret and the sender's clock"
)


@dataclass(frozen=True, slots=True)
class Sender(Generic[How]):
    """A sender that has proven itself: its webhook, whose chains that is of, and the source that checked."""

    hook: Hook
    service: Service
    how: How


class Prover(Generic[How]):
    """Checks senders; without `tokens` no source takes any. `clock` gives epoch seconds; for many threads."""

    def __init__(
        self,
        hooks: HookWays[How],
        secrets: HookSecrets,
        clock: Callable[[], float],
        tokens: HookTokens | None = None,
    ) -> None:
        self._hooks = hooks
        self._secrets = secrets
        self._clock = clock
        self._tokens = tokens

    def prove(
        self,
        source: str,
        hook_id: str,
        headers: Mapping[str, str],
        body: bytes,
        repeated: Collection[str] = (),
    ) -> Sender[How]:
        """Return who sent a message.

        Raises `Unauthenticated`, and `Unavailable` where that cannot be told now.
        """
        known = self._hooks.known(hook_id, source)
        how = self._hooks.source(known[0]) if known else self._hooks.decoy(source)
        if known is None or any(name in repeated for name in how.proof):
            self._rehearse(source, headers, body)
            self._rehearse_token(headers)
            raise Unauthenticated(_REFUSED)
        hook, service = known
        self._verify(how, hook, headers, body)
        return Sender(hook, service, how)

    def _verify(self, how: How, hook: Hook, headers: Mapping[str, str], body: bytes) -> None:
        way: object = how
        taken = way.tokens if isinstance(way, TakesTokens) else None
        try:
            if taken is None or self._tokens is None:
                return self._verify_secret(how, hook, headers, body)
            return self._tokens.check(hook.id, taken, headers)
        except Unauthenticated:
            if taken is not None:
                self._rehearse(hook.source, headers, body)
            else:
                self._rehearse_token(headers)
            raise Unauthenticated(_REFUSED) from None

    def _verify_secret(self, how: How, hook: Hook, headers: Mapping[str, str], body: bytes) -> None:
        while True:
            try:
                return how.verify(headers, body, self._secrets.accepted(hook), int(self._clock()))
            except Unauthenticated:
                if not self._secrets.renew(hook):
                    raise

    def _rehearse(self, source: str, headers: Mapping[str, str], body: bytes) -> None:
        """Do the work of a webhook with a secret for what is refused anyway."""
        with suppress(Unauthenticated, Unavailable):
            self._hooks.decoy(source).verify(headers, body, [_DECOY], int(self._clock()))

    def _rehearse_token(self, headers: Mapping[str, str]) -> None:
        if self._tokens is not None:
            self._tokens.rehearse(headers)
