"""The functions behind the API: API Gateway events in, proxy answers out, on a real SQLite ledger."""

from __future__ import annotations

import base64
import gzip
import importlib.util
import logging
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from sentinel.bootstrap import App, bootstrap
from sentinel.core import chain as hashing
from sentinel.core.entry import MAX_BATCH_BYTES
from sentinel.core.verify import Verifier
from sentinel.errors import Tampered, Unavailable
from sentinel.usecases.ingest import decompress
from tests.core.test_otlp import in_json, in_protobuf
from tests.data import need

FUNCTIONS = Path(__file__).resolve().parents[2] / "functions"

Call = Callable[..., tuple[int, Any]]


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """An application of its own, on SQLite below a temporary folder."""
    monkeypatch.setenv("SENTINEL_HOME", str(tmp_path))
    monkeypatch.setenv("SENTINEL_LANES", "1")
    bootstrap.cache_clear()
    yield bootstrap()
    bootstrap.cache_clear()


def load(function: str) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """Load a function's handler from its file, as Lambda does."""
    spec = importlib.util.spec_from_file_location(f"{function}_handler", FUNCTIONS / function / "handler.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    handler: Callable[[dict[str, Any], Any], dict[str, Any]] = module.handler
    return handler


def event(method: str, resource: str, body: bytes = b"", **changes: Any) -> dict[str, Any]:
    """Return the proxy event of a request that the door let in for service `checkout`."""
    return {
        "resource": resource,
        "path": resource,
        "httpMethod": method,
        "headers": changes.pop("headers", {}),
        "queryStringParameters": changes.pop("query", None),
        "pathParameters": changes.pop("params", None),
        "requestContext": {
            "requestId": str(uuid.uuid4()),
            "identity": {"sourceIp": "10.0.0.1"},
            "authorizer": {
                "service": changes.pop("service", "checkout"),
                "scopes": "ingest tasks:read",
                "encryption": "store",
            },
        },
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
        **changes,
    }


@pytest.fixture
def call(app: App) -> Call:
    """Call the function that answers a route; returns status and decoded body."""
    handlers = {name: load(name) for name in ("ingest", "control")}

    def call(method: str, resource: str, body: bytes = b"", **changes: Any) -> tuple[int, Any]:
        function = "ingest" if method == "POST" else "control"
        answer = handlers[function](event(method, resource, body, **changes), None)
        raw = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"].encode()
        kind = answer["headers"]["Content-Type"]
        return answer["statusCode"], orjson.loads(raw) if kind == "application/json" else raw

    return call


def stored(app: App, chain: str = "checkout/0") -> list[bytes]:
    """Return the chain's entries, after verifying it."""
    verifier = Verifier(chain)
    found = []
    for segment in app.ledger.read(chain):
        verifier.check(segment)
        found += segment.opened.entries
    return found


def test_a_batch_is_stored_and_its_receipt_tells_where(app: App, call: Call) -> None:
    """200 with chain, first, count, head, t and batch_id; the entries are there byte for byte."""
    lines = [b'{"a": 1}', b'{"b":"\xc3\xa4"}  ']
    name = uuid.uuid4()
    status, receipt = call("POST", "/v1/entries", b"\n".join(lines), headers={"Sentinel-Batch-Id": str(name)})
    assert status == 200
    assert set(receipt) == {"chain", "first", "count", "head", "t", "batch_id"}
    assert (receipt["chain"], receipt["first"], receipt["count"]) == ("checkout/0", 0, 2)
    assert receipt["batch_id"] == name.hex
    newest = app.ledger.head("checkout/0")
    assert newest is not None
    assert (receipt["head"], receipt["t"]) == (newest.head.hex(), newest.t)
    assert stored(app) == lines


@pytest.mark.parametrize("name", ["f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "a" * 32, "order-17/2", "x"])
def test_the_same_batch_gets_the_same_receipt(app: App, call: Call, name: str) -> None:
    """A batch with an id that was stored is answered with its receipt and stored no second time."""
    headers = {"sentinel-batch-id": name}
    first = call("POST", "/v1/entries", b'{"a":1}', headers=headers)
    call("POST", "/v1/entries", b'{"b":1}')
    assert call("POST", "/v1/entries", b'{"a":1}', headers=headers) == first
    assert len(stored(app)) == 2


def test_a_batch_id_for_another_batch_is_a_conflict(call: Call) -> None:
    """The same id with another number of entries is answered 409."""
    headers = {"Sentinel-Batch-Id": "x"}
    call("POST", "/v1/entries", b"{}", headers=headers)
    status, told = call("POST", "/v1/entries", b"{}\n{}", headers=headers)
    assert (status, told["error"]) == (409, "Conflict")


@pytest.mark.parametrize("name", ["x" * 129, "a\tb", ""])
def test_bad_batch_ids(call: Call, name: str) -> None:
    """An id that is too long or not printable is refused; an empty one counts as none."""
    status, _ = call("POST", "/v1/entries", b"{}", headers={"Sentinel-Batch-Id": name})
    assert status == (400 if name else 200)


def test_without_an_id_each_request_is_a_batch_of_its_own(app: App, call: Call) -> None:
    """Equal bodies without an id are news each time: a heartbeat is not swallowed."""
    for _ in range(3):
        assert call("POST", "/v1/entries", b'{"heartbeat":1}')[0] == 200
    assert len(stored(app)) == 3


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("GZIP", lambda raw: gzip.compress(raw[:5]) + gzip.compress(raw[5:])),
        ("zstd", zstandard.compress),
        ("zstd", lambda raw: zstandard.compress(raw[:5]) + zstandard.compress(raw[5:])),
        ("zstd", lambda raw: zstandard.ZstdCompressor(write_content_size=False).compress(raw)),
        ("identity", lambda raw: raw),
    ],
)
def test_encodings(app: App, call: Call, encoding: str, pack: Callable[[bytes], bytes]) -> None:
    """Gzip and zstd bodies are taken, of one or several members or frames."""
    body = b'{"a":1}\n{"b":2}'
    status, _ = call("POST", "/v1/entries", pack(body), headers={"Content-Encoding": encoding})
    assert status == 200
    assert stored(app) == body.split(b"\n")


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("br", b"{}"),
        ("gzip, gzip", gzip.compress(b"{}", mtime=0)),
        ("gzip", b"{}"),
        ("gzip", gzip.compress(b"{}", mtime=0)[:-3]),
        ("gzip", gzip.compress(b"{}", mtime=0) + b"x"),
        ("zstd", b"{}"),
        ("zstd", zstandard.compress(b"{}" * 100)[:-3]),
        ("zstd", zstandard.compress(b"{}") + b"x"),
        ("gzip", b""),
        ("zstd", b""),
    ],
    ids=[
        "unknown",
        "twice",
        "no gzip",
        "cut gzip",
        "gzip and more",
        "no zstd",
        "cut zstd",
        "zstd and more",
        "empty gzip",
        "empty zstd",
    ],
)
def test_bad_encodings_are_refused(app: App, call: Call, encoding: str, body: bytes) -> None:
    """Unknown encodings, cut-off and false bodies are 400, and nothing is stored."""
    assert call("POST", "/v1/entries", body, headers={"Content-Encoding": encoding})[0] == 400
    assert stored(app) == []


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_decompression_is_bounded(call: Call, pack: Callable[[bytes], bytes]) -> None:
    """A bomb is refused with 413 without being unpacked; the limit itself is taken."""
    encoding = {"Content-Encoding": "gzip" if pack is gzip.compress else "zstd"}
    line = b'{"m":"' + b"x" * 49_991 + b'"}\n'
    assert len(line) * 100 == MAX_BATCH_BYTES
    assert call("POST", "/v1/entries", pack(line * 100), headers=encoding)[0] == 200
    assert call("POST", "/v1/entries", pack(line * 100 + b"\n"), headers=encoding)[0] == 413
    assert call("POST", "/v1/entries", pack(bytes(100_000_000)), headers=encoding)[0] == 413


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_very_many_members_cost_no_more_than_their_bytes(pack: Callable[[bytes], bytes]) -> None:
    """A body of empty members is read in a time that grows with its length, not with the square of it."""
    name = "gzip" if pack is gzip.compress else "zstd"
    body = pack(b"") * 200_000 + pack(b"{}")
    began = time.process_time()
    assert decompress(body, name) == b"{}"
    assert time.process_time() - began < 8


def test_a_zstd_window_of_gigabytes_is_refused(call: Call) -> None:
    """A frame that asks for a window beyond 8 MiB is refused rather than given the memory."""
    wide = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=False)
    packer = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    body = packer.compress(b'{"a":1}') + packer.flush()
    assert call("POST", "/v1/entries", body, headers={"Content-Encoding": "zstd"})[0] == 400


def test_a_bad_line_rejects_the_batch(app: App, call: Call) -> None:
    """400 with the numbers and reasons of the bad lines; nothing is stored."""
    status, told = call("POST", "/v1/entries", b"{}\nnope\n[1]\n{}")
    assert (status, told["error"]) == (400, "Malformed")
    assert [each["line"] for each in told["problems"]] == [2, 3]
    assert "2 lines are no entries" in told["message"]
    assert stored(app) == []


def test_partial_stores_the_good_lines(app: App, call: Call) -> None:
    """With ?partial=true good lines are stored and bad ones reported, again the same for a retry."""
    headers = {"Sentinel-Batch-Id": "p"}
    body = b'{"a":1}\nnope\n{"b":2}'
    status, receipt = call("POST", "/v1/entries", body, headers=headers, query={"partial": "true"})
    assert (status, receipt["count"], receipt["rejected"]) == (200, 2, 1)
    assert receipt["problems"][0]["line"] == 2
    assert call("POST", "/v1/entries", body, headers=headers, query={"partial": "true"}) == (200, receipt)
    assert stored(app) == [b'{"a":1}', b'{"b":2}']


def test_full_receipts(app: App, call: Call) -> None:
    """`Sentinel-Receipt: full` tells the segments, the same for a retry, and all bad lines."""
    body = b'{"a":1}\nnope\n{"b":2}' + b"\nno" * 25
    headers = {"Sentinel-Batch-Id": "f", "Sentinel-Receipt": "full"}
    status, receipt = call("POST", "/v1/entries", body, headers=headers, query={"partial": "true"})
    assert (status, receipt["lines"]) == (200, [2, *range(4, 29)])
    (piece,) = receipt["segments"]
    (segment,) = app.ledger.read("checkout/0")
    assert (piece["first"], piece["count"], piece["t"]) == (0, 2, segment.t)
    assert (piece["prev"], piece["head"]) == (segment.prev.hex(), segment.head.hex())
    assert piece["salt"] == hashing.salt(segment.opened.nonce, segment.opened.context).hex()
    assert call("POST", "/v1/entries", body, headers=headers, query={"partial": "true"}) == (200, receipt)
    for value in ("fuller", "", "0"):
        told = call("POST", "/v1/entries", b"{}", headers={"Sentinel-Receipt": value})[1]
        assert set(told) == {"chain", "first", "count", "head", "t", "batch_id"}


def test_a_sender_may_say_since_when_a_batch_may_be_there(app: App, call: Call) -> None:
    """`Sentinel-Since` names a place and its chain; without it a batch beyond the window is news."""
    headers = {"Sentinel-Batch-Id": "old"}
    call("POST", "/v1/entries", b'{"old":1}', headers=headers)
    for _ in range(70):
        call("POST", "/v1/entries", b"{}")
    places = []
    for since in ("0", "0 checkout/0", "7 billing/0", "x", "-1 checkout/0", "9" * 30 + " checkout/0", ""):
        told = call("POST", "/v1/entries", b'{"old":1}', headers={**headers, "Sentinel-Since": since})
        places.append((told[0], told[1]["first"]))
    assert places == [(200, 0)] * 7
    assert call("POST", "/v1/entries", b'{"old":1}', headers=headers)[1]["first"] == 71


def test_partial_of_nothing_good_is_refused(call: Call) -> None:
    """A batch without a single good line stores nothing, so it is 400 with `partial` too."""
    assert call("POST", "/v1/entries", b"nope", query={"partial": "true"})[0] == 400
    assert call("POST", "/v1/entries", b"{}", query={"partial": "maybe"})[0] == 400


def test_hostile_json_is_never_a_500(call: Call) -> None:
    """Every file of JSONTestSuite is answered 200 or 400, alone and between good lines."""
    for path in sorted(need("badinput", "JSONTestSuite", "test_parsing").iterdir()):
        body = path.read_bytes()
        for sent in (body, b"{}\n" + body + b"\n{}"):
            assert call("POST", "/v1/entries", sent)[0] in {200, 400}, path.name
        kind = "application/json"
        assert call("POST", "/v1/logs", body, headers={"Content-Type": kind})[0] in {200, 400}, path.name


def test_hostile_strings_are_kept(app: App, call: Call) -> None:
    """Every naughty string survives in an entry."""
    strings = orjson.loads(need("badinput", "blns", "blns.json").read_bytes())
    lines = [orjson.dumps({"message": text}) for text in strings]
    assert call("POST", "/v1/entries", b"\n".join(lines))[0] == 200
    assert stored(app) == lines


def test_a_service_cannot_be_named_by_a_header(app: App, call: Call) -> None:
    """The service is who the door says; what the sender writes into headers is ignored."""
    call("POST", "/v1/entries", b"{}", headers={"Sentinel-Service": "other", "X-Service": "other"})
    assert list(app.ledger.chains()) == ["checkout/0"]


@pytest.mark.parametrize("door", [None, {}, {"service": ""}, {"service": None, "scopes": "ingest"}])
def test_callers_without_a_name_are_refused(app: App, door: dict[str, str] | None) -> None:
    """Who came in by no door gets 401; a role that signed the request is none."""
    sent = event("POST", "/v1/entries", b"{}")
    identity = {"userArn": "arn:aws:sts::123456789012:assumed-role/checkout/i-0abc"}
    sent["requestContext"] = {"requestId": "r", "identity": identity, "authorizer": door}
    assert load("ingest")(sent, None)["statusCode"] == 401
    assert list(app.ledger.chains()) == []


@pytest.mark.parametrize("service", ["a/b", "a b", "x" * 129])
def test_bad_service_names_are_refused(call: Call, service: str) -> None:
    """A name that cannot be a service id is 400, not a strange chain."""
    assert call("POST", "/v1/entries", b"{}", service=service)[0] == 400


def test_an_unavailable_ledger_is_503_with_retry_after(
    app: App, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the ledger does not answer the sender is told when to come back."""

    def away(*_: object) -> None:
        raise Unavailable("injected", 2.0)

    monkeypatch.setattr(app.ledger, "head", away)
    answer = load("ingest")(event("POST", "/v1/entries", b"{}"), None)
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (503, "2")


def test_an_unexpected_failure_tells_nothing_of_our_insides(
    app: App, call: Call, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug is a 500 without details; the log has the place, and not the entry."""

    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(app.ledger, "head", broken)
    with caplog.at_level(logging.ERROR):
        status, told = call("POST", "/v1/entries", b'{"password":"hunter2"}')
    assert (status, told["error"]) == (500, "Internal")
    assert "broken" not in told["message"]
    assert "RuntimeError" in caplog.text
    assert "hunter2" not in caplog.text


def test_otlp_in_both_forms(app: App, call: Call) -> None:
    """OTLP logs are stored as entries and answered in the form they came in; a retry is recognised."""
    proto = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
    packed = gzip.compress(in_protobuf().SerializeToString())
    for _ in range(2):
        status, raw = call("POST", "/v1/logs", packed, headers=proto)
        assert status == 200
        assert not ExportLogsServiceResponse.FromString(raw).HasField("partial_success")
    json = {"Content-Type": "application/json; charset=utf-8"}
    assert call("POST", "/v1/logs", orjson.dumps(in_json()), headers=json) == (200, {})
    assert len(stored(app)) == 1
    assert call("POST", "/v1/logs", orjson.dumps(in_json(flags=0)), headers=json) == (200, {})
    assert len(stored(app)) == 2


def test_otlp_partial_success(app: App, call: Call) -> None:
    """Records that cannot be stored are counted in `partialSuccess`; the others are stored."""
    request = in_json(body={"stringValue": "x" * 70_000})
    request["resourceLogs"] += in_json()["resourceLogs"] + in_json(traceId="zz")["resourceLogs"]
    json = {"Content-Type": "application/json"}
    status, told = call("POST", "/v1/logs", orjson.dumps(request), headers=json)
    assert status == 200
    assert told["partialSuccess"]["rejectedLogRecords"] == "2"
    assert told["partialSuccess"]["errorMessage"]
    assert len(stored(app)) == 1


@pytest.mark.parametrize(
    ("kind", "body"),
    [("application/json", b"{"), ("application/x-protobuf", b"\xff\xff"), ("text/plain", b"{}"), ("", b"")],
)
def test_otlp_errors_are_rpc_statuses(call: Call, kind: str, body: bytes) -> None:
    """A bad request is 400 with a google.rpc.Status in the request's own form."""
    status, told = call("POST", "/v1/logs", body, headers={"Content-Type": kind} if kind else {})
    assert status == 400
    if kind == "application/json":
        assert (told["code"], "JSON" in told["message"]) == (3, True)
    else:
        assert told[:3] == b"\x08\x03\x12"
        assert told[4 if told[3] < 128 else 5 :].decode().isprintable()


def test_an_empty_export_is_fine(call: Call) -> None:
    """An OTLP request without records succeeds and stores nothing."""
    assert call("POST", "/v1/logs", b"{}", headers={"Content-Type": "application/json"}) == (200, {})


def test_a_service_sees_its_own_chains_only(call: Call) -> None:
    """`GET /v1/chains` lists the caller's chains with entries and head, and no one else's."""
    call("POST", "/v1/entries", b"{}\n{}")
    call("POST", "/v1/entries", b"{}", service="other")
    status, told = call("GET", "/v1/chains")
    assert status == 200
    assert [(each["chain"], each["entries"]) for each in told["chains"]] == [("checkout/0", 2)]


def test_tasks_that_are_not_there(call: Call) -> None:
    """Unknown tasks are 404, unknown states 400, and no tasks an empty list."""
    assert call("GET", "/v1/tasks") == (200, {"tasks": []})
    assert call("GET", "/v1/tasks", query={"state": "odd"})[0] == 400
    assert call("GET", "/v1/tasks/{task}", params={"task": "a" * 26})[0] == 404


def test_unknown_paths(call: Call) -> None:
    """A path that no route has is 404."""
    assert call("POST", "/v2/entries", b"{}")[0] == 404


def test_a_body_that_is_not_base64_is_refused(call: Call) -> None:
    """What API Gateway marks as base64 and is not is 400."""
    sent = event("POST", "/v1/entries")
    sent["body"] = "%%%"
    assert load("ingest")(sent, None)["statusCode"] == 400


def test_a_service_has_its_own_number_of_lanes(call: Call) -> None:
    """The number that the door hands on counts, over the deployment's; 0 is the deployment's. Both routes."""

    def chains(lanes: str, path: str = "/v1/entries", body: bytes = b"{}") -> set[str]:
        for n in range(24):
            sent = event("POST", path)
            door = {**sent["requestContext"], "authorizer": {**sent["requestContext"]["authorizer"]}}
            door["authorizer"] |= {"lanes": lanes, "service": f"{path[4:]}-{lanes}"}
            headers = {"Sentinel-Instance": f"pod-{n}", "Content-Type": "application/json"}
            assert call("POST", path, body, requestContext=door, headers=headers)[0] == 200
        door = {**door, "authorizer": {**door["authorizer"]}}
        _, told = call("GET", "/v1/chains", requestContext=door)
        return {each["chain"].rpartition("/")[2] for each in told["chains"]}

    record = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"hello"}}]}]}]}'
    assert chains("4") == {"0", "1", "2", "3"}
    assert chains("0") == {"0"}  # the deployment's number is 1
    assert chains("4", "/v1/logs", record) == {"0", "1", "2", "3"}


@pytest.mark.parametrize("path", ["/v1/entries", "/v1/logs"])
def test_a_retry_after_the_lanes_changed_is_recognised(call: Call, path: str) -> None:
    """By its batch id, or an exporter's by what it says, in the lane that its sender had before."""
    record = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"%d"}}]}]}]}'
    now = int(time.time())

    def send(number: int, spread: str) -> None:
        door = {**event("POST", path)["requestContext"]}
        door["authorizer"] = {**door["authorizer"], "spread": spread}
        named = {"Sentinel-Instance": "pod-1", "Sentinel-Batch-Id": f"b{number}"}
        headers = {**named, "Content-Type": "application/json"}
        body = b'{"n":%d}' % number if path == "/v1/entries" else record % number
        assert call("POST", path, body, requestContext=door, headers=headers)[0] == 200

    before, after = f"4 1<{now + 600} @{now}", f"4 1<{now - 1} @{now}"
    for number, spread in ((1, before), (1, after), (2, after), (3, after), (1, after), (3, after)):
        send(number, spread)
    _, told = call("GET", "/v1/chains")
    assert {each["chain"]: each["entries"] for each in told["chains"]} == {"checkout/0": 1, "checkout/1": 2}


def test_a_retry_from_another_address_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With several lanes a named instance keeps its lane, and a sender without a name is found again."""
    monkeypatch.setenv("SENTINEL_HOME", str(tmp_path))
    monkeypatch.setenv("SENTINEL_LANES", "8")
    bootstrap.cache_clear()
    handler, receipts = load("ingest"), []
    for address in ("10.0.0.1", "10.9.9.9"):
        sent = event("POST", "/v1/entries", b"{}", headers={"Sentinel-Batch-Id": "b"})
        sent["requestContext"]["identity"]["sourceIp"] = address
        receipts.append(orjson.loads(handler(sent, None)["body"]))
    assert receipts[0] == receipts[1]
    named = {"Sentinel-Instance": "pod-3"}
    chains = {
        orjson.loads(handler(event("POST", "/v1/entries", b"{}", headers=named), None)["body"])["chain"]
        for _ in range(3)
    }
    assert len(chains) == 1
    assert chains != {"checkout/0"}
    bootstrap.cache_clear()


def test_a_senders_signature_is_kept(app: App, call: Call) -> None:
    """The context that the chain commits to has the signature and its key as they came, bounded."""
    signed = {"Sentinel-Signature": "s" * 86, "Sentinel-Key-Id": "k" * 400}
    assert call("POST", "/v1/entries", b"{}", headers=signed)[0] == 200
    [segment] = app.ledger.read("checkout/0", 0, 10)
    context = orjson.loads(segment.opened.context)
    assert (context["signature"], context["key"]) == ("s" * 86, "k" * 256)


@pytest.mark.parametrize("kind", ["application/json", "application/x-protobuf"])
@pytest.mark.parametrize(
    "error", [RuntimeError("broken"), Tampered("c/0", 0, "injected", "x"), Unavailable("injected")]
)
def test_otlp_is_told_to_send_again_whatever_is_wrong_here(
    app: App,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    error: Exception,
) -> None:
    """Its clients drop what they have after a 500: it is a 503, in their form, and logged as what it is."""

    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(app.ledger, "head", broken)
    body = orjson.dumps(in_json()) if kind.endswith("json") else in_protobuf().SerializeToString()
    answer = load("ingest")(event("POST", "/v1/logs", body, headers={"Content-Type": kind}), None)
    assert (answer["statusCode"], answer["headers"]["Content-Type"]) == (503, kind)
    assert int(answer["headers"]["Retry-After"]) >= 1
    assert "broken" not in answer["body"]
    levels = {record.levelname for record in caplog.records}
    assert levels >= ({"CRITICAL"} if isinstance(error, Tampered) else set())
    assert ("ERROR" in levels) is isinstance(error, RuntimeError)
