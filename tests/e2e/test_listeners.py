"""The gateway's TLS over real sockets, with a throw-away CA and a stand-in for the functions behind it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from sentinel.local import listeners
from sentinel.local.door import Door
from sentinel.local.fair import Fair
from sentinel.local.gateway import Gateway
from sentinel.local.listeners import Front, serve
from sentinel.local.paths import Paths
from sentinel.local.proxy_events import API_ARN
from sentinel.local.tls import Files
from sentinel.routes import ROUTES
from tests.e2e.trees import until
from tests.throwaway import Made, make

MOST = 40
LONG = 60.0  # seconds: whoever waits in vain waits for so long, and a busy machine has as much time


@dataclass(frozen=True)
class Times:
    """How many seconds a handshake, a head and a body may take."""

    handshake: float = LONG
    head: float = LONG
    body: float = LONG


@pytest.fixture
def times() -> Times:
    """Give everybody time: only a test of what is slow has others."""
    return Times()


@dataclass
class Behind:
    """The functions: an authorizer that knows one token a name, and one that answers with its event."""

    asked: list[dict[str, Any]] = field(default_factory=list)
    answer: Any = None

    async def authorize(self, event: dict[str, Any], request_id: str) -> Any:
        self.asked.append(event)
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is not None:
            return self.answer
        if event["headers"]["Authorization"] != "Bearer good":
            raise Exception("Unauthorized")  # noqa: TRY002 - API Gateway's one word for it
        resources = [f"{API_ARN}/POST/v1/entries", f"{API_ARN}/GET/v1/tasks/*"]
        statement = {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": resources}
        return {
            "principalId": "checkout",
            "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
            "context": {"service": "checkout", "lanes": 2, "fine": True},
        }

    def load(self, name: str) -> Any:
        def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
            return {"statusCode": 200, "headers": {}, "body": json.dumps({**event, "function": name})}

        return handler


@dataclass
class World:
    """A listener that runs, and the files that it was made from."""

    folder: Path
    ca: Made
    client: Made
    port: int
    behind: Behind
    door: Door
    gateway: Gateway

    def context(self, client: Made | None = None, **about: Any) -> ssl.SSLContext:
        """Return a client's TLS."""
        made = ssl.create_default_context(cafile=self.ca.pem)
        if client is not None:
            made.load_cert_chain(client.pem, client.secret)
        for name, value in about.items():
            setattr(made, name, value)
        return made

    def connect(self, client: Made | None) -> http.client.HTTPSConnection:
        """Connect as somebody."""
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=LONG, context=self.context(client))

    def ask(
        self, client: Made | None, path: str = "/v1/entries", method: str = "POST", **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        """Send one request."""
        with contextlib.closing(self.connect(client)) as connection:
            connection.request(method, path, b"{}", {"Authorization": "Bearer good", **headers})
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, told, json.loads(answer.read())


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: Times) -> Iterator[World]:
    """Run the service API."""
    monkeypatch.setattr(listeners, "HANDSHAKE_SECONDS", times.handshake)
    monkeypatch.setattr(listeners, "HEADER_SECONDS", times.head)
    monkeypatch.setattr(listeners, "RELOAD_SECONDS", 0.05)
    ca = make(tmp_path, "ca")
    server, client = make(tmp_path, "server", ca, server=True), make(tmp_path, "checkout", ca)
    shutil.copy(ca.pem, tmp_path / "roots.pem")
    behind = Behind()
    door = Door(behind.authorize, 60.0)
    gateway = Gateway(Paths.of(ROUTES), door, "https", body_seconds=times.body, load=behind.load)
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    front = Front(listener, gateway, Files(server.pem, server.secret, tmp_path / "roots.pem"), MOST)
    begun, ended = threading.Event(), threading.Event()
    stop: dict[str, Any] = {}

    async def run() -> None:
        stopped = asyncio.Event()
        stop["now"] = (asyncio.get_running_loop(), stopped)
        begun.set()
        await serve([front], stopped, 1.0)

    def thread() -> None:
        asyncio.run(run())
        ended.set()

    threading.Thread(target=thread, daemon=True).start()
    assert begun.wait(LONG)
    yield World(tmp_path, ca, client, listener.getsockname()[1], behind, door, gateway)
    loop, stopped = stop["now"]
    loop.call_soon_threadsafe(stopped.set)
    assert ended.wait(LONG)
    listener.close()


def _refused(world: World, context: ssl.SSLContext) -> bool:
    """Whether TLS fails; with TLS 1.3 a client learns of it when it reads."""
    try:
        with (
            socket.create_connection(("127.0.0.1", world.port), timeout=LONG) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
        ):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return connection.recv(100) == b""
    except (ssl.SSLError, ConnectionError):
        return True


def test_a_client_certificate_of_the_own_ca_and_a_token_lead_to_the_function(world: World) -> None:
    """The function gets the authorizer's context as text, and the certificate as API Gateway tells it."""
    status, _, event = world.ask(world.client)
    assert status == 200
    assert event["function"] == "ingest"
    about = event["requestContext"]
    assert about["authorizer"] == {
        "service": "checkout",
        "lanes": "2",
        "fine": "true",
        "principalId": "checkout",
    }
    told = about["identity"]["clientCert"]
    assert told["clientCertPem"].strip() == world.client.pem.read_text().strip()
    assert (told["subjectDN"], told["issuerDN"]) == ("CN=checkout", "CN=ca")
    serial = f"{world.client.certificate.serial_number:x}"
    assert told["serialNumber"].replace(":", "") == serial.rjust(len(serial) + len(serial) % 2, "0")
    for name in ("notBefore", "notAfter"):
        assert ssl.cert_time_to_seconds(told["validity"][name]) > 0
    asked = world.behind.asked[0]
    assert (asked["type"], asked["methodArn"]) == ("REQUEST", f"{API_ARN}/POST/v1/entries")
    assert asked["requestContext"]["identity"]["clientCert"] == told
    assert "body" not in asked


def test_connections_that_prove_nothing_get_nothing(world: World) -> None:
    """No certificate, a stranger's, one of the wrong purpose, an old one, TLS 1.2: no byte of an answer."""
    other = make(world.folder, "other")
    bad = {
        "none": world.context(),
        "self-signed": world.context(make(world.folder, "selfish")),
        "foreign": world.context(make(world.folder, "foreign", other)),
        "server's": world.context(make(world.folder, "purpose", world.ca, server=True)),
        "expired": world.context(make(world.folder, "expired", world.ca, days=(-3, -1))),
        "early": world.context(make(world.folder, "early", world.ca, days=(1, 3))),
        "TLS 1.2": world.context(world.client, maximum_version=ssl.TLSVersion.TLSv1_2),
    }
    assert {name: _refused(world, context) for name, context in bad.items()} == dict.fromkeys(bad, True)
    assert not _refused(world, world.context(world.client))
    assert world.behind.asked == []


def test_http_1_1_is_the_one_protocol(world: World) -> None:
    """ALPN says http/1.1, also to a client that would like h2 better."""
    context = world.context(world.client)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", world.port), timeout=LONG) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        assert connection.selected_alpn_protocol() == "http/1.1"
        assert connection.version() == "TLSv1.3"


def test_answers_of_the_authorizer_become_those_of_api_gateway(world: World) -> None:
    """Unauthorized is a 401, what no statement allows and a Deny a 403, anything else a 503."""
    world.door.seconds = 0
    status, headers, told = world.ask(world.client, Authorization="Bearer bad")
    assert (status, told["error"], headers["www-authenticate"]) == (401, "Unauthenticated", "Bearer")
    assert world.ask(world.client, Authorization="")[0] == 401
    status, _, told = world.ask(world.client, "/v1/chains", "GET")
    assert (status, told["error"]) == (403, "Forbidden")
    assert world.ask(world.client, "/v1/tasks/a%2Fb", "GET")[0] == 200
    statement = {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": "*"}
    deny = {**statement, "Effect": "Deny"}
    for answer, code in (
        ({"principalId": "x", "policyDocument": {"Statement": [statement, deny]}}, 403),
        ({"principalId": "x", "policyDocument": {"Statement": [{**statement, "Action": "s3:*"}]}}, 403),
        ({"principalId": "x", "policyDocument": {"Statement": []}}, 403),
        ({"principalId": "x", "policyDocument": {"Statement": statement}}, 200),
        ({"principalId": "", "policyDocument": {"Statement": [statement]}}, 503),
        ({"principalId": "x", "policyDocument": {"Statement": [statement]}, "context": {"a": []}}, 503),
        ({"policyDocument": {}}, 503),
        ("nonsense", 503),
        (RuntimeError("secret insides"), 503),
    ):
        world.behind.answer = answer
        status, headers, told = world.ask(world.client)
        assert status == code, answer
        assert "insides" not in json.dumps(told)
        assert code != 503 or int(headers["retry-after"]) >= 1


def test_refusals_are_told_as_in_the_cloud(world: World) -> None:
    """The names of errors, and what comes with them, are those of infra's gateway responses."""
    refusals = pytest.importorskip("infra.refusals").REFUSALS
    world.door.seconds = 0
    for name, answer in (
        ("Unauthorized", Exception("Unauthorized")),
        ("AccessDenied", {"principalId": "x", "policyDocument": {"Statement": []}}),
        ("AuthorizerFailure", RuntimeError()),
        ("AuthorizerBroken", "nonsense"),
    ):
        world.behind.answer = answer
        status, headers, told = world.ask(world.client)
        cloud = refusals[name]
        assert (told["error"], told["message"]) == (cloud.error, cloud.message)
        assert status == cloud.status or not cloud.status
        for header, value in cloud.headers.items():
            assert headers[header.lower()] == value.strip("'")


def test_a_decision_is_kept_for_a_token_with_its_certificate_alone(world: World) -> None:
    """The same token on the same certificate asks once; on another certificate it asks again."""
    other = make(world.folder, "other-service", world.ca)
    for _ in range(3):
        assert world.ask(world.client)[0] == 200
    assert len(world.behind.asked) == 1
    world.ask(other)
    assert len(world.behind.asked) == 2
    world.ask(world.client, "/v1/tasks/x", "GET")
    assert len(world.behind.asked) == 2, "what is kept is a policy, not an answer for one route"
    for _ in range(2):
        assert world.ask(world.client, Authorization="Bearer bad")[0] == 401
    assert len(world.behind.asked) == 4, "no is not kept"
    world.door.seconds = 0
    world.ask(world.client)
    assert len(world.behind.asked) == 5


def test_two_tokens_in_one_request_are_refused(world: World) -> None:
    """Whoever sends two Authorization headers wants two readers to see two callers."""
    with contextlib.closing(world.connect(world.client)) as connection:
        connection.putrequest("POST", "/v1/entries")
        for value in ("Bearer good", "Bearer bad"):
            connection.putheader("Authorization", value)
        connection.putheader("Content-Length", "0")
        connection.endheaders()
        assert connection.getresponse().status == 400
    assert world.behind.asked == []


def test_a_body_is_not_read_before_its_sender_is_known(world: World) -> None:
    """A request without a token is refused while its body is still to come."""
    context = world.context(world.client)
    with (
        socket.create_connection(("127.0.0.1", world.port), timeout=LONG) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        head = b"POST /v1/entries HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n"
        connection.sendall(head)
        assert connection.recv(100).startswith(b"HTTP/1.1 401 ")


def test_new_roots_count_without_a_restart_and_open_connections_stay(world: World) -> None:
    """A root that is added lets its clients in, one that is taken away nobody new; nobody is cut off."""
    other = make(world.folder, "second-ca")
    newcomer = make(world.folder, "newcomer", other)
    assert _refused(world, world.context(newcomer))
    roots = world.folder / "roots.pem"
    with contextlib.closing(world.connect(world.client)) as connection:

        def ask() -> int:
            connection.request("POST", "/v1/entries", b"{}", {"Authorization": "Bearer good"})
            answer = connection.getresponse()
            answer.read()
            return answer.status

        assert ask() == 200
        _replace(roots, world.ca.pem.read_text() + other.pem.read_text())
        until(lambda: not _refused(world, world.context(newcomer)), "the new root does not count", LONG)
        assert not _refused(world, world.context(world.client))
        _replace(roots, "no certificates at all")
        time.sleep(0.3)
        assert not _refused(world, world.context(newcomer)), "what cannot be used is not used"
        _replace(roots, other.pem.read_text())
        until(lambda: _refused(world, world.context(world.client)), "the old root counts", LONG)
        assert not _refused(world, world.context(newcomer))
        port = connection.sock.getsockname()[1]
        assert ask() == 200
        assert connection.sock.getsockname()[1] == port, "the connection was kept"


def test_no_connection_is_lost_when_roots_change(world: World) -> None:
    """While the files change over and over, every connection that comes is served."""
    done, failures, ended = [0], [], threading.Event()

    def come() -> None:
        while not ended.is_set():
            try:
                done[0] += world.ask(world.client)[0] == 200
            except OSError as error:
                failures.append(repr(error))

    threads = [threading.Thread(target=come) for _ in range(4)]
    for thread in threads:
        thread.start()
    text = world.ca.pem.read_text()
    for number in count():
        _replace(world.folder / "roots.pem", text + "\n" * (number % 3))
        time.sleep(0.1)
        if failures or (number >= 20 and done[0] > 50):  # a slow machine gets more time, and more changes
            break
    ended.set()
    for thread in threads:
        thread.join()
    assert failures == []


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


def test_a_session_does_not_outlive_its_root(world: World) -> None:
    """A session ticket of a time when the root was trusted opens nothing afterwards."""
    context = world.context(world.client)
    with (
        socket.create_connection(("127.0.0.1", world.port), timeout=LONG) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        session = connection.session
    _replace(world.folder / "roots.pem", make(world.folder, "later-ca").pem.read_text())
    until(lambda: _refused(world, world.context(world.client)), "the old root counts", LONG)
    with (
        contextlib.suppress(ssl.SSLError, ConnectionError),
        socket.create_connection(("127.0.0.1", world.port), timeout=LONG) as plain,
        context.wrap_socket(plain, server_hostname="localhost", session=session) as again,
    ):
        again.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert again.recv(100) == b""


@pytest.mark.parametrize("times", [Times(2.0, 2.0, 2.0)])
def test_the_slow_are_cut_off_and_nobody_waits_for_them(world: World, times: Times) -> None:
    """Handshakes that never begin or end, heads and bodies that trickle: each has its time; others go on."""
    hello = b"\x16\x03\x01\x02\x00\x01"  # the beginning of a ClientHello
    head = b"POST /v1/entries HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good\r\n"
    with contextlib.ExitStack() as held:
        plain = [held.enter_context(_plain(world, data)) for data in (b"", hello) for _ in range(30)]
        heads = [held.enter_context(_opened(world, head + b"X-")) for _ in range(10)]
        body = head + b"Content-Length: 100000\r\n\r\n{"
        bodies = [held.enter_context(_opened(world, body)) for _ in range(10)]
        began = time.monotonic()
        assert world.ask(world.client)[0] == 200
        assert time.monotonic() - began < times.handshake
        assert {_rest(each) for each in plain} == {b""}
        assert {_rest(each) for each in heads} == {b""}
        assert {_rest(each)[:13] for each in bodies} == {b"HTTP/1.1 408 "}
        assert time.monotonic() - began < LONG


def _plain(world: World, data: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", world.port), timeout=LONG)
    connection.sendall(data)
    return connection


def _opened(world: World, data: bytes) -> ssl.SSLSocket:
    context = world.context(world.client)
    connection = context.wrap_socket(_plain(world, b""), server_hostname="localhost")
    connection.sendall(data)
    return connection


def _rest(connection: socket.socket) -> bytes:
    """Return what comes before the connection is closed, in one way or another."""
    try:
        return connection.recv(100)
    except (ssl.SSLError, ConnectionError):
        return b""


def test_too_many_connections_cost_the_idle_ones_alone(world: World) -> None:
    """Past the bound, the connection that is idle for longest makes room; a new one is always taken."""
    context = world.context(world.client)
    idle = []
    for _ in range(MOST):
        plain = socket.create_connection(("127.0.0.1", world.port), timeout=LONG)
        idle.append(context.wrap_socket(plain, server_hostname="localhost"))
    for _ in range(5):
        assert world.ask(world.client)[0] == 200
    assert idle[0].recv(100) == b""
    idle[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert idle[-1].recv(100).startswith(b"HTTP/1.1 200")
    for each in idle:
        each.close()


def test_bodies_that_trickle_keep_nobody_out(world: World) -> None:
    """Where every connection is sending a body for ever, the slowest one makes room for who is new."""
    head = b"POST /v1/entries HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good\r\n"
    with contextlib.ExitStack() as held:
        slow = [
            held.enter_context(_opened(world, head + b"Content-Length: 99\r\n\r\n{")) for _ in range(MOST)
        ]
        for _ in range(5):
            assert world.ask(world.client)[0] == 200
        assert _rest(slow[0]) in {b"", b"HTTP/1.1 400 Bad Request"}
        slow[-1].sendall(b" " * 97 + b"}")
        assert _rest(slow[-1]).startswith(b"HTTP/1.1 200")


def test_large_bodies_that_trickle_take_no_place_of_whole_ones(world: World) -> None:
    """However many large bodies are on their way, a request that is whole is answered at once."""
    head = b"POST /v1/entries HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good\r\n"
    gateway = world.gateway
    gateway.arriving = Fair(4, 3, 100, 100)
    gateway.bodies = Fair(4, 3, 100, 100)
    with contextlib.ExitStack() as held:
        for _ in range(10):
            held.enter_context(_opened(world, head + b"Content-Length: 90000\r\n\r\n" + b" " * 70_000))
        time.sleep(0.1)
        began = time.monotonic()
        assert world.ask(world.client)[0] == 200
        assert time.monotonic() - began < LONG / 2


HEADS = {
    "HTTP/0.9": (b"GET /v1/tasks/x HTTP/0.9", b"", 400),
    "HTTP/0.9 without headers": (b"GET /v1/tasks/x", None, 400),
    "HTTP/2.0": (b"GET /v1/tasks/x HTTP/2.0", b"", 400),
    "chunked in HTTP/1.0": (b"POST /v1/entries HTTP/1.0", b"Transfer-Encoding: chunked\r\n", 400),
    "gzip, chunked": (b"POST /v1/entries HTTP/1.1", b"Transfer-Encoding: gzip, chunked\r\n", 400),
    "identity, chunked": (b"POST /v1/entries HTTP/1.1", b"Transfer-Encoding: identity, chunked\r\n", 400),
    "chunked": (b"POST /v1/entries HTTP/1.1", b"Transfer-Encoding: chunked\r\n", 200),
    "Chunked": (b"POST /v1/entries HTTP/1.1", b"Transfer-Encoding: Chunked\r\n", 200),
    "HTTP/1.0": (b"GET /v1/tasks/x HTTP/1.0", b"", 200),
}


@pytest.mark.parametrize("name", HEADS)
def test_heads_that_others_could_read_otherwise_are_refused(world: World, name: str) -> None:
    """One version, one transfer coding; after a refusal nothing more on the connection counts."""
    line, more, expected = HEADS[name]
    head = b"\r\nHost: localhost\r\nAuthorization: Bearer good\r\n"
    data = line + b"\r\n\r\n" if more is None else line + head + more + b"\r\n"
    if more:
        data += b"2\r\n{}\r\n0\r\n\r\n"
    if expected == 400:
        data += b"GET /v1/tasks/y HTTP/1.1" + head + b"\r\n"
    with _opened(world, data) as connection:
        found = b""
        while expected == 400 and (piece := _rest(connection)):
            found += piece
        found = found or _rest(connection)
    assert int(found.split()[1]) == expected
    assert expected == 200 or (found.count(b"HTTP/") == 1 and b'"error": "Malformed"' in found)


@pytest.mark.parametrize("more", [b"zz\r\n", b"-1\r\n", b"3\r\n{} XX", b"0\r\n" + b"X-A: b\r\n" * 9_000])
@pytest.mark.parametrize("first", [b"", b"2\r\n{}\r\n"])
def test_a_body_that_breaks_off_its_form_ends_there(
    world: World, first: bytes, more: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A chunk that is none is refused when it comes, and not once the time for the body is up."""
    head = b"POST /v1/entries HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good\r\n"
    with _opened(world, head + b"Transfer-Encoding: chunked\r\n\r\n" + first) as connection:
        until(lambda: world.behind.asked, "the request has not begun", LONG)
        time.sleep(0.05)
        began = time.monotonic()
        with contextlib.suppress(OSError):  # it is refused, and closed, before all of it was sent
            connection.sendall(more)
        assert _rest(connection).startswith(b"HTTP/1.1 400 ")
        assert time.monotonic() - began < LONG / 2
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    "host", ["localhost:80:80", "localhost/", "localhost#", "localhost?x", "evil.example@localhost", "127.1"]
)
def test_a_host_is_a_name_and_perhaps_a_port(world: World, host: str) -> None:
    """What only contains a loopback name is none."""
    assert world.ask(world.client, Host=host)[0] == 421


def test_nobody_is_told_what_answers(world: World) -> None:
    """`Server` is our own word, in answers and in refusals."""
    assert world.ask(world.client)[1]["server"] == "Sentinel"
    assert world.ask(world.client, "/nothing")[1]["server"] == "Sentinel"
    with _opened(world, b"nonsense\r\n\r\n") as connection:
        found = connection.recv(1000)
        assert b"\r\nServer: Sentinel\r\n" in found


def test_a_head_that_is_too_large_is_refused(world: World) -> None:
    """All headers together are bounded as at API Gateway, and so is their number."""
    status, _, told = world.ask(world.client, **{f"X-{at}": "a" * 4000 for at in range(3)})
    assert (status, told["error"]) == (431, "TooLarge")
    assert world.ask(world.client, **{f"X-{at}": "a" for at in range(200)})[0] == 400


def test_half_closed_connections_are_answered_or_dropped(world: World) -> None:
    """A client that stops sending in the middle of a body costs nobody anything."""
    for data in (
        b"",
        b"POST /v1/en",
        b"POST /v1/entries HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
    ):
        context = world.context(world.client)
        plain = socket.create_connection(("127.0.0.1", world.port), timeout=LONG)
        connection = context.wrap_socket(plain, server_hostname="localhost")
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ssl.SSLError, OSError):
            connection.recv(1000)
        connection.close()
    assert world.ask(world.client)[0] == 200


def test_a_browser_without_a_loopback_name_is_refused(world: World) -> None:
    """A name that was pointed here, or a foreign origin, is refused behind TLS as well."""
    assert world.ask(world.client, Host="evil.example")[0] == 421
    assert world.ask(world.client, Origin="https://evil.example")[0] == 403
    assert world.ask(world.client, Host="localhost", Origin="https://localhost")[0] == 200
