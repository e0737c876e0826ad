"""OTLP logs: an ExportLogsServiceRequest becomes entries, one JSON object a record.

Format: OpenTelemetry Protocol 1.x, `opentelemetry/proto/collector/logs/v1/logs_service.proto`, as protobuf
or in its JSON mapping (hex ids, numbers for enums, unknown fields ignored). Both forms of one record give
the same entry; its shape is in `docs/wire.md`. A record's resource and scope are written into each entry,
since an entry must stand alone in the chain. So a small request can become very much: the number of records
and the size of all entries together are bounded while they are made.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import orjson

from sentinel.core.entry import MAX_BATCH_BYTES, MAX_ENTRIES
from sentinel.errors import Malformed, TooLarge

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

MAX_DEPTH = 32  # levels of arrays and maps in one value
MAX_BYTES = 4 * MAX_BATCH_BYTES  # of all entries together, each with its resource and scope

Json = dict[str, Any]


@dataclass(slots=True)
class Records:
    """The records of a request: those that became entries, and how many did not, with the first reason."""

    entries: list[bytes] = field(default_factory=list)
    rejected: int = 0
    why: str = ""
    room: int = MAX_BYTES
    counted: dict[str, int] = field(default_factory=dict)

    def add(self, entry: bytes) -> None:
        """Take an entry. Raises `TooLarge` where all of them come to too much."""
        self.room -= len(entry)
        if self.room < 0:
            raise TooLarge(f"the records come to over {MAX_BYTES} bytes as entries; export smaller batches")
        self.entries.append(entry)

    def reject(self, why: str) -> None:
        """Count a record that cannot be stored."""
        self.rejected += 1
        self.why = self.why or why

    def expect(self, what: str, count: int) -> None:
        """Hear of so many more resources, scopes or records before any is looked at. Raises `TooLarge`."""
        self.counted[what] = self.counted.get(what, 0) + count
        if self.counted[what] > MAX_ENTRIES:
            raise TooLarge(f"the request has over {MAX_ENTRIES} {what}; export smaller batches")


def records(body: bytes, form: Literal["json", "protobuf"]) -> Records:
    """Decode a request. Single bad records are only counted.

    Raises `Malformed` where it is none, `TooLarge` over 10,000 resources, scopes or records, or `MAX_BYTES`.
    """
    return _from_json(body) if form == "json" else _from_protobuf(body)


def rfc3339(nanoseconds: int) -> str:
    """Write epoch nanoseconds as an RFC 3339 timestamp in UTC with nine decimals.

    >>> rfc3339(1700000000000000001)
    '2023-11-14T22:13:20.000000001Z'
    """
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def _from_protobuf(body: bytes) -> Records:
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = ExportLogsServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError:
        raise Malformed("the body is not an ExportLogsServiceRequest in protobuf") from None
    found = Records()
    found.expect("resources", len(request.resource_logs))
    for resource_logs in request.resource_logs:
        found.expect("scopes", len(resource_logs.scope_logs))
        held = sum(len(each.log_records) for each in resource_logs.scope_logs)
        found.expect("records", held)
        resource = _guarded(found, held, _proto_map, resource_logs.resource.attributes)
        for scope_logs in resource_logs.scope_logs if resource is not None else ():
            scope = {"name": scope_logs.scope.name, "version": scope_logs.scope.version}
            for record in scope_logs.log_records:
                entry = _guarded(found, 1, _proto_record, record)
                if entry is not None:
                    found.add(_entry(entry, resource or {}, scope))
    return found


def _from_json(body: bytes) -> Records:
    try:
        request = orjson.loads(body)
        found = Records()
        found.expect("resources", len(_list(request, "resourceLogs")))
        for resource_logs in _list(request, "resourceLogs"):
            attributes = _list(resource_logs.get("resource") or {}, "attributes")
            found.expect("scopes", len(_list(resource_logs, "scopeLogs")))
            held = sum(len(_list(each, "logRecords")) for each in _list(resource_logs, "scopeLogs"))
            found.expect("records", held)
            resource = _guarded(found, held, _json_map, attributes)
            for scope_logs in _list(resource_logs, "scopeLogs") if resource is not None else ():
                scope = scope_logs.get("scope") or {}
                named = {"name": str(scope.get("name", "")), "version": str(scope.get("version", ""))}
                for record in _list(scope_logs, "logRecords"):
                    entry = _guarded(found, 1, _json_record, record)
                    if entry is not None:
                        found.add(_entry(entry, resource or {}, named))
    except (orjson.JSONDecodeError, AttributeError):
        raise Malformed("the body is not an ExportLogsServiceRequest in JSON") from None
    return found


def _list(holder: Any, key: str) -> list[Any]:
    found = holder.get(key) or []
    if not isinstance(found, list):
        raise Malformed(f"{key} is not a list")
    return found


def _guarded(found: Records, count: int, convert: Any, value: Any) -> Any:
    """Convert, or count what is lost with it and return None."""
    try:
        return convert(value)
    except Malformed as error:
        reason = str(error)
    except (TypeError, ValueError, KeyError, OverflowError, AttributeError, binascii.Error):
        reason = "a record has a value of the wrong type"
    for _ in range(count):
        found.reject(reason)
    return None


def _entry(record: Json, resource: Json, scope: Json) -> bytes:
    """Join a record with its resource and scope; what is empty is left out."""
    whole = {
        **record,
        "resource": resource,
        "scope": {name: value for name, value in scope.items() if value},
    }
    return orjson.dumps({name: value for name, value in whole.items() if value not in ("", None, {})})


def _record(
    times: tuple[int, int],
    severity: tuple[int, str],
    body: object,
    ids: tuple[str, str],
    flags: int,
    name: str,
) -> Json:
    time, observed = times
    number, text = severity
    return {
        "timestamp": rfc3339(time) if time else None,
        "observed": rfc3339(observed) if observed else None,
        "severity": text or None,
        "severity_number": number or None,
        "event": name or None,
        "message" if isinstance(body, str) else "body": body,
        "trace_id": ids[0],
        "span_id": ids[1],
        "flags": flags or None,
    }


def _proto_record(record: LogRecord) -> Json:
    found = _record(
        (record.time_unix_nano, record.observed_time_unix_nano),
        (int(record.severity_number), record.severity_text),
        _proto_value(record.body, 0),
        (record.trace_id.hex(), record.span_id.hex()),
        record.flags,
        record.event_name,
    )
    return {**found, "attributes": _proto_map(record.attributes)}


def _proto_map(pairs: Iterable[KeyValue], depth: int = 0) -> Json:
    return {pair.key: _proto_value(pair.value, depth) for pair in pairs}


def _proto_value(value: AnyValue, depth: int) -> object:
    _check(depth)
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_proto_value(each, depth + 1) for each in value.array_value.values]
    if kind == "kvlist_value":
        return _proto_map(value.kvlist_value.values, depth + 1)
    plain = getattr(value, kind)
    if kind == "bytes_value":
        return base64.b64encode(plain).decode()
    return _number(plain) if kind == "double_value" else plain


def _json_record(record: Mapping[str, Any]) -> Json:
    found = _record(
        (_uint64(record.get("timeUnixNano")), _uint64(record.get("observedTimeUnixNano"))),
        (int(record.get("severityNumber") or 0), str(record.get("severityText") or "")),
        _json_value(record.get("body") or {}, 0),
        (_hex(record.get("traceId"), 16), _hex(record.get("spanId"), 8)),
        int(record.get("flags") or 0),
        str(record.get("eventName") or ""),
    )
    return {**found, "attributes": _json_map(record.get("attributes") or [])}


def _json_map(pairs: Iterable[Mapping[str, Any]], depth: int = 0) -> Json:
    return {str(pair["key"]): _json_value(pair.get("value") or {}, depth) for pair in pairs}


def _json_value(value: Mapping[str, Any], depth: int) -> object:
    _check(depth)
    for kind, convert in _JSON_VALUES.items():
        if kind in value:
            return convert(value[kind])
    if "arrayValue" in value:
        return [_json_value(each, depth + 1) for each in value["arrayValue"].get("values") or []]
    if "kvlistValue" in value:
        return _json_map(value["kvlistValue"].get("values") or [], depth + 1)
    return None


def _check(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Malformed(f"a record has a value with over {MAX_DEPTH} levels")


def _uint64(value: object) -> int:
    number = int(str(value or 0))
    if not 0 <= number < 1 << 64:
        raise ValueError(value)
    return number


def _int64(value: object) -> int:
    number = int(str(value))
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError(value)
    return number


def _hex(value: object, size: int) -> str:
    raw = bytes.fromhex(str(value or ""))
    if len(raw) not in {0, size}:
        raise ValueError(value)
    return raw.hex()


def _number(value: float) -> float | str:
    """Keep what JSON has no number for, by the names that the OTLP JSON mapping gives it."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


_JSON_VALUES: Mapping[str, Any] = {
    "stringValue": _text,
    "boolValue": _bool,
    "intValue": _int64,
    "doubleValue": lambda value: _number(float(value)),
    "bytesValue": lambda value: base64.b64encode(base64.b64decode(_text(value), validate=True)).decode(),
}
