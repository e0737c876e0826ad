"""The client's side of the doors: mutual TLS, tokens, files that are renewed, proxies."""

from __future__ import annotations

import base64
import re
import shutil
import socket
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import pytest

from sentinel_client._connection import Answer, Connection, Shut, Unreachable
from sentinel_client._door import Credentials, Door
from sentinel_client._tokens import EARLY
from sentinel_client._types import Batch, Later
from sentinel_client.transports.http import SHUT_AFTER, HttpTransport
from tests.e2e.test_door_client import SECRET, Gateway
from tests.throwaway import Made, make


@pytest.fixture
def files(tmp_path: Path) -> tuple[Made, Credentials]:
    """A throw-away CA and a service's files of it."""
    ca = make(tmp_path, "ca")
    client = make(tmp_path, "shop", ca)
    api_key = tmp_path / "api-key"
    api_key.write_text(SECRET + "\n")
    return ca, Credentials(client.pem, client.secret, api_key, ca.pem)


@contextmanager
def running(folder: Path, ca: Made) -> Iterator[Gateway]:
    """Run a gateway that wants client certificates of a CA."""
    server = Gateway(folder, ca)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def gateway(tmp_path: Path, files: tuple[Made, Credentials]) -> Iterator[Gateway]:
    """A gateway that runs."""
    with running(tmp_path, files[0]) as server:
        yield server


class Time:
    """A clock that is set by hand."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Time:
    """A clock."""
    return Time()


@pytest.fixture
def door(gateway: Gateway, files: tuple[Made, Credentials], clock: Time) -> Iterator[Door]:
    """A client."""
    made = Door(gateway.url, "shop@eu", files[1], clock=clock)
    yield made
    made.close()


def ask(door: Door) -> Answer:
    """Send a request."""
    return door.request("POST", "/v1/entries", b"", {}, 20.0)


def test_a_token_is_fetched_once_and_used_until_a_minute_before_its_end(
    gateway: Gateway, door: Door, clock: Time
) -> None:
    """RFC 6749, 2.3.1: id and key are encoded, then joined; token and connection are kept."""
    for _ in range(3):
        assert ask(door).told == {"token": "t1"}
    basic = b64decode(gateway.seen[0][1].removeprefix("Basic ")).decode()
    assert [unquote(part) for part in basic.split(":")] == ["shop@eu", SECRET]
    assert gateway.connections == 1
    clock.now += 900 - EARLY - 0.1
    assert ask(door).told == {"token": "t1"}
    clock.now += 0.2
    assert ask(door).told == {"token": "t2"}


def test_a_token_that_is_refused_is_replaced_once(gateway: Gateway, door: Door) -> None:
    """After 401 another token is fetched, on a new connection; a second 401 is the answer, and no loop."""
    assert ask(door).status == 200
    gateway.bad = {"t1"}
    assert ask(door).told == {"token": "t2"}
    assert gateway.connections == 2
    gateway.bad = {"t2", "t3", "t4"}
    assert ask(door).status == 401
    assert gateway.given == 3


@pytest.mark.parametrize("which", ["certificate", "api_key"])
def test_files_that_change_are_read_anew(
    gateway: Gateway, door: Door, files: tuple[Made, Credentials], tmp_path: Path, which: str
) -> None:
    """A renewed certificate or key counts with the next request: new connection, new token."""
    assert ask(door).told == {"token": "t1"}
    credentials = files[1]
    if which == "certificate":
        (tmp_path / "new").mkdir()
        new = make(tmp_path / "new", "shop", files[0])
        shutil.move(new.secret, credentials.key)
        shutil.move(new.pem, credentials.certificate)
    else:
        credentials.api_key.write_text("sk_other")
    assert ask(door).told == {"token": "t2"}
    assert gateway.connections == 2
    if which == "api_key":
        assert b64decode(gateway.seen[-2][1].removeprefix("Basic ")).decode().endswith(":sk_other")


def test_a_gateway_of_another_ca_is_not_talked_to(files: tuple[Made, Credentials], tmp_path: Path) -> None:
    """A server that the roots do not vouch for gets neither key nor entries; the reason says so in words."""
    (tmp_path / "other").mkdir()
    ca = make(tmp_path / "other", "ca")
    with running(tmp_path / "other", ca) as server:
        door = Door(server.url, "shop", files[1])
        with pytest.raises(Shut, match="not to be trusted"):
            ask(door)
        assert server.seen == []


def test_a_certificate_that_is_refused_is_told_as_that(
    files: tuple[Made, Credentials], tmp_path: Path
) -> None:
    """A gateway that does not take our certificate says so by a TLS alert."""
    (tmp_path / "other").mkdir()
    ca = make(tmp_path / "other", "ca")
    with running(tmp_path / "other", ca) as server:
        credentials = Credentials(files[1].certificate, files[1].key, files[1].api_key, ca.pem)
        door = Door(server.url, "shop", credentials)
        with pytest.raises((Shut, Unreachable)) as found:
            ask(door)
        door.close()
    assert re.search("refuses the client certificate|does not answer", str(found.value))


@pytest.mark.parametrize(
    ("name", "error"),
    [("invalid_client", "invalid_client"), ("<b>hunter2</b>", "status 401"), (7, "status 401")],
)
def test_a_refused_key_is_told_by_the_kind_of_its_error(
    gateway: Gateway, files: tuple[Made, Credentials], name: object, error: str
) -> None:
    """No token: the reason names RFC 6749's error code and nothing else of the answer; the batch waits."""
    gateway.refusal = (401, {"error": name, "error_description": "hunter2"}, {})
    transport = HttpTransport(Door(gateway.url, "shop", files[1]))
    found = transport.send(Batch("py-0011223344556677", 0, 1, [b"{}"]), 20.0)
    transport.close()
    assert found == Later(f"no access token was given: {error}", SHUT_AFTER)


@pytest.mark.parametrize("token", ["a\r\nX: y", "", "ä", None, 7, "x" * 20_000])
def test_a_token_that_no_header_can_carry_is_none(gateway: Gateway, door: Door, token: object) -> None:
    """What would break out of the header, or is no text, is refused like an error."""
    gateway.refusal = (200, {"access_token": token, "expires_in": 900}, {})
    with pytest.raises(Unreachable, match="no access token"):
        ask(door)


@pytest.mark.parametrize("missing", ["certificate", "key", "api_key", "roots"])
def test_a_file_that_is_missing_is_named(
    gateway: Gateway, files: tuple[Made, Credentials], missing: str
) -> None:
    """The reason names the file; nothing goes out without all proofs."""
    path: Path = getattr(files[1], missing)
    path.unlink()
    door = Door(gateway.url, "shop", files[1])
    with pytest.raises(Shut, match=re.escape(str(path))):
        ask(door)
    door.close()
    assert gateway.seen == []


def test_a_key_that_does_not_fit_its_certificate(gateway: Gateway, files: tuple[Made, Credentials]) -> None:
    """Files that do not belong together are told as that, after a moment for whoever renews them."""
    files[1].key.write_text(files[0].secret.read_text())
    with pytest.raises(Shut, match=re.escape(str(files[1].certificate))):
        ask(Door(gateway.url, "shop", files[1]))


def test_secrets_go_out_over_tls_alone(files: tuple[Made, Credentials]) -> None:
    """An address without TLS and a proof do not go together, either way."""
    with pytest.raises(ValueError, match="https"):
        Door("http://127.0.0.1:1", "shop", files[1])
    with pytest.raises(ValueError, match="client certificate"):
        Door("https://127.0.0.1:1", "shop")


def test_nothing_prints_a_secret(gateway: Gateway, door: Door) -> None:
    """No representation of a door, its parts or an answer has the key or the token."""
    ask(door)
    shown = repr([door, door._tokens, door._credentials, door._connection, vars(door)])
    assert SECRET not in shown
    assert not re.search(r"\bt1\b", shown)  # a folder's name may end in these letters


class Proxy:
    """A proxy by CONNECT; `asked` has the heads of requests, `answer` is the first line of its own."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 Connection established") -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.answer = answer
        self.asked: list[bytes] = []
        self.held = [self.listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """Close everything."""
        self.listener.shutdown(socket.SHUT_RDWR)
        for each in self.held:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.held.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        self.asked.append(head)
        connection.sendall(self.answer + b"\r\nX-Proxy: yes\r\n\r\n")
        host, port = head.split(b" ")[1].decode().rsplit(":", 1)
        if b" 200 " in self.answer:
            onward = socket.create_connection((host, int(port)))
            self.held.append(onward)
            for pair in ((connection, onward), (onward, connection)):
                threading.Thread(target=_pass, args=pair, daemon=True).start()


def _pass(source: socket.socket, to: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            to.sendall(data)
    except OSError:
        return


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy that the environment names."""
    made = Proxy()
    monkeypatch.setenv("HTTPS_PROXY", f"http://us%40er:pass@127.0.0.1:{made.port}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    yield made
    made.stop()


def test_a_proxy_of_the_environment_is_used(proxied: Proxy, gateway: Gateway, door: Door) -> None:
    """HTTPS_PROXY: the way through is asked for, with the proxy's credentials, and TLS is end to end."""
    assert ask(door).told == {"token": "t1"}
    (head,) = proxied.asked
    assert head.startswith(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n" % gateway.server_address[1])
    assert base64.b64encode(b"us@er:pass") in head
    assert SECRET.encode() not in head


def test_no_proxy_is_honoured(proxied: Proxy, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_PROXY: what it names is reached directly."""
    monkeypatch.setenv("NO_PROXY", "example.com,127.0.0.1")
    assert ask(door).status == 200
    assert proxied.asked == []


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 407 Proxy Authentication Required", b"nonsense", b"x" * 20_000]
)
def test_a_proxy_that_lets_nobody_through(proxied: Proxy, door: Door, answer: bytes) -> None:
    """Its answer is told by its status, and nothing goes out in the clear."""
    proxied.answer = answer
    with pytest.raises(Unreachable, match="proxy"):
        ask(door)
    assert len(proxied.asked) == 1


def test_proxies_are_for_https(proxied: Proxy) -> None:
    """An address without TLS is reached directly: it is on loopback, or a mistake of the environment's."""
    with pytest.raises(Unreachable):
        Connection("http://127.0.0.1:1").exchange("GET", "/", b"", {}, 5.0)
    assert proxied.asked == []
