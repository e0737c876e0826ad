"""`POST /v1/token` and the published keys: the form, the client, the refusals of RFC 6749."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentinel.adapters.secret_versions_file import FileSecretVersions
from sentinel.bootstrap import bootstrap
from sentinel.core import api_keys, jws, tokens
from sentinel.core.access import ApiKey, Revoked, Service
from sentinel.errors import Unavailable
from tests.doors import DAY, World
from tests.functions.test_api_handlers import load

SECRET = bytes(range(32))
KEY = api_keys.make("00112233445566aa", SECRET)
GRANT = {"grant_type": "client_credentials"}
CLIENT = {"client_id": "checkout", "client_secret": KEY}

Call = Callable[..., tuple[int, Any, dict[str, str]]]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A deployment with an API key of checkout and a signing key."""
    monkeypatch.setenv("SENTINEL_HOME", str(tmp_path))
    monkeypatch.setenv("SENTINEL_DOOR_SECONDS", "0")
    bootstrap.cache_clear()
    made = World(tmp_path / "registry.db", now=int(time.time()))
    made.put(api_keys.of(KEY, "checkout", 0))
    FileSecretVersions(tmp_path / "doors").create("signing-keys", made.ring.encode())
    yield made
    bootstrap.cache_clear()


@pytest.fixture
def call(world: World) -> Call:
    """Send a form to the token endpoint; returns status, decoded body and headers."""
    handler = load("token")

    def call(
        form: Any = None,
        pem: str | None = None,
        many: dict[str, list[str]] | None = None,
        **headers: str,
    ) -> tuple[int, Any, dict[str, str]]:
        body = form if isinstance(form, bytes) else urlencode(form or {}).encode()
        sent = {"content-type": "application/x-www-form-urlencoded", **headers}
        event = {
            "resource": "/v1/token",
            "path": "/v1/token",
            "httpMethod": "POST",
            "headers": {name.replace("_", "-"): value for name, value in sent.items()},
            "multiValueHeaders": many,
            "requestContext": {
                "requestId": "r",
                "identity": {"clientCert": {"clientCertPem": world.pem if pem is None else pem}},
            },
            "body": base64.b64encode(body).decode(),
            "isBase64Encoded": True,
        }
        answer = handler(event, None)
        return answer["statusCode"], orjson.loads(answer["body"]), answer["headers"]

    return call


def basic(client_id: str, secret: str) -> str:
    """Return an Authorization header of HTTP Basic."""
    return f"Basic {base64.b64encode(f'{client_id}:{secret}'.encode()).decode()}"


@pytest.mark.parametrize("how", ["form", "basic", "both name the client"])
def test_a_key_and_its_certificate_get_a_token(world: World, call: Call, how: str) -> None:
    """The answer of RFC 6749, 5.1, and a token that the authorizer lets in with this certificate."""
    headers = {} if how == "form" else {"authorization": basic("checkout", KEY)}
    form = GRANT | (CLIENT if how == "form" else {"client_id": "checkout"} if how.startswith("both") else {})
    status, told, sent = call(form, **headers)
    assert status == 200
    assert (told["token_type"], told["expires_in"], told["scope"]) == ("Bearer", 900, "ingest tasks:read")
    assert (sent["Cache-Control"], sent["Content-Type"]) == ("no-store", "application/json")
    grant = world.admit(told["access_token"])
    assert (grant.service.id, grant.scopes) == ("checkout", {"ingest", "tasks:read"})
    claims = orjson.loads(jws.parse(told["access_token"]).payload)
    assert claims["cnf"] == {"x5t#S256": world.thumbprint}
    again = orjson.loads(jws.parse(call(form, **headers)[1]["access_token"]).payload)
    assert again["jti"] != claims["jti"]


def test_no_token_is_signed_with_a_key_that_ended_at_once(world: World, call: Call) -> None:
    """Though the ring is kept for half a minute: the doors refuse such a key as soon as they know."""
    assert call(GRANT | CLIENT)[0] == 200
    bootstrap().rotation.now("signing-keys", at_once=True)
    status, told, _ = call(GRANT | CLIENT)
    published = {key["kid"] for key in bootstrap().directory.jwks()["keys"]}
    assert status == 200
    assert jws.parse(told["access_token"]).header.kid in published


def test_scopes_may_be_fewer_and_not_more(world: World, call: Call) -> None:
    """`scope` narrows; what the service does not have is invalid_scope."""
    status, told, _ = call(GRANT | CLIENT | {"scope": "ingest"})
    assert (status, told["scope"]) == (200, "ingest")
    for scope in ("admin", "ingest admin", "ingest  tasks:read", " ", "ingest\n", "INGEST", '"'):
        status, told, _ = call(GRANT | CLIENT | {"scope": scope})
        assert (status, told["error"]) == (400, "invalid_scope"), scope
    assert call(GRANT | CLIENT | {"scope": ""})[0] == 200  # a field without a value counts as left out


def refusal(answer: tuple[int, Any, dict[str, str]]) -> tuple[int, str]:
    """Return status and code of a refusal, and check its form."""
    status, told, headers = answer
    assert set(told) == {"error", "error_description", "message"}
    assert headers["Cache-Control"] == "no-store"
    assert ("WWW-Authenticate" in headers) == (status == 401)
    return status, told["error"]


def test_wrong_clients_all_get_the_same_answer(world: World, call: Call) -> None:
    """A wrong key, another's key, an ended one, an unknown or a disabled service: one answer."""
    other = api_keys.make("ffffffffffffffff", SECRET)
    ended = api_keys.make("eeeeeeeeeeeeeeee", SECRET)
    billing = api_keys.make("dddddddddddddddd", SECRET)
    world.put(Service("billing"))
    world.put(ApiKey("dddddddddddddddd", "billing", api_keys.digest(api_keys.parse(billing)[1])))
    world.put(ApiKey("eeeeeeeeeeeeeeee", "checkout", api_keys.digest(api_keys.parse(ended)[1]), 0, world.now))
    wrong = api_keys.make("00112233445566aa", bytes(32))
    answers = [
        call(GRANT | {"client_id": name, "client_secret": key})
        for name, key in (
            ("checkout", wrong),
            ("checkout", other),
            ("checkout", ended),
            ("checkout", billing),
            ("checkout", "sk_"),
            ("checkout", KEY + "x"),
            ("nobody", KEY),
            ("billing", billing),
            ("billing", KEY),
        )
    ]
    stranger = world.leaf("/service/nobody")
    answers.append(call(GRANT | {"client_id": "nobody", "client_secret": KEY}, pem=stranger))
    world.put(Service("checkout", disabled=True))
    answers.append(call(GRANT | CLIENT))
    assert {refusal(answer) for answer in answers} == {(401, "invalid_client")}
    assert len({answer[1]["message"] for answer in answers}) == 1


def test_without_a_certificate_that_counts_there_is_no_token(world: World, call: Call) -> None:
    """None, a foreign one, one that has run out, one that was revoked."""
    old = world.leaf(begin=world.now - 2 * DAY, end=world.now - DAY)
    for pem in ("", World().pem, old, "x"):
        assert refusal(call(GRANT | CLIENT, pem=pem)) == (401, "invalid_client")
    world.put(Revoked(world.thumbprint, world.now, world.now + DAY))
    assert refusal(call(GRANT | CLIENT)) == (401, "invalid_client")


def test_what_is_no_request_is_told_apart(call: Call) -> None:
    """Each mistake has its code of RFC 6749, 5.2."""
    cases: list[tuple[Any, dict[str, str], tuple[int, str]]] = [
        (CLIENT, {}, (400, "invalid_request")),
        (CLIENT | {"grant_type": "password"}, {}, (400, "unsupported_grant_type")),
        (CLIENT | {"grant_type": "CLIENT_CREDENTIALS"}, {}, (400, "unsupported_grant_type")),
        (GRANT, {}, (401, "invalid_client")),
        (GRANT | {"client_id": "checkout"}, {}, (401, "invalid_client")),
        (GRANT | {"client_secret": KEY}, {}, (401, "invalid_client")),
        (GRANT | CLIENT, {"authorization": basic("checkout", KEY)}, (400, "invalid_request")),
        (GRANT | {"client_id": "x"}, {"authorization": basic("checkout", KEY)}, (400, "invalid_request")),
        (GRANT, {"authorization": "Bearer x"}, (401, "invalid_client")),
        (GRANT, {"authorization": "Basic ?"}, (401, "invalid_client")),
        (
            GRANT,
            {"authorization": "Basic " + base64.b64encode(b"\xff:\xff").decode()},
            (401, "invalid_client"),
        ),
        (
            GRANT,
            {"authorization": "Basic " + base64.b64encode(b"checkout").decode()},
            (401, "invalid_client"),
        ),
        (GRANT | CLIENT, {"content_type": "application/json"}, (400, "invalid_request")),
        (orjson.dumps(GRANT | CLIENT), {}, (400, "invalid_request")),
        (b"", {}, (401, "invalid_client")),
        (b"grant_type=client_credentials&grant_type=client_credentials", {}, (400, "invalid_request")),
        (b"grant_type=%ff", {}, (400, "invalid_request")),
        (b"grant_type=\xff", {}, (400, "invalid_request")),
        (b"&".join(b"a%d=1" % n for n in range(17)), {}, (400, "invalid_request")),
        (b"a=" + b"x" * 9000, {}, (400, "invalid_request")),
    ]
    for form, headers, expected in cases:
        assert refusal(call(form, **headers)) == expected, (form, headers)


def test_a_client_proves_itself_once(call: Call) -> None:
    """Two Authorization headers, in one spelling or in two, are refused though the last one is right."""
    right = basic("checkout", KEY)
    for many in (
        {"Authorization": ["Basic AAAA", right]},
        {"Authorization": [right, right]},
        {"Authorization": ["Basic AAAA"], "authorization": [right]},
    ):
        assert refusal(call(GRANT, many=many, authorization=right)) == (400, "invalid_request")
    assert call(GRANT, many={"Authorization": [right]}, authorization=right)[0] == 200


def test_guessing_is_slowed(world: World, call: Call) -> None:
    """After ten wrong keys in a minute a certificate gets 429, whatever client it names; others do not."""
    wrong = api_keys.make("00112233445566aa", bytes(32))
    clients = [GRANT | {"client_id": f"client-{at}", "client_secret": wrong} for at in range(5)]
    for form in [*clients, *[GRANT | CLIENT | {"client_secret": wrong}] * 5]:
        assert refusal(call(form)) == (401, "invalid_client")
    for form in (GRANT | CLIENT, clients[0]):
        status, told, headers = call(form)
        assert (status, told["error"]) == (429, "Limited")
        assert 1 <= int(headers["Retry-After"]) <= 60
    assert call(GRANT | CLIENT, pem=world.leaf())[0] == 200


def test_a_charset_and_names_in_percent_encoding_are_fine(call: Call) -> None:
    """RFC 6749, 2.3.1: id and secret are form-encoded inside HTTP Basic, too."""
    kind = "application/x-www-form-urlencoded; charset=UTF-8"
    assert call(GRANT, authorization=basic("check%6Fut", KEY), content_type=kind)[0] == 200
    assert call(GRANT | {"unknown": "x"} | CLIENT)[0] == 200


@settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    max_examples=60,
    deadline=None,
)
@given(
    st.binary(max_size=80) | st.text("gr_anty=&client%+;dis", max_size=60).map(str.encode),
    st.text(max_size=40),
)
def test_whatever_is_sent_is_answered_by_the_rules(call: Call, body: bytes, authorization: str) -> None:
    """Any body and any Authorization header: a refusal with a code, never a failure."""
    status, told, _ = call(body, authorization=authorization)
    assert status in {400, 401}
    assert told["error"] in {"invalid_client", "invalid_request", "unsupported_grant_type"}


def test_it_is_unavailable_without_signing_keys(world: World, call: Call, tmp_path: Path) -> None:
    """No ring, an odd one, or none in force: 503, and nothing of it in the answer."""
    versions = FileSecretVersions(tmp_path / "doors")
    versions.put("signing-keys", "t" * 32, '{"keys": [{"id": "k9", "value": "odd", "since": 0, "until": 0}]}')
    versions.promote("signing-keys", "t" * 32)
    status, told, headers = call(GRANT | CLIENT)
    assert (status, told["error"]) == (503, "Unavailable")
    assert headers["Retry-After"]
    assert "odd" not in str(told)


def test_it_is_unavailable_when_the_registry_is_away(
    world: World, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is refused for that: 503."""

    def away(*_about: str) -> None:
        raise Unavailable("the registry is away")

    monkeypatch.setattr(bootstrap().registry, "get", away)
    assert call(GRANT | CLIENT)[0] == 503


def test_answers_and_logs_hold_no_secret(call: Call, caplog: pytest.LogCaptureFixture) -> None:
    """The API key is in no refusal and no log line."""
    caplog.set_level(logging.DEBUG)
    for form in (GRANT | CLIENT | {"scope": "x"}, CLIENT, GRANT | {"client_id": KEY, "client_secret": KEY}):
        told = call(form)[1]
        assert KEY not in str(told)
        assert api_keys.parse(KEY)[1] not in str(told)
    assert api_keys.parse(KEY)[1] not in caplog.text


def keys(resource: str = "/.well-known/jwks.json") -> dict[str, Any]:
    """Ask for the public keys, as the webhook API does: without a certificate."""
    event = {
        "resource": resource,
        "path": resource,
        "httpMethod": "GET",
        "headers": {},
        "requestContext": {"requestId": "r", "identity": {"sourceIp": "192.0.2.7"}},
    }
    answer: dict[str, Any] = load("token")(event, None)
    return answer


def test_public_keys_are_published_and_private_ones_never(world: World) -> None:
    """The set as rotation wrote it, to be kept for five minutes; private members would be left out."""
    answer = keys()
    assert answer["statusCode"] == 200
    assert answer["headers"]["Cache-Control"] == "public, max-age=300"
    assert orjson.loads(answer["body"]) == tokens.jwks(world.ring, world.now)
    private = tokens.signing_key(world.ring.keys[0]).key.as_dict(private=True)
    world.publish({"keys": [{**private, "kid": "k1", "k": "AAAA"}]})
    bootstrap.cache_clear()
    [told] = orjson.loads(keys()["body"])["keys"]
    assert set(told) <= {"kty", "crv", "x", "y", "kid"}


def test_there_may_be_no_keys_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment that was not set up has an empty set."""
    monkeypatch.setenv("SENTINEL_HOME", str(tmp_path))
    bootstrap.cache_clear()
    assert orjson.loads(keys()["body"]) == {"keys": []}
    bootstrap.cache_clear()
