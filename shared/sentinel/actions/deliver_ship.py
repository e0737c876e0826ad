"""Shipments: one batch of a delivery with the places of what is in it, how it is cut, carried and settled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from sentinel.actions.deliver_course import Course
from sentinel.actions.deliver_read import Event
from sentinel.actions.siem_carry import Carrier, Errand, Target
from sentinel.errors import Rejected, Unavailable
from sentinel.ports import FileAppend, Files
from sentinel.siem.file import FileSink
from sentinel.siem.s3 import S3Sink
from sentinel.siem.sink import (
    Batch,
    Delivered,
    Fate,
    Item,
    Outcome,
    Parked,
    Partly,
    Refused,
    Request,
    SigningIn,
    Sink,
    batch_of,
)

EVENTS = 5_000  # in one batch, where a sink's own limits are wider
BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class Part:
    """One event of a shipment, its chain, and whether it is sent again."""

    course: Course
    event: Event
    again: bool


@dataclass(slots=True)
class Shipment:
    """A batch on its way. `tried`: it may be there already.

    `request` is what carries it, where that was made beforehand.
    """

    batch: Batch
    parts: list[Part]
    tried: bool = False
    request: Request | None = None

    @property
    def courses(self) -> dict[Course, None]:
        """Return its chains, each once."""
        return dict.fromkeys(part.course for part in self.parts)


@dataclass(slots=True)
class Arrival:
    """What came of a shipment: an outcome, or an error of the ports."""

    shipment: Shipment
    outcome: Outcome | Unavailable


@dataclass(frozen=True, slots=True)
class Limits:
    """What a batch may hold."""

    events: int
    bytes: int


class Shipping:
    """Carries shipments of one delivery to its sink. `name` names the delivery."""

    def __init__(self, name: str, to: Target, carrier: Carrier, files: Files) -> None:
        self.sink: Sink = to.sink
        self._name = name
        self._to = to
        self._carrier = carrier
        self._files = files
        # Lines of a file name their append: here all of a delivery do alike, so that each can be looked up
        # however the batches are cut after a crash.
        self._lines = sha256(f"delivery\n{name}".encode()).hexdigest()
        self.file = isinstance(to.sink, FileSink)

    @property
    def repeats(self) -> bool:
        """Whether the same events, cut as they may be, sent again are there once more."""
        return not self.file and (not self.sink.exact or isinstance(self.sink, S3Sink))

    @property
    def doubles(self) -> bool:
        """Whether the very same batch, sent again, is there once more."""
        return not self.file and not self.sink.exact

    def batch(self, items: Sequence[Item]) -> Batch:
        """Return items as one batch."""
        if self.file:
            return Batch(self._lines, (*items,))
        return batch_of(self._name, items)

    def prepare(self, shipment: Shipment) -> None:
        """Encode and compress a shipment's request, so that nothing is left to do but to send it."""
        if not isinstance(self.sink, SigningIn):  # of these a request is whole only with a token
            shipment.request = self.sink.request(shipment.batch)

    def carry(self, shipment: Shipment) -> Arrival:
        """Send a shipment once."""
        request, shipment.request = shipment.request, None
        errand = Errand(f"sentinel-delivery-{self._name}", shipment.tried, request)
        try:
            return Arrival(shipment, self._carrier.carry(errand, self._to, shipment.batch))
        except Unavailable as error:
            return Arrival(shipment, error)
        except Rejected as error:
            return Arrival(shipment, Parked(str(error)))

    def held(self, events: Sequence[Event]) -> int:
        """Return how many of a chain's events, in order, a file holds already, from the first."""
        low, high = 0, len(events)
        while low < high:
            middle = (low + high + 1) // 2
            if self._holds(events[low:middle]):
                low = middle
            else:
                high = middle - 1
        return low

    def _holds(self, events: Sequence[Event]) -> bool:
        request = self.sink.request(self.batch([event.item for event in events]))
        return isinstance(request, FileAppend) and self._files.holds(request)


def fates_of(shipment: Shipment, outcome: Delivered | Refused | Partly) -> tuple[tuple[Fate, ...], str]:
    """Return what became of each event, and why those were refused that were."""
    if isinstance(outcome, Delivered):
        return (Fate.DELIVERED,) * len(shipment.parts), ""
    if isinstance(outcome, Partly):
        return outcome.fates, outcome.refused or outcome.wait.reason
    alone = outcome.fates == (Fate.OPEN,)
    return ((Fate.REFUSED,) if alone else outcome.fates), outcome.reason


def split(shipment: Shipment, fates: Sequence[Fate], reason: str) -> None:
    """Note what became of each event with its chain, and put those in front that are to be sent anew."""
    back: dict[Course, list[Event]] = {}
    for part, fate in zip(shipment.parts, fates, strict=True):
        if fate is Fate.OPEN:
            back.setdefault(part.course, []).append(part.event)
        else:
            refused = (reason or "refused") if fate is Fate.REFUSED else ""
            part.course.settled(part.event.seq, refused, again=part.again)
    for course, events in back.items():
        course.put_back(events)
