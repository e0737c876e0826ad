"""Limits at the functions: what a request takes before anything is stored, and what the answers say."""

from __future__ import annotations

import gzip
import importlib.util
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from sentinel.adapters.redis_limits import RedisLimits
from sentinel.adapters.redis_streams import connect
from sentinel.bootstrap import App, bootstrap
from sentinel.core.access import TIERS
from sentinel.entrypoints import aws, limits, observe
from sentinel.entrypoints.api import COUNTED, ENDPOINTS, endpoint
from sentinel.entrypoints.web import Identity, Request, Response, error_response
from sentinel.errors import Limited, SentinelError
from sentinel.usecases.limit import Limiter
from tests.valkey import Valkey

TRIAL = TIERS["trial"]
Send = Callable[..., Response]


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """An application of its own, whose process counts alone."""
    monkeypatch.setenv("SENTINEL_HOME", str(tmp_path))
    bootstrap.cache_clear()
    yield bootstrap()
    bootstrap.cache_clear()


@pytest.fixture
def send(app: App) -> Send:
    """Send a request of a service of the tier `trial`, as its door lets it in, while time stands still."""
    vars(app)["limiter"] = Limiter(None, lambda: 1000.0)

    def send(method: str, path: str, body: bytes = b"", **changes: Any) -> Response:
        tier, service = changes.pop("tier", "trial"), changes.pop("service", "checkout")
        request = Request(
            method,
            path,
            Identity(service, tier=tier, encryption="store"),
            uuid.uuid4().hex,
            body=body,
            **changes,
        )
        try:
            return endpoint(app, path, method)(request)
        except SentinelError as error:
            return error_response(error)

    return send


def _stored(app: App, service: str = "checkout") -> int:
    return sum(segment.count for segment in app.ledger.read(f"{service}/0"))


def _left(answer: Response, bucket: str) -> int:
    name, left, _ = answer.headers["RateLimit"].split(";")
    assert name == f'"{bucket}"'
    return int(left.removeprefix("r="))


def _lines(count: int, size: int = 2) -> bytes:
    return b"\n".join([b'{"m":"' + b"x" * (size - 8) + b'"}' if size > 8 else b"{}"] * count)


def test_a_batch_takes_its_entries(app: App, send: Send) -> None:
    """A batch over what is left of its entries is 429 with `Retry-After`, and nothing of it is stored."""
    answer = send("POST", "/v1/entries", _lines(900))
    assert (answer.status, _left(answer, "entries")) == (200, 100)
    answer = send("POST", "/v1/entries", _lines(150))
    assert (answer.status, orjson.loads(answer.body)["error"]) == (429, "Limited")
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["RateLimit"].endswith(";t=1")
    assert "RateLimit-Policy" in answer.headers
    assert _stored(app) == 900
    assert send("POST", "/v1/entries", _lines(100)).status == 200


def test_a_batch_takes_its_bytes_as_unpacked(app: App, send: Send) -> None:
    """Compression saves transport, not quota."""
    body = gzip.compress(_lines(18, 50_000))
    assert len(body) < 5_000
    headers = {"content-encoding": "gzip"}
    answer = send("POST", "/v1/entries", body, headers=headers)
    assert (answer.status, _left(answer, "bytes")) == (200, 1_000_000 - 18 * 50_000 - 17)
    assert send("POST", "/v1/entries", body, headers=headers).status == 429
    assert _stored(app) == 18


def test_with_partial_the_good_lines_count(send: Send) -> None:
    """Entries that are not stored are not taken, the bytes that had to be read are."""
    answer = send("POST", "/v1/entries", _lines(500) + b"\nbad" * 300, query={"partial": "true"})
    assert (answer.status, _left(answer, "entries")) == (200, 500)


@pytest.mark.parametrize("form", ["json", "protobuf"])
def test_otlp_is_limited_in_its_own_shape(app: App, send: Send, form: str) -> None:
    """OTLP gets 429 with `Retry-After` and a google.rpc.Status of code 8 (RESOURCE_EXHAUSTED)."""
    record = {"body": {"stringValue": "x"}}
    plain = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record] * 300}]}]}
    body = orjson.dumps(plain)
    if form == "protobuf":
        body = ParseDict(plain, ExportLogsServiceRequest()).SerializeToString()
    headers = {"content-type": f"application/{'json' if form == 'json' else 'x-protobuf'}"}
    answers = [send("POST", "/v1/logs", body, headers=headers) for _ in range(4)]
    assert [each.status for each in answers] == [200, 200, 200, 429]
    assert [_left(each, "entries") for each in answers] == [700, 400, 100, 100]
    assert int(answers[3].headers["Retry-After"]) >= 1
    assert answers[3].content_type == headers["content-type"]
    if form == "json":
        assert orjson.loads(answers[3].body)["code"] == 8
    else:
        assert answers[3].body[:2] == b"\x08\x08"
    assert _stored(app) == 300  # equal content is one batch, and each time it was sent counts


def test_otlp_takes_its_bytes_as_unpacked(send: Send) -> None:
    """A compressed export takes the bytes that it unpacks to."""
    record = {"body": {"stringValue": "x" * 50_000}}
    plain = orjson.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record] * 12}]}]})
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    answer = send("POST", "/v1/logs", gzip.compress(plain), headers=headers)
    assert (answer.status, _left(answer, "bytes")) == (200, 1_000_000 - len(plain))


@pytest.mark.parametrize("body", [b"", b"nope", _lines(10_001), b"{}\nnope"])
def test_a_bad_request_counts_as_one(send: Send, body: bytes) -> None:
    """Requests that are refused for what they hold take one request, so that they are no way around."""
    statuses = [send("POST", "/v1/entries", body).status for _ in range(12)]
    assert set(statuses[:10]) <= {400, 413}
    assert statuses[10:] == [429, 429]


def test_a_bad_otlp_request_counts_as_one(send: Send) -> None:
    """So do those to the other endpoint, its wrong content types included."""
    statuses = [send("POST", "/v1/logs", b"nope").status for _ in range(12)]
    assert statuses == [400] * 10 + [429] * 2


def test_what_would_be_refused_is_not_unpacked(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once requests are refused, the body of the next one is not looked at."""
    while send("GET", "/v1/chains").status == 200:
        pass
    monkeypatch.setattr("sentinel.usecases.ingest.decompress", lambda *_: pytest.fail("it was unpacked"))
    assert send("POST", "/v1/entries", _lines(1)).status == 429
    assert send("POST", "/v1/logs", _lines(1)).status == 429


@pytest.mark.parametrize("route", sorted(set(ENDPOINTS) - COUNTED), ids=" ".join)
def test_every_other_route_takes_one_request(app: App, send: Send, route: tuple[str, str]) -> None:
    """Every endpoint is limited, this test walks them; what it answers is its own matter."""
    del app
    method, path = route
    while send("GET", "/v1/chains").status == 200:
        pass
    answer = send(method, path, params={"task": "0" * 32})
    assert answer.status == 429
    assert int(answer.headers["Retry-After"]) >= 1


def test_answers_have_the_headers(send: Send) -> None:
    """A 200 says what is left, too."""
    answer = send("GET", "/v1/chains")
    assert (answer.status, _left(answer, "requests")) == (200, 9)
    assert answer.headers["RateLimit-Policy"].startswith('"requests";q=10;w=2, ')


def test_without_a_tier_nothing_is_limited(app: App, send: Send) -> None:
    """The local mode without certificates knows no tiers: no limit, no header, no counter asked."""
    del vars(app)["limiter"]
    for _ in range(50):
        answer = send("POST", "/v1/entries", _lines(500), tier="")
        assert answer.status == 200
        assert not set(answer.headers) & {"RateLimit", "RateLimit-Policy"}
    assert "limiter" not in vars(app)


def test_limits_can_be_turned_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """`SENTINEL_LIMITS=false` turns limits off for all tiers, those on failed attempts included."""
    monkeypatch.setenv("SENTINEL_LIMITS", "false")
    app: App = request.getfixturevalue("app")
    send: Send = request.getfixturevalue("send")
    assert not app.settings.limits
    for _ in range(20):
        assert send("POST", "/v1/entries", _lines(1)).status == 200
        limits.failed(app, "checkout", "thumb")
    limits.check_failures(app, "checkout", "thumb")
    assert send("GET", "/v1/chains", tier="gold").status == 200


def test_an_unknown_tier_is_403(send: Send) -> None:
    """A tier of a later version is refused by name of those that there are, on every route."""
    for route in (("POST", "/v1/entries"), ("POST", "/v1/logs"), ("GET", "/v1/chains")):
        answer = send(*route, _lines(1), tier="gold")
        assert answer.status == 403
        assert b"trial, standard, high" in answer.body


def test_failed_attempts(app: App) -> None:
    """What the token endpoint calls: ten failures in a minute, then 429."""
    for _ in range(10):
        limits.check_failures(app, "checkout", "thumb")
        limits.failed(app, "checkout", "thumb")
    with pytest.raises(Limited):
        limits.check_failures(app, "checkout", "thumb")


def _load(function: str) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    path = Path(__file__).resolve().parents[2] / "functions" / function / "handler.py"
    spec = importlib.util.spec_from_file_location(f"{function}_limited", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    handler: Callable[[dict[str, Any], Any], dict[str, Any]] = module.handler
    return handler


def test_the_handlers_count_what_was_decided_alone(
    server: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function whose counter is killed answers on, within the bound, and counts it in a metric."""
    counted: list[tuple[str, str, float]] = []
    monkeypatch.setattr(observe, "count", lambda *about: counted.append(about))
    monkeypatch.setattr(aws, "identity_of", lambda *_: Identity("metered", tier="trial"))
    monkeypatch.setenv("SENTINEL_HOME", str(tmp_path))
    monkeypatch.setenv("SENTINEL_REDIS_URL", server.url)
    bootstrap.cache_clear()
    made = bootstrap()
    store = RedisLimits(connect(server.url, seconds=20, retries=0))  # a busy machine has time
    monkeypatch.setitem(vars(made), "limiter", Limiter(lambda: store, lambda: 1000.0))  # and none goes by
    handler = _load("control")
    event = {
        "resource": "/v1/chains",
        "path": "/v1/chains",
        "httpMethod": "GET",
        "requestContext": {"requestId": "r1", "identity": {}},
    }
    try:
        assert handler(event, None)["headers"]["RateLimit"] == '"requests";r=9;t=1'
        assert counted == []
        server.kill()
        statuses = [handler(event, None)["statusCode"] for _ in range(13)]
        assert statuses == [200] * 10 + [429] * 3
        assert counted == [("control", limits.METRIC, 1)] * 10
    finally:
        server.start()
        bootstrap.cache_clear()
