"""Collect: log events that come by Splunk's HTTP Event Collector are sealed into a service's chain.

Who sends is told by its token (`usecases.prove`). HEC names no batch. Where every event of a request brings
its own time, the same events from the same channel are taken for a request that was sent again, because its
answer was lost, and stored once; where one brings none, the same body twice is two happenings, stored twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final, Protocol

from sentinel.core import hec
from sentinel.core.entry import MAX_BATCH_BYTES, MAX_ENTRIES
from sentinel.core.hec_tokens import SOURCE, presented
from sentinel.errors import Unauthenticated
from sentinel.usecases.hook_sources import Proves
from sentinel.usecases.ingest import Ingest, Origin
from sentinel.usecases.prove import Prover, Sender

_BATCH_BYTES: Final = MAX_BATCH_BYTES - MAX_ENTRIES  # room for the line breaks between


class Way(Proves, Protocol):
    """What is needed of the source; see `webhooks.splunk_hec`."""

    @property
    def ack(self) -> bool:
        """Whether answers have an ack id."""

    @property
    def query_token(self) -> bool:
        """Whether the token may come in the query."""


@dataclass(frozen=True, slots=True)
class Collector:
    """The use case; threads may share it."""

    prover: Prover[Way]
    ingest: Ingest

    def admit(self, authorization: str, queried: bool, repeated: Collection[str] = ()) -> Sender[Way]:
        """Return who sends. `queried`: the token came in the query.

        Raises `hec.Refused`, and `Unavailable` where that cannot be told now.
        """
        shown = presented(authorization)
        if shown is None:
            raise hec.Refused(hec.BAD_AUTHORIZATION)
        try:
            sender = self.prover.prove(SOURCE, shown.hook, {"authorization": authorization}, b"", repeated)
        except Unauthenticated:
            raise hec.Refused(hec.BAD_TOKEN) from None
        if queried and not sender.how.query_token:
            raise hec.Refused(hec.NO_QUERY_TOKEN)
        return sender

    def store(self, sender: Sender[Way], found: hec.Found, channel: str, origin: Origin) -> int:
        """Seal events, and return the ack id that tells so.

        All events of a channel, or of a webhook without one, go to one lane, which remembers them. Raises
        `Unavailable`: then a part may be stored, and sending the same again completes it.
        """
        by = f"hook/{SOURCE}/{sender.hook.id}"
        instance = f"{by}/{channel}" if channel else by
        of = sender.service
        origin = replace(
            origin, service=of.id, subject=by, instance=instance, lanes=of.spread, encryption=of.encryption
        )
        stored = []
        for number, part in enumerate(_parts(found.events)):
            body = b"\n".join(part)
            once = body if found.timed else origin.request_id.encode("utf-8", "replace")
            names = "\0".join((sender.service.id, sender.hook.id, channel, str(number))).encode()
            batch = sha256(b"SH1" + names + b"\0" + once).hexdigest()[:32]
            receipt = self.ingest.entries(origin, body, {"sentinel-batch-id": batch})
            stored.append(str(receipt["batch_id"]))
        return hec.ack_id(sender.hook.id, channel, "".join(stored).encode())


def _parts(events: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Return the events in batches, each of which may be stored."""
    begin = size = 0
    for at, event in enumerate(events):
        if at > begin and (at - begin == MAX_ENTRIES or size + len(event) > _BATCH_BYTES):
            yield events[begin:at]
            begin, size = at, 0
        size += len(event)
    if begin < len(events):
        yield events[begin:]
