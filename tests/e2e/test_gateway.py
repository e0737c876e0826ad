"""The local gateway over real HTTP: what it takes and refuses, and that nothing sent to it gives a 500."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import zstandard
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from tests.data import need
from tests.e2e.trees import Tree, sentinel, up


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """One running tree for all tests here; each uses services of its own."""
    with up(tmp_path_factory.mktemp("gateway")) as running:
        yield running


def _entries(tree: Tree, service: str) -> list[Any]:
    done = sentinel("export", "--chain", f"{service}/0", home=tree.home)
    assert done.returncode == 0, done.stderr
    return [json.loads(each) for line in done.stdout.splitlines() for each in json.loads(line)["entries"]]


def _raw(tree: Tree, data: bytes, seconds: float = 25.0) -> bytes:
    """Send bytes as they are; return all that comes until the connection is closed."""
    parts = urlsplit(tree.url)
    with socket.create_connection((parts.hostname, parts.port or 0), timeout=seconds) as connection:
        connection.sendall(data)
        found = b""
        # A server that closes with something unread resets the connection; what it said counts all the same.
        with contextlib.suppress(ConnectionResetError):
            while chunk := connection.recv(65536):
                found += chunk
        return found


@pytest.mark.parametrize("compression", [Compression.Gzip, Compression.NoCompression])
def test_the_opentelemetry_sdk_is_a_client(tree: Tree, compression: Compression) -> None:
    """The real exporter of the OpenTelemetry Python SDK stores its records, compressed or not."""
    service = f"otel-{compression.value}"
    exporter = OTLPLogExporter(
        endpoint=f"{tree.url}/v1/logs", headers={"Sentinel-Service": service}, compression=compression
    )
    provider = LoggerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = provider.get_logger("shop.till")
    for number in range(30):
        logger.emit(
            LogRecord(
                timestamp=time.time_ns(),
                severity_number=SeverityNumber.WARN,
                severity_text="WARN",
                body=f"payment {number} refused",
                attributes={"cart": f"c{number}"},
            )
        )
    provider.force_flush()
    provider.shutdown()
    found = _entries(tree, service)
    assert len(found) == 30
    assert [json.dumps(each).count(f"payment {at} refused") for at, each in enumerate(found)] == [1] * 30


def test_otlp_json_is_answered_in_json(tree: Tree) -> None:
    """OTLP/HTTP in JSON is stored and answered with an empty object, as the specification says."""
    records = [{"timeUnixNano": "1", "body": {"stringValue": "hello"}}]
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).encode()
    headers = {"Content-Type": "application/json", "Sentinel-Service": "otlp-json"}
    status, answered, raw = tree.request("POST", "/v1/logs", body, headers)
    assert (status, answered["content-type"], json.loads(raw)) == (200, "application/json", {})
    assert len(_entries(tree, "otlp-json")) == 1


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "identity"])
def test_bodies_are_unpacked_by_the_handler_alone(tree: Tree, encoding: str) -> None:
    """A compressed body is stored byte for byte; the gateway itself does not unpack it a first time."""
    lines = [b'{"n": %d,  "spaced" :1}' % number for number in range(600)]
    plain = b"\n".join(lines)
    packed = {"gzip": gzip.compress(plain), "zstd": zstandard.compress(plain), "identity": plain}[encoding]
    headers = {"Content-Encoding": encoding, "Sentinel-Service": f"packed-{encoding}"}
    status, _, raw = tree.request("POST", "/v1/entries", packed, headers)
    assert (status, json.loads(raw)["count"]) == (200, 600)
    done = sentinel("export", "--chain", f"packed-{encoding}/0", home=tree.home)
    stored = [each.encode() for line in done.stdout.splitlines() for each in json.loads(line)["entries"]]
    assert stored == lines


def test_a_packed_body_that_is_cut_or_a_bomb_is_refused(tree: Tree) -> None:
    """Broken compression is a 400, a body that unpacks to more than a batch a 413."""
    packed = gzip.compress(b'{"a":1}\n' * 100)
    assert tree.request("POST", "/v1/entries", packed[:-9], {"Content-Encoding": "gzip"})[0] == 400
    assert tree.request("POST", "/v1/entries", packed, {"Content-Encoding": "zstd"})[0] == 400
    assert tree.request("POST", "/v1/entries", packed, {"Content-Encoding": "br"})[0] == 400
    bomb = gzip.compress(b" " * 50_000_000)
    assert tree.request("POST", "/v1/entries", bomb, {"Content-Encoding": "gzip"})[0] == 413


def test_partial_stores_the_good_lines_and_names_the_bad(tree: Tree) -> None:
    """Without `partial` one bad line refuses the batch; with it the others are stored."""
    body = b'{"n":1}\nnot json\n{"n":2}\n'
    headers = {"Sentinel-Service": "partial"}
    status, _, raw = tree.request("POST", "/v1/entries", body, headers)
    assert status == 400
    assert [each["line"] for each in json.loads(raw)["problems"]] == [2]
    status, _, raw = tree.request("POST", "/v1/entries?partial=true", body, headers)
    told = json.loads(raw)
    assert (status, told["count"], told["rejected"]) == (200, 2, 1)
    assert _entries(tree, "partial") == [{"n": 1}, {"n": 2}]


def test_the_same_batch_id_gives_the_same_receipt(tree: Tree) -> None:
    """A batch that is sent again is stored once and answered alike."""
    first = tree.post([{"n": 1}], "again", Sentinel_Batch_Id="one")
    tree.post([{"n": 2}], "again", Sentinel_Batch_Id="two")
    assert tree.post([{"n": 1}], "again", Sentinel_Batch_Id="one") == first
    assert _entries(tree, "again") == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example:8787"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": "10.0.0.1"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:1"}, 403),
        ({"Host": "localhost", "Origin": "http://localhost"}, 200),
        ({"Host": "[::1]:99"}, 200),
    ],
)
def test_what_a_web_page_makes_a_browser_send_is_refused(
    tree: Tree, headers: dict[str, str], status: int
) -> None:
    """A name that was pointed at this machine, or a foreign origin, stores nothing."""
    told = {"Sentinel-Service": f"browser-{len(headers)}-{status}", **headers}
    found, _, raw = tree.request("POST", "/v1/entries", b'{"a":1}', told)
    assert found == status, raw
    if status != 200:
        assert set(json.loads(raw)) == {"error", "message"}


def test_unknown_paths_and_methods_are_json_errors(tree: Tree) -> None:
    """404 and 405 come in the shape of all errors; 405 says what is allowed."""
    status, headers, raw = tree.request("GET", "/nothing")
    assert (status, json.loads(raw)["error"], headers["content-type"]) == (404, "Missing", "application/json")
    status, headers, raw = tree.request("DELETE", "/v1/entries")
    assert (status, headers["allow"], json.loads(raw)["error"]) == (405, "POST", "NotAllowed")
    assert tree.request("GET", "/healthz")[0] == 200
    assert tree.request("GET", "/v1/tasks/nope")[0] == 404
    assert tree.request("GET", "/v1/tasks/%2e%2e%2f")[0] == 404
    assert tree.request("POST", "/v1/entries?partial=perhaps", b"{}")[0] == 400


def test_sizes_are_bounded(tree: Tree) -> None:
    """A body over 10 MB is a 413, announced or not, and one over a batch's 5 MB as well."""
    status, _, raw = tree.request("POST", "/v1/entries", b" " * 10_000_001)
    assert (status, json.loads(raw)["error"]) == (413, "TooLarge")
    head = b"POST /v1/entries HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    parts = urlsplit(tree.url)
    with socket.create_connection((parts.hostname, parts.port or 0), timeout=60) as connection:
        connection.sendall(head)
        with contextlib.suppress(OSError):  # it may have answered and hung up already
            for _ in range(30):
                connection.sendall(chunk)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(100).startswith(b"HTTP/1.1 413")
    assert tree.request("POST", "/v1/entries", b'{"a":1}\n' * 700_000)[0] == 413
    assert tree.request("POST", "/v1/entries", b'{"a":1}\n' * 10_001)[0] == 413


def test_100_continue_is_answered(tree: Tree) -> None:
    """A client that asks before it sends (curl with a large body) is told to go on."""
    parts = urlsplit(tree.url)
    with socket.create_connection((parts.hostname, parts.port or 0), timeout=60) as connection:
        connection.sendall(
            b"POST /v1/entries HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n"
            b"Expect: 100-continue\r\nConnection: close\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b'{"a":1}')
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /v1/entries HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/entries HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"POST /v1/entries HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /%ff%fe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        (
            b"POST /v1/entries HTTP/1.1\r\nHost: localhost\r\nSentinel-Service: \xff\xfe\r\n"
            b"Content-Length: 2\r\nConnection: close\r\n\r\n{}"
        ),
        (
            b"POST /v1/entries HTTP/1.1\r\nHost: localhost\r\nUser-Agent: \xff\xfe\r\n"
            b"Content-Length: 2\r\nConnection: close\r\n\r\n{}"
        ),
        (
            b"POST /v1/entries HTTP/1.1\r\nHost: localhost\r\nSentinel-Batch-Id: \xff\r\n"
            b"Content-Length: 2\r\nConnection: close\r\n\r\n{}"
        ),
        (
            b"POST /v1/entries?partial=%ff HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Length: 2\r\nConnection: close\r\n\r\n{}"
        ),
        b"POST /v1/entries HTTP/1.1\r\nHost: [\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
    ],
)
def test_broken_http_never_gives_a_500(tree: Tree, data: bytes) -> None:
    """Whatever the bytes, the answer is a 4xx or a closed connection (or a 200 where they were fine)."""
    found = _raw(tree, data)
    status = found[9:10]
    assert not found or status in {b"4", b"2"}, found[:200]
    assert tree.request("GET", "/healthz")[0] == 200


def test_what_is_no_http_is_quoted_nowhere(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Bytes that are no HTTP, an entry's among them, are neither in the answer nor in the log."""
    head = b"POST /v1/entries HTTP/1.1\r\nHost: localhost\r\n"
    with up(tmp_path) as running:
        for data in (
            head + b'Content-Length: 2\r\nConnection: close\r\n\r\n{}{"a":"hunter2"}',
            head + b"X-Secret: hunter2\nAnother: b\r\n\r\n",
            head + b"X: " + b"hunter2" * 3000 + b"\r\n\r\n",
            b"hunter2\r\n\r\n",
        ):
            found = _raw(running, data)
            assert b"hunter2" not in found
            assert not found or b"application/json" in found
    assert "hunter2" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("service", ["a/b", "a b", ".a", "x" * 200, "../etc"])
def test_a_service_that_cannot_be_one_is_refused(tree: Tree, service: str) -> None:
    """A service id that could leave its chain's name is a 400."""
    status, _, raw = tree.request("POST", "/v1/entries", b'{"a":1}', {"Sentinel-Service": service})
    assert status == 400, raw


def test_an_empty_service_is_no_service(tree: Tree) -> None:
    """Without the header the service is `local`; an empty one names nobody."""
    headers = {"Sentinel-Service": ""}
    assert tree.request("POST", "/v1/entries", b'{"a":1}', headers)[0] == 401
    assert json.loads(tree.request("POST", "/v1/entries", b'{"a":1}')[2])["chain"] == "local/0"


def test_hostile_json_never_gives_a_500(tree: Tree) -> None:
    """Every file of JSONTestSuite is stored or refused with a 400; objects that must be accepted are."""
    folder = need("badinput", "JSONTestSuite")
    files = sorted(path for path in folder.rglob("*.json") if path.name[:2] in {"y_", "n_", "i_"})
    assert files
    for path in files:
        body = path.read_bytes()
        status, _, raw = tree.request("POST", "/v1/entries", body, {"Sentinel-Service": "hostile"})
        assert status in {200, 400}, (path.name, status, raw)
        if path.name.startswith("n_"):
            assert status == 400, path.name
        if path.name.startswith("y_") and body.strip().startswith(b"{"):
            assert status == 200, path.name
    for body in (b'{"a":' * 100_000, b"[" * 100_000, b"\x00", b'{"a":"\\ud800"}', b'{"a":1,"a":2}', b"\xff"):
        assert tree.request("POST", "/v1/entries", body, {"Sentinel-Service": "hostile"})[0] in {200, 400}


def test_a_service_sees_its_own_chains_alone(tree: Tree) -> None:
    """`GET /v1/chains` shows the caller's chains and no other service's."""
    tree.post([{"a": 1}], "mine")
    tree.post([{"a": 1}], "yours")
    _, _, raw = tree.request("GET", "/v1/chains", headers={"Sentinel-Service": "mine"})
    assert [each["chain"] for each in json.loads(raw)["chains"]] == ["mine/0"]


@pytest.mark.nightly
def test_a_request_in_hand_is_finished_when_the_tree_stops(tmp_path: Path) -> None:
    """Ctrl-C while a body is still arriving: the request is answered, and what it brought is stored."""
    with up(tmp_path) as running:
        parts = urlsplit(running.url)
        with socket.create_connection((parts.hostname, parts.port or 0), timeout=60) as connection:
            connection.sendall(
                b"POST /v1/entries HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n" + b'{"a":'
            )
            time.sleep(0.2)
            running.process.send_signal(2)
            time.sleep(0.3)
            connection.sendall(b"123}")
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        assert running.process.wait(timeout=60) == 0
    assert json.loads(sentinel("chains", "--json", home=tmp_path).stdout)[0]["entries"] == 1
