"""The secrets of webhooks as the doors read them: kept for a while, read anew where what came does not fit.

Each is a `core.ring.Ring`, so that two count while it rotates.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sentinel.core.ring import Ring
from sentinel.errors import Malformed, Missing, Unavailable
from sentinel.usecases.kept import Kept

if TYPE_CHECKING:
    from sentinel.core.access import Hook
    from sentinel.ports_doors import SecretVersions

SECONDS: Final = 60.0  # that a secret is kept
STALE: Final = 300.0  # that it counts while it cannot be read again
FRESH: Final = 5.0  # a secret read less long ago is not read again because a signature is wrong
COOL_DOWN: Final = 10.0  # between two such readings of one hook's secret

log = logging.getLogger("sentinel.receive")


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


class HookSecrets:
    """Reads them. `clock` gives epoch seconds, `monotonic` seconds; threads may share it."""

    def __init__(
        self, secrets: SecretVersions, clock: Callable[[], float], monotonic: Callable[[], float]
    ) -> None:
        self._secrets = secrets
        self._clock = clock
        self._monotonic = monotonic
        self._kept: dict[str, _Secret] = {}

    def accepted(self, hook: Hook) -> list[str]:
        """Return the secrets of a webhook that count now. Raises `Unavailable` where they cannot be read."""
        return [key.value for key in self._secret(hook).kept.get().accepted(int(self._clock()))]

    def renew(self, hook: Hook) -> bool:
        """Say whether what did not fit is reason to read again, and have it read if so."""
        return self._secret(hook).renew()

    def _secret(self, hook: Hook) -> _Secret:
        return self._kept.get(hook.secret) or self._kept.setdefault(
            hook.secret, _Secret(lambda: self._load(hook), self._monotonic)
        )

    def _load(self, hook: Hook) -> Ring:
        try:
            return Ring.decode(self._secrets.value(hook.secret))
        except (Missing, Malformed) as error:
            # The sender cannot mend this, and should send again once somebody has.
            log.error("the secret %s of webhook %s cannot be used: %s", hook.secret, hook.id, error)  # noqa: TRY400
            raise Unavailable("the webhook cannot be verified now", 60.0) from None
