"""The proxy against real servers on loopback: the very bytes that reach them, and what comes back."""

from __future__ import annotations

import gzip
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentinel.adapters.hosts import Hosts
from sentinel.adapters.http import HttpClient
from sentinel.core.upstreams import parse_upstreams
from sentinel.errors import BadAnswer, Malformed, Missing, SentinelError, TimedOut, TooLarge, Unavailable
from sentinel.ports import HttpResponse
from sentinel.usecases.proxy import Call, Proxy
from tests.wire import Wire

MAX = 50_000
LONG = 40.0  # seconds for which those are silent, or drip, who are waited for no longer than 0.3
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@contextmanager
def proxying(answer: Any = OK, seconds: float = 5.0, base: str = "/base") -> Iterator[tuple[Proxy, Wire]]:
    """A proxy with one upstream, `u`, which answers `answer` whatever it is asked."""
    wire = Wire(answer)
    upstreams = parse_upstreams(f"u=http://127.0.0.1:{wire.port}{base}")
    client = HttpClient(Hosts(["127.0.0.1"], private=True), max_answer=MAX + 1)
    try:
        yield Proxy(upstreams, client, seconds, MAX, ["x-mtls"]), wire
    finally:
        client.close()
        wire.close()


def call(path: str = "a/b", method: str = "GET", **more: Any) -> Call:
    """A call of service `checkout` on `u`."""
    return Call(method, more.pop("upstream", "u"), path, "checkout", "r-1", "192.0.2.7", **more)


def told(wire: Wire) -> tuple[str, dict[str, str], bytes]:
    """Return the request line, headers by name in lower case, and body that the upstream last got."""
    head, _, body = wire.requests[-1].partition(b"\r\n\r\n")
    line, *rest = head.decode("ascii").split("\r\n")
    pairs = [each.partition(": ")[::2] for each in rest]
    names = [name.lower() for name, _ in pairs]
    assert len(names) == len(set(names)), "a header came twice"
    return line, dict(zip(names, (value for _, value in pairs), strict=True)), body


def test_a_request_reaches_its_upstream_with_what_we_say_of_it() -> None:
    """Path below the base, query, body and plain headers go on; who calls is told by us."""
    headers = {
        "host": "api.example.com",
        "content-type": "text/plain",
        "accept-encoding": "gzip, br",
        "authorization": "Bearer canary",
        "sentinel-service": "admin",
        "x-forwarded-for": "1.2.3.4",
        "x-mtls": "canary",
        "via": "1.0 fred",
        "traceparent": TRACE,
        "tracestate": "a=1",
    }
    queries = {"q": ["1 & 2", ""], "ü": ["x"]}
    with proxying() as (proxy, wire):
        found = proxy.passed(call(method="POST", headers=headers, queries=queries, body=b"body"))
        line, got, body = told(wire)
    assert (found.status, found.body) == (200, b"ok")
    assert (found.headers["content-type"], found.headers["via"]) == ("text/plain", "1.1 sentinel")
    assert line == "POST /base/a/b?q=1%20%26%202&q=&%C3%BC=x HTTP/1.1"
    assert body == b"body"
    assert got == {
        "host": f"127.0.0.1:{wire.port}",
        "content-length": "4",
        "content-type": "text/plain",
        "accept-encoding": "gzip, br",
        "via": "1.0 fred, 1.1 sentinel",
        "traceparent": TRACE,
        "tracestate": "a=1",
        "forwarded": "for=192.0.2.7;host=api.example.com;proto=https",
        "x-forwarded-for": "192.0.2.7",
        "x-forwarded-host": "api.example.com",
        "x-forwarded-proto": "https",
        "x-request-id": "r-1",
        "sentinel-request-id": "r-1",
        "sentinel-service": "checkout",
    }


def test_a_caller_without_a_trace_gets_one() -> None:
    """A missing, broken or doubled `traceparent` is replaced, and its state is not passed on."""
    cases: list[dict[str, Any]] = [
        {},
        {"headers": {"traceparent": "nonsense", "tracestate": "a=1"}},
        {"headers": {"traceparent": TRACE}, "repeated": {"traceparent": [TRACE, TRACE]}},
    ]
    with proxying() as (proxy, wire):
        for more in cases:
            proxy.passed(call(**more))
            _, got, _ = told(wire)
            assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", got["traceparent"])
            assert "tracestate" not in got


@pytest.mark.parametrize(
    ("given_id", "passed_on"), [("client-7", "client-7"), ("", "r-1"), ("a b", "r-1"), ("x" * 129, "r-1")]
)
def test_request_ids(given_id: str, passed_on: str) -> None:
    """A client's own request id goes on where it is one; ours is beside it."""
    with proxying() as (proxy, wire):
        proxy.passed(call(headers={"x-request-id": given_id}))
        _, got, _ = told(wire)
    assert (got["x-request-id"], got["sentinel-request-id"]) == (passed_on, "r-1")


def test_only_listed_upstreams_are_reached() -> None:
    """Another name, an address or a URL in its place is 404, and nothing is sent."""
    with proxying() as (proxy, wire):
        for name in ("v", "", "127.0.0.1", f"127.0.0.1:{wire.port}", "U", "u@evil", "http:"):
            with pytest.raises(Missing):
                proxy.passed(call(upstream=name))
    assert wire.requests == []


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "get", "GET /x HTTP/1.1\r\nX:", ""])
def test_methods_that_are_not_passed_on(method: str) -> None:
    """Methods are a short list, and nothing breaks out of the request line."""
    with proxying() as (proxy, wire), pytest.raises(Malformed):
        proxy.passed(call(method=method))
    assert wire.requests == []


_HOSTILE = st.sampled_from(
    [
        *("\r\n", "\r", "\n", "\0", "\r\n\r\nGET /admin HTTP/1.1\r\n", "%0d%0a", "%00", "0\r\n\r\n", "\x85"),
        *("..", "%2e%2e", "%252e", "/", "//", "%2f", "\\", "%5c", ";", "?", "#", " ", "\t", "%", "\u2028"),
        *("a", "ü", "Transfer-Encoding: chunked", ":", ",", "_"),
    ]
)
_PATH = st.lists(_HOSTILE, max_size=6).map("".join)
_NAMES = st.one_of(
    st.sampled_from(
        [
            *("connection", "transfer-encoding", "content-length", "host", "te", "expect", "upgrade"),
            *("x-forwarded-for", "sentinel-service", "sentinel_service", "x_a", "content-type", "accept"),
            *("cookie", "proxy-connection", "traceparent"),
        ]
    ),
    st.lists(_HOSTILE, max_size=3).map("".join),
)
_VALUES = st.one_of(
    _PATH, st.sampled_from(["chunked", "close, x-request-id", "100-continue", "5", "sentinel-service"])
)
_LINE = re.compile(
    r"POST /base/(?:[A-Za-z0-9!$&'()*+,;=:@~._/-]|%[0-9A-F]{2})*(?:\?[A-Za-z0-9&=%._~-]*)? HTTP/1\.1"
)


@settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    path=_PATH,
    headers=st.dictionaries(_NAMES, _VALUES, max_size=5),
    repeated=st.dictionaries(_NAMES, st.lists(_VALUES, min_size=2, max_size=3), max_size=2),
    queries=st.dictionaries(_PATH, st.lists(_PATH, max_size=2), max_size=2),
    body=st.sampled_from([b"", b"0\r\n\r\nGET /admin HTTP/1.1\r\nHost: x\r\n\r\n", b"x"]),
)
def test_what_reaches_an_upstream_is_clean(
    shared: tuple[Proxy, Wire],
    path: str,
    headers: dict[str, str],
    repeated: dict[str, list[str]],
    queries: dict[str, list[str]],
    body: bytes,
) -> None:
    """Whatever a client sends, an upstream gets one request below its base, and our word of who calls."""
    proxy, wire = shared
    before = len(wire.requests)
    headers = {**headers, **{name: values[-1] for name, values in repeated.items()}}
    try:
        proxy.passed(call(path, "POST", headers=headers, repeated=repeated, queries=queries, body=body))
    except Malformed:
        assert len(wire.requests) == before
        return
    assert len(wire.requests) == before + 1
    line, got, arrived = told(wire)
    assert _LINE.fullmatch(line), line
    assert arrived == body
    assert (got["content-length"], got["host"]) == (str(len(body)), f"127.0.0.1:{wire.port}")
    assert (got["sentinel-service"], got["x-forwarded-for"]) == ("checkout", "192.0.2.7")
    assert not set(got) & {
        "transfer-encoding",
        "te",
        "expect",
        "upgrade",
        "cookie",
        "connection",
        "proxy-connection",
    }
    for name, value in got.items():
        assert re.fullmatch(r"[a-z0-9-]+", name)
        assert re.fullmatch(r"[\t\x20-\x7e]*", value)


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Proxy, Wire]]:
    """One proxy and upstream for all examples."""
    with proxying() as found:
        yield found


def test_a_slow_upstream_is_a_time_out() -> None:
    """Silence and dripping end at the time-out, and say so by the upstream's name alone."""

    def silent(connection: socket.socket) -> bool:
        connection.settimeout(LONG)
        with suppress(OSError):
            connection.recv(1)  # until it is hung up
        return False

    def dripping(connection: socket.socket) -> bool:
        with suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            for _ in range(int(LONG / 0.05)):
                connection.sendall(b"x")
                time.sleep(0.05)
        return False

    for answer in (silent, dripping):
        with proxying(answer, seconds=0.3) as (proxy, _):
            began = time.monotonic()
            with pytest.raises(TimedOut, match=r"upstream u did not answer within 0.3 s") as late:
                proxy.passed(call())
            assert time.monotonic() - began < LONG / 2
            assert "127.0.0.1" not in str(late.value)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncanary",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ncan",
        b"canary\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"canary" * 20_000 + b"\r\n\r\n",
    ],
)
def test_an_upstream_that_breaks_off_is_a_bad_gateway(answer: bytes) -> None:
    """A lost, cut or broken answer is `BadAnswer`, is asked for once, and is quoted nowhere."""

    def broken(connection: socket.socket) -> bool:
        connection.sendall(answer)
        return False

    with proxying(broken) as (proxy, wire):
        with pytest.raises(BadAnswer, match="upstream u") as bad:
            proxy.passed(call())
        assert len(wire.requests) == 1
    assert "canary" not in str(bad.value)


def test_an_upstream_that_is_away_is_unavailable() -> None:
    """A refused connection is neither a time-out nor a bad answer, and names no address."""
    with proxying() as (proxy, wire):
        wire.close()
        with pytest.raises(Unavailable, match="the upstream u cannot be reached") as away:
            proxy.passed(call())
    assert type(away.value) is Unavailable
    assert "127.0.0.1" not in str(away.value)


def test_bodies_are_bounded_both_ways() -> None:
    """The largest body passes, in and out; one more byte does not, however its length is told."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
    with proxying(head % MAX + b"x" * MAX) as (proxy, wire):
        assert len(proxy.passed(call(method="POST", body=b"x" * MAX)).body) == MAX
        with pytest.raises(TooLarge, match=str(MAX)):
            proxy.passed(call(method="POST", body=b"x" * (MAX + 1)))
        assert len(wire.requests) == 1
    more = b"x" * (MAX + 1)
    for answer in (
        head % len(more) + more,
        head % 10**12 + more,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + more * 3,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(more), more),
    ):
        with proxying(answer) as (proxy, _), pytest.raises(BadAnswer, match="over 50000 bytes"):
            proxy.passed(call())


def test_a_packed_answer_is_passed_through() -> None:
    """A compressed body is neither unpacked nor touched; no bomb goes off here."""
    packed = gzip.compress(bytes(20_000_000))[:MAX]
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\nVary: A\r\nVary: B\r\n"
    with proxying(head + b"Content-Length: %d\r\n\r\n" % len(packed) + packed) as (proxy, _):
        found = proxy.passed(call(headers={"accept-encoding": "gzip"}))
    assert found.body == packed
    assert (found.headers["content-encoding"], found.headers["vary"]) == ("gzip", "A, B")


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "DELETE", "PUT", "PATCH"])
def test_all_methods_pass(method: str) -> None:
    """Each method arrives as it is; HEAD has a length and no body."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n" + (
        b"" if method == "HEAD" else b"ok"
    )
    with proxying(answer) as (proxy, wire):
        found = proxy.passed(call(method=method))
        assert told(wire)[0] == f"{method} /base/a/b HTTP/1.1"
    assert found.body == (b"" if method == "HEAD" else b"ok")


def test_what_an_upstream_says_of_our_host_stays_there() -> None:
    """Cookies, HSTS, connection headers and headers in our name do not reach the client."""
    answer = (
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nStrict-Transport-Security: max-age=1\r\n"
        b"Sentinel-Request-Id: forged\r\nConnection: X-Inner\r\nX-Inner: 1\r\nX-Ok: 1\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    with proxying(answer) as (proxy, _):
        assert set(proxy.passed(call()).headers) == {"x-ok", "via"}


def _redirected(location: str, status: int = 302) -> HttpResponse:
    answer = f"HTTP/1.1 {status} X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
    with proxying(answer) as (proxy, wire):
        try:
            return proxy.passed(call())
        finally:
            assert len(wire.requests) == 1, "a redirect was followed"


@pytest.mark.parametrize(
    ("location", "found"),
    [
        ("c", "/v1/proxy/u/a/c"),
        ("../c?d=e", "/v1/proxy/u/c?d=e"),
        ("/base/x%20y", "/v1/proxy/u/x%20y"),
        ("", "/v1/proxy/u/a/b"),
    ],
)
def test_a_redirect_within_an_upstream_leads_back_through_this_door(location: str, found: str) -> None:
    """Where the upstream means one of its own paths, the client gets our path of it."""
    assert _redirected(location).headers["location"] == found
    assert _redirected(location, 201).headers["location"] == found


@pytest.mark.parametrize(
    "location",
    [
        "http://evil.example/",
        "//evil.example/base/x",
        "/admin",
        "../../admin",
        "/base/%2e%2e/admin",
        "/base/..%2fadmin",
        "/basement",
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:1/base/x",
        "https://127.0.0.1/base/x",
        "javascript:alert(1)",
        "http://[",
    ],
)
def test_a_redirect_elsewhere_is_not_passed_on(location: str) -> None:
    """It is 502; where it is no redirect, the answer goes on without it."""
    with pytest.raises(BadAnswer, match="redirects to another place"):
        _redirected(location)
    assert "location" not in _redirected(location, 201).headers


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.170.2",
        "fd00:ec2::254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "fe80::1",
        "0.0.0.0",
        "::",
    ],
)
def test_no_name_leads_to_a_metadata_service(address: str) -> None:
    """An upstream whose name resolves to where the cloud's credentials are is refused, private or not."""
    upstreams = parse_upstreams("u=https://reports.internal/")
    hosts = Hosts(["reports.internal"], private=True, resolve=lambda *_: ["127.0.0.1", address])
    with pytest.raises(BadAnswer, match="never called") as refused:
        Proxy(upstreams, HttpClient(hosts), 1.0, MAX).passed(call())
    assert address not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("a=https://h", "https://h/x"),
        ("a=https://h:8443/", "https://h:8443/x"),
        ("b=https://g, a=https://h/p/q/", "https://h/p/q/x"),
        ("a=http://localhost:1", "http://localhost:1/x"),
        ("a=http://[::1]:9/b", "http://[::1]:9/b/x"),
    ],
)
def test_upstreams(text: str, url: str) -> None:
    """Names with base URLs; a slash at the end makes no difference."""
    assert parse_upstreams(text)["a"].url("x") == url


def test_no_upstreams() -> None:
    """An empty setting lists none."""
    assert parse_upstreams(" , ") == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a", "NAME=URL|begins with"),
        ("=https://h", "NAME=URL"),
        ("A=https://h", "NAME=URL"),
        ("a/b=https://h", "NAME=URL"),
        ("a=", "https://"),
        ("a=ftp://h", "https://"),
        ("a=http://h", "must be https"),
        ("a=http://127.0.0.2", "must be https"),
        ("a=https://me:canary@h", "password"),
        ("a=https://h/?q=canary", "query"),
        ("a=https://h/#canary", "fragment"),
        ("a=https://h/../b", "leads elsewhere"),
        ("a=https://h/a//b", "empty segment"),
        ("a=https://h/%2e%2e", "leads elsewhere"),
        ("a=https://h/[", "percent-encoded"),
        ("a=https://h:0", "names a host"),
        ("a=https://h:99999", "cannot be read"),
        ("a=https://h,a=https://g", "twice"),
    ],
)
def test_upstreams_that_are_refused(text: str, why: str) -> None:
    """The message says what is wrong, and never holds a credential."""
    with pytest.raises(Malformed, match=why) as refused:
        parse_upstreams(text)
    assert "canary" not in str(refused.value)


def test_errors_are_of_the_kinds_that_the_api_answers() -> None:
    """Both new kinds are still `Unavailable`, so that whoever waits for that sees them."""
    kinds: list[type[SentinelError]] = [BadAnswer, TimedOut]
    assert all(issubclass(kind, Unavailable) for kind in kinds)
