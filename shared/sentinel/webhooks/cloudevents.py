"""CloudEvents 1.0 over HTTP: one event in JSON, a batch of them, or one whose attributes are headers.

Format: cloudevents/spec, bindings/http-protocol-binding.md, formats/json-format.md and http-webhook.md. An
event need not be an alert: what its data, its attributes or its type tell of severity and status counts.
Where the sender signs, the body alone is signed: then headers say nothing, and an event whose attributes are
there is parked.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import unquote

import orjson

from sentinel.core.alerts import Alert, Status, digest, severity_of, status_of
from sentinel.errors import Malformed
from sentinel.webhooks import generic, proofs
from sentinel.webhooks.places import anything
from sentinel.webhooks.reading import Part, known
from sentinel.webhooks.source import Unparsed, hashed, only

OPTIONS: Final[Mapping[str, str]] = {
    **generic.OPTIONS,
    "origins": "the origins that may send, as they ask, with commas between; `*` for all; empty: none",
    "rate": "deliveries a minute that a sender is told it may make, 1 to 1000000; else 600",
}
BATCH: Final = "application/cloudevents-batch"
SINGLE: Final = "application/cloudevents"
MAX_ID: Final = 250  # characters of source and id together
_HEADERS: Final = ("content-type", "ce-id", "ce-source", "ce-type", "ce-specversion")
_ATTRIBUTES: Final = frozenset(
    {
        "id",
        "source",
        "type",
        "specversion",
        "time",
        "subject",
        "dataschema",
        "datacontenttype",
        "data",
        "data_base64",
    }
)
_ORIGIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_WORD = re.compile(r"[\x21-\x7e]+")


class CloudEvents(proofs.Proven):
    """The source."""

    def __init__(self, options: Mapping[str, str]) -> None:
        only(options, OPTIONS)
        super().__init__(proofs.chosen(options, generic.SIGNATURE_HEADER))
        self._origins = _origins(options.get("origins", ""))
        self._rate = _rate(options.get("rate", "600"))
        self._signed = options.get("auth") == "signature"
        self._mapping = generic.mapped(options)

    @property
    def proof(self) -> Sequence[str]:
        """See `Source.proof`."""
        return self._way.headers if self._signed else (*self._way.headers, *_HEADERS)

    def invites(self, origin: str) -> Mapping[str, str]:
        """Return the headers that let an origin send (HTTP webhooks, 4.2); none where it may not."""
        if not _ORIGIN.fullmatch(origin):
            return {}
        named = origin.lower() in self._origins
        allowed = origin if named else "*" if "*" in self._origins else ""
        return {"WebHook-Allowed-Origin": allowed, "WebHook-Allowed-Rate": self._rate} if allowed else {}

    def message(self, headers: Mapping[str, str], body: bytes) -> str:
        """Return the event's id and source, which are its own; of a batch the body's hash."""
        try:
            events = self._events(headers, body)
        except Unparsed:
            return hashed(body)
        name, source = (events[0].text("id"), events[0].text("source")) if len(events) == 1 else ("", "")
        whole = _WORD.fullmatch(name) and _WORD.fullmatch(source) and len(name) + len(source) <= MAX_ID
        return f"{name} {source}" if whole else hashed(body)

    def alerts(self, headers: Mapping[str, str], body: bytes) -> list[Alert]:
        """Return what the events tell; see `Source.alerts`."""
        events = [event for event in self._events(headers, body) if _is_event(event)]
        if not events:
            raise Unparsed("no event of CloudEvents 1.0: specversion, id, source and type belong to one")
        if self._mapping is None:
            return [_alert(event) for event in events]
        return self._mapping.all(events)

    def _events(self, headers: Mapping[str, str], body: bytes) -> list[Part]:
        """Return the events of a message, each as the JSON format has it."""
        kind = "" if self._signed else headers.get("content-type", "").strip().lower()
        if not self._signed and not kind.startswith(SINGLE) and "ce-id" in headers:
            return [_binary(headers, body)]
        told = anything(body)
        if isinstance(told.value, list) and (self._signed or kind.startswith(BATCH)):
            return [Part(each) for each in told.value]
        return [told]


def _origins(text: str) -> frozenset[str]:
    origins = frozenset(filter(None, (each.strip().lower() for each in text.split(","))))
    if any(each != "*" and not _ORIGIN.fullmatch(each) for each in origins):
        raise Malformed("origins is DNS names such as eventgrid.azure.net with commas between, or *")
    return origins


def _rate(text: str) -> str:
    if not re.fullmatch(r"[0-9]{1,7}", text) or not 1 <= int(text) <= 1_000_000:
        raise Malformed("rate is a number of deliveries a minute from 1 to 1000000")
    return str(int(text))


def _binary(headers: Mapping[str, str], body: bytes) -> Part:
    """Return the event whose attributes are headers. Data that is no JSON is left in the message."""
    event: dict[str, object] = {
        name[3:]: unquote(value)
        for name, value in headers.items()
        if name.startswith("ce-") and name != "ce-data"
    }
    kind = headers.get("content-type", "")
    event["datacontenttype"] = kind
    if _is_json(kind):
        event["data"] = _json(body)
    return Part(event)


def _is_event(event: Part) -> bool:
    return event.text("specversion") == "1.0" and all(event.text(each) for each in ("id", "source", "type"))


def _is_json(kind: str) -> bool:
    media = kind.partition(";")[0].strip().lower()
    return media in {"", "application/json", "text/json"} or media.endswith("+json")


def _json(body: bytes) -> object:
    try:
        found: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return found


def _data(event: Part) -> Part:
    coded = event.at("data_base64").value
    if isinstance(coded, str) and _is_json(event.text("datacontenttype")):
        try:
            return Part(_json(base64.b64decode(coded, validate=True)))
        except (binascii.Error, ValueError):
            return Part(None)
    return event.at("data")


def _alert(event: Part) -> Alert:
    data, kind, subject = _data(event), event.text("type"), event.text("subject")
    status, stem = _status(event, data, kind)
    return Alert(
        title=data.text("title", "summary", "message", "name") or f"{kind} {subject}",
        severity=severity_of(
            event.text("severitytext", "severity") or data.text("severity", "level", "priority")
        ),
        status=status,
        fingerprint=event.text("fingerprint")
        or data.text("fingerprint")
        or digest(event.text("source"), subject, stem),
        kind=kind,
        description=data.text("description", "text", "body"),
        link=data.text("url", "link", "web_url"),
        resource=data.text("resource", "host") or subject,
        service=data.text("service"),
        environment=data.text("environment", "env"),
        started=event.time("time"),
        labels=_labels(event),
        sender_id=event.text("id"),
    )


def _status(event: Part, data: Part, kind: str) -> tuple[Status, str]:
    """Return the status, and the type without what it says of it: `disk.full.resolved` is of `disk.full`."""
    stem, _, last = kind.rpartition(".")
    by_type = status_of(last)
    told = status_of(event.text("status") or data.text("status", "state"))
    return (by_type if told is Status.UNKNOWN else told), (kind if by_type is Status.UNKNOWN else stem)


def _labels(event: Part) -> dict[str, str]:
    members = event.value if isinstance(event.value, dict) else {}
    extensions = {name: event.text(name) for name in members if name not in _ATTRIBUTES and "." not in name}
    return known({"source": event.text("source"), "subject": event.text("subject")} | extensions)
