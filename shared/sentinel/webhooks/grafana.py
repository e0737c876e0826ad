"""Grafana: alerts of unified alerting (9 and later), and the bodies of its older alerting.

Format: grafana/grafana, docs of the webhook notifier. Unified alerting sends Alertmanager's shape and more.
From 12.0 it can sign: HMAC-SHA256 in hexadecimal over the body, or over `time:body` where a header for the
time is configured. The alerts of older versions are a rule each; the rule is what is firing or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sentinel.core.alerts import Alert, Status, digest, severity_of
from sentinel.webhooks import proofs
from sentinel.webhooks.alertmanager import group, named
from sentinel.webhooks.reading import Part, document
from sentinel.webhooks.source import Unparsed, only

SIGNATURE_HEADER: Final = "x-grafana-alerting-signature"
OPTIONS: Final[Mapping[str, str]] = {
    name: proofs.OPTIONS[name]
    for name in (*proofs.SHOWN, "signature_header", "timestamp_header", "tolerance")
}
_STATES: Final = {
    "alerting": Status.FIRING,
    "no_data": Status.FIRING,
    "ok": Status.RESOLVED,
    "paused": Status.ACKNOWLEDGED,
}


class Grafana(proofs.Proven):
    """The source."""

    def __init__(self, options: Mapping[str, str]) -> None:
        only(options, OPTIONS)
        super().__init__(proofs.chosen(options, SIGNATURE_HEADER, "{timestamp}:{body}"))

    def alerts(self, headers: Mapping[str, str], body: bytes) -> list[Alert]:
        """Return what is told; see `Source.alerts`."""
        del headers
        told = document(body)
        if told.at("alerts").value is not None:
            return group(told)
        if told.text("ruleName", "ruleId"):
            return [_rule(told)]
        raise Unparsed("no group of alerts, and no rule of the older alerting")


def _rule(told: Part) -> Alert:
    state = told.text("state").lower()
    tags = _tags(told)
    return Alert(
        title=told.text("ruleName", "title"),
        severity=severity_of(named(tags, ("severity", "priority", "level"))),
        status=_STATES.get(state, Status.UNKNOWN),
        # A rule's number is its organisation's own; the rule's address tells the server, too.
        fingerprint=digest("grafana", told.text("ruleId"), told.text("orgId"), told.text("ruleUrl")),
        kind=state,
        description=told.text("message"),
        link=told.text("ruleUrl"),
        resource=named(tags, ("instance", "host", "hostname", "node")),
        service=named(tags, ("service", "app", "job")),
        environment=named(tags, ("environment", "env")),
        labels=tags,
    )


def _tags(told: Part) -> dict[str, str]:
    """Return the rule's own tags, and those that all series that fit have in common."""
    series = [dict(each.members("tags")) for each in told.each("evalMatches")]
    first = series[0] if series else {}
    common = {name: tag for name, tag in first.items() if all(each.get(name) == tag for each in series)}
    return common | dict(told.members("tags"))
