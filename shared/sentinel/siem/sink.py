"""What a SIEM is told, what a sink is, and what may become of a batch: values and one contract, no I/O.

A sink turns notices into the bytes of one product's protocol and reads that product's answers. It sends
nothing: `actions.siem_send` does, through the ports. What a sink cannot make exactly-once it makes
recognisable: every event carries an id that is the same however often it is sent.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Protocol, runtime_checkable

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict

from sentinel.core.recipes import Name
from sentinel.ports import FileAppend, HttpRequest, HttpResponse
from sentinel.ports_sinks import ObjectPut, StreamSend

_GUID = re.compile(r"(?i)[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Notice:
    """One matched entry as it is told to a SIEM.

    `t` is the ledger's time in epoch nanoseconds. `rule`, `title` and `level` are the Sigma rule's. `key`
    is the effect key of the step that tells. `entry` holds the bytes as stored; empty where only the
    entry's place is to be told. `trace` and `span` are the trace that the task is part of and the task's own
    span in it: not the try's, since an event that is told again is the same, byte for byte. `hash` is H of
    the entry in its chain, hex, where entries themselves are delivered: then there is no task, recipe or key.
    """

    t: int
    service: str
    chain: str
    seq: int
    rule: str
    title: str
    level: str
    task: str
    recipe: str
    key: str
    entry: bytes = field(default=b"", repr=False)
    trace: str = ""
    span: str = ""
    hash: str = ""

    @property
    def plain(self) -> bool:
        """Whether it tells an entry for its own sake: no rule has matched it."""
        return bool(self.hash) and not self.rule

    @property
    def id(self) -> str:
        """The event's id, 64 hex digits, the same in every attempt: SHA256(effect key ‖ chain ‖ seq).

        For a delivery it is the entry's hash in its chain.
        """
        if self.hash:
            return self.hash
        return sha256(f"{self.key}\n{self.chain}\n{self.seq}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Item:
    """One event in a sink's encoding, with the event's id."""

    id: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one request carries. `key` names the batch; the same items of a step have the same key."""

    key: str
    items: tuple[Item, ...]


class Fate(StrEnum):
    """What became of one item of a batch: `OPEN` items were not looked at and have to be sent again."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Delivered:
    """All of the batch was accepted. `slow_down`: the target asks for a pause before the next one."""

    slow_down: bool = False


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """None of the batch counts as accepted; send all of it again. `after` is the target's wish, seconds.

    `unsure` says that it may have been taken all the same.
    """

    reason: str
    after: float | None = None
    unsure: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Something in the batch will never be accepted. `fates` has one item for each of the batch's.

    Where every fate is `OPEN`, the target did not say which item it minds: send smaller batches.
    """

    reason: str
    fates: tuple[Fate, ...]


@dataclass(frozen=True, slots=True)
class Parked:
    """The sink is set up wrongly: nothing will be accepted until a person changes that. Keep the data."""

    reason: str


@dataclass(frozen=True, slots=True)
class Partly:
    """The target judged each item by itself and wants those that are `OPEN` again, after `wait`.

    `fates` has one item for each of the batch's; `refused` says why those were refused that were.
    """

    fates: tuple[Fate, ...]
    refused: str
    wait: RetryAfter


Outcome = Delivered | RetryAfter | Refused | Partly | Parked
Request = HttpRequest | FileAppend | ObjectPut | StreamSend


class Sink(Protocol):
    """One product's protocol: pure, so that a test can compare bytes.

    `max_events` and `max_bytes` bound a batch (bytes of the encoded items, each with one byte between).
    `exact` says that a batch which is sent again changes nothing at the target: there, once is once.
    """

    max_events: int
    max_bytes: int
    exact: bool

    def encode(self, notice: Notice) -> bytes:
        """Encode one event."""

    def request(self, batch: Batch) -> Request:
        """Return what carries the batch to its target."""

    def outcome(self, response: HttpResponse, batch: Batch) -> Outcome:
        """Say what an answer means for the batch. Reasons never quote the answer's body.

        Asked for HTTP only: a file, an object or a stream has taken the batch when its port returns.
        """


@dataclass(frozen=True, slots=True)
class Token:
    """What a sign-in gave, and for how long, in seconds."""

    text: str = field(repr=False)
    seconds: float


@runtime_checkable
class SigningIn(Protocol):
    """What a sink has besides whose secret buys tokens that last for a while, and only those are sent along.

    The sink only says how: `actions.siem_carry` sends `login` and keeps the token for as long as it lasts.
    """

    def login(self) -> HttpRequest:
        """Return the request that asks for a token."""

    def token(self, response: HttpResponse) -> Token | RetryAfter | Parked:
        """Read the answer to it."""

    def signed_in(self, token: str) -> Sink:
        """Return the same sink with a token: only then are its requests whole."""


@runtime_checkable
class Acknowledging(Protocol):
    """What a sink has besides that accepts a batch first, and tells later that it is stored.

    The sink only says how to ask: `actions.siem_carry` asks until it is told so, or its patience ends.
    """

    def ask(self, response: HttpResponse) -> HttpRequest | None:
        """Return the request that asks for the batch which this answer has accepted; None where it cannot."""

    def stored(self, asked: HttpRequest, response: HttpResponse) -> bool:
        """Say whether the answer to it tells that the batch is stored."""


def batches(
    sink: Sink, step_key: str, items: Iterable[Item], max_events: int | None = None
) -> Iterator[Batch]:
    """Cut items into batches within the sink's limits, in order; `max_events` may lower the sink's own.

    An item that is over `max_bytes` by itself travels alone, for the target to refuse.
    """
    limit = min(sink.max_events, max_events or sink.max_events)
    held: list[Item] = []
    size = 0
    for item in items:
        more = len(item.data) + 1
        if held and (len(held) >= limit or size + more > sink.max_bytes):
            yield batch_of(step_key, held)
            held, size = [], 0
        held.append(item)
        size += more
    if held:
        yield batch_of(step_key, held)


def batch_of(step_key: str, items: Sequence[Item]) -> Batch:
    """Return items as one batch, named after who sends it and what is in it."""
    named = "\n".join([step_key, *(item.id for item in items)])
    return Batch(sha256(named.encode()).hexdigest(), tuple(items))


def packed(body: bytes) -> bytes:
    """Return a request's body as gzip, the same for the same bytes.

    The fastest level: a log gets some tenths larger than at the usual one, for a third of the time.
    """
    return gzip.compress(body, compresslevel=1, mtime=0)


def embedded(entry: bytes) -> object:
    """Return an entry for a place inside JSON: its very bytes where they are JSON, else a string."""
    try:
        orjson.loads(entry)
    except orjson.JSONDecodeError:
        return entry.decode(errors="replace")
    return orjson.Fragment(entry)


def _secret_name(text: str) -> str:
    if _GUID.fullmatch(text.strip().removeprefix("Splunk ").strip()):
        raise ValueError("this looks like a token; store it as a secret and write the secret's name here")
    return text


SecretName = Annotated[Name, AfterValidator(_secret_name)]


class SinkConfig(BaseModel):
    """What every sink's configuration has: which kind it is, and the name of the secret it needs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    token: str = ""
