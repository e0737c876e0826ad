"""Sentry: its integration platform's webhooks, and the bodies of its legacy plugin "WebHooks".

`Sentry-Hook-Signature` is HMAC-SHA256 of the body, in hex, with the integration's client secret. Nothing else
is signed: `Request-ID` and `Sentry-Hook-Timestamp` change each time a message is sent again, and anybody
could change `Sentry-Hook-Resource`, so none of them is read: what a message is about is taken from its body.
The legacy plugin signs nothing; `auth=secret` takes it where something in front of us brings the secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sentinel.core.alerts import Alert, Severity, Status, severity_of, status_of
from sentinel.core.replies import BY, OURS
from sentinel.errors import Malformed
from sentinel.webhooks.proofs import SHOWN as PRESENTED
from sentinel.webhooks.proofs import Proven, Signed, either
from sentinel.webhooks.reading import Part, document, known
from sentinel.webhooks.source import Unparsed, only

SIGNATURE = "sentry-hook-signature"
OPTIONS: Mapping[str, str] = {
    "dsn": "whether anybody can send events with the project's DSN: `public` (default), or `private`",
    "auth": "`signature`, or `secret` for senders that bring the secret itself, as the legacy plugin",
    "self": "id or name of the integration by whose token Sentinel replies: what it did is labelled so",
    **PRESENTED,
}
_STATUSES = {
    "created": Status.FIRING,
    "unresolved": Status.FIRING,
    "assigned": Status.ACKNOWLEDGED,
    "archived": Status.ACKNOWLEDGED,
    "ignored": Status.ACKNOWLEDGED,
    "resolved": Status.RESOLVED,
}
_METRIC = {"critical": Severity.CRITICAL, "warning": Severity.WARNING}
# What tells no alert. The last two are known by their actions: their data has no name of its own.
_SILENT = ("installation", "comment")
_SILENT_ACTIONS = frozenset(
    (
        "root_cause_started",
        "root_cause_completed",
        "solution_started",
        "solution_completed",
        "coding_started",
        "coding_completed",
        "pr_created",
        "size_analysis_completed",
        "build_distribution_completed",
    )
)


def strangers(options: Mapping[str, str]) -> bool:
    """Say whether anybody may have written what a webhook tells: whoever has the project's DSN may."""
    return options.get("dsn", "public") != "private"


class Sentry(Proven):
    """The source."""

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        only(options or {}, OPTIONS)
        if (options or {}).get("dsn", "public") not in {"public", "private"}:
            raise Malformed("dsn is public or private")
        self._self = (options or {}).get("self", "")
        proof = {name: value for name, value in (options or {}).items() if name not in {"dsn", "self"}}
        super().__init__(either(proof, Signed(SIGNATURE)))

    def alerts(self, headers: Mapping[str, str], body: bytes) -> list[Alert]:
        """Return the alert of an issue, an error, an issue alert or a metric alert."""
        del headers
        told = document(body)
        action, data = told.text("action"), told.at("data")
        for name, make in _ALERTS.items():
            if data.at(name).there:
                return [self._by(told.at("actor"), make(action, data, data.at(name)))]
        if any(data.at(name).value is not None for name in _SILENT) or action in _SILENT_ACTIONS:
            return []
        if not action and told.text("id") and told.text("project_slug", "project"):
            return [_legacy(told)]
        raise Unparsed("a resource of Sentry that is not known")

    def _by(self, actor: Part, alert: Alert) -> Alert:
        """Return an alert, labelled where the integration by which we reply is who did what it tells."""
        ours = actor.text("type") == "application" and self._self in (actor.text("id"), actor.text("name"))
        return replace(alert, labels={**alert.labels, BY: OURS}) if self._self and ours else alert


def _issue(action: str, data: Part, issue: Part) -> Alert:
    del data
    return Alert(
        title=issue.text("title", "metadata.title", "culprit"),
        severity=severity_of(issue.text("level")),
        status=_STATUSES.get(action) or _status(issue.text("status")),
        fingerprint=issue.text("id"),
        kind="issue",
        description=issue.text("metadata.value", "culprit"),
        link=issue.text("web_url", "permalink"),
        resource=issue.text("culprit"),
        service=issue.text("project.slug", "project.name"),
        started=issue.time("firstSeen"),
        updated=issue.time("lastSeen"),
        labels=known(
            {
                "issue_id": issue.text("id"),
                "short_id": issue.text("shortId"),
                "platform": issue.text("platform"),
                "substatus": issue.text("substatus"),
                "error": issue.text("metadata.type"),
                "file": issue.text("metadata.filename"),
                "events": issue.text("count"),
                "users": issue.text("userCount"),
            }
        ),
    )


def _status(word: str) -> Status:
    return Status.ACKNOWLEDGED if word in {"ignored", "archived"} else status_of(word)


def _event_alert(action: str, data: Part, event: Part) -> Alert:
    del action
    return _event("event_alert", event, data.text("triggered_rule", "issue_alert.title"))


def _error(action: str, data: Part, event: Part) -> Alert:
    del action, data
    return _event("error", event, "")


def _event(kind: str, event: Part, rule: str) -> Alert:
    """Return the alert of an event. Its project is a number, which names no service."""
    tags = _tags(event)
    thrown = event.each("exception.values")
    last = thrown[-1] if thrown else Part(None)  # the outermost: what was thrown at last
    at = event.time("datetime", "timestamp", "received")
    return Alert(
        title=event.text("title", "metadata.title", "message", "culprit"),
        severity=severity_of(event.text("level") or tags.get("level", "")),
        status=Status.FIRING,
        fingerprint=event.text("issue_id", "groupID") or event.text("event_id"),
        kind=kind,
        description=last.text("value") or event.text("logentry.formatted", "message", "culprit"),
        link=event.text("web_url"),
        resource=event.text("culprit", "location"),
        environment=event.text("environment") or tags.get("environment", ""),
        started=at,
        updated=at,
        labels=known(
            {
                "issue_id": event.text("issue_id", "groupID"),
                "rule": rule,
                "project": event.text("project"),
                "platform": event.text("platform"),
                "release": event.text("release") or tags.get("release", ""),
                "error": last.text("type") or event.text("metadata.type"),
                "server": tags.get("server_name", ""),
            }
        ),
        sender_id=event.text("event_id"),
    )


def _metric_alert(action: str, data: Part, metric: Part) -> Alert:
    rule = metric.at("alert_rule")
    closed = action == "resolved"
    return Alert(
        title=rule.text("name") or metric.text("title") or data.text("description_title"),
        severity=_METRIC.get(action) or _worst(rule),
        status=Status.RESOLVED if closed else Status.FIRING,
        fingerprint=f"metric_alert/{metric.text('id', 'identifier')}",  # its ids are not those of issues
        kind="metric_alert",
        description=data.text("description_text"),
        link=data.text("web_url"),
        service=next(iter(metric.texts("projects")), ""),
        environment=rule.text("environment"),
        started=metric.time("date_started", "date_detected", "date_created"),
        ended=metric.time("date_closed") if closed else 0,
        labels=known(
            {
                "rule": rule.text("id"),
                "aggregate": rule.text("aggregate"),
                "dataset": rule.text("dataset"),
                "query": rule.text("query"),
                "projects": ",".join(metric.texts("projects")),
            }
        ),
    )


def _worst(rule: Part) -> Severity:
    """Return how bad a metric alert can be, where its action does not say how bad it is."""
    found = {_METRIC.get(each.text("label")) for each in rule.each("triggers")}
    return next((each for each in _METRIC.values() if each in found), Severity.UNKNOWN)


def _legacy(told: Part) -> Alert:
    event = told.at("event")
    found = _event("legacy", event, ",".join(told.texts("triggering_rules")))
    return Alert(
        title=event.text("title") or told.text("message", "culprit"),
        severity=severity_of(told.text("level") or event.text("level")),
        status=Status.FIRING,
        fingerprint=told.text("id"),  # of the issue, as in the platform's messages
        kind=found.kind,
        description=told.text("message") or found.description,
        link=told.text("url"),
        resource=told.text("culprit") or found.resource,
        service=told.text("project_slug", "project"),
        environment=found.environment,
        started=found.started,
        updated=found.updated,
        labels=known(
            {
                **{name: value for name, value in found.labels.items() if name != "project"},
                "issue_id": told.text("id"),
            }
        ),
        sender_id=found.sender_id,
    )


def _tags(event: Part) -> dict[str, str]:
    """Return an event's tags: a list of pairs, which may be lists or objects."""
    pairs = ((each.text("0", "key"), each.text("1", "value")) for each in event.each("tags"))
    return {name.removeprefix("sentry:"): value for name, value in pairs if name}


_ALERTS = {"issue": _issue, "event": _event_alert, "error": _error, "metric_alert": _metric_alert}
