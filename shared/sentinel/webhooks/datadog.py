"""Datadog: its Webhooks integration, which signs nothing and sends what its user typed.

The secret comes in a header, as Basic or as a Bearer token. The body is our template (docs/connectors.md),
Datadog's default payload, or one with other names for the same variables. Datadog puts text in place of
`$VARIABLES`; what it did not fill stays as it was typed and is taken as absent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from sentinel.core.alerts import Alert, Severity, Status, digest, severity_of
from sentinel.webhooks.proofs import SHOWN as OPTIONS
from sentinel.webhooks.proofs import Proven, shown
from sentinel.webhooks.reading import Part, document, known
from sentinel.webhooks.source import Unparsed, only

__all__ = ["OPTIONS", "Datadog"]

_UNFILLED = re.compile(r"\$[A-Z][A-Z0-9_]*(\[[^\]]*\])?")
# What stands before the title of an event: `[P2] [Warn on {host:web-1}] `, each part or not at all.
_PREFIX = re.compile(r"\s*\[([^\]{]{1,40})(?:\s+on\s+\{([^}]{0,1000})\})?\s*\]\s*")
_PRIORITY = re.compile(r"[Pp]?([1-5])")
_TRANSITION = re.compile(
    r"(re-)?(triggered|warn|no data|renotify)|(warn |alert |no data )?recovered", re.IGNORECASE
)
_TITLES = ("signal_title", "security_signal_title", "incident_title", "title", "alert_title", "event_title")


class Datadog(Proven):
    """The source."""

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        only(options or {}, OPTIONS)
        super().__init__(shown(options or {}))

    def alerts(self, headers: Mapping[str, str], body: bytes) -> list[Alert]:
        """Return the alert of a monitor, a security signal or an incident."""
        del headers
        told = _filled(_read(body))
        if not told.text(*_TITLES):
            raise Unparsed("the payload has no title: paste the template into the webhook at Datadog")
        return [_alert(told)]


def _read(body: bytes) -> Part:
    """Return a payload: JSON, or a form where the webhook has "Encode as form"."""
    try:
        return document(body)
    except Unparsed:
        if body.lstrip()[:1] in {b"{", b"[", b""}:
            raise
    try:
        fields = dict(parse_qsl(body.decode("ascii"), errors="strict", max_num_fields=200))
    except ValueError:  # of UnicodeDecodeError too
        raise Unparsed("the body is neither JSON nor a form") from None
    return document(fields["payload"].encode()) if "payload" in fields else Part(fields)


def _filled(told: Part) -> Part:
    """Return a payload without what Datadog did not fill."""
    members = told.value if isinstance(told.value, dict) else {}
    return Part({name: _value(value) for name, value in members.items()})


def _value(value: object) -> object:
    if isinstance(value, dict):
        return {name: "" if _is_unfilled(each) else each for name, each in value.items()}
    if isinstance(value, list):
        return [each for each in value if not _is_unfilled(each)]
    return "" if _is_unfilled(value) else value


def _is_unfilled(value: object) -> bool:
    return isinstance(value, str) and _UNFILLED.fullmatch(value.strip()) is not None


def _alert(told: Part) -> Alert:
    marks, title = _title(told.text(*_TITLES))
    transition = told.text("transition", "alert_transition") or marks.get("transition", "")
    scope = told.text("scope", "alert_scope") or marks.get("scope", "") or ",".join(told.texts("scopes"))
    tags = _tags(told)
    status = _status(transition, told)
    at = told.time("date", "timestamp", "last_updated", "updated")
    return Alert(
        title=title,
        severity=_severity(transition, marks, told),
        status=status,
        fingerprint=_fingerprint(told, scope) or digest(title, scope, told.text("org.id", "org_id")),
        kind=told.text("event_type", "type") or ("security_signal" if _signal(told) else ""),
        description=told.text("signal_text", "security_signal_msg", "incident_msg", "text", "text_msg")
        or told.text("body", "message", "description"),
        link=told.text("link", "url", "incident_url"),
        resource=told.text("host", "hostname") or tags.get("host", "") or scope,
        service=told.text("service") or tags.get("service", ""),
        environment=told.text("env", "environment") or tags.get("env") or tags.get("environment", ""),
        started=at if transition.lower() in {"triggered", "warn", "no data"} else 0,
        ended=at if status == Status.RESOLVED else 0,
        updated=told.time("updated", "last_updated") or at,
        labels=_labels(told, tags, scope, transition),
        sender_id=told.text("id", "event_id"),
    )


def _labels(told: Part, tags: Mapping[str, str], scope: str, transition: str) -> dict[str, str]:
    found = {
        "transition": transition,
        "monitor": told.text("alert_id", "monitor_id"),
        "scope": scope,
        "priority": told.text("priority"),
        "query": told.text("query", "alert_query", "security_rule_query"),
        "org": told.text("org_id", "org.id"),
        "rule": told.text("rule_name", "security_rule_name"),
        "rule_type": told.text("rule_type", "security_rule_type"),
    }
    return {**known(found), **{f"tag_{name}": value for name, value in tags.items()}}


def _title(text: str) -> tuple[dict[str, str], str]:
    """Return what Datadog put before a title, by name, and the title, which stays from firing to resolved."""
    found: dict[str, str] = {}
    for _ in range(3):
        mark = _PREFIX.match(text)
        if mark is None:
            break
        word = mark[1].strip()
        if _PRIORITY.fullmatch(word):
            found["priority"] = word
        elif _TRANSITION.fullmatch(word):
            found |= {"transition": word, "scope": mark[2] or ""}
        else:
            break
        text = text[mark.end() :] or text
    return found, text


def _fingerprint(told: Part, scope: str) -> str:
    """Return what Datadog itself names the problem by, where the payload has it."""
    found = told.text("cycle_key", "alert_cycle_key", "signal_id", "security_signal_id")
    found = found or told.text("incident_uuid", "incident_id", "incident_public_id", "aggregation_key")
    monitor = told.text("alert_id", "monitor_id")
    return found or (f"{monitor}@{scope}" if monitor else "")


def _status(transition: str, told: Part) -> Status:
    """Return the status: what recovered is resolved, and any other transition, known or not, is firing."""
    if transition:
        return Status.RESOLVED if "recovered" in transition.lower() else Status.FIRING
    if told.text("incident_status").lower() in {"resolved", "completed"}:
        return Status.RESOLVED
    return Status.RESOLVED if told.text("alert_type").lower() == "success" else Status.FIRING


def _signal(told: Part) -> str:
    return told.text("signal_severity", "security_signal_severity")


def _severity(transition: str, marks: Mapping[str, str], told: Part) -> Severity:
    """Return how bad it is: of a signal or incident its own, else a monitor's priority, else its type."""
    own = _signal(told) or told.text("incident_severity")
    if own:
        return severity_of(own)
    if "warn" in transition.lower() and "recovered" not in transition.lower():
        return Severity.WARNING
    word = told.text("priority", "alert_priority") or marks.get("priority", "")
    priority = _PRIORITY.fullmatch(word)
    if priority is not None:
        return severity_of(f"P{priority[1]}")
    # "normal" and "low" are what Datadog calls the priority of every event, and say nothing.
    if word and word.lower() not in {"normal", "low"}:
        return severity_of(word)
    kind = told.text("alert_type").lower()
    if not kind and transition.lower() in {"triggered", "re-triggered"}:
        return Severity.ERROR  # as Datadog's own type of these
    return Severity.UNKNOWN if kind == "success" else severity_of(kind)


def _tags(told: Part) -> dict[str, str]:
    """Return the tags that have a value: a list, or a text with commas. Of one name, the first."""
    listed = told.texts("tags") or told.text("tags").split(",")
    found: dict[str, str] = {}
    for each in listed:
        name, _, value = each.strip().partition(":")
        if name and value:
            found.setdefault(name, value)
    return found
