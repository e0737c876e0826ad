"""The schemas of alerts for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sentinel.core.alert_history import MOST
from sentinel.core.alerts import Severity, Status
from sentinel.entrypoints.openapi_forms import COUNT, NANOSECONDS, TEXT
from sentinel.entrypoints.openapi_forms import list_of as _list
from sentinel.entrypoints.openapi_forms import object_of as _object
from sentinel.entrypoints.openapi_forms import ref_to as _ref

STATUS: Mapping[str, Any] = {"enum": list(Status)}
SEVERITY: Mapping[str, Any] = {"enum": list(Severity)}
_TOLD = {"t": NANOSECONDS, "chain": TEXT, "seq": COUNT, "status": STATUS, "severity": SEVERITY}
_SUMMARY = {
    "id": {"type": "string", "pattern": "^[a-z2-7]{26}$"},
    "webhook": _object({"service": TEXT, "source": TEXT, "hook": TEXT}),
    "fingerprint": TEXT,
    "status": STATUS,
    "severity": SEVERITY,
    "highest": SEVERITY,
    **dict.fromkeys(("title", "kind", "link", "resource", "service", "environment"), TEXT),
    **dict.fromkeys(("started", "ended", "first_seen", "last_seen"), NANOSECONDS),
    "episodes": COUNT,
    "messages": COUNT,
}
ALERT_SCHEMAS: Mapping[str, dict[str, Any]] = {
    "AlertSummary": _object(_SUMMARY),
    "Alerts": _object({"alerts": _list(_ref("AlertSummary"))}, {"next": TEXT}),
    "Alert": _object(
        {
            **_SUMMARY,
            "labels": {"type": "object", "additionalProperties": TEXT},
            "history": {**_list(_object(_TOLD, {"late": {"const": True}})), "maxItems": MOST},
            "left_out": COUNT,
        }
    ),
}
