"""`POST /v1/certificate` through its handler: a request with the certificate in use in, its successor out."""

from __future__ import annotations

import base64
import importlib.util
import logging
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography import x509

from sentinel.bootstrap import App, bootstrap
from sentinel.core.access import Service, encode
from sentinel.core.certificates import read, thumbprint
from sentinel.local.certificates import new_key
from sentinel.ports_doors import Record
from sentinel.usecases.certify import Authority
from tests import pki
from tests.pki import DAY, Ca, pem

HANDLER = Path(__file__).resolve().parents[2] / "functions" / "certify" / "handler.py"


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """Give the handler's application, with a service."""
    monkeypatch.setenv("SENTINEL_HOME", str(tmp_path))
    bootstrap.cache_clear()
    found = bootstrap()
    for service in ("checkout", "billing"):
        found.registry.put(Record(Service.KIND, service, encode(Service(service))))
    yield found
    bootstrap.cache_clear()


def issued(app: App, days_ago: int, service: str = "checkout") -> str:
    """Return a certificate that was issued some days ago by a CA of then."""

    def then() -> float:
        return time.time() - days_ago * DAY

    past = Authority(app.registry, app.ca_signer, "sentinel.local", then, secrets.token_bytes)
    if not past.roots():
        past.create_root(new_key(app))
    return past.issue(service, pki.request(pki.p256()))


def call(
    text: str, body: bytes, service: str = "checkout", **changes: Any
) -> tuple[int, str, dict[str, Any]]:
    """Send a request that the doors let in; return status, body and headers."""
    spec = importlib.util.spec_from_file_location("certify_handler", HANDLER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    event = {
        "resource": "/v1/certificate",
        "path": "/v1/certificate",
        "httpMethod": "POST",
        "headers": {},
        "requestContext": {
            "requestId": "r",
            "identity": {"sourceIp": "10.0.0.1", "clientCert": {"clientCertPem": text}},
            "authorizer": {"service": service, "certificate": thumbprint(text) if text else ""},
        },
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
        **changes,
    }
    found = module.handler(event, None)
    told = found["body"]
    if found["isBase64Encoded"]:
        told = base64.b64decode(told).decode()
    return found["statusCode"], told, found["headers"]


def test_a_certificate_is_renewed_with_the_one_in_use(app: App) -> None:
    """From day 60 on the answer is the new certificate alone, for the key of the request, kept by nobody."""
    old, key = issued(app, 61), pki.p256()
    status, body, headers = call(old, pki.request(key))
    assert status == 200
    assert headers["Content-Type"] == "application/pem-certificate-chain"
    assert headers["Cache-Control"] == "no-store"
    fresh = read(body)
    assert body.count("BEGIN CERTIFICATE") == 1
    assert fresh.spiffe == "spiffe://sentinel.local/service/checkout"
    assert fresh.not_after > time.time() + 89 * DAY


def test_before_day_60_it_says_when(app: App) -> None:
    """The answer is 409 with the moment from which on it is worth asking again."""
    old = issued(app, 59)
    status, body, _ = call(old, pki.request(pki.p256()))
    assert status == 409
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(read(old).renewable_from()))
    assert f"may be renewed from {moment} on" in orjson.loads(body)["message"]


def test_anothers_certificate_is_not_renewed(app: App) -> None:
    """A service renews its own; a mesh's certificate is its mesh's business."""
    other = issued(app, 61, "billing")
    assert call(other, pki.request(pki.p256()))[0] == 403
    issued(app, 0)
    now = int(time.time())
    mesh = Ca(domain="cluster.local", since=now - DAY, until=now + DAY)
    app.authority.trust("cluster.local", pem(mesh.certificate))
    names = pki.names(pki.uri("spiffe://cluster.local/ns/shop/sa/checkout"))
    theirs = mesh.leaf(pki.changed(x509.SubjectAlternativeName, names), since=now - 61, until=now + 30)
    status, body, _ = call(pem(theirs), pki.request(pki.p256()))
    assert status == 403
    assert "another CA" in orjson.loads(body)["message"]


def test_what_does_not_count_is_refused(app: App) -> None:
    """Revoked, run out, foreign, missing, or another one than the doors saw: 401."""
    revoked, gone = issued(app, 61), issued(app, 61)
    app.authority.revoke(read(revoked).thumbprint)
    request = pki.request(pki.p256())
    now = int(time.time())
    foreign = pem(Ca(since=now - DAY, until=now + DAY).leaf(since=now - 61, until=now + 30))
    for text in (revoked, foreign, ""):
        assert call(text, request)[0] == 401
    context = {
        "requestId": "r",
        "identity": {"clientCert": {"clientCertPem": gone}},
        "authorizer": {"service": "checkout", "certificate": thumbprint(revoked)},
    }
    assert call(gone, request, requestContext=context)[0] == 401


@pytest.mark.parametrize(
    "body", [b"", b"\0\xff", b"x" * 16_385, pki.request(pki.rsa_key(1024)), pki.request(pki.p256()) * 2]
)
def test_requests_that_are_none(app: App, body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """The answer is 400 in our own words, and nothing is logged as unexpected."""
    old = issued(app, 61)
    with caplog.at_level(logging.ERROR):
        status, told, _ = call(old, body)
    assert status == 400
    assert orjson.loads(told)["error"] in {"Malformed", "TooLarge"}
    assert not caplog.records
