"""The keys that sign the deployment's own tokens, as those who sign read them: kept for some seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sentinel.errors import Malformed, Unavailable
from sentinel.usecases.kept import Kept

if TYPE_CHECKING:
    from sentinel.core.ring import Ring
    from sentinel.core.tokens import SigningKey
    from sentinel.ports_doors import SecretVersions
    from sentinel.usecases.directory import Directory

RING_SECONDS: Final = 30.0  # that the signing keys are used before they are read again
RING_STALE: Final = 600.0


class SigningKeys:
    """Reads the ring of a secret. `monotonic` is in seconds; threads may share it."""

    def __init__(
        self,
        directory: Directory,
        secret_versions: SecretVersions,
        signing_secret: str,
        monotonic: Callable[[], float],
    ) -> None:
        self._directory = directory
        self._ring: Kept[Ring] = Kept(
            lambda: _ring(secret_versions.value(signing_secret)), RING_SECONDS, monotonic, RING_STALE
        )
        self._signing: tuple[str, SigningKey] | None = None

    def current(self, now: int) -> SigningKey:
        """Return the key to sign with. Raises `Unavailable` where there is none: that mends itself, or us."""
        from sentinel.core.tokens import signing_key

        try:
            current = self._ring.get().current(now)
            if current.id not in self._directory.signing_keys():
                # Ended at once, because somebody else knows it, or newer than what was read of the published.
                self._ring.expire()
                self._directory.refresh_jwks()
                current = self._ring.get().current(now)
            if self._signing is None or self._signing[0] != current.value:
                self._signing = (current.value, signing_key(current))
        except Malformed as error:
            raise Unavailable(f"there is no key to sign tokens with: {error}", 30.0) from None
        return self._signing[1]


def _ring(text: str) -> Ring:
    from sentinel.core.ring import Ring

    return Ring.decode(text)
