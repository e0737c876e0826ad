"""Who calls the deployed APIs: a service with its certificate, API key and token; a sender of webhooks."""

from __future__ import annotations

import base64
import hmac
import json
import re
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self
from urllib.parse import urlencode

from tests.deployed.emulator import must_be_loopback

TIMEOUT = 30.0


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. Header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Caller:
    """Who calls. `url` is where the API's paths begin; `usage` is the key of its usage plan.

    API Gateway would take the usage key from the authorizer's answer; the emulator takes it from a header.
    """

    url: str
    service: str
    pem: str = field(default="", repr=False)
    api_key: str = field(default="", repr=False)
    usage: str = field(default="", repr=False)
    access_token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        must_be_loopback(self.url)

    def using(self, **changes: str) -> Self:
        """Return the same caller with something changed."""
        return replace(self, **changes)

    def token(self, scope: str = "") -> Answer:
        """Ask for an access token: RFC 6749, 4.4, with HTTP Basic."""
        basic = base64.b64encode(f"{self.service}:{self.api_key}".encode()).decode()
        form = {"grant_type": "client_credentials", **({"scope": scope} if scope else {})}
        headers = {
            **self._certificate(),
            "Authorization": f"Basic {basic}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        return call("POST", f"{self.url}/v1/token", headers, urlencode(form).encode())

    def with_token(self, scope: str = "") -> Self:
        """Return the same caller with an access token."""
        answer = self.token(scope)
        assert answer.status == 200, (answer.status, answer.body)
        return self.using(access_token=answer.json()["access_token"])

    def send(self, lines: bytes) -> Answer:
        """Ingest NDJSON."""
        return self.call("POST", "/v1/entries", lines, {"Content-Type": "application/x-ndjson"})

    def call(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Call the API with whatever this caller has."""
        sent = {**self._certificate(), **(headers or {})}
        if self.access_token:
            sent["Authorization"] = f"Bearer {self.access_token}"
        if self.usage:
            sent["x-api-key"] = self.usage
        return call(method, self.url + path, sent, body)

    def curl(self) -> str:
        """Return the configuration with which curl calls as this caller does."""
        headers = {**self._certificate(), "Authorization": f"Bearer {self.access_token}"}
        return "".join(
            f'header = "{name}: {value}"\n' for name, value in {**headers, "x-api-key": self.usage}.items()
        )

    def _certificate(self) -> dict[str, str]:
        return {"Client-Cert": client_cert(self.pem)} if self.pem else {}


@dataclass(frozen=True)
class Hook:
    """A system that sends webhooks as Standard Webhooks has it; `key` is what it signs with."""

    url: str
    key: bytes = field(repr=False)

    def send(self, body: bytes, secret: bytes | None = b"") -> Answer:
        """Send one message, signed with `secret` (b"": its own; None: not at all)."""
        number, at = uuid.uuid4().hex, str(int(time.time()))
        headers = {"Content-Type": "application/json", "webhook-id": number, "webhook-timestamp": at}
        if secret is not None:
            signed = hmac.digest(secret or self.key, f"{number}.{at}.".encode() + body, "sha256")
            headers["webhook-signature"] = f"v1,{base64.b64encode(signed).decode()}"
        return call("POST", self.url, headers, body)


def client_cert(pem: str) -> str:
    """Return a certificate as RFC 9440 has it in a header: a byte sequence of RFC 8941."""
    found = re.search(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", pem, re.DOTALL)
    assert found is not None
    return f":{''.join(found[1].split())}:"


def call(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
    """Send one request to loopback; every status is an answer."""
    request = urllib.request.Request(must_be_loopback(url), body, dict(headers), method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT) as answer:
            return _answer(answer.status, answer.headers.items(), answer.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return _answer(refused.code, refused.headers.items(), refused.read())


def _answer(status: int, headers: Any, body: bytes) -> Answer:
    return Answer(status, {name.lower(): value for name, value in headers}, body)
