"""Prove: who sends to a webhook has its secret; until then nothing is told and nothing done.

An unknown hook, a disabled one, another source's and a wrong signature are refused with the same words, after
the same work. The secret is a `core.ring.Ring`, so that two count while it rotates.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from sentinel.core.ring import Ring
from sentinel.errors import Malformed, Missing, Unauthenticated, Unavailable
from sentinel.ports_doors import SecretVersions
from sentinel.usecases.kept import Kept

if TYPE_CHECKING:
    from sentinel.core.access import Hook, Service
    from sentinel.usecases.directory import Directory

SECONDS: Final = 60.0  # that a secret is kept
STALE: Final = 300.0  # that it counts while it cannot be read again
FRESH: Final = 5.0  # a secret read less long ago is not read again because a signature is wrong
COOL_DOWN: Final = 10.0  # between two such readings of one hook's secret
_DECOY: Final = "whsec_" + "A" * 43 + "="  # 32 zero bytes: whoever signs with it is refused all the same
_REFUSED: Final = (
    "there is no such webhook, or the message is not signed with its secret, or its time is off; "
    "check the address, the secret and the sender's clock"
)

log = logging.getLogger("sentinel.receive")


class Proves(Protocol):
    """What is needed of a webhook source; see `webhooks.source.Source`."""

    @property
    def proof(self) -> Sequence[str]:
        """Names of the headers that prove."""

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: int) -> None:
        """Raise `Unauthenticated` unless one of `secrets` signed this."""


How = TypeVar("How", bound=Proves)
How_co = TypeVar("How_co", bound=Proves, covariant=True)


class Makes(Protocol[How_co]):
    """What is needed of a kind of sources; see `webhooks.source.Kind`."""

    @property
    def make(self) -> Callable[[Mapping[str, str]], How_co]:
        """Makes a source with a webhook's options. Raises `Malformed`."""


@dataclass(frozen=True, slots=True)
class Sender(Generic[How]):
    """A sender that has proven itself: its webhook, whose chains that is of, and the source that checked."""

    hook: Hook
    service: Service
    how: How


class _Secret:
    """One hook's secret, kept."""

    def __init__(self, load: Callable[[], Ring], monotonic: Callable[[], float]) -> None:
        self.kept = Kept(load, SECONDS, monotonic, STALE)
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._cool = float("-inf")

    def renew(self) -> bool:
        """Say whether a signature that did not fit is reason to read again, and have it read if so."""
        now = self._monotonic()
        with self._lock:
            if self.kept.age() < FRESH or now - self._cool < COOL_DOWN:
                return False
            self._cool = now
        # Not forgotten: anybody can send a wrong signature, also while the secret cannot be read again.
        self.kept.expire()
        return True


class Prover(Generic[How]):
    """Checks senders. `clock` gives epoch seconds, `monotonic` seconds; threads may share it."""

    def __init__(
        self,
        sources: Mapping[str, Makes[How]],
        directory: Directory,
        secrets: SecretVersions,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._sources = sources
        self._directory = directory
        self._secrets = secrets
        self._clock = clock
        self._monotonic = monotonic
        self._kept: dict[str, _Secret] = {}
        self._made: dict[tuple[object, ...], How] = {}

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
        known = self._known(source, hook_id)
        how = self._source(known[0]) if known else self._decoy(source)
        if known is None or any(name in repeated for name in how.proof):
            with suppress(Unauthenticated):
                how.verify(headers, body, [_DECOY], int(self._clock()))
            raise Unauthenticated(_REFUSED)
        hook, service = known
        self._verify(how, hook, headers, body)
        return Sender(hook, service, how)

    def _known(self, source: str, hook_id: str) -> tuple[Hook, Service] | None:
        """Return a hook that takes messages of this source, and whose it is; None where there is none."""
        if source not in self._sources or not 1 <= len(hook_id) <= 64:
            return None
        hook = self._directory.hook(hook_id)
        if hook is None or hook.disabled or hook.source != source:
            return None
        service = self._directory.service(hook.service)
        return None if service is None or service.disabled else (hook, service)

    def _source(self, hook: Hook) -> How:
        """Return the source with this hook's options."""
        named = (hook.source, *sorted(hook.options.items()))
        found = self._made.get(named)
        if found is None:
            try:
                found = self._sources[hook.source].make(hook.options)
            except Malformed as error:
                log.error("the options of webhook %s cannot be used: %s", hook.id, error)  # noqa: TRY400
                raise Unavailable("the webhook cannot be verified now", 60.0) from None
            self._made[named] = found
        return found

    def _decoy(self, source: str) -> How:
        """Return a source for the work of a hook that is not there."""
        return (self._sources.get(source) or next(iter(self._sources.values()))).make({})

    def _verify(self, how: How, hook: Hook, headers: Mapping[str, str], body: bytes) -> None:
        secret = self._kept.get(hook.secret) or self._kept.setdefault(
            hook.secret, _Secret(lambda: self._load(hook), self._monotonic)
        )
        while True:
            now = int(self._clock())
            accepted = [key.value for key in secret.kept.get().accepted(now)]
            try:
                return how.verify(headers, body, accepted, now)
            except Unauthenticated:
                if not secret.renew():
                    raise Unauthenticated(_REFUSED) from None

    def _load(self, hook: Hook) -> Ring:
        try:
            return Ring.decode(self._secrets.value(hook.secret))
        except (Missing, Malformed) as error:
            # The sender cannot mend this, and should send again once somebody has.
            log.error("the secret %s of webhook %s cannot be used: %s", hook.secret, hook.id, error)  # noqa: TRY400
            raise Unavailable("the webhook cannot be verified now", 60.0) from None
