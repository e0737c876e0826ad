"""OTLP logs: both wire forms give the same entries; bad records are counted, bad requests refused."""

from __future__ import annotations

import base64
import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from sentinel.core import otlp
from sentinel.errors import Malformed, TooLarge
from tests.data import need

TRACE = "5b8efff798038103d269b633813fc60c"
SPAN = "eee19b7ec3c1b174"


def in_json(**changes: Any) -> dict[str, Any]:
    """Return a request with one record in the JSON mapping."""
    record = {
        "timeUnixNano": "1544712660300000000",
        "observedTimeUnixNano": "1544712660300000001",
        "severityNumber": 17,
        "severityText": "ERROR",
        "traceId": TRACE,
        "spanId": SPAN,
        "flags": 1,
        "eventName": "payment.failed",
        "body": {"stringValue": "card declined"},
        "attributes": [
            {"key": "http.status", "value": {"intValue": "502"}},
            {"key": "ratio", "value": {"doubleValue": 0.5}},
            {"key": "retried", "value": {"boolValue": False}},
            {"key": "raw", "value": {"bytesValue": base64.b64encode(b"\x00\xff").decode()}},
            {"key": "tags", "value": {"arrayValue": {"values": [{"stringValue": "a"}, {"intValue": 1}]}}},
            {
                "key": "cart",
                "value": {"kvlistValue": {"values": [{"key": "items", "value": {"intValue": 3}}]}},
            },
            {"key": "nothing", "value": {}},
        ],
        **changes,
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "checkout"}}]}
    scope = {"name": "checkout.pay", "version": "1.2"}
    return {"resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": scope, "logRecords": [record]}]}]}


def in_protobuf() -> ExportLogsServiceRequest:
    """Return the same request as a message."""
    request = ExportLogsServiceRequest()
    logs = request.resource_logs.add()
    logs.resource.attributes.append(KeyValue(key="service.name", value=AnyValue(string_value="checkout")))
    scope = logs.scope_logs.add()
    scope.scope.name, scope.scope.version = "checkout.pay", "1.2"
    record = scope.log_records.add(
        time_unix_nano=1544712660300000000,
        observed_time_unix_nano=1544712660300000001,
        severity_number=17,
        severity_text="ERROR",
        trace_id=bytes.fromhex(TRACE),
        span_id=bytes.fromhex(SPAN),
        flags=1,
        event_name="payment.failed",
        body=AnyValue(string_value="card declined"),
    )
    array = ArrayValue(values=[AnyValue(string_value="a"), AnyValue(int_value=1)])
    cart = KeyValueList(values=[KeyValue(key="items", value=AnyValue(int_value=3))])
    for key, value in {
        "http.status": AnyValue(int_value=502),
        "ratio": AnyValue(double_value=0.5),
        "retried": AnyValue(bool_value=False),
        "raw": AnyValue(bytes_value=b"\x00\xff"),
        "tags": AnyValue(array_value=array),
        "cart": AnyValue(kvlist_value=cart),
        "nothing": AnyValue(),
    }.items():
        record.attributes.append(KeyValue(key=key, value=value))
    return request


ENTRY = {
    "timestamp": "2018-12-13T14:51:00.300000000Z",
    "observed": "2018-12-13T14:51:00.300000001Z",
    "severity": "ERROR",
    "severity_number": 17,
    "event": "payment.failed",
    "message": "card declined",
    "trace_id": TRACE,
    "span_id": SPAN,
    "flags": 1,
    "attributes": {
        "http.status": 502,
        "ratio": 0.5,
        "retried": False,
        "raw": "AP8=",
        "tags": ["a", 1],
        "cart": {"items": 3},
        "nothing": None,
    },
    "resource": {"service.name": "checkout"},
    "scope": {"name": "checkout.pay", "version": "1.2"},
}


def test_both_forms_give_the_same_entry() -> None:
    """A record becomes one entry with its resource and scope, whichever form it came in."""
    from_json = otlp.records(orjson.dumps(in_json()), "json")
    from_protobuf = otlp.records(in_protobuf().SerializeToString(), "protobuf")
    assert from_json.entries == from_protobuf.entries
    assert orjson.loads(from_json.entries[0]) == ENTRY
    assert from_json.rejected == 0


def test_a_structured_body_stays_structured() -> None:
    """A body that is not text is kept under `body`."""
    body = {"kvlistValue": {"values": [{"key": "a", "value": {"intValue": "1"}}]}}
    entry = orjson.loads(otlp.records(orjson.dumps(in_json(body=body)), "json").entries[0])
    assert entry["body"] == {"a": 1}
    assert "message" not in entry


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_lacks(value: float) -> None:
    """NaN and infinities are kept by their names in the OTLP JSON mapping."""
    request = in_protobuf()
    request.resource_logs[0].scope_logs[0].log_records[0].body.CopyFrom(AnyValue(double_value=value))
    entry = orjson.loads(otlp.records(request.SerializeToString(), "protobuf").entries[0])
    assert float(entry["message"].lower()) == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize(
    "change",
    [
        {"timeUnixNano": "-1"},
        {"timeUnixNano": "x"},
        {"timeUnixNano": str(1 << 64)},
        {"traceId": "zz"},
        {"traceId": "aa"},
        {"severityNumber": "high"},
        {"body": {"stringValue": 7}},
        {"body": {"intValue": str(1 << 63)}},
        {"body": {"boolValue": "yes"}},
        {"body": {"bytesValue": "*"}},
        {"attributes": [{}]},
        {"attributes": [7]},
        {"attributes": {"a": 1}},
    ],
)
def test_a_bad_record_is_counted_and_the_others_are_kept(change: dict[str, Any]) -> None:
    """One record with a value of the wrong type is rejected by count; its neighbours are stored."""
    request = in_json(**change)
    request["resourceLogs"] += in_json()["resourceLogs"]
    found = otlp.records(orjson.dumps(request), "json")
    assert (found.rejected, len(found.entries)) == (1, 1)
    assert found.why


def test_a_bad_resource_rejects_its_records() -> None:
    """Records whose resource cannot be read are all counted as rejected."""
    request = in_json()
    logs = request["resourceLogs"][0]
    logs["resource"]["attributes"] = [{"value": {}}]
    logs["scopeLogs"][0]["logRecords"] *= 3
    found = otlp.records(orjson.dumps(request), "json")
    assert (found.rejected, found.entries) == (3, [])


def test_depth_is_bounded() -> None:
    """A value nested beyond 32 levels rejects its record, in JSON as in protobuf, and never overflows."""
    value: dict[str, Any] = {"stringValue": "x"}
    deep = AnyValue(string_value="x")
    for _ in range(40):
        value = {"arrayValue": {"values": [value]}}
        deep = AnyValue(array_value=ArrayValue(values=[deep]))
    found = otlp.records(orjson.dumps(in_json(body=value)), "json")
    assert (found.rejected, found.why) == (1, "a record has a value with over 32 levels")
    request = in_protobuf()
    request.resource_logs[0].scope_logs[0].log_records[0].body.CopyFrom(deep)
    assert otlp.records(request.SerializeToString(), "protobuf").rejected == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b'{"resourceLogs":7}',
        b'{"resourceLogs":[7]}',
        b'{"resourceLogs":[{"scopeLogs":[1]}]}',
        b'{"resourceLogs":[{"scopeLogs":[{"logRecords":{"a":1}}]}]}',
    ],
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    """A JSON body of another shape is refused whole."""
    with pytest.raises(Malformed):
        otlp.records(body, "json")


def test_unknown_fields_are_ignored() -> None:
    """The specification asks receivers to ignore fields they do not know."""
    request = {**in_json(futureField={"a": 1}), "more": []}
    assert otlp.records(orjson.dumps(request), "json").rejected == 0


def test_an_empty_request_has_no_records() -> None:
    """An empty protobuf message is a valid request without records."""
    assert otlp.records(b"", "protobuf").entries == []
    assert otlp.records(b"{}", "json").entries == []


@given(st.binary(max_size=200))
def test_random_bytes_never_crash_protobuf(body: bytes) -> None:
    """Any bytes are records or `Malformed`."""
    with contextlib.suppress(Malformed):
        otlp.records(body, "protobuf")


KEYS = """resourceLogs scopeLogs logRecords resource scope attributes key value body stringValue intValue
arrayValue kvlistValue values timeUnixNano traceId severityNumber"""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS.split()), inner, max_size=4)
    ),
    max_leaves=15,
)


@given(JSON)
def test_json_of_any_shape_never_crashes(value: object) -> None:
    """Any JSON value is records or `Malformed`."""
    with contextlib.suppress(Malformed):
        otlp.records(orjson.dumps({"resourceLogs": value}), "json")
    with contextlib.suppress(Malformed):
        otlp.records(orjson.dumps(in_json(body=value, attributes=value)), "json")


def test_the_example_of_the_specification() -> None:
    """The example body of the OpenTelemetry repository becomes one entry with its attributes."""
    body = need("webhooks", "otlp", "logs.json").read_bytes()
    found = otlp.records(body, "json")
    assert found.rejected == 0
    entry = orjson.loads(found.entries[0])
    assert entry["message"] == "Example log record"
    assert entry["resource"]["service.name"] == "my.service"
    assert entry["attributes"]["string.attribute"] == "some string"


MANY = 2_000_000


def _field(number: int, content: bytes) -> bytes:
    """Return a length-delimited field of protobuf."""
    size, length = len(content), b""
    while size > 0x7F:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


LONG = _field(1, _field(1, b"k") + _field(2, _field(1, b"v" * 60_000)))  # an attribute of 60,000 characters
BOMBS = {
    "resources": b"\x0a\x00" * MANY,
    "scopes": _field(1, b"\x12\x00" * MANY),
    "records": _field(1, _field(2, b"\x12\x00" * MANY)),
    "a long resource": _field(1, _field(1, LONG) + _field(2, b"\x12\x00" * 9_999)),
    "a long scope": _field(1, _field(2, _field(1, _field(1, b"v" * 60_000)) + b"\x12\x00" * 9_999)),
}
JSON_BOMBS = {
    "resources": b'{"resourceLogs":[%s]}',
    "scopes": b'{"resourceLogs":[{"scopeLogs":[%s]}]}',
    "records": b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[%s]}]}]}',
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_request_does_not_become_very_much(name: str) -> None:
    """Two bytes make a record, and a resource is written into each: both are bounded before they are made."""
    with pytest.raises(TooLarge, match="smaller batches"):
        otlp.records(BOMBS[name], "protobuf")


@pytest.mark.parametrize("name", JSON_BOMBS)
def test_a_small_request_in_json_does_not_either(name: str) -> None:
    """The JSON form has the same bounds."""
    with pytest.raises(TooLarge, match=f"10000 {name}"):
        otlp.records(JSON_BOMBS[name] % b",".join([b"{}"] * 10_001), "json")
    long = b'{"resourceLogs":[{"resource":{"attributes":[{"key":"k","value":{"stringValue":"%s"}}]},' % (
        b"v" * 60_000
    )
    long += b'"scopeLogs":[{"logRecords":[%s]}]}]}' % b",".join([b"{}"] * 9_999)
    with pytest.raises(TooLarge, match="20000000 bytes"):
        otlp.records(long, "json")


def test_what_fits_the_bounds_is_taken() -> None:
    """10,000 records, and 20,000,000 bytes of entries but for the last one, are no bomb."""
    assert len(otlp.records(_field(1, _field(2, b"\x12\x00" * 10_000)), "protobuf").entries) == 10_000
    entry = len(otlp.records(_field(1, _field(1, LONG) + _field(2, b"\x12\x00")), "protobuf").entries[0])
    fits = otlp.MAX_BYTES // entry
    found = otlp.records(_field(1, _field(1, LONG) + _field(2, b"\x12\x00" * fits)), "protobuf")
    assert len(found.entries) == fits
    with pytest.raises(TooLarge):
        otlp.records(_field(1, _field(1, LONG) + _field(2, b"\x12\x00" * (fits + 1))), "protobuf")
