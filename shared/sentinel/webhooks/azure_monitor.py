"""Azure Monitor: alerts in the common alert schema.

Nothing is signed, and the webhook of an action group can set no header: a Logic App between them and us
brings the secret.
"""

from __future__ import annotations

from collections.abc import Mapping

from sentinel.core.alerts import Alert, Status, severity_of, status_of
from sentinel.webhooks.proofs import SHOWN as OPTIONS
from sentinel.webhooks.proofs import Proven, shown
from sentinel.webhooks.reading import Part, document, known
from sentinel.webhooks.source import Unparsed, only

__all__ = ["OPTIONS", "AzureMonitor"]

SCHEMA = "azureMonitorCommonAlertSchema"


class AzureMonitor(Proven):
    """The source."""

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        only(options or {}, OPTIONS)
        super().__init__(shown(options or {}))

    def alerts(self, headers: Mapping[str, str], body: bytes) -> list[Alert]:
        """Return the alert."""
        del headers
        told = document(body)
        if told.text("schemaId") != SCHEMA:
            raise Unparsed("not the common alert schema: enable it in the action group")
        essentials = told.at("data.essentials")
        if not essentials.text("alertId") or not essentials.text("monitorCondition"):
            raise Unparsed("an alert without alertId or monitorCondition")
        return [_alert(essentials, told.at("data"))]


def _alert(essentials: Part, data: Part) -> Alert:
    target = essentials.text("alertTargetIDs.0")
    status = status_of(essentials.text("monitorCondition"))
    fired, resolved = essentials.time("firedDateTime"), essentials.time("resolvedDateTime")
    custom = {f"custom_{name}": value for name, value in data.members("customProperties")}
    return Alert(
        title=essentials.text("alertRule", "alertRuleId", "monitoringService"),
        severity=severity_of(essentials.text("severity")),
        status=status,
        fingerprint=essentials.text("alertId").lower(),
        kind=essentials.text("monitoringService", "signalType"),
        description=essentials.text("description") or _condition(data.at("alertContext")),
        link=essentials.text("investigationLink"),
        resource=essentials.text("configurationItems.0") or target.rpartition("/")[2],
        service=_group(target),
        started=fired,
        ended=resolved if status == Status.RESOLVED else 0,
        updated=resolved or fired,
        labels={
            **known(
                {
                    "signal": essentials.text("signalType"),
                    "target": target,
                    "targets": str(len(essentials.each("alertTargetIDs")) or ""),
                    "origin": essentials.text("originAlertId"),
                }
            ),
            **custom,
        },
        sender_id=essentials.text("alertId").rpartition("/")[2],
    )


def _group(target: str) -> str:
    """Return the resource group of an ARM id, the nearest to a service that an alert of Azure names."""
    parts = target.lower().split("/")
    return parts[parts.index("resourcegroups") + 1] if "resourcegroups" in parts[:-1] else ""


def _condition(context: Part) -> str:
    """Return what was measured, where the rule has no words of its own: `Heartbeat LessThan 1 (0.0)`."""
    told = []
    for each in context.each("condition.allOf")[:10]:
        words = (each.text("metricName", "searchQuery"), each.text("operator"), each.text("threshold"))
        value = each.text("metricValue")
        told.append(" ".join(filter(None, (*words, f"({value})" if value else ""))))
    return "\n".join(filter(None, told))
