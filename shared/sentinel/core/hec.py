r"""Splunk's HTTP Event Collector (HEC) as data: what a body holds, and the table of its answers.

An event is stored as it was sent, byte for byte, but for line breaks between its tokens, which become blanks:
an entry is one line. Events stand one after the other, with white space between or none, or in an array.

As Splunk does, what stands before a bad event counts and is stored, and the answer has the bad one's number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import orjson

from sentinel.core.entry import MAX_ENTRY_BYTES
from sentinel.core.hec_values import Cut, values
from sentinel.errors import Rejected, TooLarge

MAX_EVENTS: Final = 50_000  # of one request
MAX_RAW: Final = 10_000_000  # bytes that the lines of one request become
MAX_ACKS: Final = 10_000  # asked of at a time
METADATA: Final = ("time", "host", "source", "sourcetype", "index")
_MAX_VALUE: Final = 1_024  # characters of one value of the query that each line gets
_TAG_BITS: Final = 20  # with 33 of the number itself, an ack id is exact in every JSON reader

_BREAKS = bytes.maketrans(b"\n\r", b"  ")
_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(?:\.[0-9]{0,20})?(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)
_GUID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the table: its HTTP status, its code, and Splunk's own words."""

    status: int
    code: int
    text: str


SUCCESS: Final = Reply(200, 0, "Success")
NO_TOKEN: Final = Reply(401, 2, "Token is required")
BAD_AUTHORIZATION: Final = Reply(401, 3, "Invalid authorization")
BAD_TOKEN: Final = Reply(403, 4, "Invalid token")
NO_DATA: Final = Reply(400, 5, "No data")
BAD_DATA: Final = Reply(400, 6, "Invalid data format")
TOO_LARGE: Final = Reply(413, 6, "Invalid data format")
INTERNAL: Final = Reply(500, 8, "Internal server error")
BUSY: Final = Reply(503, 9, "Server is busy")
NO_CHANNEL: Final = Reply(400, 10, "Data channel is missing")
BAD_CHANNEL: Final = Reply(400, 11, "Invalid data channel")
NO_EVENT: Final = Reply(400, 12, "Event field is required")
BLANK_EVENT: Final = Reply(400, 13, "Event field cannot be blank")
NO_ACKS: Final = Reply(400, 14, "ACK is disabled")
BAD_FIELDS: Final = Reply(400, 15, "Error in handling indexed fields")
NO_QUERY_TOKEN: Final = Reply(400, 16, "Query string authorization is not enabled")
HEALTHY: Final = Reply(200, 17, "HEC is healthy")
UNHEALTHY: Final = Reply(503, 18, "HEC is unhealthy, queues are full")
SICK_TOKEN: Final = Reply(400, 21, "Invalid token")
REPLIES: Final = (
    *(SUCCESS, NO_TOKEN, BAD_AUTHORIZATION, BAD_TOKEN, NO_DATA, BAD_DATA, TOO_LARGE, INTERNAL, BUSY),
    *(NO_CHANNEL, BAD_CHANNEL, NO_EVENT, BLANK_EVENT, NO_ACKS, BAD_FIELDS, NO_QUERY_TOKEN),
    *(HEALTHY, UNHEALTHY, SICK_TOKEN),
)


class Refused(Rejected):
    """A request that gets one of the table's refusals. `number` is that of the bad event, from 0."""

    def __init__(self, reply: Reply, why: str = "", number: int | None = None) -> None:
        super().__init__(why or reply.text)
        self.reply = reply
        self.why = why
        self.number = number


@dataclass(slots=True)
class Found:
    """What a body holds: its events up to the first bad one, and what is wrong with that.

    `timed` says whether each brings a time of its own: then a body that comes twice was sent again.
    """

    events: list[bytes] = field(default_factory=list)
    timed: bool = True
    bad: Refused | None = None


def events(body: bytes) -> Found:
    r"""Take the body of `/services/collector/event` apart. Raises `Refused` for none, `TooLarge`.

    >>> found = events(b'{"event": "a",\n"time": 1}{"event":""}')
    >>> found.events, found.timed, found.bad.reply.code, found.bad.number
    ([b'{"event": "a", "time": 1}'], True, 13, 1)
    """
    text = body.decode("utf-8", "surrogateescape")
    found = Found()
    try:
        for number, piece in enumerate(values(text)):
            if number == MAX_EVENTS:
                raise TooLarge(f"the request has over {MAX_EVENTS} events; send it in parts")
            _take(found, piece.encode("utf-8", "surrogateescape").translate(_BREAKS))
    except Refused as bad:
        found.bad = Refused(bad.reply, bad.why, len(found.events))
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, Cut) else "it is not JSON"
        found.bad = Refused(BAD_DATA, why, len(found.events))
    if not found.events and found.bad is None:
        raise Refused(NO_DATA)
    return found


def _take(found: Found, piece: bytes) -> None:
    """Add one event. Raises `Refused`, and `ValueError` for what is not JSON after all."""
    if len(piece) > MAX_ENTRY_BYTES:
        raise Refused(BAD_DATA, f"the event is over {MAX_ENTRY_BYTES} bytes")
    told = orjson.loads(piece)
    if not isinstance(told, dict):
        raise Refused(BAD_DATA, "an event is a JSON object")
    wrong = _wrong(told)
    if wrong is not None:
        raise wrong
    found.events.append(piece)
    found.timed = found.timed and told.get("time") is not None


def _wrong(told: Mapping[str, Any]) -> Refused | None:
    event = told.get("event")
    if event is None:
        return Refused(NO_EVENT)
    if isinstance(event, str) and not event.strip():
        return Refused(BLANK_EVENT)
    if not is_time(told.get("time")):
        return Refused(BAD_DATA, "time is epoch seconds: a number, or one as text")
    if not _flat(told.get("fields")):
        return Refused(BAD_FIELDS, "fields is an object of texts, numbers, and lists of them")
    return None


def is_time(value: object) -> bool:
    """Say whether a value may stand for `time`: none, a number, or a number as text, in epoch seconds.

    >>> [is_time(each) for each in (None, 1.5, "1433188255.500", "soon", True)]
    [True, True, True, False, False]
    """
    if isinstance(value, str):
        return _NUMBER.fullmatch(value.strip()) is not None
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _flat(fields: object) -> bool:
    """Say whether the values of `fields` hold no objects, and their lists no lists."""
    if fields is None:
        return True
    if not isinstance(fields, dict):
        return False
    single = (each for value in fields.values() for each in (value if isinstance(value, list) else [value]))
    return not any(isinstance(each, dict | list) for each in single)


def lines(body: bytes, query: Mapping[str, str]) -> Found:
    r"""Take the body of `/services/collector/raw` apart: each line that is not blank is an event.

    It gets what the query says of `METADATA`. What is not UTF-8 in a line is written as `\xNN`. Raises
    `Refused` for no line and for a query that cannot be, `TooLarge`.

    >>> lines(b"one\r\n\ntwo", {"host": "web-1"}).events
    [b'{"event":"one","host":"web-1"}', b'{"event":"two","host":"web-1"}']
    """
    about = {name: query[name] for name in METADATA if query.get(name)}
    if not is_time(about.get("time")) or any(len(value) > _MAX_VALUE for value in about.values()):
        raise Refused(
            BAD_DATA, f"time is epoch seconds; what the query says has {_MAX_VALUE} characters each"
        )
    found, size = Found(timed=False), 0
    for number, line in enumerate(filter(bytes.strip, body.split(b"\n"))):
        entry = orjson.dumps({"event": line.rstrip(b"\r").decode("utf-8", "backslashreplace"), **about})
        size += len(entry)
        if size > MAX_RAW or number == MAX_EVENTS:
            raise TooLarge(f"the request has over {MAX_EVENTS} lines or {MAX_RAW} bytes; send it in parts")
        if len(entry) > MAX_ENTRY_BYTES:
            found.bad = Refused(BAD_DATA, f"the line is over {MAX_ENTRY_BYTES} bytes as an entry", number)
            break
        found.events.append(entry)
    if not found.events and found.bad is None:
        raise Refused(NO_DATA)
    return found


def channel(text: str) -> str:
    """Return a channel's id as it is compared: a GUID in lower case, "" for none. Raises `Refused`."""
    if text and not _GUID.fullmatch(text):
        raise Refused(BAD_CHANNEL, "a channel is a GUID")
    return text.lower()


def ack_id(hook: str, channel_id: str, batch: bytes) -> int:
    """Return the ack id of a batch, which can be told from a made-up one without storing it.

    It is a number of 33 bits from the batch and 20 bits that fit it and the channel: 53 bits, as JSON readers
    of every language keep them. A retry that is recognised gets the same.

    >>> number = ack_id("docker", "c", b"batch")
    >>> issued("docker", "c", number), issued("docker", "d", number), issued("docker", "c", 0)
    (True, False, False)
    """
    number = int.from_bytes(sha256(b"SA1" + batch).digest()[:8], "big") >> 31
    return number << _TAG_BITS | _tag(hook, channel_id, number)


def issued(hook: str, channel_id: str, number: int) -> bool:
    """Say whether `ack_id` returned a number for this channel; of others, one in a million passes."""
    if not 0 <= number < 1 << 53:
        return False
    high, low = divmod(number, 1 << _TAG_BITS)
    return low == _tag(hook, channel_id, high)


def _tag(hook: str, channel_id: str, number: int) -> int:
    told = "\0".join((hook, channel_id, str(number))).encode("utf-8", "replace")
    return int.from_bytes(sha256(b"SA2" + told).digest()[:4], "big") >> (32 - _TAG_BITS)


def acks(body: bytes) -> Sequence[int]:
    """Return the ack ids that a body asks of, `{"acks": [...]}`. Raises `Refused`."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused(BAD_DATA, "it is not JSON") from None
    found = told.get("acks") if isinstance(told, dict) else None
    if not isinstance(found, list) or len(found) > MAX_ACKS or not all(type(each) is int for each in found):
        raise Refused(BAD_DATA, f'it is {{"acks": [...]}} with up to {MAX_ACKS} numbers')
    return found
