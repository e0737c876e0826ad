"""Receive: a webhook's message is verified and sealed into the chain of the service that the hook is of.

Each alert that it tells is sealed with it, as an entry of its own in one form. What is genuine and not
understood is kept and parked, never refused: its sender could do nothing about it, and would stop sending.

Whoever cannot prove itself learns nothing (`usecases.prove`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol

from sentinel.errors import TooLarge
from sentinel.ports_doors import Delivery, SecretVersions
from sentinel.usecases.alert_entries import alert_entries, told
from sentinel.usecases.ingest import Ingest, Origin
from sentinel.usecases.prove import Makes, Prover, Proves

if TYPE_CHECKING:
    from sentinel.core.alerts import Alert
    from sentinel.usecases.directory import Directory

MAX_BODY: Final = 1_000_000


class Source(Proves, Protocol):
    """What is needed of a webhook source; see `webhooks.source.Source`."""

    def message(self, headers: Mapping[str, str], body: bytes) -> str:
        """Return the id of the message."""

    def alerts(self, headers: Mapping[str, str], body: bytes) -> list[Alert]:
        """Return the alerts that it tells. Raises `Unparsed`."""

    def entries(self, delivery: Delivery, body: bytes) -> list[bytes]:
        """Return what is stored of the message itself."""


class Kind(Makes[Source], Protocol):
    """What is needed of a kind of sources; see `webhooks.source.Kind`."""

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
        self._prover = Prover(sources, directory, secrets, clock, monotonic)
        self._ingest = ingest

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
        sender = self._prover.prove(source, hook_id, headers, body, repeated)
        hook, service, how = sender.hook, sender.service, sender.how
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
