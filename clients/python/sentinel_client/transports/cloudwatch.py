"""To Amazon CloudWatch Logs: `PutLogEvents` (API version 2014-03-28), signed by hand, without an SDK.

The API has no batch ids. A batch whose answer was lost is sent again, so its events can be there twice; so
can those of a batch that takes several requests, which a kill interrupts. Within one process a request that
was answered is not sent again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sentinel_client._aws import Chain, signed
from sentinel_client._connection import Answer, Connection, Shut, Unreachable
from sentinel_client._types import Batch, Later, Outcome, Sent

# Of the API Reference, PutLogEvents: a request holds 10,000 events, 1,048,576 bytes with 26 more for each
# event, and 24 hours; its events are in order of time.
EVENTS = 10_000
BYTES = 1_048_576
OVERHEAD = 26
SPAN = 24 * 3_600_000  # milliseconds
SHUT_AFTER = 10.0
_KIND = "application/x-amz-json-1.1"
_TARGET = "Logs_20140328."
_NO_RIGHT = ("AccessDenied", "UnrecognizedClient", "InvalidSignature", "ExpiredToken", "NotAuthorized")
Event = tuple[int, int, str]  # epoch milliseconds, place in the batch, message


class CloudWatchTransport:
    """Writes to one stream of a log group. A missing stream is made, and with `create` a missing group.

    `stream` is by default the producer's id, so that processes have streams of their own. `region` is by
    default that of `AWS_REGION` or `AWS_DEFAULT_REGION`. Raises `ValueError` where there is none.
    """

    max_entries = EVENTS
    max_bytes = BYTES - EVENTS * OVERHEAD

    def __init__(
        self,
        group: str,
        stream: str = "",
        *,
        region: str = "",
        create: bool = False,
        endpoint: str = "",
        chain: Chain | None = None,
        clock: Callable[[], float] = time.time,
        name: str = "cloudwatch",
    ) -> None:
        region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
        if not region.replace("-", "").isalnum():
            raise ValueError("cloudwatch wants a region: give one, or set AWS_REGION")
        self.name = name
        self._group, self._stream, self._region, self._create = group, stream, region, create
        suffix = ".cn" if region.startswith("cn-") else ""
        self._connection = Connection(endpoint or f"https://logs.{region}.amazonaws.com{suffix}")
        self._chain = chain or Chain()
        self._clock = clock
        self._done: tuple[bytes, int, list[int]] = (b"", 0, [])  # of the batch in hand: requests, refused

    def send(self, batch: Batch, timeout: float) -> Outcome:
        """Send a batch in as many requests as its times need. See `Transport`."""
        end = time.monotonic() + timeout
        events = list(self._events(batch.entries))
        done, refused = (self._done[1], self._done[2]) if self._done[0] == batch.id else (0, [])
        stream = self._stream or batch.producer
        try:
            for number, part in enumerate(spans(events)):
                if number < done:
                    continue
                failed = self._put(stream, part, refused, end)
                if failed is not None:
                    return failed
                self._done = batch.id, number + 1, refused
        except Unreachable as error:
            return Later(str(error))
        except Shut as error:
            return Later(str(error), SHUT_AFTER)
        self._done = b"", 0, []
        return Sent({}, len(refused), sorted(refused))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _events(self, entries: Sequence[bytes]) -> Iterator[Event]:
        now = int(self._clock() * 1000)
        for at, entry in enumerate(entries):
            yield milliseconds(entry, now), at, entry.decode(errors="replace")

    def _put(self, stream: str, part: list[Event], refused: list[int], end: float) -> Outcome | None:
        """Send one request; None where it was taken, with the places of the events that were not."""
        told = [{"timestamp": at, "message": message} for at, _, message in part]
        asked = {"logGroupName": self._group, "logStreamName": stream, "logEvents": told}
        for _ in range(2):
            answer = self._call("PutLogEvents", asked, end)
            kind = _kind(answer)
            if answer.status == 200:
                refused += rejected(part, answer.told.get("rejectedLogEventsInfo"))
                return None
            if kind == "DataAlreadyAcceptedException":
                return None
            if kind != "ResourceNotFoundException":
                return self._failed(answer, kind)
            missing = self._make(stream, end)
            if missing is not None:
                return missing
        return Later(f"CloudWatch does not find stream {stream} of group {self._group}")

    def _make(self, stream: str, end: float) -> Outcome | None:
        """Make the stream, and the group where that is wanted; None where they are there now."""
        told = {"logGroupName": self._group, "logStreamName": stream}
        answer = self._call("CreateLogStream", told, end)
        if _kind(answer) == "ResourceNotFoundException" and self._create:
            answer = self._call("CreateLogGroup", {"logGroupName": self._group}, end)
            if answer.status == 200 or _kind(answer) == "ResourceAlreadyExistsException":
                answer = self._call("CreateLogStream", told, end)
        kind = _kind(answer)
        if answer.status == 200 or kind == "ResourceAlreadyExistsException":
            return None
        if kind == "ResourceNotFoundException":
            return Later(f"there is no log group {self._group}", SHUT_AFTER)
        return self._failed(answer, kind)

    def _failed(self, answer: Answer, kind: str) -> Outcome:
        if any(kind.startswith(each) for each in _NO_RIGHT):
            self._chain.forget()
            return Later(f"CloudWatch refuses the credentials: {kind}", SHUT_AFTER)
        return Later(f"CloudWatch answers {answer.status} {kind}".strip(), answer.after(300.0))

    def _call(self, action: str, told: dict[str, Any], end: float) -> Answer:
        body = json.dumps(told, ensure_ascii=False).encode()
        headers = {"Host": self._host(), "Content-Type": _KIND, "X-Amz-Target": f"{_TARGET}{action}"}
        proven = signed(self._chain.keys(), self._region, "logs", headers, body, self._clock())
        return self._connection.exchange("POST", "/", body, proven, max(0.001, end - time.monotonic()))

    def _host(self) -> str:
        to = self._connection
        return to.host if to.port == 443 else f"{to.host}:{to.port}"


def milliseconds(entry: bytes, now: int) -> int:
    """Return the time of an entry in epoch milliseconds; `now` where it says none.

    >>> milliseconds(b'{"time":1764000000.25,"message":"paid"}', 0), milliseconds(b'{}', 7)
    (1764000000250, 7)
    """
    try:
        told = json.loads(entry)["time"]
        return int(told * 1000) if not isinstance(told, bool) and 0 <= told < 1e11 else now
    except (ValueError, KeyError, TypeError, RecursionError):
        return now


def spans(events: list[Event]) -> list[list[Event]]:
    """Return events in order of time, in parts that span less than 24 hours each."""
    parts: list[list[Event]] = []
    for event in sorted(events):
        if parts and event[0] - parts[-1][0][0] < SPAN:
            parts[-1].append(event)
        else:
            parts.append([event])
    return parts


def rejected(part: list[Event], told: Any) -> list[int]:
    """Return the places of the events that were not taken: too old, too new, or over the retention time.

    Of the API Reference, RejectedLogEventsInfo: the first two are ends, the third is a beginning.
    """
    told = told if isinstance(told, dict) else {}
    old = max(_index(told, name, 0) for name in ("tooOldLogEventEndIndex", "expiredLogEventEndIndex"))
    new = _index(told, "tooNewLogEventStartIndex", len(part))
    return [place for at, (_, place, _) in enumerate(part) if at < old or at >= new]


def _index(told: dict[str, Any], name: str, default: int) -> int:
    found = told.get(name)
    return found if type(found) is int and found >= 0 else default


def _kind(answer: Answer) -> str:
    """Return the name of an error (AWS JSON 1.1: `__type`, behind a `#` where it has a namespace)."""
    found = str(answer.told.get("__type", "")).rpartition("#")[2]
    return found if found.isalnum() and len(found) <= 80 else ""
