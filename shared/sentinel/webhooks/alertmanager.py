"""Prometheus Alertmanager: its webhook of version 4, the older version 3, and single alerts of its API.

Format: prometheus/alertmanager, docs/configuration.md and template/template.go. It signs nothing: a secret
comes by `http_config`. What is one problem is told by its labels: version 4 sends their hash as
`fingerprint`; for what sends none it is made here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from sentinel.core.alerts import Alert, Severity, Status, digest, instant, severity_of
from sentinel.webhooks import proofs
from sentinel.webhooks.reading import Part, document
from sentinel.webhooks.source import Unparsed, only

OPTIONS: Final[Mapping[str, str]] = proofs.SHOWN
_RESOURCE: Final = ("instance", "pod", "node", "host", "hostname", "device", "container", "namespace")
_SERVICE: Final = ("service", "app", "app_kubernetes_io_name", "deployment", "job")
_ENVIRONMENT: Final = ("environment", "env", "stage", "cluster")
_STATUSES: Final = {"firing": Status.FIRING, "active": Status.FIRING, "resolved": Status.RESOLVED}
_LINKS: Final = ("panelURL", "dashboardURL", "generatorURL")


class Alertmanager(proofs.Proven):
    """The source."""

    def __init__(self, options: Mapping[str, str]) -> None:
        only(options, OPTIONS)
        super().__init__(proofs.shown(options))

    def alerts(self, headers: Mapping[str, str], body: bytes) -> list[Alert]:
        """Return the alerts of a group, or the single one; see `Source.alerts`."""
        del headers
        return group(document(body))


def group(told: Part) -> list[Alert]:
    """Return the alerts of a webhook's group, or of an object that is a single alert. Raises `Unparsed`."""
    if told.at("alerts").value is None:
        alone = told.at("labels").there and bool(_title(told, told))
        if not alone:
            raise Unparsed("no group of alerts, and no alert with labels")
        return [_alert(told, Part({}))]
    found = [_alert(each, told) for each in told.each("alerts") if each.there]
    if not found:
        raise Unparsed("a group without alerts")
    return found


def _alert(alert: Part, told: Part) -> Alert:
    labels = dict(alert.members("labels"))
    status = _status(alert.text("status.state", "status") or told.text("status"))
    truncated = told.text("truncatedAlerts")
    return Alert(
        title=_title(alert, told),
        severity=_severity(labels, dict(alert.members("annotations")), dict(told.members("commonLabels"))),
        status=status,
        fingerprint=alert.text("fingerprint") or _identity(labels, _title(alert, told)),
        kind=labels.get("alertname", ""),
        description=alert.text("annotations.description", "annotations.message", "description"),
        link=alert.text(*_LINKS) or told.text("externalURL"),
        resource=named(labels, _RESOURCE),
        service=named(labels, _SERVICE),
        environment=named(labels, _ENVIRONMENT),
        started=instant(alert.at("startsAt").value),
        # Of one that goes on it is when it would be given up, which is no end.
        ended=instant(alert.at("endsAt").value) if status is Status.RESOLVED else 0,
        labels=({"truncated_alerts": truncated} if truncated not in {"", "0"} else {}) | labels,
    )


def _title(alert: Part, told: Part) -> str:
    summary = alert.text("annotations.summary", "annotations.title", "summary", "labels.alertname")
    return summary or told.text("commonAnnotations.summary", "groupLabels.alertname", "title")


def _identity(labels: Mapping[str, str], title: str) -> str:
    named = "" if "alertname" in labels else title
    return digest(orjson.dumps(labels, option=orjson.OPT_SORT_KEYS).decode(), named)


def _status(word: str) -> Status:
    return _STATUSES.get(word.lower(), Status.UNKNOWN if word else Status.FIRING)


def _severity(*places: Mapping[str, str]) -> Severity:
    for place in places:
        for name in ("severity", "priority", "level"):
            found = severity_of(place.get(name, ""))
            if found is not Severity.UNKNOWN:
                return found
    return Severity.UNKNOWN


def named(labels: Mapping[str, str], names: Sequence[str]) -> str:
    """Return the first label of these names that there is, "" where there is none."""
    return next((labels[name] for name in names if labels.get(name)), "")
