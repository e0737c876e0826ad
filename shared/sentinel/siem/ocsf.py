"""The mapping to the Open Cybersecurity Schema Framework, in one place: class Detection Finding (2004).

A matched entry is a finding that was made; an alert that says that its problem is over closes it, under the
same `finding_info.uid`. `metadata.uid` is the event's id, the same in every attempt. The entry is `raw_data`,
and what the class has no attribute for is in `unmapped`.
"""

from __future__ import annotations

from collections.abc import Mapping

from sentinel.siem.said import SECOND, Alert, Said, filled, instant, said
from sentinel.siem.sink import Notice

VERSION = "1.8.0"
CLASS = 2004
CREATE, CLOSE = 1, 3
NEW, RESOLVED = 1, 4
RULE = 1
_MILLISECOND = SECOND // 1_000
SEVERITIES: Mapping[str, tuple[int, str]] = {
    "informational": (1, "Informational"),
    "low": (2, "Low"),
    "medium": (3, "Medium"),
    "high": (4, "High"),
    "critical": (5, "Critical"),
}
UNKNOWN = (0, "Unknown")


def finding(notice: Notice) -> dict[str, object]:
    """Return a notice as a Detection Finding, without what is not known. Times are epoch milliseconds."""
    found = said(notice)
    activity, named = (CLOSE, "Close") if found.alert.resolved else (CREATE, "Create")
    severity, called = SEVERITIES.get(notice.level, UNKNOWN)
    status, state = (RESOLVED, "Resolved") if found.alert.resolved else (NEW, "New")
    return filled(
        {
            "activity_id": activity,
            "activity_name": named,
            "category_uid": CLASS // 1_000,
            "category_name": "Findings",
            "class_uid": CLASS,
            "class_name": "Detection Finding",
            "type_uid": CLASS * 100 + activity,
            "type_name": f"Detection Finding: {named}",
            "time": notice.t // _MILLISECOND,
            "severity_id": severity,
            "severity": called,
            "status_id": status,
            "status": state,
            "message": found.message,
            "metadata": _metadata(notice, found.alert),
            "finding_info": _finding_info(notice, found),
            "raw_data": found.text,
            "unmapped": _unmapped(notice, found.alert),
        }
    )


def _metadata(notice: Notice, alert: Alert) -> dict[str, object]:
    return {
        "version": VERSION,
        "uid": notice.id,
        "sequence": notice.seq,
        "original_time": instant(notice.t),
        "correlation_uid": notice.task,
        "log_name": notice.chain,
        "log_provider": alert.source,
        "product": {"name": "Sentinel", "vendor_name": "Sentinel"},
    }


def _finding_info(notice: Notice, found: Said) -> dict[str, object]:
    alert = found.alert
    rule = {"type_id": RULE, "type": "Rule", "uid": notice.rule, "name": notice.title}
    return {
        "uid": alert.fingerprint or notice.id,
        "title": notice.title or found.message,
        "desc": alert.description,
        "src_url": alert.link,
        "created_time": notice.t // _MILLISECOND,
        "first_seen_time": alert.started // _MILLISECOND or None,
        "last_seen_time": alert.ended // _MILLISECOND or None,
        "analytic": None if notice.plain else rule,
    }


def _unmapped(notice: Notice, alert: Alert) -> dict[str, object]:
    return {
        "service": alert.service or notice.service,
        "environment": alert.environment,
        "resource": alert.resource,
        "chain": notice.chain,
        "recipe": notice.recipe,
        "trace_id": notice.trace,
        "span_id": notice.span,
    }
