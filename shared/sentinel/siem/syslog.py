"""The `syslog` sink: RFC 5424 messages over TLS (RFC 5425), each with its length in front.

What Sentinel knows of an event is structured data; the message is the entry, cut where the whole would be
longer than a receiver takes. Nothing is acknowledged in this protocol: what its port promises is that the
receiver's machine took the bytes, so a receiver that dies with them in its memory loses them, and one whose
connection broke gets them again, with the same `id`. Where that will not do, use a sink that answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_validator

from sentinel.ports import HttpResponse
from sentinel.ports_sinks import StreamSend
from sentinel.siem.said import instant
from sentinel.siem.sink import Batch, Delivered, Notice, Outcome, SinkConfig

FACILITIES: Mapping[str, int] = {
    "user": 1,
    "daemon": 3,
    "auth": 4,
    "authpriv": 10,
    "audit": 13,
    "alert": 14,
    **{f"local{number}": 16 + number for number in range(8)},
}
SEVERITIES: Mapping[str, int] = {"critical": 2, "high": 3, "medium": 4, "low": 5, "informational": 6}
NOTICE = 5
_BOM = b"\xef\xbb\xbf"
_QUOTED = re.compile(r'([\\"\]])')
_ODD = re.compile(r"[^!-~]")
_BREAKS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
MAX_VALUE = 500


class SyslogConfig(SinkConfig):
    """`host` and `port` of the receiver, whose certificate has to name the host; it is allowed as for HTTP.

    `ca` is the PEM of a private authority, which is no secret. `data` is the SD-ID of RFC 5424, 6.3.2: a
    name and an enterprise number, by default the one for examples. `max_message` is in bytes.
    """

    kind: Literal["syslog"]
    host: str = Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?$")
    port: int = Field(default=6514, ge=1, le=65_535)
    token: Literal[""] = ""
    facility: str = "local0"
    app: str = Field(default="sentinel", pattern=r"^[!-~]{1,48}$")
    data: str = Field(default="sentinel@32473", pattern=r'^[^=\]"\s@]{1,20}@[0-9]{1,10}$')
    max_message: int = Field(default=8_192, ge=2_048, le=262_144)
    ca: str = Field(default="", max_length=100_000)
    timeout: float = Field(default=10.0, ge=1, le=20)

    @field_validator("facility")
    @classmethod
    def _known(cls, facility: str) -> str:
        if facility not in FACILITIES:
            raise ValueError(f"a facility is one of {', '.join(FACILITIES)}")
        return facility


class SyslogSink:
    """Encodes notices as messages; all of a batch go over one connection."""

    max_events = 1_000
    max_bytes = 2_000_000
    exact = False

    def __init__(self, config: SyslogConfig, _token: str) -> None:
        self._config = config

    def encode(self, notice: Notice) -> bytes:
        """Encode one message, of one line, without the length in front."""
        config = self._config
        priority = FACILITIES[config.facility] * 8 + SEVERITIES.get(notice.level, NOTICE)
        host = _ODD.sub("_", notice.service)[:255] or "-"
        kind = "entry" if notice.plain else "alert"
        head = f"<{priority}>1 {instant(notice.t)[:26]}Z {host} {config.app} - {kind} "
        text = _BREAKS.sub(" ", notice.entry.decode(errors="replace") or notice.title)
        whole = self._framed(head, notice, text, cut=False)
        return whole if len(whole) <= config.max_message else self._framed(head, notice, text, cut=True)

    def _framed(self, head: str, notice: Notice, text: str, *, cut: bool) -> bytes:
        front = (head + _data(self._config.data, notice, cut=cut) + " ").encode() + _BOM
        body = text.encode(errors="replace")
        if cut:
            left = max(0, self._config.max_message - len(front))
            body = body[:left].decode(errors="ignore").encode()
        return front + body

    def request(self, batch: Batch) -> StreamSend:
        """Return the messages of a batch, each as `LENGTH MESSAGE` (RFC 5425, 4.3)."""
        frames = b"".join(b"%d %s" % (len(item.data), item.data) for item in batch.items)
        config = self._config
        return StreamSend(config.host, config.port, frames, config.timeout, config.ca)

    def outcome(self, _response: HttpResponse, _batch: Batch) -> Outcome:
        """Never asked: what the stream took is delivered, as far as this protocol can tell."""
        return Delivered()


def _data(name: str, notice: Notice, *, cut: bool) -> str:
    """Return the structured data: values escaped, of one line, and bounded, so that the id is never lost."""
    told = {
        "id": notice.id,
        "service": notice.service,
        "chain": notice.chain,
        "seq": str(notice.seq),
        "rule": notice.rule,
        "title": notice.title,
        "level": notice.level,
        "task": notice.task,
        "recipe": notice.recipe,
        "trace": notice.trace,
        "span": notice.span,
        "cut": "true" if cut else "",
    }
    params = (f' {key}="{_value(value)}"' for key, value in told.items() if value)
    return f"[{name}{''.join(params)}]"


def _value(text: str) -> str:
    return _QUOTED.sub(r"\\\1", _BREAKS.sub(" ", text)[:MAX_VALUE].encode(errors="replace").decode())
