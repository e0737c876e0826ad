"""Microsoft Sentinel: incidents, which an automation rule hands to a Logic App and that to us.

Nothing is signed. The Logic App's HTTP action brings the secret in a header of its own, or as Basic. The body
is the trigger's (`objectSchemaType` Incident), or its `object` alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sentinel.core.alerts import Alert, Status, severity_of, status_of
from sentinel.core.replies import BY, OURS, marked
from sentinel.webhooks.proofs import SHOWN as OPTIONS
from sentinel.webhooks.proofs import Proven, shown
from sentinel.webhooks.reading import Part, document, known
from sentinel.webhooks.source import Unparsed, hashed, only

__all__ = ["OPTIONS", "MicrosoftSentinel"]

_ID = re.compile(r"[0-9A-Za-z-]{8,64}")
# "Active" is what somebody has begun to look at; elsewhere it is what is going on.
_STATUSES = {"new": Status.FIRING, "active": Status.ACKNOWLEDGED, "closed": Status.RESOLVED}


class MicrosoftSentinel(Proven):
    """The source."""

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        only(options or {}, OPTIONS)
        super().__init__(shown(options or {}))

    def message(self, headers: Mapping[str, str], body: bytes) -> str:
        """Return the event's id; a hash of the body where there is none."""
        del headers
        try:
            name = document(body).text("eventUniqueId")
        except Unparsed:
            name = ""
        return name if _ID.fullmatch(name) else hashed(body)

    def alerts(self, headers: Mapping[str, str], body: bytes) -> list[Alert]:
        """Return the incident as an alert."""
        del headers
        told = document(body)
        incident = told.at("object") if told.at("object").there else told
        if not incident.text("type", "id").lower().count("microsoft.securityinsights/incidents"):
            raise Unparsed("no incident of Microsoft Sentinel: use the trigger for incidents")
        if not incident.at("properties").there:
            raise Unparsed("an incident without properties")
        return [_incident(told, incident, incident.at("properties"))]


def _incident(told: Part, incident: Part, about: Part) -> Alert:
    word = about.text("status").lower()
    status = _STATUSES.get(word) or status_of(word)
    changed = about.time("lastModifiedTimeUtc", "lastActivityTimeUtc")
    name = incident.text("name") or incident.text("id").rpartition("/")[2]
    return Alert(
        title=about.text("title"),
        severity=severity_of(about.text("severity")),
        status=status,
        fingerprint=name.lower(),
        kind="incident",
        description=about.text("description"),
        link=about.text("incidentUrl"),
        resource=_entity(about),
        service=told.text("workspaceInfo.WorkspaceName"),
        started=about.time("firstActivityTimeUtc", "createdTimeUtc"),
        ended=changed if status == Status.RESOLVED else 0,
        updated=changed,
        labels=known(
            {
                "number": about.text("incidentNumber"),
                "event": told.text("objectEventType"),
                "provider": about.text("providerName"),
                "products": ",".join(about.texts("additionalData.alertProductNames")),
                "tactics": ",".join(about.texts("additionalData.tactics")),
                "techniques": ",".join(about.texts("additionalData.techniques")),
                "alerts": about.text("additionalData.alertsCount"),
                "owner": about.text("owner.userPrincipalName", "owner.email", "owner.assignedTo"),
                "classification": about.text("classification"),
                "tags": ",".join(filter(None, (each.text("labelName") for each in about.each("labels")))),
                "incident": incident.text("id"),
                BY: OURS if _commented(about) else "",
            }
        ),
        sender_id=told.text("eventUniqueId"),
    )


def _entity(about: Part) -> str:
    """Return the first host of an incident, else the first thing of it that has a name."""
    found = about.each("relatedEntities")
    hosts = [each for each in found if each.text("kind", "Type").lower() == "host"]
    names = ("properties.hostName", "HostName", "properties.friendlyName", "properties.address", "Address")
    return next(filter(None, (each.text(*names) for each in (*hosts, *found))), "")


def _commented(about: Part) -> bool:
    """Whether the newest comment of an incident is ours: what changed is that we replied."""
    comments = about.each("comments")
    newest = max(comments, key=lambda each: each.time("properties.createdTimeUtc"), default=Part(None))
    return marked(newest.text("properties.message", "message"))
