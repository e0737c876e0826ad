"""The schemas of Splunk's HTTP Event Collector for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sentinel.core.hec import MAX_ACKS, REPLIES
from sentinel.entrypoints.openapi_forms import COUNT, TEXT
from sentinel.entrypoints.openapi_forms import object_of as _object

_CODE: Final = {"enum": sorted({reply.code for reply in REPLIES})}
_ANSWER = {"text": TEXT, "code": _CODE}
COLLECTOR_SCHEMAS: Mapping[str, dict[str, Any]] = {
    "Collected": _object(_ANSWER, {"ackId": COUNT}),
    "NotCollected": _object(_ANSWER, {"message": TEXT, "invalid-event-number": COUNT}),
    "Acks": _object({"acks": {"type": "object", "additionalProperties": {"type": "boolean"}}}),
    "AckQuestion": _object({"acks": {"type": "array", "items": {"type": "integer"}, "maxItems": MAX_ACKS}}),
}
