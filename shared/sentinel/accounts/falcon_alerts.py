"""Alerts as the Falcon API has them (`alerts/entities/alerts/v2`), read into our form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sentinel.core.alerts import Alert, Severity, Status, instant, severity_of, status_of

_STEPS = ((80, Severity.CRITICAL), (60, Severity.ERROR), (40, Severity.WARNING), (1, Severity.INFO))
_STATUSES = {"reopened": Status.FIRING, "in_progress": Status.ACKNOWLEDGED}
_LABELS = ("product", "tactic", "technique", "user_name", "filename", "cid", "agent_id")


@dataclass(frozen=True, slots=True)
class FalconAlert:
    """An alert, and what `falcon.update_alert` may change of it: Falcon's own status, tags and comments."""

    alert: Alert
    status: str
    tags: frozenset[str]
    comments: tuple[str, ...]


def read(entity: Mapping[str, Any]) -> FalconAlert:
    """Read an entity; whatever is missing in it, or of another kind than it should be, is left out."""
    device = entity.get("device")
    of_device: Mapping[str, Any] = device if isinstance(device, dict) else {}
    status = _text(entity, "status").lower()
    alert = Alert(
        title=_text(entity, "display_name", "name", "description"),
        severity=_severity(entity),
        status=_STATUSES.get(status) or status_of(status),
        fingerprint=_text(entity, "composite_id"),
        kind=_text(entity, "type"),
        description=_text(entity, "description"),
        link=_text(entity, "falcon_host_link"),
        resource=_text(of_device, "hostname") or _text(entity, "hostname", "host_name"),
        started=_time(entity, "timestamp", "start_time", "created_timestamp"),
        updated=_time(entity, "updated_timestamp"),
        labels=_labels(entity, of_device),
        sender_id=_text(entity, "id"),
    )
    return FalconAlert(alert, status, frozenset(_texts(entity, "tags")), tuple(_comments(entity)))


def _severity(entity: Mapping[str, Any]) -> Severity:
    named = severity_of(_text(entity, "severity_name"))
    number = entity.get("severity")
    if named is not Severity.UNKNOWN or not isinstance(number, int) or isinstance(number, bool):
        return named
    return next((severity for least, severity in _STEPS if number >= least), Severity.UNKNOWN)


def _labels(entity: Mapping[str, Any], device: Mapping[str, Any]) -> dict[str, str]:
    found = {name: _text(entity, name) for name in _LABELS}
    found["agent_id"] = _text(device, "device_id") or found["agent_id"]
    return {name: text for name, text in found.items() if text}


def _comments(entity: Mapping[str, Any]) -> list[str]:
    found = entity.get("comments")
    return (
        [_text(each, "value") for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    )


def _texts(entity: Mapping[str, Any], name: str) -> list[str]:
    found = entity.get(name)
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def _time(entity: Mapping[str, Any], *names: str) -> int:
    return next(filter(None, (instant(entity.get(name)) for name in names)), 0)


def _text(part: Mapping[str, Any], *names: str) -> str:
    return next((part[name] for name in names if isinstance(part.get(name), str) and part[name]), "")
