"""The functions of webhooks and of the proxy: API Gateway events in, answers out, request ids and traces."""

from __future__ import annotations

import base64
import gzip
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from sentinel.bootstrap import App, bootstrap
from sentinel.core.access import Hook, Service, encode
from sentinel.core.ring import Key, Ring
from sentinel.ports_doors import Record
from tests.functions.test_api_handlers import event, load
from tests.webhooks.test_standard import BODY, SECRET, sign
from tests.wire import Wire

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
HOOK = {"source": "standard-webhooks", "hook": "billing"}


@pytest.fixture
def upstream() -> Iterator[Wire]:
    """A server to pass requests on to; it answers packed JSON."""
    packed = gzip.compress(b'{"ok":true}', mtime=0)
    head = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
    wire = Wire(head + b"X-Content-Type-Options: none\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed)
    yield wire
    wire.close()


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upstream: Wire) -> Iterator[App]:
    """An application with a service, its webhook, and an upstream."""
    monkeypatch.setenv("SENTINEL_HOME", str(tmp_path))
    monkeypatch.setenv("SENTINEL_PROXY", f"reports=http://127.0.0.1:{upstream.port}/api")
    monkeypatch.setenv("SENTINEL_LIMITS", "false")
    bootstrap.cache_clear()
    made = bootstrap()
    for entity in (Service("payments"), Hook("billing", "payments", "standard-webhooks", "hooks.billing")):
        made.registry.put(Record(entity.KIND, entity.id, encode(entity)))
    made.door_secrets.create("hooks.billing", Ring((Key("k", SECRET),)).encode())
    yield made
    made.proxy._http.close()  # type: ignore[attr-defined]
    bootstrap.cache_clear()


Send = Callable[..., dict[str, Any]]


@pytest.fixture
def hook(app: App) -> Send:
    """Send a webhook's message to its function."""
    handler = load("receive")

    def send(body: bytes = BODY, **changes: Any) -> dict[str, Any]:
        headers = {"Webhook-" + n[8:].title(): v for n, v in sign(body, at=int(time.time())).items()}
        headers |= changes.pop("headers", {})
        sent = event("POST", "/hooks/{source}/{hook}", body, headers=headers, params=HOOK, **changes)
        del sent["requestContext"]["authorizer"]
        return handler(sent, None)

    return send


@pytest.fixture
def proxy(app: App) -> Send:
    """Send a request to the proxy's function, as the authorizer lets it through."""
    handler = load("proxy")

    def send(path: str, method: str = "GET", **changes: Any) -> dict[str, Any]:
        resource = "/v1/proxy/{upstream}/{path+}"
        sent = event(method, resource, path=f"/v1/proxy/{path}", **changes)
        sent["requestContext"]["authorizer"] |= {"scopes": "proxy ingest"}
        return handler(sent, None)

    return send


def test_a_webhook_is_answered_with_the_least_of_its_receipt(app: App, hook: Send) -> None:
    """200 and no name of ours: a sender outside needs no chain and no number."""
    answer = hook(headers={"Traceparent": PARENT})
    assert answer["statusCode"] == 200
    assert set(orjson.loads(answer["body"])) == {"batch_id", "head", "t"}
    head = app.ledger.head("payments/0")
    assert head is not None
    context = orjson.loads(head.opened.context)
    assert (context["trace"], context["address"]) == (TRACE, "10.0.0.1")


def test_a_webhook_that_is_not_proven_is_401(app: App, hook: Send) -> None:
    """A changed body and a doubled header are refused alike, and nothing is stored."""
    changed = hook(body=BODY, headers={"Webhook-Id": "other"})
    headers = sign(BODY, at=int(time.time()))
    doubled = {name: [value] for name, value in headers.items()}
    doubled |= {"Webhook-Id": ["x"], "webhook-id": [headers["webhook-id"]]}
    twice = hook(multiValueHeaders=doubled)
    assert (changed["statusCode"], twice["statusCode"]) == (401, 401)
    assert changed["body"] == twice["body"]
    assert list(app.ledger.chains()) == []


def test_a_webhook_over_the_limits_is_told_when_to_come_back_and_no_more(
    app: App, hook: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sender outside does not learn whose chain it fills, in what tier that is and how much is left."""
    monkeypatch.setattr(app, "settings", replace(app.settings, limits=True))
    app.registry.put(Record("service", "payments", encode(Service("payments", "trial")), 1))
    answers = []
    for number in range(20):
        name = {"Webhook-Id": f"m{number}"}
        signed = sign(BODY, name=f"m{number}", at=int(time.time()))
        answers.append(hook(headers={**name, "Webhook-Signature": signed["webhook-signature"]}))
    answer = answers[-1]
    assert answer["statusCode"] == 429
    assert int(answer["headers"]["Retry-After"]) >= 1
    told = " ".join([answer["body"], *answer["headers"], *answer["headers"].values()]).lower()
    assert not any(word in told for word in ("ratelimit", "payments", "trial", "a second"))


def test_a_sender_that_takes_429_for_final_is_told_503(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sentry and Datadog drop a message after any 4xx: over the limits they are told to come again."""
    monkeypatch.setattr(app, "settings", replace(app.settings, limits=True))
    app.registry.put(Record("service", "payments", encode(Service("payments", "trial")), 1))
    app.registry.put(
        Record("hook", "monitors", encode(Hook("monitors", "payments", "datadog", "hooks.billing")))
    )
    handler, answers = load("receive"), []
    for number in range(20):
        sent = event(
            "POST",
            "/hooks/{source}/{hook}",
            orjson.dumps({"title": f"disk {number} is full"}),
            headers={"X-Sentinel-Key": SECRET},
            params={"source": "datadog", "hook": "monitors"},
        )
        del sent["requestContext"]["authorizer"]
        answers.append(handler(sent, None))
    assert answers[0]["statusCode"] == 200
    assert answers[-1]["statusCode"] == 503
    assert int(answers[-1]["headers"]["Retry-After"]) >= 1
    told = " ".join([answers[-1]["body"], *answers[-1]["headers"]]).lower()
    assert not any(word in told for word in ("ratelimit", "payments", "trial"))


def test_a_request_passes_to_its_upstream(proxy: Send, upstream: Wire) -> None:
    """Path and query as they came; the packed JSON comes back as bytes, with our own nosniff."""
    answer = proxy(
        "reports/a%20b/c",
        multiValueQueryStringParameters={"q": ["1", "2"]},
        headers={"Accept-Encoding": "gzip", "Authorization": "canary", "Traceparent": PARENT},
    )
    assert (answer["statusCode"], answer["isBase64Encoded"]) == (201, True)
    assert gzip.decompress(base64.b64decode(answer["body"])) == b'{"ok":true}'
    names = [name.lower() for name in answer["headers"]]
    assert len(names) == len(set(names))
    assert answer["headers"]["X-Content-Type-Options"] == "nosniff"
    sent = upstream.requests[-1].decode()
    assert sent.startswith("GET /api/a%20b/c?q=1&q=2 HTTP/1.1\r\n")
    assert f"traceparent: {PARENT}\r\n" in sent
    assert "sentinel-service: checkout\r\n" in sent
    assert "canary" not in sent
    assert f"sentinel-request-id: {answer['headers']['Sentinel-Request-Id']}\r\n" in sent


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("nothing/a", 404),
        ("reports/%2e%2e/admin", 400),
        ("reports/../admin", 400),
        ("reports//admin", 400),
        ("reports/a%2fb", 400),
        ("reports/", 201),
    ],
)
def test_paths_that_lead_elsewhere(proxy: Send, upstream: Wire, path: str, status: int) -> None:
    """What is not listed is 404, what would leave the upstream's own path is 400, and nothing is sent."""
    assert proxy(path)["statusCode"] == status
    assert len(upstream.requests) == (status == 201)


def test_an_upstream_that_is_away(proxy: Send, upstream: Wire) -> None:
    """503 with `Retry-After`, without an address."""
    upstream.close()
    answer = proxy("reports/a")
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (503, "1")
    assert "127.0.0.1" not in answer["body"]


def test_an_upstream_that_breaks_off(proxy: Send, upstream: Wire) -> None:
    """502 for half an answer."""
    upstream.answer_with(
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nhalf", hang_up=True
    )
    answer = proxy("reports/a")
    assert (answer["statusCode"], orjson.loads(answer["body"])["error"]) == (502, "BadAnswer")


def test_the_scope_is_needed(app: App, upstream: Wire) -> None:
    """A token that allows `ingest` alone does not open the proxy."""
    sent = event("GET", "/v1/proxy/{upstream}/{path+}", path="/v1/proxy/reports/a")
    sent["requestContext"]["authorizer"] |= {"scopes": "ingest"}
    assert load("proxy")(sent, None)["statusCode"] == 403
    assert upstream.requests == []


def test_every_answer_has_its_request_id(hook: Send, proxy: Send) -> None:
    """Good or bad, the answer names the request, as the log does."""
    for answer in (hook(), hook(headers={"Webhook-Id": "other"}), proxy("nothing/a"), proxy("reports/a")):
        assert len(answer["headers"]["Sentinel-Request-Id"]) == 36
