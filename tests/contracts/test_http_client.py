"""The HTTP client against real servers on this machine: time, size, trust, addresses."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sentinel.adapters.hosts import Hosts
from sentinel.adapters.http import MAX_ANSWER, MAX_IDLE, HttpClient
from sentinel.adapters.http_wire import KEEP_ALIVE
from sentinel.adapters.http_wire import Wire as TcpWire
from sentinel.errors import Forbidden, Malformed, Unavailable
from sentinel.ports import HttpRequest
from tests.loopback import nobody
from tests.wire import Answer, Wire

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LONG = 25.0  # seconds: what a machine may sleep over; what drips, drips for twice as long


@pytest.fixture
def serve() -> Iterator[Callable[..., Wire]]:
    """Start servers that are closed at the end of the test."""
    started: list[Wire] = []

    def start(answer: Answer | bytes, context: ssl.SSLContext | None = None) -> Wire:
        started.append(Wire(answer, context))
        return started[-1]

    yield start
    for wire in started:
        wire.close()


@pytest.fixture
def client() -> Iterator[HttpClient]:
    """Give a client that may call this machine under two names."""
    found = HttpClient(Hosts(["127.0.0.1", "hec.test"], private=True, resolve=lambda *_: ["127.0.0.1"]))
    yield found
    found.close()


def _get(port: int, timeout: float = LONG, **more: str) -> HttpRequest:
    return HttpRequest("GET", f"http://127.0.0.1:{port}/a?b=c", more, timeout=timeout)


def test_a_request_arrives_as_it_was_given(serve: Callable[..., Wire], client: HttpClient) -> None:
    """Method, path, query, host, headers and body are sent; the answer's header names are in lower case."""
    wire = serve(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\nX-Thing: Y\r\n\r\nok")
    url = f"http://hec.test:{wire.port}/a/b?c=%20d#fragment"
    found = client.send(HttpRequest("POST", url, {"X-One": "1", "Authorization": "Splunk x"}, b"body"))
    assert (found.status, found.headers["x-thing"], found.body) == (202, "Y", b"ok")
    head, _, body = wire.requests[0].partition(b"\r\n\r\n")
    assert body == b"body"
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /a/b?c=%20d HTTP/1.1"
    assert {
        b"Host: hec.test:%d" % wire.port,
        b"X-One: 1",
        b"Authorization: Splunk x",
        b"Content-Length: 4",
    } < set(lines)


def test_a_connection_is_kept_and_used_again(serve: Callable[..., Wire], client: HttpClient) -> None:
    """Requests one after the other to one host share a connection."""
    wire = serve(OK)
    for _ in range(3):
        client.send(_get(wire.port))
    assert (len(wire.requests), len(wire.connections)) == (3, 1)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more",
    ],
)
def test_a_connection_that_is_over_or_out_of_step_is_not_kept(
    serve: Callable[..., Wire], client: HttpClient, answer: bytes
) -> None:
    """After `Connection: close`, HTTP/1.0 or bytes nobody asked for, the next request has its own."""
    wire = serve(answer)
    for _ in range(2):
        assert client.send(_get(wire.port)).body == b"ok"
        time.sleep(0.02)
    assert len(wire.connections) == 2


def test_a_kept_connection_that_the_server_closed_is_noticed(
    serve: Callable[..., Wire], client: HttpClient
) -> None:
    """A server that hung up in the meantime costs no error: the close is seen before anything is sent."""

    def once(connection: socket.socket) -> bool:
        connection.sendall(OK)
        return False

    wire = serve(once)
    for _ in range(3):
        assert client.send(_get(wire.port)).status == 200
        while wire.connections[-1].fileno() != -1:  # the server has not hung up yet
            time.sleep(0.005)
    assert len(wire.requests) == 3


def test_idle_connections_are_bounded_and_grow_old(serve: Callable[..., Wire]) -> None:
    """At most `MAX_IDLE` connections a host are kept, and none is used again after its time."""
    now = 100.0
    hosts = Hosts(["127.0.0.1"], private=True)
    client = HttpClient(hosts, clock=lambda: now)
    gate = threading.Barrier(MAX_IDLE + 2)

    def together(connection: socket.socket) -> bool:
        gate.wait(LONG)
        connection.sendall(OK)
        return True

    wire = serve(together)
    threads = [threading.Thread(target=client.send, args=(_get(wire.port),)) for _ in range(MAX_IDLE + 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(client._idle["http", "127.0.0.1", wire.port, ""]) == MAX_IDLE
    plain = serve(OK)
    client.send(_get(plain.port))
    now += 14.9
    client.send(_get(plain.port))
    now += 15.0
    client.send(_get(plain.port))
    assert len(plain.connections) == 2
    client.close()


def test_a_redirect_is_an_answer_and_not_followed(serve: Callable[..., Wire], client: HttpClient) -> None:
    """A redirect, to a private address or anywhere, is handed back as it is."""
    inner = serve(OK)
    location = f"http://127.0.0.1:{inner.port}/latest/meta-data"
    outer = serve(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())
    assert client.send(_get(outer.port)).status == 302
    assert inner.requests == []


def test_a_long_answer_is_cut(serve: Callable[..., Wire], client: HttpClient) -> None:
    """A body is cut at the limit, whatever its length is said to be, and its connection is not kept."""
    body = b"x" * (MAX_ANSWER + 1)
    whole = serve(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (MAX_ANSWER, body[:-1]))
    for answer in (
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body),
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body + b"x" * 1_000_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body),
    ):
        wire = serve(answer)
        assert len(client.send(_get(wire.port)).body) == MAX_ANSWER
        assert ("http", "127.0.0.1", wire.port, "") not in {key for key, kept in client._idle.items() if kept}
    assert len(client.send(_get(whole.port)).body) == MAX_ANSWER
    assert client._idle["http", "127.0.0.1", whole.port, ""]


def _drip(parts: Sequence[bytes], pause: float) -> Answer:
    def answer(connection: socket.socket) -> bool:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        return False

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        _drip([b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", *[b"x"] * 1000], 0.05),
        _drip([bytes([each]) for each in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1000], 0.05),
        _drip([b"HTTP/1.1 100 Continue\r\n\r\n"] * 1000, 0.05),
        _drip([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[b"1\r\nx\r\n"] * 1000], 0.05),
        _drip([b""], 2 * LONG),
    ],
    ids=["body", "headers", "interim", "chunks", "silence"],
)
def test_a_slow_answer_ends_at_the_deadline(
    serve: Callable[..., Wire], client: HttpClient, answer: Answer
) -> None:
    """However an answer drips, one deadline ends the whole exchange."""
    wire = serve(answer)
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"127.0.0.1 gave no answer: timed out"):
        client.send(_get(wire.port, timeout=0.4))
    assert 0.35 < time.monotonic() - began < LONG


def test_a_server_that_does_not_read_ends_at_the_deadline(
    serve: Callable[..., Wire], client: HttpClient
) -> None:
    """Sending is within the deadline too."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(Unavailable, match="timed out"):
            client.send(HttpRequest("POST", f"http://127.0.0.1:{port}/", {}, b"x" * 20_000_000, 0.4))
        assert time.monotonic() - began < LONG


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"canary\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\ncanary",
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: canary\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"canary" * 20_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ncanary\r\n",
    ],
)
def test_what_is_no_answer_is_unavailable(
    serve: Callable[..., Wire], client: HttpClient, answer: bytes
) -> None:
    """A lost, cut or broken answer is `Unavailable`: the request may have arrived. It is sent once."""

    def broken(connection: socket.socket) -> bool:
        connection.sendall(answer)
        return False

    wire = serve(broken)
    with pytest.raises(Unavailable, match="gave no answer") as lost:
        client.send(_get(wire.port))
    assert "canary" not in str(lost.value)
    assert len(wire.requests) == 1


def test_a_closed_port_is_unavailable(client: HttpClient) -> None:
    """Nobody listening is something that may pass."""
    with nobody() as port, pytest.raises(Unavailable, match="cannot be reached: Connection refused"):
        client.send(_get(port))


def test_an_address_that_refuses_is_followed_by_the_next(serve: Callable[..., Wire]) -> None:
    """All of a name's addresses are tried in order."""
    wire = serve(OK)
    client = HttpClient(Hosts(["h"], private=True, resolve=lambda *_: ["127.0.0.2", "127.0.0.1"]))
    assert client.send(HttpRequest("GET", f"http://h:{wire.port}/")).status == 200
    client.close()


def test_a_name_that_changes_its_address_gains_nothing(serve: Callable[..., Wire]) -> None:
    """The name is resolved once, and the connection is made to the very address that was checked."""
    wire = serve(OK)
    answers = iter([["127.0.0.1"], ["169.254.169.254"], ["169.254.169.254"]])
    asked: list[str] = []

    def rebinding(host: str, _port: int) -> list[str]:
        asked.append(host)
        return next(answers)

    client = HttpClient(Hosts(["hec.test"], private=True, resolve=rebinding))
    url = f"http://hec.test:{wire.port}/"
    assert client.send(HttpRequest("GET", url)).status == 200
    assert asked == ["hec.test"]
    client.close()
    with pytest.raises(Forbidden, match="link-local"):
        client.send(HttpRequest("GET", url))
    assert len(wire.requests) == 1


def test_a_private_address_is_not_even_connected_to(serve: Callable[..., Wire]) -> None:
    """Without the setting, a listed name with a loopback address is refused before a connection is made."""
    wire = serve(OK)
    client = HttpClient(Hosts(["h", "127.0.0.1"], resolve=lambda *_: ["127.0.0.1"]))
    for host in ("h", "127.0.0.1"):
        with pytest.raises(Forbidden, match="SENTINEL_HTTP_PRIVATE"):
            client.send(HttpRequest("GET", f"http://{host}:{wire.port}/"))
    assert wire.connections == []


def test_the_environment_names_no_proxy(
    serve: Callable[..., Wire], client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxy variables, which others may set, do not redirect tokens."""
    proxy, wire = serve(OK), serve(OK)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    client.send(_get(wire.port))
    assert (len(proxy.requests), len(wire.requests)) == (0, 1)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "http:///x",
        "http://me:canary@127.0.0.1/",
        "http://canary@127.0.0.1/",
        "http://127.0.0.1/\r\nX-canary: 1",
        "http://127.0.0.1/a canary",
        "http://127.0.0.1\t/",
        "http://127.0.0.1/\u00e9",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:70000/",
        "http://127.0.0.1:x/",
        "http://[::1/",
        "http://127.0.0.1\\@canary/",
        "http://127.0.0.1\\canary/",
        "//127.0.0.1/",
        "",
    ],
)
def test_a_url_that_could_mean_something_else_is_refused(client: HttpClient, url: str) -> None:
    """Only plain http and https URLs are sent, and none is quoted."""
    with pytest.raises(Malformed) as refused:
        client.send(HttpRequest("GET", url))
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X", "a\r\nInjected: canary"),
        ("X", "a\n b-canary"),
        ("X", "a\rcanary"),
        ("X", "a\0canary"),
        ("X", "\u20accanary"),
        ("X: y", "1"),
        ("X\r\nY", "1"),
        ("", "1"),
        ("Host", "evil"),
        ("content-length", "0"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "keep-alive"),
    ],
)
def test_a_header_that_could_split_a_request_is_refused(
    serve: Callable[..., Wire], client: HttpClient, name: str, value: str
) -> None:
    """Line breaks, NUL and the connection's own headers are refused before anything is sent."""
    wire = serve(OK)
    with pytest.raises(Malformed) as refused:
        client.send(HttpRequest("GET", f"http://127.0.0.1:{wire.port}/", {name: value}))
    assert "canary" not in str(refused.value)
    assert wire.requests == []


@pytest.mark.parametrize("method", ["get", "CONNECT", "TRACE", "GET / HTTP/1.1\r\nX:", ""])
def test_an_odd_method_is_refused(client: HttpClient, method: str) -> None:
    """Only the usual methods are sent."""
    with pytest.raises(Malformed, match="the method is one of"):
        client.send(HttpRequest(method, "http://127.0.0.1:1/"))


def _certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.3"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context, folder / "cert.pem"


def _secure(authority: Path) -> HttpClient:
    hosts = Hosts(["hec.test", "other.test"], private=True, resolve=lambda *_: ["127.0.0.1"])
    return HttpClient(hosts, context=ssl.create_default_context(cafile=authority))


def test_tls_names_the_host_while_the_address_is_the_checked_one(
    serve: Callable[..., Wire], tmp_path: Path
) -> None:
    """The certificate is checked against the URL's name though the connection is made to an address."""
    context, authority = _certificate(tmp_path, "hec.test")
    asked: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    wire = serve(OK, context)
    client = _secure(authority)
    for _ in range(3):
        assert client.send(HttpRequest("GET", f"https://hec.test:{wire.port}/")).body == b"ok"
    assert asked == ["hec.test"]
    assert len(wire.connections) == 1
    with pytest.raises(Unavailable, match="certificate does not verify"):
        client.send(HttpRequest("GET", f"https://other.test:{wire.port}/"))
    client.close()


def test_an_authority_of_a_request_is_trusted_for_it_alone(
    serve: Callable[..., Wire], tmp_path: Path
) -> None:
    """A request may name the authority it trusts: no other counts for it, and it counts for no other."""
    (tmp_path / "other").mkdir()
    context, path = _certificate(tmp_path, "127.0.0.3")
    other = _certificate(tmp_path / "other", "127.0.0.3")[1].read_text()
    wire = serve(OK, context)
    hosts = Hosts(["127.0.0.3"], private=True, resolve=lambda *_: ["127.0.0.1"])
    client = HttpClient(hosts)
    url, authority = f"https://127.0.0.3:{wire.port}/", path.read_text()
    for _ in range(2):
        assert client.send(HttpRequest("GET", url, ca=authority)).body == b"ok"
    assert len(wire.connections) == 1
    for ca in ("", other):
        with pytest.raises(Unavailable, match="certificate does not verify"):
            client.send(HttpRequest("GET", url, ca=ca))
    with pytest.raises(Malformed, match="not in PEM"):
        client.send(HttpRequest("GET", url, ca="canary"))
    assert "canary" not in repr(HttpRequest("GET", url, ca="canary"))
    client.close()


def test_an_untrusted_certificate_is_refused(
    serve: Callable[..., Wire], client: HttpClient, tmp_path: Path
) -> None:
    """A certificate that no trusted authority signed ends the exchange before a header is sent."""
    context, _ = _certificate(tmp_path, "hec.test")
    wire = serve(OK, context)
    with pytest.raises(Unavailable, match="certificate does not verify"):
        client.send(HttpRequest("GET", f"https://hec.test:{wire.port}/", {"Authorization": "canary"}))
    assert wire.requests == []


def test_a_server_without_tls_is_unavailable(serve: Callable[..., Wire], client: HttpClient) -> None:
    """An https URL never falls back to plain http."""

    def plain(connection: socket.socket) -> bool:
        connection.sendall(OK)
        return False

    wire = serve(plain)
    with pytest.raises(Unavailable):
        client.send(HttpRequest("GET", f"https://127.0.0.1:{wire.port}/", timeout=1.0))


def test_a_handshake_that_never_ends_ends_at_the_deadline(client: HttpClient) -> None:
    """The deadline covers TLS too."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        with pytest.raises(Unavailable, match="timed out"):
            client.send(HttpRequest("GET", f"https://127.0.0.1:{listener.getsockname()[1]}/", timeout=0.4))
        assert time.monotonic() - began < LONG


def test_a_quiet_connection_is_kept_alive() -> None:
    """TCP asks after the other end while nothing is said: gateways would forget a connection otherwise."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = socket.create_connection(listener.getsockname())
        TcpWire(sock, time.monotonic() + 1, time.monotonic)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == KEEP_ALIVE < 350
        sock.close()
