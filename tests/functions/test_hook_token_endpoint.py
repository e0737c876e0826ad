"""`POST /oauth/token` and the handshake of webhooks, as API Gateway sends them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlencode

import orjson
import pytest

from sentinel.bootstrap import App, bootstrap
from sentinel.core.access import Hook, Service, encode
from sentinel.core.ring import Key, Ring
from sentinel.ports_doors import Record
from tests.functions.test_api_handlers import event, load

SECRET = "whsec_+/+/" + "a+b/" * 9 + "aa=="  # of characters that a form takes for others
GRANT = {"grant_type": "client_credentials", "scope": "anything at all", "audience": "x"}
FORM = "application/x-www-form-urlencoded"
HOOKS = {
    "monitors": ("datadog", {"auth": "oauth2"}),
    "events": ("cloudevents", {"origins": "sender.example", "rate": "120"}),
}


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """A deployment with signing keys and two webhooks."""
    monkeypatch.setenv("SENTINEL_HOME", str(tmp_path))
    bootstrap.cache_clear()
    made = bootstrap()
    made.rotation.ensure_signing_keys()
    made.registry.put(Record("service", "payments", encode(Service("payments"))))
    for name, (source, options) in HOOKS.items():
        hook = Hook(name, "payments", source, f"hooks.{name}", options=options)
        made.registry.put(Record("hook", name, encode(hook)))
        made.door_secrets.create(f"hooks.{name}", Ring((Key("k", SECRET),)).encode())
    yield made
    bootstrap.cache_clear()


def ask(form: dict[str, str], authorization: str = "", address: str = "192.0.2.1") -> tuple[int, Any, Any]:
    """Ask for a token; return status, what is told, and headers."""
    headers = {"Content-Type": FORM} | ({"Authorization": authorization} if authorization else {})
    sent = event("POST", "/oauth/token", urlencode(form).encode(), headers=headers)
    sent["requestContext"] |= {"authorizer": None, "identity": {"sourceIp": address}}
    answer = load("token")(sent, None)
    return answer["statusCode"], orjson.loads(answer["body"]), answer["headers"]


def basic(client_id: str, secret: str) -> str:
    """Return an Authorization header of HTTP Basic."""
    return f"Basic {base64.b64encode(f'{client_id}:{secret}'.encode()).decode()}"


def receive(source: str, hook: str, method: str = "POST", **headers: str) -> tuple[int, Any]:
    """Send something to a webhook; return status and headers."""
    sent = event(
        method,
        "/hooks/{source}/{hook}",
        b'{"title":"disk full"}' if method == "POST" else b"",
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        params={"source": source, "hook": hook},
    )
    del sent["requestContext"]["authorizer"]
    answer = load("receive")(sent, None)
    return answer["statusCode"], answer["headers"]


@pytest.mark.parametrize(
    ("form", "authorization"),
    [
        ({"client_id": "monitors", "client_secret": SECRET}, ""),
        ({}, basic("monitors", SECRET)),
        ({}, basic("monitors", quote_plus(SECRET))),
        ({"client_id": "monitors"}, basic("monitors", SECRET)),
    ],
    ids=["form", "basic", "basic, encoded", "named in both"],
)
def test_a_secret_gives_a_token_that_the_webhook_takes(
    app: App, form: dict[str, str], authorization: str
) -> None:
    """In each way in which clients send it; the answer is that of RFC 6749, 5.1, and not to be kept."""
    status, told, headers = ask(GRANT | form, authorization)
    assert status == 200
    assert {**told, "access_token": ""} == {
        "access_token": "", "token_type": "Bearer", "expires_in": 900, "scope": "hook",
    }  # fmt: skip
    assert headers["Cache-Control"] == "no-store"
    bearer = f"Bearer {told['access_token']}"
    assert receive("datadog", "monitors", Authorization=bearer)[0] == 200
    assert receive("datadog", "monitors", Authorization=f"Bearer {SECRET}")[0] == 401
    assert len([entry for each in app.ledger.read("payments/0") for entry in each.opened.entries]) == 2


def test_guesses_are_counted_by_webhook_and_address(app: App) -> None:
    """Whoever guesses shuts out itself: not the sender at another address, nor another webhook."""
    wrong, right = basic("monitors", SECRET[:-1]), basic("monitors", SECRET)
    assert [ask(GRANT, wrong)[0] for _ in range(12)] == [401] * 10 + [429] * 2
    status, _, headers = ask(GRANT, right)
    assert status == 429
    assert int(headers["Retry-After"]) >= 1
    assert ask(GRANT, right, "192.0.2.2")[0] == 200
    assert ask(GRANT, basic("nobodys", SECRET))[0] == 401


@pytest.mark.parametrize("client", [{}, {"client_id": "monitors"}, {"client_secret": SECRET}])
def test_a_client_that_is_not_named(app: App, client: dict[str, str]) -> None:
    """invalid_client, with the challenge that RFC 6749, 5.2, asks for."""
    status, told, headers = ask(GRANT | client)
    assert (status, told["error"]) == (401, "invalid_client")
    assert headers["WWW-Authenticate"].startswith("Basic ")


def test_a_sender_that_asks_is_told(app: App) -> None:
    """200 with who may and how often; 405 as if nobody answered, without a word of who might."""
    status, headers = receive("cloudevents", "events", "OPTIONS", WebHook_Request_Origin="sender.example")
    assert status == 200
    assert headers["WebHook-Allowed-Origin"] == "sender.example"
    assert headers["WebHook-Allowed-Rate"] == "120"
    assert "POST" in headers["Allow"]
    for source, hook, origin in (
        ("cloudevents", "events", "evil.example"),
        ("cloudevents", "nobodys", "sender.example"),
        ("datadog", "monitors", "sender.example"),
    ):
        status, headers = receive(source, hook, "OPTIONS", WebHook_Request_Origin=origin)
        assert (status, headers["Allow"]) == (405, "POST")
        assert not any(name.lower().startswith("webhook-") for name in headers)
    assert list(app.ledger.chains()) == []
