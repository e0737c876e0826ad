"""Receive: a webhook's message is verified and sealed into the chain of the service that the hook is of.

Each alert that it tells is sealed with it, as an entry of its own in one form. What is genuine and not
understood is kept and parked, never refused: its sender could do nothing about it, and would stop sending.

Whoever cannot prove itself learns nothing: an unknown hook, a disabled one, another source's and a wrong
signature are refused with the same words, after the same work. The secret is a `core.ring.Ring`, so that two
count while it rotates.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol

from sentinel.core.ring import Ring
from sentinel.errors import Malformed, Missing, TooLarge, Unauthenticated, Unavailable
from sentinel.ports_doors import Delivery, SecretVersions
from sentinel.usecases.alert_entries import alert_entries, told
from sentinel.usecases.ingest import Ingest, Origin
from sentinel.usecases.kept import Kept

if TYPE_CHECKING:
    from sentinel.core.access import Hook, Service
    from sentinel.core.alerts import Alert
    from sentinel.usecases.directory import Directory

MAX_BODY: Final = 1_000_000
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


class Source(Protocol):
    """What is needed of a webhook source; see `webhooks.source.Source`."""

    @property
    def proof(self) -> Sequence[str]:
        """Names of the headers that prove."""

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: int) -> None:
        """Raise `Unauthenticated` unless one of `secrets` signed this."""

    def message(self, headers: Mapping[str, str], body: bytes) -> str:
        """Return the id of the message."""

    def alerts(self, headers: Mapping[str, str], body: bytes) -> list[Alert]:
        """Return the alerts that it tells. Raises `Unparsed`."""

    def entries(self, delivery: Delivery, body: bytes) -> list[bytes]:
        """Return what is stored of the message itself."""


class Kind(Protocol):
    """What is needed of a kind of sources; see `webhooks.source.Kind`."""

    @property
    def make(self) -> Callable[[Mapping[str, str]], Source]:
        """Makes a source with a webhook's options. Raises `Malformed`."""

    @property
    def heeds_429(self) -> bool:
        """Whether such a sender sends again after a 429."""

    @property
    def strangers(self) -> Callable[[Mapping[str, str]], bool]:
        """Says of a webhook's options whether anybody may have written what it tells."""


@dataclass(frozen=True, slots=True)
class Proven:
    """A message whose sender has proven itself. `service` is whose chains it goes to.

    `tier` names that service's limits, `lanes` is its number of chains (0: the deployment's). `heeds_429`
    says whether the sender sends again after a 429.
    """

    service: str
    tier: str
    lanes: int
    delivery: Delivery
    entries: Sequence[bytes]
    size: int
    heeds_429: bool = True


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


class Receiver:
    """The use case. `clock` gives epoch seconds, `monotonic` seconds; threads may share it."""

    def __init__(
        self,
        sources: Mapping[str, Kind],
        directory: Directory,
        secrets: SecretVersions,
        ingest: Ingest,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._sources = sources
        self._directory = directory
        self._secrets = secrets
        self._ingest = ingest
        self._clock = clock
        self._monotonic = monotonic
        self._kept: dict[str, _Secret] = {}
        self._made: dict[tuple[object, ...], Source] = {}

    def admit(
        self,
        source: str,
        hook_id: str,
        headers: Mapping[str, str],
        body: bytes,
        repeated: Collection[str] = (),
    ) -> Proven:
        """Check who sent a message; nothing is stored yet.

        Raises `TooLarge`, `Unauthenticated`, and `Unavailable` where that cannot be told now.
        """
        if len(body) > MAX_BODY:
            raise TooLarge(f"a webhook's message may have {MAX_BODY} bytes")
        known = self._known(source, hook_id)
        how = self._source(known[0]) if known else self._decoy(source)
        if known is None or any(name in repeated for name in how.proof):
            with suppress(Unauthenticated):
                how.verify(headers, body, [_DECOY], int(self._clock()))
            raise Unauthenticated(_REFUSED)
        hook, service = known
        self._verify(how, hook, headers, body)
        alerts, parked = told(lambda: how.alerts(headers, body))
        anybody = self._sources[source].strangers(hook.options)
        delivery = Delivery(source, hook.id, how.message(headers, body), parked, anybody)
        entries = [*how.entries(delivery, body), *alert_entries(delivery, alerts)]
        heeds = self._sources[source].heeds_429
        return Proven(service.id, service.tier, service.lanes, delivery, entries, len(body), heeds)

    def store(self, proven: Proven, origin: Origin) -> dict[str, object]:
        """Seal a message and return the least of its receipt: `{"batch_id", "head", "t"}`.

        `origin` says how it came. The batch is named by the sender's id, so what is sent again is found
        again; all messages of a hook go to one lane, which remembers them. Raises `Conflict` where the same
        id came with another body.
        """
        told = proven.delivery
        names = "\0".join((proven.service, told.source, told.hook, told.id))
        batch = sha256(b"SW1" + names.encode("utf-8", "replace")).hexdigest()[:32]
        by = f"hook/{told.source}/{told.hook}"
        origin = replace(origin, service=proven.service, subject=by, instance=by, lanes=proven.lanes)
        receipt = self._ingest.entries(origin, b"\n".join(proven.entries), {"sentinel-batch-id": batch})
        return {name: receipt[name] for name in ("batch_id", "head", "t")}

    def _known(self, source: str, hook_id: str) -> tuple[Hook, Service] | None:
        """Return a hook that takes messages of this source, and whose it is; None where there is none."""
        if source not in self._sources or not 1 <= len(hook_id) <= 64:
            return None
        hook = self._directory.hook(hook_id)
        if hook is None or hook.disabled or hook.source != source:
            return None
        service = self._directory.service(hook.service)
        return None if service is None or service.disabled else (hook, service)

    def _source(self, hook: Hook) -> Source:
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

    def _decoy(self, source: str) -> Source:
        """Return a source for the work of a hook that is not there."""
        return (self._sources.get(source) or next(iter(self._sources.values()))).make({})

    def _verify(self, how: Source, hook: Hook, headers: Mapping[str, str], body: bytes) -> None:
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
