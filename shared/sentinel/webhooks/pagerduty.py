"""PagerDuty: webhooks version 3, and the bodies of versions 1 and 2.

`X-PagerDuty-Signature` lists `v1=` and HMAC-SHA256 of the body in hex, with commas between, one for each
secret that the subscription has while it rotates. No time is signed. Versions 1 and 2 sign nothing:
`auth=secret` takes them, and version 3, with the secret in a custom header.
"""

from __future__ import annotations

from collections.abc import Mapping

from sentinel.core.alerts import Alert, Severity, Status, severity_of, status_of
from sentinel.webhooks.proofs import SHOWN as PRESENTED
from sentinel.webhooks.proofs import Proven, Signed, either
from sentinel.webhooks.reading import Part, document, known
from sentinel.webhooks.source import Unparsed, hashed, only

SIGNATURE = "x-pagerduty-signature"
OPTIONS: Mapping[str, str] = {
    "auth": "`signature`, or `secret` where a custom header brings the secret itself",
    **PRESENTED,
}
# Of the events about an incident, those that say what its status is now; of the others its data says it.
_STATUSES = {
    "triggered": Status.FIRING,
    "reopened": Status.FIRING,
    "unacknowledged": Status.FIRING,
    "acknowledged": Status.ACKNOWLEDGED,
    "resolved": Status.RESOLVED,
}
_OLD = {"trigger": Status.FIRING, "unacknowledge": Status.FIRING, "acknowledge": Status.ACKNOWLEDGED}
_OLD |= {"resolve": Status.RESOLVED}
_URGENCY = {"high": Severity.ERROR, "low": Severity.WARNING}
_SILENT = ("service.", "pagey.")


class PagerDuty(Proven):
    """The source."""

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        only(options or {}, OPTIONS)
        super().__init__(either(options or {}, Signed(SIGNATURE, prefix="v1=")))

    def message(self, headers: Mapping[str, str], body: bytes) -> str:
        """Return the event's id, which stays when it is sent again."""
        del headers
        try:
            name = document(body).text("event.id")
        except Unparsed:
            name = ""
        return name if 0 < len(name) <= 64 and name.isalnum() and name.isascii() else hashed(body)

    def alerts(self, headers: Mapping[str, str], body: bytes) -> list[Alert]:
        """Return the incident that an event is about; none for a note, a responder, a service, a ping."""
        del headers
        told = document(body)
        old = [_old(each) for each in told.each("messages")]
        if old:
            return old
        event = told.at("event")
        kind, data = event.text("event_type"), event.at("data")
        if kind.startswith("incident.") and data.text("type") in {"incident", ""} and data.text("status"):
            return [_incident(event, kind.removeprefix("incident."), data)]
        if kind.startswith(_SILENT) or (kind.startswith("incident.") and data.at("incident").there):
            return []
        raise Unparsed("an event of PagerDuty that is not known")


def _incident(event: Part, what: str, incident: Part) -> Alert:
    status = _STATUSES.get(what) or status_of(incident.text("status"))
    at = event.time("occurred_at")
    return Alert(
        title=incident.text("title", "summary"),
        severity=_severity(incident),
        status=status,
        fingerprint=incident.text("id"),
        kind=event.text("event_type"),
        link=incident.text("html_url"),
        service=incident.text("service.summary"),
        started=incident.time("created_at"),
        ended=at if status == Status.RESOLVED else 0,
        updated=at,
        labels=known(
            {
                "number": incident.text("number"),
                "incident_key": incident.text("incident_key"),
                "urgency": incident.text("urgency"),
                "priority": incident.text("priority.summary"),
                "team": incident.text("teams.0.summary"),
                "assignee": incident.text("assignees.0.summary"),
                "resolve_reason": incident.text("resolve_reason.type", "resolve_reason"),
            }
        ),
        sender_id=event.text("id"),
    )


def _old(message: Part) -> Alert:
    """Return the incident of a message of version 1 (`type`, `data.incident`) or 2 (`event`, `incident`)."""
    kind = message.text("type", "event")
    incident = message.at("data.incident") if message.at("data.incident").there else message.at("incident")
    title = incident.text("title", "summary", "description")
    title = title or incident.text("trigger_summary_data.subject", "trigger_summary_data.description")
    if not kind.startswith("incident.") or not incident.text("id"):
        raise Unparsed("a message of PagerDuty's older versions that is not known")
    status = _OLD.get(kind.removeprefix("incident.")) or status_of(incident.text("status"))
    at = message.time("created_on")
    return Alert(
        title=title,
        severity=_severity(incident),
        status=status,
        fingerprint=incident.text("id"),
        kind=kind,
        link=incident.text("html_url"),
        service=incident.text("service.name", "service.summary"),
        started=incident.time("created_on", "created_at"),
        ended=at if status == Status.RESOLVED else 0,
        updated=at,
        labels=known({"number": incident.text("incident_number"), "urgency": incident.text("urgency")}),
        sender_id=message.text("id"),
    )


def _severity(incident: Part) -> Severity:
    priority = severity_of(incident.text("priority.summary"))
    if priority != Severity.UNKNOWN:
        return priority
    return _URGENCY.get(incident.text("urgency"), Severity.UNKNOWN)
