"""Elastic: Kibana's webhook connector, with the body that docs/connectors.md gives to paste.

The connector's body is a template of the customer's, so its form is ours: `"schema": "sentinel/elastic/1"`.
Variables that a rule does not fill are empty texts. A rule of Elastic Security tells its alerts in
`context.alerts`: each becomes one of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sentinel.core.alerts import Alert, Severity, Status, digest, severity_of
from sentinel.webhooks import proofs
from sentinel.webhooks.reading import Part, document, known
from sentinel.webhooks.source import Unparsed, only

SCHEMA: Final = "sentinel/elastic/1"
OPTIONS: Final[Mapping[str, str]] = proofs.SHOWN
TEMPLATE: Final = """\
{
  "schema": "sentinel/elastic/1",
  "severity": "{{context.rule.severity}}",
  "service": "{{context.serviceName}}",
  "environment": "{{context.environment}}",
  "resource": "{{context.group}}",
  "date": "{{date}}",
  "kibana": "{{kibanaBaseUrl}}",
  "rule": {"id": "{{rule.id}}", "name": "{{rule.name}}", "type": "{{rule.type}}", "space": "{{rule.spaceId}}",
           "tags": "{{rule.tags}}", "url": "{{rule.url}}"},
  "alert": {"id": "{{alert.id}}", "uuid": "{{alert.uuid}}", "group": "{{alert.actionGroup}}",
            "group_name": "{{alert.actionGroupName}}", "flapping": "{{alert.flapping}}"},
  "context": {"title": "{{context.title}}", "message": "{{context.message}}", "reason": "{{context.reason}}",
              "value": "{{context.value}}", "url": "{{context.alertDetailsUrl}}",
              "results": "{{context.results_link}}", "started": "{{context.timestamp}}"},
  "alerts": [{{#context.alerts}}
    {"uuid": "{{kibana.alert.uuid}}", "name": "{{kibana.alert.rule.name}}",
     "severity": "{{kibana.alert.severity}}", "risk": "{{kibana.alert.risk_score}}",
     "status": "{{kibana.alert.workflow_status}}",
     "reason": "{{kibana.alert.reason}}", "host": "{{host.name}}", "user": "{{user.name}}",
     "url": "{{kibana.alert.url}}", "time": "{{@timestamp}}"},
    {{/context.alerts}}{}]
}
"""
_WORKFLOW: Final = {
    "acknowledged": Status.ACKNOWLEDGED,
    "in-progress": Status.ACKNOWLEDGED,
    "closed": Status.RESOLVED,
}


class Elastic(proofs.Proven):
    """The source."""

    def __init__(self, options: Mapping[str, str]) -> None:
        only(options, OPTIONS)
        super().__init__(proofs.shown(options))

    def alerts(self, headers: Mapping[str, str], body: bytes) -> list[Alert]:
        """Return the alerts of a rule's action; see `Source.alerts`."""
        del headers
        told = document(body)
        if told.text("schema") != SCHEMA:
            raise Unparsed(f"no schema {SCHEMA}: the connector's body is not the one of docs/connectors.md")
        if not told.text("rule.name", "rule.id"):
            raise Unparsed("no rule: the connector was tried, or its variables are not filled")
        listed = [each for each in told.each("alerts") if each.text("uuid")]
        return [_listed(each, told) for each in listed] or [_alert(told)]


def _alert(told: Part) -> Alert:
    group = told.text("alert.group")
    return Alert(
        title=told.text("context.title", "rule.name", "rule.id"),
        severity=_severity(told, group),
        status=_status(group),
        fingerprint=told.text("alert.uuid") or digest("elastic", told.text("rule.id"), told.text("alert.id")),
        kind=told.text("rule.type"),
        description=told.text("context.reason", "context.message"),
        link=told.text("context.url", "context.results", "rule.url"),
        resource=told.text("resource", "alert.id"),
        service=told.text("service"),
        environment=told.text("environment"),
        started=told.time("context.started"),
        updated=told.time("date"),
        labels=_labels(told) | known({"group": group, "value": told.text("context.value")}),
    )


def _listed(each: Part, told: Part) -> Alert:
    return Alert(
        title=each.text("name") or told.text("rule.name", "rule.id"),
        severity=severity_of(each.text("severity") or told.text("severity")),
        status=_WORKFLOW.get(each.text("status").lower(), Status.FIRING),
        fingerprint=each.text("uuid"),
        kind=told.text("rule.type"),
        description=each.text("reason"),
        link=each.text("url") or told.text("context.results", "rule.url"),
        resource=each.text("host", "user"),
        service=told.text("service"),
        environment=told.text("environment"),
        started=each.time("time"),
        updated=told.time("date"),
        labels=_labels(told) | known({"risk": each.text("risk"), "user": each.text("user")}),
    )


def _labels(told: Part) -> dict[str, str]:
    names = {name: told.text(f"rule.{name}") for name in ("id", "space", "tags")}
    return known({"rule_id": names["id"], "space": names["space"], "tags": names["tags"]})


def _status(group: str) -> Status:
    """Return what an action group means: rule types have their own, of which those of an end are alike."""
    return Status.RESOLVED if "recovered" in group.lower() else Status.FIRING


def _severity(told: Part, group: str) -> Severity:
    word = told.text("severity")
    if word:
        return severity_of(word)
    return Severity.WARNING if "warning" in group.lower() else Severity.UNKNOWN
