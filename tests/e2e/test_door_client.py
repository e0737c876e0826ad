"""The command line's side of the doors, against a gateway of the test's own that does as it is told."""

from __future__ import annotations

import json
import ssl
import threading
from base64 import b64decode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from sentinel.cli.door import EARLY, Answer, Credentials, Door
from sentinel.errors import Forbidden, Malformed, Rejected, SentinelError, Unauthenticated, Unavailable
from tests.throwaway import Made, make

SECRET = "sk_0011223344556677_" + "S" * 43


class Gateway(ThreadingHTTPServer):
    """Gives tokens t1, t2, ... of 900 s; takes those in `good`; answers tokens with `refusal` where set."""

    daemon_threads = True

    def __init__(self, folder: Path, ca: Made) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        server = make(folder, "server", ca, server=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server.pem, server.secret)
        context.load_verify_locations(ca.pem)
        context.verify_mode = ssl.CERT_REQUIRED
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.given = 0
        self.bad: set[str] = set()
        self.refusal: tuple[int, dict[str, Any], dict[str, str]] | None = None
        self.seen: list[tuple[str, str]] = []
        self.connections = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"https://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that hang up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gateway

    def setup(self) -> None:
        self.server.connections += 1
        super().setup()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.server.seen.append((self.path, self.headers.get("Authorization", "")))
        if self.path == "/v1/token":
            assert body == b"grant_type=client_credentials"
            if self.server.refusal is not None:
                self._answer(*self.server.refusal)
                return
            self.server.given += 1
            self._answer(200, {"access_token": f"t{self.server.given}", "expires_in": 900})
            return
        token = self.headers["Authorization"].removeprefix("Bearer ")
        self._answer(401 if token in self.server.bad else 200, {"token": token})

    def do_GET(self) -> None:
        self.do_POST()

    def _answer(self, status: int, told: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        raw = json.dumps(told).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(raw)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Made, Credentials]:
    """A throw-away CA and a service's files of it."""
    ca = make(tmp_path, "ca")
    client = make(tmp_path, "shop", ca)
    api_key = tmp_path / "api-key"
    api_key.write_text(SECRET + "\n")
    return ca, Credentials(client.pem, client.secret, api_key, ca.pem)


@pytest.fixture
def gateway(tmp_path: Path, files: tuple[Made, Credentials]) -> Iterator[Gateway]:
    """A gateway that runs."""
    server = Gateway(tmp_path, files[0])
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def door(gateway: Gateway, files: tuple[Made, Credentials]) -> Iterator[Door]:
    """A client with a clock that stands still."""
    made = Door(gateway.url, "shop@eu", files[1], clock=lambda: 0.0)
    yield made
    made.close()


def test_a_token_is_fetched_once_by_basic_and_used_until_a_minute_before_its_end(
    gateway: Gateway, door: Door
) -> None:
    """RFC 6749, 2.3.1: id and secret are encoded, then joined; the token is kept with its connection."""
    for _ in range(3):
        assert door.request("POST", "/v1/entries").told == {"token": "t1"}
    basic = b64decode(gateway.seen[0][1].removeprefix("Basic ")).decode()
    assert [unquote(part) for part in basic.split(":")] == ["shop@eu", SECRET]
    assert [path for path, _ in gateway.seen] == ["/v1/token"] + ["/v1/entries"] * 3
    assert gateway.connections == 1
    door.clock = lambda: 900 - EARLY - 0.1
    assert door.request("POST", "/v1/entries").told == {"token": "t1"}
    door.clock = lambda: 900 - EARLY
    assert door.request("POST", "/v1/entries").told == {"token": "t2"}


def test_a_refused_token_is_replaced_once_on_a_new_connection(gateway: Gateway, door: Door) -> None:
    """After a 401 the files are read anew and another token is fetched; a second 401 is the answer."""
    assert door.request("POST", "/v1/entries").status == 200
    gateway.bad = {"t1"}
    assert door.request("POST", "/v1/entries").told == {"token": "t2"}
    assert gateway.connections == 2
    gateway.bad = {"t2", "t3", "t4"}
    assert door.request("POST", "/v1/entries").status == 401
    assert gateway.given == 3


def test_a_fresh_token_that_is_refused_is_not_asked_for_again(gateway: Gateway, door: Door) -> None:
    """Where the very first request is refused, another token of the same kind would be, too."""
    gateway.bad = {"t1"}
    assert door.request("POST", "/v1/entries").status == 401
    assert gateway.given == 1


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        ((401, {"error": "invalid_client", "error_description": "they do not fit"}, {}), Unauthenticated),
        ((400, {"error": "invalid_scope", "message": "no such scope"}, {}), Unauthenticated),
        ((403, {"message": "disabled"}, {}), Forbidden),
        ((429, {"message": "too many"}, {"Retry-After": "7"}), Unavailable),
        ((503, {}, {"Retry-After": "soon"}), Unavailable),
        ((200, {"token": "of another kind"}, {}), Unavailable),
        ((404, {"message": "there is nothing here"}, {}), Malformed),
        ((405, {}, {}), Malformed),
    ],
)
def test_no_token_is_an_error_that_says_why_and_nothing_secret(
    gateway: Gateway, door: Door, refusal: Any, kind: type[SentinelError]
) -> None:
    """What the gateway says of a refused key reaches the user; the key does not."""
    gateway.refusal = refusal
    with pytest.raises(kind) as raised:
        door.request("POST", "/v1/entries")
    told = f"{raised.value} {raised.value!r} {door!r}"
    assert "S" * 43 not in told
    said = "POST /v1/token" if kind is Malformed else refusal[1].get("error_description", "no access token")
    assert str(said) in told
    if refusal[0] == 429:
        assert isinstance(raised.value, Unavailable)
        assert raised.value.retry_after == 7


def test_an_address_may_have_a_path(gateway: Gateway, files: tuple[Made, Credentials]) -> None:
    """API Gateway's own addresses begin with a stage, and a proxy may have put us below a path."""
    door = Door(f"{gateway.url}/v1stage/", "shop", files[1])
    with pytest.raises(SentinelError):
        door.request("GET", "/v1/chains")
    assert gateway.seen[0][0] == "/v1stage/v1/token"
    door.close()


def test_secrets_go_out_over_tls_alone(files: tuple[Made, Credentials]) -> None:
    """With credentials plain HTTP is refused, without them https, before anything is sent."""
    for url, credentials in (("http://127.0.0.1:9", files[1]), ("https://127.0.0.1:9", None)):
        with pytest.raises(Malformed):
            Door(url, "shop", credentials).request("GET", "/v1/chains")


@pytest.mark.parametrize("broken", ["certificate", "roots"])
def test_a_file_that_is_another_kind_of_file_is_named(
    gateway: Gateway, files: tuple[Made, Credentials], broken: str
) -> None:
    """Roots that are none are told apart from a certificate that is none."""
    path: Path = getattr(files[1], broken)
    path.write_text("not what it should be")
    other = files[1].roots if broken == "certificate" else files[1].certificate
    with pytest.raises(Unauthenticated, match=path.name) as raised:
        Door(gateway.url, "shop", files[1]).request("GET", "/v1/chains")
    assert str(other) not in str(raised.value)


@pytest.mark.parametrize("broken", ["certificate", "key", "api_key", "roots"])
def test_a_file_that_is_missing_is_named(
    gateway: Gateway, files: tuple[Made, Credentials], broken: str
) -> None:
    """Whichever of the files is away, the error says which, and is no traceback."""
    path: Path = getattr(files[1], broken)
    path.unlink()
    with pytest.raises(Rejected, match=path.name):
        Door(gateway.url, "shop", files[1]).request("GET", "/v1/chains")


def test_a_server_of_another_ca_gets_nothing(
    gateway: Gateway, files: tuple[Made, Credentials], tmp_path: Path
) -> None:
    """A gateway that the roots do not vouch for is refused before the key is sent."""
    own = files[1]
    strangers = Credentials(own.certificate, own.key, own.api_key, make(tmp_path, "other").pem)
    with pytest.raises(Unauthenticated, match=r"not to be trusted.*--ca"):
        Door(gateway.url, "shop", strangers).request("GET", "/v1/chains")
    assert gateway.seen == []


def test_a_client_that_the_gateway_does_not_know_is_told(
    gateway: Gateway, files: tuple[Made, Credentials], tmp_path: Path
) -> None:
    """A certificate of another CA is refused by TLS, which says so only when an answer is read."""
    foreign = make(tmp_path, "foreign", make(tmp_path, "other"))
    own = files[1]
    door = Door(gateway.url, "shop", Credentials(foreign.pem, foreign.secret, own.api_key, own.roots))
    with pytest.raises((Unauthenticated, Unavailable)):
        door.request("GET", "/v1/chains")
    assert gateway.seen == []


def test_answers_of_any_form_are_answers() -> None:
    """A body that is no object, and a pause that is no number, are an empty one and none."""
    for body in (b"", b"[]", b"\xff", b'"x"'):
        assert Answer(200, {"retry-after": "later"}, body).told == {}
    assert Answer(503, {"retry-after": "-5"}, b"").wait == 0
    assert Answer(503, {"retry-after": "100000"}, b"").wait == 60
    assert Answer(503, {"retry-after": "nan"}, b"").wait <= 60
