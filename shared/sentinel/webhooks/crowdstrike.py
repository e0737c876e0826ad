"""CrowdStrike Falcon: the webhook action of Fusion workflows, whose body the workflow's author chooses.

HMAC-SHA256 with the customer's secret over body and delivery time. In which order, and whether written as
base64 or hex, is told differently by those who receive it, so both are options (the default is the one that
is told with an example); so are the names of the headers. Alerts are read from the shapes of Falcon's own
events, and from wherever options say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from sentinel.core.alerts import Alert, Severity, Status, instant, severity_of, status_of
from sentinel.errors import Malformed, Unauthenticated
from sentinel.ports_doors import Delivery
from sentinel.webhooks import mapping
from sentinel.webhooks.credentials import REFUSED, check_signatures, usable
from sentinel.webhooks.proofs import WRITTEN
from sentinel.webhooks.reading import Part, document
from sentinel.webhooks.source import Unparsed, hashed, only, stored

MIN_SECRET = 32  # characters, as CrowdStrike asks
USUAL: Mapping[str, str] = {
    "order": "body_ts",
    "encoding": "base64",
    "signature_header": "x-cs-primary-signature",
    "secondary_header": "x-cs-secondary-signature",
    "timestamp_header": "x-cs-delivery-timestamp",
    "tolerance": "300",
}
OPTIONS: Mapping[str, str] = {
    "order": "what is signed: `body_ts`, the body and then the time, or `ts_body`",
    "encoding": "how the signature is written: `base64` or `hex`",
    "signature_header": "the header with the signature, where it is not `x-cs-primary-signature`",
    "secondary_header": "the header with a second one while a secret rotates, not `x-cs-secondary-signature`",
    "timestamp_header": "the header with the time, where it is not `x-cs-delivery-timestamp`",
    "tolerance": "seconds that the time may be off, either way: 30 to 3600, by default 300",
    **mapping.OPTIONS,
}
PLACES: Mapping[str, str] = {
    "title": "event.DetectName|event.IncidentType|event.Name|event.Title|data.title|data.display_name"
    "|data.name|title|name",
    "severity": "event.SeverityName|event.Severity|data.severity_name|data.severity|severity",
    "status": "event.Status|data.status|status",
    "fingerprint": "event.CompositeId|event.DetectionId|event.DetectId|event.IncidentID|data.composite_id"
    "|data.detection_id|data.incident_id|data.id|id",
    "kind": "metadata.event_type|meta.event_type|metadata.eventType|type",
    "description": "event.DetectDescription|event.Description|data.description|description",
    "link": "event.FalconHostLink|data.falcon_host_link|data.link|link",
    "resource": "event.Hostname|event.ComputerName|data.device.hostname|data.hostname|hostname",
    "started": "event.Timestamp|event.ProcessStartTime|metadata.event_creation_time"
    "|metadata.eventCreationTime|data.timestamp|data.created_timestamp",
    "updated": "data.updated_timestamp|metadata.event_creation_time|metadata.eventCreationTime",
    "labels": "event.Tactic,event.Technique,event.Objective,event.UserName,event.FileName,event.LocalIP,"
    "event.SensorId,data.tactic,data.technique,data.user_name,metadata.customer_id,meta.workflow_name",
}
_HEADER = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_STEPS = ((80, Severity.CRITICAL), (60, Severity.ERROR), (40, Severity.WARNING))
_FALCON = {
    "in_progress": Status.ACKNOWLEDGED,
    "true_positive": Status.ACKNOWLEDGED,
    "false_positive": Status.RESOLVED,
    "ignored": Status.RESOLVED,
}


class CrowdStrike:
    """The source."""

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        only(options or {}, OPTIONS)
        told = {**USUAL, **(options or {})}
        headers = [
            told[name].lower() for name in ("signature_header", "secondary_header", "timestamp_header")
        ]
        if told["order"] not in {"body_ts", "ts_body"} or told["encoding"] not in WRITTEN:
            raise Malformed("order is body_ts or ts_body, encoding is base64 or hex")
        if not all(map(_HEADER.fullmatch, headers)) or len(set(headers)) < len(headers):
            raise Malformed("the headers have three names of up to 64 of a-z, 0-9 and -")
        if not re.fullmatch(r"[0-9]{2,4}", told["tolerance"]) or not 30 <= int(told["tolerance"]) <= 3600:
            raise Malformed("tolerance is 30 to 3600 seconds")
        self._body_first = told["order"] == "body_ts"
        self._written = WRITTEN[told["encoding"]]
        self._headers = headers
        self._tolerance = int(told["tolerance"])
        self._places = mapping.Places(options or {}, PLACES)

    @property
    def proof(self) -> Sequence[str]:
        """The headers that are read."""
        return self._headers

    def usable(self, secret: str) -> bool:
        """Say whether a secret is as long as CrowdStrike wants it."""
        return usable(secret) and len(secret) >= MIN_SECRET

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: int) -> None:
        """Check signature and time; see `Source.verify`."""
        first, second, at = (headers.get(name, "") for name in self._headers)
        time = at.encode("utf-8", "replace")
        signed = body + time if self._body_first else time + body
        long = [each for each in secrets if self.usable(each)]
        check_signatures([first.strip(), second.strip()], long, signed, self._written)
        if abs(now - instant(at) // 10**9) > self._tolerance:
            raise Unauthenticated(REFUSED)

    def message(self, headers: Mapping[str, str], body: bytes) -> str:
        """Return a hash of the body: no id comes with every body."""
        del headers
        return hashed(body)

    def alerts(self, headers: Mapping[str, str], body: bytes) -> list[Alert]:
        """Return the alert at the usual places or those of the options."""
        del headers
        told = document(body)
        named = told if self._places.text("title", told) else _titled(told)
        alert = self._places.alert(named, _severity, _status)
        if alert is None:
            raise Unparsed("a body without a title: say by the option title where it is")
        return [alert]

    def entries(self, delivery: Delivery, body: bytes) -> list[bytes]:
        """Return the message as it came."""
        return stored(delivery, body)


def _titled(told: Part) -> Part:
    """Return a body with a title made of what a detection is about, where it has none."""
    names = (told.text("event.Tactic", "data.tactic"), told.text("event.Technique", "data.technique"))
    title = ": ".join(filter(None, names))
    return Part({**told.value, "title": title}) if title and isinstance(told.value, dict) else told


def _severity(word: str) -> Severity:
    """Return what a name means, or a number: 1 to 5 as in Falcon's event stream, else of 100."""
    if not word.isdecimal() or len(word) > 3:
        return severity_of(word)
    number = int(word) * 20 - 20 if 1 <= int(word) <= 5 else int(word)
    return next((severity for least, severity in _STEPS if number >= least), Severity.INFO)


def _status(word: str) -> Status:
    """Return what Falcon's word means; a detection that comes without one has just been made."""
    return _FALCON.get(word.lower()) or (status_of(word) if word else Status.FIRING)
