"""The `splunk` sink: Splunk's HTTP Event Collector (HEC), JSON endpoint.

Format and codes are those of Splunk's "HTTP Event Collector REST API endpoints" and "Troubleshoot HTTP
Event Collector" pages: concatenated JSON objects (no array), gzip, `Authorization: Splunk <token>`, and an
answer `{"text", "code", "invalid-event-number"?}` whose code says more than the status. HEC cannot be asked
whether it has an event, so delivery is at least once, and the indexed field `sentinel_event_id` is the same
in every attempt: `| dedup sentinel_event_id`. With `ack` (indexer acknowledgement, where the token has it on)
a batch counts only when an indexer has it: each request names a channel, its answer has an `ackId`, and
`/services/collector/ack` tells of it, once.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Literal, Protocol
from uuid import UUID

import orjson
from pydantic import Field, field_validator

from sentinel.core import urls
from sentinel.ports import HttpRequest, HttpResponse
from sentinel.siem.answers import json_object, passing, retry_after, target, too_large, unnamed
from sentinel.siem.check import Finding, Level, Question, Sound, Wrong, elsewhere, refused, throttled
from sentinel.siem.hec_codes import CODES
from sentinel.siem.sink import (
    Batch,
    Delivered,
    Fate,
    Notice,
    Outcome,
    Parked,
    Refused,
    RetryAfter,
    SecretName,
    SinkConfig,
    embedded,
    packed,
)

PATH = "/services/collector/event"
ACK_PATH = "/services/collector/ack"
CHANNEL = "X-Splunk-Request-Channel"
_MILLISECOND = 1_000_000
_BLANK = frozenset({b"", b"{}", b"[]", b"null", b'""'})  # HEC answers a blank event with code 13

_ACCEPTED = frozenset({0, 24, 25})
_SLOW_DOWN = frozenset({24, 25})
_INTERNAL = 8  # the one of these codes that does not say that nothing was taken
_BUSY = frozenset({_INTERNAL, 9, 18, 19, 20, 23, 26, 27})
_SETUP = frozenset({1, 2, 3, 4, 7, 10, 11, 14, 16, 21, 22})
_ITEM = frozenset({5, 6, 12, 13, 15})
_NO_DATA = 5  # what a collector says to an empty request once it has found the token good
_DISABLED = frozenset({1, 22})
_CHANNEL = frozenset({10, 11, 14})


class SplunkConfig(SinkConfig):
    """`token` is the name of the secret that holds the HEC token. Empty fields are left to the token's own.

    `url` without a path gets HEC's; plain http is taken for loopback addresses only, since the token
    travels with each request. `host` is by default the entry's service.
    """

    kind: Literal["splunk"]
    url: str
    token: SecretName
    index: str = Field(default="", max_length=100)
    source: str = Field(default="sentinel", max_length=200)
    sourcetype: str = Field(default="_json", max_length=200)
    host: str = Field(default="", max_length=200)
    ack: bool = False
    timeout: float = Field(default=10.0, ge=1, le=20)

    @field_validator("url")
    @classmethod
    def _collector(cls, url: str) -> str:
        return target(url) + ("" if urls.parse(url).path.strip("/") else PATH)


class HecConfig(Protocol):
    """What a sink of HEC's protocol is told."""

    @property
    def url(self) -> str:
        """Where events are sent."""

    @property
    def index(self) -> str:
        """The index; empty: the token's own."""

    @property
    def source(self) -> str:
        """What events come from."""

    @property
    def sourcetype(self) -> str:
        """Of which type they are."""

    @property
    def host(self) -> str:
        """The host; empty: the entry's service."""

    @property
    def timeout(self) -> float:
        """How long a request may take, in seconds."""


class SplunkSink:
    """Encodes notices for HEC and reads its answers. Splunk Cloud recommends requests below 1 MB."""

    max_events = 500
    max_bytes = 900_000
    exact = False
    scheme = "Splunk"  # of the Authorization header

    def __init__(self, config: HecConfig, token: str) -> None:
        self._config = config
        self._token = token

    def encode(self, notice: Notice) -> bytes:
        """Encode one event: the entry itself as `event`, what Sentinel knows about it as indexed `fields`.

        `time` is epoch seconds with milliseconds, written from integers: Splunk 10 answers a number in
        exponent form with code 15. All `fields` are flat strings, since others get code 15 too.
        """
        config = self._config
        millis = notice.t // _MILLISECOND
        told: dict[str, object] = {
            "time": orjson.Fragment(b"%d.%03d" % divmod(millis, 1000)),
            "host": config.host or notice.service,
            "source": config.source,
            "sourcetype": config.sourcetype,
            "index": config.index,
            "event": _event(notice),
            "fields": {**_facts(notice), "sentinel_event_id": notice.id},
        }
        return orjson.dumps({name: value for name, value in told.items() if value != ""})

    def request(self, batch: Batch) -> HttpRequest:
        """Return the POST that carries a batch."""
        headers = {
            "Authorization": f"{self.scheme} {self._token}",
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
        }
        body = packed(b"\n".join(item.data for item in batch.items))
        return HttpRequest("POST", self._config.url, headers, body, self._config.timeout)

    def check(self) -> Question:
        """Send an empty request: a collector looks at the token first, and then finds no data in it."""
        headers = {"Authorization": f"{self.scheme} {self._token}", "Content-Type": "application/json"}
        return Question(HttpRequest("POST", self._config.url, headers, b"", self._config.timeout), self.read)

    def read(self, response: HttpResponse) -> Finding:
        """Say what the answer to an empty request means."""
        told = json_object(response)
        code = told.get("code")
        if not isinstance(code, int) or code not in CODES:
            return self._uncoded(response)
        reason = f"{CODES[code]} ({response.status}/{code})"
        if code in _BUSY:
            return Wrong(Level.BUSY, f"the collector answers: {reason}", "wait, and test it again")
        if code in _DISABLED:
            return Wrong(
                Level.CREDENTIALS, f"the collector answers: {reason}", "enable the token, or use another"
            )
        if code in _CHANNEL:
            hint = "switch indexer acknowledgement off for this token: it is not used"
            return Wrong(Level.SCHEMA, f"the collector answers: {reason}", hint)
        if code not in _ACCEPTED and code != _NO_DATA:
            return refused(response.status, f"the collector ({CODES[code]})")
        index = f"index {self._config.index}" if self._config.index else "its default index"
        return Sound(f"the collector knows the token; whether it may write to {index} shows with an event")

    def _uncoded(self, response: HttpResponse) -> Finding:
        if passing(response):
            return throttled(response.status)
        return elsewhere(response.status, "event collector")

    def outcome(self, response: HttpResponse, batch: Batch) -> Outcome:
        """Say what an answer means: by its code, else by its status."""
        told = json_object(response)
        code = told.get("code")
        if not isinstance(code, int) or code not in CODES:
            return _by_status(response, batch)
        reason = f"{CODES[code]} ({response.status}/{code})"
        if code in _ACCEPTED and response.status < 300:
            return Delivered(slow_down=code in _SLOW_DOWN)
        if code in _ITEM:
            return _minded(reason, told.get("invalid-event-number"), batch)
        if code in _SETUP:
            return Parked(reason)
        if code in _BUSY:
            return RetryAfter(reason, retry_after(response), unsure=code == _INTERNAL)
        return _by_status(response, batch)


class AcknowledgedSplunkSink(SplunkSink):
    """HEC with indexer acknowledgement. The channel is the collector's: the same from every process."""

    def __init__(self, config: HecConfig, token: str) -> None:
        super().__init__(config, token)
        self._channel = str(UUID(bytes=sha256(f"sentinel\n{config.url}".encode()).digest()[:16], version=4))

    def request(self, batch: Batch) -> HttpRequest:
        """Return the POST that carries a batch on the channel."""
        request = super().request(batch)
        return replace(request, headers={**request.headers, CHANNEL: self._channel})

    def ask(self, response: HttpResponse) -> HttpRequest | None:
        """Return the request for the `ackId` of an answer; None where the token has acknowledgement off."""
        number = json_object(response).get("ackId")
        if type(number) is not int:
            return None
        parts = urls.parse(self._config.url)
        headers = {
            "Authorization": f"{self.scheme} {self._token}",
            "Content-Type": "application/json",
            CHANNEL: self._channel,
        }
        url = f"{parts.scheme}://{parts.netloc}{ACK_PATH}"
        return HttpRequest("POST", url, headers, orjson.dumps({"acks": [number]}), self._config.timeout)

    def stored(self, asked: HttpRequest, response: HttpResponse) -> bool:
        """Say whether the answer tells `true` of the number that was asked for."""
        acks = json_object(response).get("acks")
        numbers = orjson.loads(asked.body)["acks"]
        return isinstance(acks, dict) and all(acks.get(str(number)) is True for number in numbers)


def splunk_sink(config: SplunkConfig, token: str) -> SplunkSink:
    """Return the sink of a configuration."""
    return (AcknowledgedSplunkSink if config.ack else SplunkSink)(config, token)


def _event(notice: Notice) -> object:
    if not notice.entry:
        return _facts(notice)
    if notice.entry.strip() in _BLANK:
        return f"(empty entry) {notice.entry.decode().strip()}"
    return embedded(notice.entry)


def _facts(notice: Notice) -> dict[str, str]:
    facts = {
        "sentinel_service": notice.service,
        "sentinel_chain": notice.chain,
        "sentinel_seq": str(notice.seq),
        "sentinel_rule": notice.rule,
        "sentinel_title": notice.title,
        "sentinel_level": notice.level,
        "sentinel_task": notice.task,
        "sentinel_recipe": notice.recipe,
        "sentinel_trace_id": notice.trace,
        "sentinel_span_id": notice.span,
    }
    return {name: value for name, value in facts.items() if value}


def _minded(reason: str, number: object, batch: Batch) -> Refused:
    """Read `invalid-event-number` (from 0): HEC took the events before it and looked at none after it."""
    count = len(batch.items)
    if not isinstance(number, int) or not 0 <= number < count:
        return unnamed(reason, batch)
    rest = count - number - 1
    return Refused(reason, (Fate.DELIVERED,) * number + (Fate.REFUSED,) + (Fate.OPEN,) * rest)


def _by_status(response: HttpResponse, batch: Batch) -> Outcome:
    """Judge an answer that is not HEC's own: a load balancer's, a proxy's, a web page's."""
    status = response.status
    if wait := passing(response):
        return wait
    if status == 413:
        return too_large(batch)
    return Parked(f"status {status} with no answer of an event collector; is the URL right?")
