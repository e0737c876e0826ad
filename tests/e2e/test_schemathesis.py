"""The API is what its OpenAPI document says: schemathesis sends what fits it, and what does not.

The tree runs as `sentinel up` does by default: TLS, a client certificate, a token, limits. Requests are made
from the document alone, with a fixed seed, good ones and bad ones; each answer must be one that the document
has, in status, content type, headers and schema, and never a 5xx.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from sentinel.entrypoints.openapi import document
from tests.e2e.trees import Tree, sentinel, up
from tests.webhooks.test_standard import sign
from tests.wire import Wire

EXAMPLES = 15  # of each operation, beside the document's own corner cases: some 20 s for all
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SCOPES = ("ingest", "tasks:read", "tasks:control", "tasks:approve", "proxy", "admin")


def told(*arguments: str, home: Path) -> str:
    """Run a command and return what it prints."""
    done = sentinel(*arguments, home=home)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


@dataclass
class Client:
    """A service that is let in: its session has the certificate, `token` is bound to it."""

    tree: Tree
    session: requests.Session
    token: str
    hook_secret: str


class Signed(requests.auth.AuthBase):
    """Signs each request as a sender of Standard Webhooks does, over the bytes that are sent."""

    def __init__(self, secret: str) -> None:
        self.secret = secret

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Replace what was made up by what proves."""
        body: Any = request.body or b""
        raw = body if isinstance(body, bytes) else body.encode()
        request.headers.update(sign(raw, self.secret, name=uuid.uuid4().hex, at=int(time.time())))
        return request


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """One tree with one service, its webhook and an upstream for all tests here."""
    home = tmp_path_factory.mktemp("doors")
    wire = Wire(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n")
    with up(home, insecure=False, SENTINEL_PROXY=f"echo=http://127.0.0.1:{wire.port}/base") as tree:
        scopes = [each for scope in SCOPES for each in ("--scope", scope)]
        key = told("services", "add", "fuzz", "--tier", "high", *scopes, home=home)
        told("certs", "issue", "fuzz", home=home)
        secret = told("hooks", "add", "fuzz", "--service", "fuzz", "--source", "standard-webhooks", home=home)
        with requests.Session() as session:
            folder = home / "clients" / "fuzz"
            session.cert = (str(folder / "certificate.pem"), str(folder / "key.pem"))
            session.verify = str(home / "tls" / "roots.pem")
            session.trust_env = False
            form = {"grant_type": "client_credentials"}
            answer = session.post(f"{tree.url}/v1/token", form, auth=("fuzz", key), timeout=60)
            assert answer.status_code == 200, answer.text
            yield Client(tree, session, answer.json()["access_token"], secret)
    wire.close()


@schemathesis.serializer("application/x-ndjson", "application/x-protobuf", "application/pkcs10")
def as_bytes(_: Any, value: Any) -> bytes:
    """Send bytes and text as they are, anything else as one line of JSON."""
    if isinstance(value, bytes):
        return value
    return value.encode("utf-8", "replace") if isinstance(value, str) else json.dumps(value).encode()


SCHEMA = schemathesis.openapi.from_dict(document())


BOUNDED = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def check(case: Any, client: Client, **more: Any) -> Any:
    """Send one request as the service, and check its answer."""
    on_hooks = case.path.startswith(("/hooks/", "/approve", "/oauth/", "/services/"))
    open_to_all = on_hooks or case.path.startswith("/v1/token")
    return case.call_and_validate(
        base_url=client.tree.hooks if on_hooks else client.tree.url,
        session=client.session,
        headers={} if open_to_all else {"Authorization": f"Bearer {client.token}"},
        checks=CHECKS,
        timeout=60,
        verify=client.session.verify,
        **more,
    )


@pytest.mark.slow
@SCHEMA.parametrize()
@BOUNDED
def test_answers_are_those_of_the_document(case: Any, client: Client) -> None:
    """Good and bad requests of every operation are answered as the document says, and never with a 5xx."""
    check(case, client)


@pytest.mark.slow
@SCHEMA.include(path_regex="^/v1/proxy/").parametrize()
@BOUNDED
def test_whatever_is_passed_on_is_answered_as_documented(case: Any, client: Client) -> None:
    """The same with an upstream that is there: all kinds of paths, queries and headers pass or are 400."""
    case.path_parameters = {**case.path_parameters, "upstream": "echo"}
    assert check(case, client).status_code in {200, 400, 401, 405}


@pytest.mark.slow
@SCHEMA.include(path_regex="^/hooks/").parametrize()
@BOUNDED
def test_whatever_is_signed_is_sealed(case: Any, client: Client) -> None:
    """The same with a webhook that is there and a signature that is right: any body at all is stored."""
    case.path_parameters = {"source": "standard-webhooks", "hook": "fuzz"}
    assert check(case, client, auth=Signed(client.hook_secret)).status_code in {200, 405}


@pytest.mark.slow
def test_good_requests_pass(client: Client) -> None:
    """With what it was given, the service is let in everywhere: the answers above are not all refusals."""
    session, headers = client.session, {"Authorization": f"Bearer {client.token}"}

    def get(path: str, method: str = "GET", **more: Any) -> requests.Response:
        return session.request(method, client.tree.url + path, headers=headers, timeout=60, **more)

    receipt = get("/v1/entries", "POST", data=b'{"a":1}')
    assert receipt.status_code == 200, receipt.text
    assert get("/v1/chains").json()["chains"][0]["chain"] == "fuzz/0"
    assert get("/v1/tasks").json() == {"tasks": []}
    assert get("/v1/services").json()["services"][0]["id"] == "fuzz"
    assert get("/v1/proxy/echo/a/b").status_code == 200
    assert get("/.well-known/jwks.json").json()["keys"]


@pytest.mark.slow
def test_a_webhook_is_taken_at_the_real_door(client: Client) -> None:
    """A sender without a certificate, but with the secret that was printed once, gets its message sealed."""
    body = json.dumps({"type": "contact.created"}).encode()
    headers = sign(body, client.hook_secret, name="first", at=int(time.time()))
    with requests.Session() as stranger:
        stranger.verify, stranger.trust_env = client.session.verify, False
        url = f"{client.tree.hooks}/hooks/standard-webhooks/fuzz"
        answers = [stranger.post(url, body, headers=headers, timeout=60) for _ in range(2)]
        assert [each.status_code for each in answers] == [200, 200], answers[0].text
        assert answers[0].json() == answers[1].json()
        assert stranger.post(url, body + b" ", headers=headers, timeout=60).status_code == 401
