"""The mapping to the Elastic Common Schema, in one place: every field that is told is one of the schema's.

What the schema has no field for is in `labels`, whose values are keywords and whose names are fixed, and the
whole entry is `event.original`, a text that is not indexed: an entry can neither add fields to a mapping nor
be refused because of what it holds.
"""

from __future__ import annotations

from collections.abc import Mapping

from sentinel.siem.said import Alert, Said, filled, instant, said
from sentinel.siem.sink import Notice

VERSION = "9.4.0"
# The numbers are those that Elastic's own detection rules give to a severity.
SEVERITIES: Mapping[str, int] = {"informational": 1, "low": 21, "medium": 47, "high": 73, "critical": 99}


def document(notice: Notice) -> dict[str, object]:
    """Return a notice as a document of the schema, without what is not known."""
    found = said(notice)
    alert = found.alert
    return filled(
        {
            "@timestamp": instant(notice.t),
            "ecs": {"version": VERSION},
            "message": found.message,
            "event": _event(notice, found),
            "rule": {"id": notice.rule, "name": notice.title},
            "service": {"name": alert.service or notice.service, "environment": alert.environment},
            "log": {"level": alert.severity if alert.severity != "unknown" else ""},
            "trace": {"id": notice.trace},
            "span": {"id": notice.span},
            "observer": {"vendor": "Sentinel", "product": "Sentinel"},
            "labels": _labels(notice, alert),
        }
    )


def _event(notice: Notice, found: Said) -> dict[str, object]:
    alert = found.alert
    return {
        "id": notice.id,
        "hash": notice.hash,
        "kind": "event" if notice.plain and not alert.title else "alert",
        "module": "sentinel",
        "provider": alert.source or "sentinel",
        "sequence": notice.seq,
        "severity": SEVERITIES.get(notice.level),
        "reason": alert.description,
        "url": alert.link,
        "code": alert.kind,
        "start": instant(alert.started) if alert.started else "",
        "end": instant(alert.ended) if alert.ended else "",
        "original": found.text,
    }


def _labels(notice: Notice, alert: Alert) -> dict[str, object]:
    return {
        "sentinel_service": notice.service,
        "sentinel_chain": notice.chain,
        "sentinel_task": notice.task,
        "sentinel_recipe": notice.recipe,
        "sentinel_level": notice.level,
        "alert_status": alert.status,
        "alert_fingerprint": alert.fingerprint,
        "alert_resource": alert.resource,
    }
