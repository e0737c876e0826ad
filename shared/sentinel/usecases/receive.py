"""Receive: a webhook's message is verified and sealed into the chain of the service that the hook is of.

Each alert that it tells is sealed with it, as an entry of its own in one form. What is genuine and not
understood is kept and parked, never refused: its sender could do nothing about it, and would stop sending.

Whoever cannot prove itself learns nothing (`usecases.prove`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from sentinel.errors import TooLarge, Unavailable
from sentinel.ports_doors import Delivery
from sentinel.usecases.alert_entries import alert_entries, told
from sentinel.usecases.hook_sources import Answering, Inviting
from sentinel.usecases.ingest import Ingest, Origin
from sentinel.usecases.prove import Prover

if TYPE_CHECKING:
    from sentinel.core.lanes import Lanes
    from sentinel.ports import Http, HttpRequest
    from sentinel.usecases.hook_secrets import HookSecrets
    from sentinel.usecases.hook_sources import HookSources
    from sentinel.usecases.hook_tokens import HookTokens

MAX_BODY: Final = 1_000_000

log = logging.getLogger("sentinel.receive")


@dataclass(frozen=True, slots=True)
class Proven:
    """A message whose sender has proven itself. `service` is whose chains it goes to.

    `tier` names that service's limits, `lanes` is over how many chains it is spread, `encryption`
    its policy. `heeds_429` says whether the sender sends again after a 429; `answer` is what it asks for,
    once the message is stored.
    """

    service: str
    tier: str
    lanes: Lanes
    encryption: str
    delivery: Delivery
    entries: Sequence[bytes]
    size: int
    heeds_429: bool = True
    answer: HttpRequest | None = field(default=None, repr=False)


class Receiver:
    """The use case. `clock` gives epoch seconds; threads may share it."""

    def __init__(
        self,
        hooks: HookSources,
        secrets: HookSecrets,
        tokens: HookTokens,
        ingest: Ingest,
        http: Http,
        clock: Callable[[], float],
    ) -> None:
        self._hooks = hooks
        self._prover = Prover(hooks, secrets, clock, tokens)
        self._ingest = ingest
        self._http = http

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
        anybody = self._hooks.strangers(hook)
        delivery = Delivery(source, hook.id, how.message(headers, body), parked, anybody)
        entries = [*how.entries(delivery, body), *alert_entries(delivery, alerts)]
        return Proven(
            service=service.id,
            tier=service.tier,
            lanes=service.spread,
            encryption=service.encryption,
            delivery=delivery,
            entries=entries,
            size=len(body),
            heeds_429=self._hooks.heeds_429(source),
            answer=how.answer(body) if isinstance(how, Answering) else None,
        )

    def invited(self, source: str, hook_id: str, origin: str) -> Mapping[str, str]:
        """Return the headers that let a sender of this origin send to a webhook; none where it may not.

        Raises `Unavailable` where that cannot be told now.
        """
        known = self._hooks.known(hook_id, source)
        if known is None:
            return {}
        how = self._hooks.source(known[0])
        return how.invites(origin) if isinstance(how, Inviting) else {}

    def store(self, proven: Proven, origin: Origin) -> dict[str, object]:
        """Seal a message and return the least of its receipt: `{"batch_id", "head", "t"}`.

        `origin` says how it came. The batch is named by the sender's id, so what is sent again is found
        again; all messages of a hook go to one lane, which remembers them. Where the sender asks back, it is
        answered once the message is sealed: what was not answered is asked again.

        Raises `Conflict` where the same id came with another body, `Unavailable` where it is to be sent anew.
        """
        told = proven.delivery
        names = "\0".join((proven.service, told.source, told.hook, told.id))
        batch = sha256(b"SW1" + names.encode("utf-8", "replace")).hexdigest()[:32]
        by = f"hook/{told.source}/{told.hook}"
        origin = replace(
            origin,
            service=proven.service,
            subject=by,
            instance=by,
            lanes=proven.lanes,
            encryption=proven.encryption,
        )
        receipt = self._ingest.entries(origin, b"\n".join(proven.entries), {"sentinel-batch-id": batch})
        if proven.answer is not None:
            self._answer(proven.answer, told)
        return {name: receipt[name] for name in ("batch_id", "head", "t")}

    def _answer(self, request: HttpRequest, to: Delivery) -> None:
        """Send an answer. One that will never be taken is no reason to ask again: the message is stored."""
        status = self._http.send(request).status
        if status == 429 or status >= 500:
            raise Unavailable("the message is stored, but who sent it took no answer: send it again", 20.0)
        if status >= 300:
            log.error("the answer to message %s of webhook %s was refused with %d", to.id, to.hook, status)
