"""HTTP that two servers could read differently, that is too much, or that leads elsewhere."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from tests.attacks import walk
from tests.attacks.deployment import Deployment, Member
from tests.attacks.record import NOTHING, TLS, Answer, case
from tests.attacks.walk import MARK
from tests.attacks.wire import request

pytestmark = pytest.mark.xdist_group("attacks")

GATEWAY = "gateway"
HOST = "Host: localhost"
ENTRY = b'{"text":"CANARY-smuggled"}'
LENGTH = f"Content-Length: {len(ENTRY)}"
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(ENTRY), ENTRY)
# What a smuggler hides in what it hopes to be a body for one of two servers.
HIDDEN = b"GET /v1/services HTTP/1.1\r\nHost: localhost\r\nX-Hidden: CANARY-hidden\r\n\r\n"

Raw = Callable[[str], bytes]


def post(*lines: str, body: bytes = CHUNKED + HIDDEN, version: str = "HTTP/1.1") -> Raw:
    """Return a good request but for its framing; `auth` is the header with the token."""
    return lambda auth: request("POST", "/v1/entries", HOST, auth, *lines, body=body, version=version)


def get(*lines: str, target: str = "/v1/chains", method: str = "GET", version: str = "HTTP/1.1") -> Raw:
    """Return a good request but for its head."""
    return lambda auth: request(method, target, HOST, auth, *lines, version=version)


def coding(text: str) -> Raw:
    """Return a request with this Transfer-Encoding."""
    return post(f"Transfer-Encoding: {text}")


def length(text: str) -> Raw:
    """Return a request with this Content-Length."""
    return post(f"Content-Length: {text}", body=ENTRY)


def chunks(body: bytes) -> Raw:
    """Return a request with these chunks."""
    return post("Transfer-Encoding: chunked", body=body + HIDDEN)


SMUGGLED: dict[str, Raw] = {
    "Content-Length, then chunked": post(LENGTH, "Transfer-Encoding: chunked"),
    "chunked, then Content-Length": post("Transfer-Encoding: chunked", "Content-Length: 3"),
    "Content-Length 0 and chunked": post("Content-Length: 0", "Transfer-Encoding: chunked"),
    "chunked twice": post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "chunked and identity in two headers": post("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
    "coding xchunked": coding("xchunked"),
    "coding chunked, identity": coding("chunked, identity"),
    "coding identity, chunked": coding("identity, chunked"),
    "coding gzip, chunked": coding("gzip, chunked"),
    "coding chunked, chunked": coding("chunked, chunked"),
    "coding chunked with a vertical tab": coding("chunked\x0b"),
    "coding chunked with a form feed": coding("\x0cchunked"),
    "coding chunked with a parameter": coding("chunked;q=1"),
    "coding in quotes": coding('"chunked"'),
    "coding identity": coding("identity"),
    "coding empty": coding(""),
    "coding folded": post("Transfer-Encoding:\r\n chunked"),
    "blank before the colon": post("Transfer-Encoding : chunked"),
    "tab before the colon": post("Transfer-Encoding\t: chunked"),
    "NUL in the name": post("Transfer-\0Encoding: chunked"),
    "chunked in HTTP/1.0": post("Transfer-Encoding: chunked", version="HTTP/1.0"),
    "two lengths, equal": post(LENGTH, LENGTH, body=ENTRY),
    "two lengths": post(LENGTH, "Content-Length: 3", body=ENTRY),
    "length +": length(f"+{len(ENTRY)}"),
    "length -": length("-1"),
    "length in hex": length("0x1a"),
    "length with a comma": length(f"{len(ENTRY)}, {len(ENTRY)}"),
    "length with a blank": length("2 6"),
    "length with a fraction": length("26.0"),
    "length with a NUL": length("26\0"),
    "length empty": length(""),
    "length of 40 digits": length("9" * 40),
    "chunk size negative": chunks(b"-1a\r\n"),
    "chunk size in hex with 0x": chunks(b"0x1a\r\n" + ENTRY),
    "chunk size of 17 digits": chunks(b"1" * 17 + b"\r\n" + ENTRY),
    "chunk size with a blank before it": chunks(b" 1a\r\n" + ENTRY + b"\r\n0\r\n\r\n"),
    "chunk lines end in LF": chunks(CHUNKED.replace(b"\r\n", b"\n")),
    "chunk longer than it says": chunks(b"3\r\n" + ENTRY + b"\r\n0\r\n\r\n"),
    "chunk without an end": chunks(b"%x\r\n%sXX0\r\n\r\n" % (len(ENTRY), ENTRY)),
    "very many trailers": chunks(CHUNKED[:-2] + b"X-Trailer: CANARY\r\n" * 600 + b"\r\n"),
    "header folded": get("X-Folded: a\r\n b"),
    "token folded": lambda auth: request("GET", "/v1/chains", HOST, auth.replace(": ", ":\r\n ")),
    "header before the first, folded": lambda auth: request("GET", "/v1/chains", " X: y", HOST, auth),
    "lines end in LF": lambda auth: get()(auth).replace(b"\r\n", b"\n"),
    "one line ends in LF": get("X-A: b\nX-B: c"),
    "CR alone": get("X-A: b\rX-B: c"),
    "NUL in a value": get("X-A: b\0c"),
    "NUL in the path": get(target="/v1/cha\0ins"),
    "blank in the path": get(target="/v1/chains /x"),
    "tab in the path": get(target="/v1/chains\t"),
    "not ASCII in the path": get(target="/v1/ch\u00e4ins"),
    "blank in a name": get("X A: b"),
    "no colon": get("nonsense"),
    "empty name": get(": b"),
    "no host": lambda auth: request("GET", "/v1/chains", auth),
    "two hosts": get("Host: localhost"),
    "two hosts, one evil": get("Host: evil.example"),
    "method in lower case": get(method="get"),
    "method of nobody": get(method="STEAL"),
    "method with a blank": get(method="G ET"),
    "PRI of HTTP/2": get(method="PRI", target="*", version="HTTP/2.0"),
    "preface of HTTP/2": lambda _: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"),
    "HTTP/2.0": get(version="HTTP/2.0"),
    "HTTP/1.2": get(version="HTTP/1.2"),
    "HTTP/0.9": get(version="HTTP/0.9"),
    "HTTP/0.9 without headers": lambda _: b"GET /v1/chains\r\n\r\n",
    "version in lower case": get(version="http/1.1"),
    "version with more": get(version="HTTP/1.1x"),
    "authority in the place of a path": get(target="localhost:443"),
    "absolute URI, broken": get(target="http://[::1/v1/chains"),
    "absolute URI, port too large": get(target="http://localhost:99999999/v1/chains"),
    "a handshake of TLS inside TLS": lambda _: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "noise": lambda _: b"\xff" + os.urandom(300),
    "URI of 9,000 characters": get(target="/v1/chains?" + "a" * 9_000),
    "header of 9,000 characters": get("X-Long: " + MARK + "a" * 9_000),
    "header name of 9,000 characters": get("X-" + "a" * 9_000 + ": b"),
    "500 headers": get(*(f"X-{at}: a" for at in range(500))),
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_what_could_be_read_in_two_ways_is_read_in_none(tree: Deployment, me: Member, name: str) -> None:
    """400 on both APIs, then the connection is closed: what was hidden behind it is no request."""
    auth = f"Authorization: {tree.bearer(me)['Authorization']}"
    entries, anybody = _entries(tree), tree.client(hooks=True)
    with case("HTTP", name, GATEWAY, 400) as tried:
        data = SMUGGLED[name](auth)
        # Also without what is hidden behind it, so that it is not that which is refused.
        for sent in dict.fromkeys((data, data.replace(HIDDEN, b""))):
            for client in (me.client, anybody):
                answers = client.raw(sent)
                tried.refused(answers[0] if answers else NOTHING)
                tried.holds(len(answers) <= 1, f"{len(answers)} answers to one request")
        tried.holds(_entries(tree) == entries, "something was stored")


def _entries(tree: Deployment) -> int:
    return sum(int(str(each["entries"])) for each in tree.app.inspect.chains("mallory"))


def test_one_answer_for_each_request(tree: Deployment, me: Member) -> None:
    """Requests in one packet are answered each for itself: the token of the first is not that of the next."""
    auth = f"Authorization: {tree.bearer(me)['Authorization']}"
    good, bare = request("GET", "/v1/chains", HOST, auth), request("GET", "/v1/chains", HOST)
    with case("HTTP", "pipelined requests without a token", GATEWAY, 401) as tried:
        first, second, third = me.client.raw(good + bare + good)
        tried.refused(second)
        tried.holds((first.status, third.status) == (200, 200), "the good ones are not served")
    upgrades = {
        "h2c": ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ"),
        "websocket": ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
    }
    for name, lines in upgrades.items():
        with case("HTTP", f"request behind an upgrade to {name}", GATEWAY, 401) as tried:
            first, *rest = me.client.raw(request("GET", "/v1/chains", HOST, auth, *lines) + HIDDEN)
            tried.holds(first.status == 200, "it was upgraded")
            for answer in rest:
                tried.refused(answer)
    for name, method, target in (
        ("CONNECT", "CONNECT", "localhost:443"),
        ("CONNECT to inside", "CONNECT", "169.254.169.254:80"),
    ):
        with case("HTTP", name, GATEWAY, 400, 401, 404, 405) as tried:
            for answer in me.client.raw(request(method, target, HOST, auth) + HIDDEN):
                tried.refused(answer)


HOSTS = [
    "evil.example",
    "localhost@evil.example",
    "evil.example@localhost",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "[::ffff:127.0.0.1]",
    "169.254.169.254",
    "localhost:80:80",
    "localhost/",
    "localhost#",
    "localhost?x",
    "localhost,evil.example",
]


@pytest.mark.parametrize("host", ["", *HOSTS])
def test_another_host_is_not_this_one(tree: Deployment, me: Member, host: str) -> None:
    """A name that was pointed to this machine does not make a browser's request ours."""
    auth = f"Authorization: {tree.bearer(me)['Authorization']}"
    with case("HTTP", f"Host {host or '(empty)'}", GATEWAY, 421) as tried:
        for target in walk.service():
            data = request(
                target.method, target.path, f"Host: {host}", auth, "Content-Length: 0", "Connection: close"
            )
            tried.refused(me.client.one(data), str(target))


def test_another_origin_is_refused(tree: Deployment, me: Member) -> None:
    """What a page of somebody else's made a browser send."""
    with case("HTTP", "foreign Origin", GATEWAY, 403) as tried:
        for origin in ("https://evil.example", "null", "http://localhost", "https://localhost.evil.example"):
            for target in walk.service():
                sent = {**target.headers, **tree.bearer(me), "Origin": origin}
                tried.refused(me.client.ask(target.method, target.path, target.body, sent), str(target))


METHODS = ["TRACE", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS", "CONNECT", "PROPFIND", "PURGE", "LINK"]
METHODS += ["M-SEARCH", "QUERY", "GET", "POST"]


@pytest.mark.parametrize("method", METHODS)
def test_a_route_has_its_methods_alone(tree: Deployment, me: Member, method: str) -> None:
    """Any other method is 405 (the proxy passes on those of RFC 9110 and refuses what is dangerous)."""
    taken = {(target.method, target.route.path) for target in (*walk.service(), *walk.hooks())}
    auth = f"Authorization: {tree.bearer(me)['Authorization']}"
    with case("HTTP", f"method {method}", GATEWAY, 400, 404, 405) as tried:
        for target in (*walk.service(), *walk.hooks()):
            proxied = target.route.method == "ANY" and method not in {"TRACE", "CONNECT"}
            if (method, target.route.path) in taken or (proxied and method not in {"PROPFIND", "PURGE"}):
                continue
            client = me.client if target.route.door in walk.SERVICE_DOORS else tree.client(hooks=True)
            data = request(method, target.path, HOST, auth, "Content-Length: 0", "Connection: close")
            answer = client.one(data, seconds=3)
            tried.refused(answer if method != "HEAD" else _headless(answer), str(target))


def _headless(answer: Answer) -> Answer:
    """Give an answer to HEAD the body that it has not, so that its status alone is looked at."""
    told = (("content-type", "application/json"),)
    return Answer(answer.status, told, b'{"error": "NotAllowed", "message": "HEAD has no body"}')


PATHS = {
    "trailing slash": "/v1/chains/",
    "two slashes": "//v1/chains",
    "two slashes inside": "/v1//chains",
    "dot": "/v1/./chains",
    "dots": "/v1/tasks/../services",
    "dots, encoded": "/v1/tasks/%2e%2e/services",
    "dots and slash, encoded": "/v1/tasks/..%2fservices",
    "dots, encoded twice": "/v1/tasks/%252e%252e%252fservices",
    "dots with a backslash": "/v1/tasks/..\\services",
    "dots with an encoded backslash": "/v1/tasks/..%5cservices",
    "dots with a semicolon": "/v1/tasks/..;/services",
    "dots, overlong UTF-8": "/v1/tasks/%c0%ae%c0%ae/services",
    "NUL, encoded": "/v1/tasks/x%00",
    "not UTF-8": "/v1/tasks/%ff",
    "CR LF, encoded": "/v1/tasks/x%0d%0aSet-Cookie:%20a=b",
    "encoded letter": "/v1/%63hains",
    "capitals": "/V1/CHAINS",
    "semicolon": "/v1/chains;x=1",
    "question mark, encoded": "/v1/chains%3f",
    "blank at its end, encoded": "/v1/chains%20",
    "fragment": "/v1/chains%23x",
    "out of the root": "/../../../../etc/passwd",
    "out of the root, encoded": "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "beyond healthz": "/healthz/../v1/chains",
    "beyond the public keys": "/.well-known/../v1/chains",
    "absolute URI": "https://localhost/v1/chains",
    "absolute URI of elsewhere": "http://evil.example/v1/chains",
    "a file": "/favicon.ico",
    "SQL": "/v1/tasks/x'%20OR%20'1'='1",
    "a template": "/v1/tasks/%7b%7b7*7%7d%7d",
    "8,000 characters": "/v1/tasks/" + "x" * 8_000,
}


@pytest.mark.parametrize("name", PATHS)
def test_paths_lead_nowhere_else(tree: Deployment, me: Member, name: str) -> None:
    """404, on both APIs."""
    auth = f"Authorization: {tree.bearer(me)['Authorization']}"
    with case("paths", name, GATEWAY, 404) as tried:
        for client in (me.client, tree.client(hooks=True)):
            answer = client.one(request("GET", PATHS[name], HOST, auth))
            tried.refused(answer)
            tried.holds(not answer.header("set-cookie"), "a header came out of a path")


def test_a_body_over_10_mb_is_refused(tree: Deployment, me: Member) -> None:
    """By what it says, and where it says nothing, by what comes; a webhook's is smaller."""
    auth = f"Authorization: {tree.bearer(me)['Authorization']}"
    big, hook = 10_000_001, 1_000_001
    with case("HTTP", "body too large", GATEWAY, 413) as tried:
        for target in walk.service("token"):
            if target.body:
                head = (target.method, target.path, HOST, auth)
                tried.refused(me.client.one(request(*head, f"Content-Length: {big}")), str(target))
        told = request("POST", "/v1/entries", HOST, auth, "Transfer-Encoding: chunked")
        tried.refused(me.client.one(told + b"989681\r\n" + b" " * (big + 10)), "POST /v1/entries")
        path = "/hooks/standard-webhooks/bills"
        anybody = tree.client(hooks=True)
        tried.refused(anybody.one(request("POST", path, HOST, f"Content-Length: {hook}")))
        tried.refused(
            anybody.one(
                request("POST", path, HOST, "Transfer-Encoding: chunked") + b"f4241\r\n" + b" " * hook
            )
        )
    with case("HTTP", "headers too large", GATEWAY, 431) as tried:
        many = [f"X-{at}: {MARK}{'a' * 3_000}" for at in range(4)]
        for target in (*walk.service(), *walk.hooks()):
            client = me.client if target.route.door in walk.SERVICE_DOORS else anybody
            tried.refused(client.one(request(target.method, target.path, HOST, auth, *many)), str(target))


def _protobuf(*parts: tuple[int, bytes]) -> bytes:
    """Return fields of protobuf, each length-delimited."""
    found = b""
    for number, content in parts:
        size, told = len(content), b""
        while size > 0x7F:
            told += bytes([size & 0x7F | 0x80])
            size >>= 7
        found += bytes([number << 3 | 2]) + told + bytes([size]) + content
    return found


def _bombs() -> dict[str, tuple[str, str, str, bytes]]:
    """Return bodies that become very much: path, content type, content encoding, body."""
    ndjson, json, proto = "application/x-ndjson", "application/json", "application/x-protobuf"
    blanks, two = b" " * 50_000_000, 2_400_000
    bomb, packed = gzip.compress(blanks), zstandard.compress(blanks * 4)
    long = _protobuf((1, _protobuf((1, b"k"), (2, _protobuf((1, b"v" * 60_000))))))
    amplified = _protobuf((1, _protobuf((1, long)) + _protobuf((2, b"\x12\x00" * 9_999))))
    bodies = {
        "gzip": ("gzip", bomb),
        "zstd": ("zstd", packed),
        "gzip of gzip": ("gzip, gzip", gzip.compress(bomb)),
        "zstd of gzip": ("gzip, zstd", zstandard.compress(bomb)),
        "zstd with a window of gigabytes": ("zstd", bytes.fromhex("28b52ffd00b80100000000")),
        "an encoding of nobody": ("br", bomb),
        "x-gzip in capitals": ("X-GZIP", bomb),
        "very many gzip members": ("gzip", gzip.compress(b"") * 400_000),
        "very many zstd frames": ("zstd", zstandard.compress(b"") * 400_000),
        "cut off": ("gzip", bomb[:-8]),
        "not what it says": ("gzip", packed),
    }
    found = {}
    for name, (encoding, body) in bodies.items():
        found[name] = ("/v1/entries", ndjson, encoding, body)
        found[f"{name}, OTLP"] = ("/v1/logs", json, encoding, body)
    otlp = {
        "2,400,000 records of two bytes": _protobuf((1, _protobuf((2, b"\x12\x00" * two)))),
        "2,400,000 scopes of two bytes": _protobuf((1, b"\x12\x00" * two)),
        "2,400,000 resources of two bytes": b"\x0a\x00" * two,
        "a resource that 9,999 records repeat": amplified,
    }
    found |= {name: ("/v1/logs", proto, "gzip", gzip.compress(body)) for name, body in otlp.items()}
    deep = b'{"a":' + b"[" * 60_000
    found["nested 60,000 deep"] = ("/v1/entries", ndjson, "identity", deep)
    found["nested 60,000 deep, OTLP"] = ("/v1/logs", json, "identity", b'{"resourceLogs":' + deep)
    found["a number of 60,000 digits"] = ("/v1/entries", ndjson, "identity", b'{"a":1' + b"0" * 60_000 + b"}")
    return found


def test_bombs_do_not_go_off(tree: Deployment, me: Member) -> None:
    """A few kilobytes that become gigabytes are refused before they do, and the gateway stays small."""
    pid = tree.tree.child("child\0gateway")
    peak = _peak(pid)
    for name, (path, kind, encoding, body) in _bombs().items():
        with case("bombs", name, GATEWAY, 400, 413) as tried:
            began = _cpu(pid)
            sent = tree.bearer(me) | {"Content-Type": kind, "Content-Encoding": encoding}
            tried.refused(me.client.ask("POST", path, body, sent), f"POST {path}")
            tried.holds(_cpu(pid) - began < 3, f"it took {_cpu(pid) - began:.1f} s of CPU")
            tried.holds(_peak(pid) - peak < 600, f"the gateway grew by {_peak(pid) - peak} MB")


def _cpu(pid: int) -> float:
    """Return the seconds of CPU that a process has used: on a busy machine, too, what a request costs it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak(pid: int) -> int:
    """Return the most memory that a process ever had, in MB."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmHWM"))


NONSENSE = {
    "broken JSON": ("/v1/entries", "application/x-ndjson", b'{"card": CANARY}'),
    "a line that is a list": ("/v1/entries", "application/x-ndjson", b'{"a":1}\n["CANARY"]'),
    "a line that is text": ("/v1/entries", "application/x-ndjson", b'"CANARY"'),
    "a number that is none": ("/v1/entries", "application/x-ndjson", b'{"CANARY":NaN}'),
    "a line over 64 KB": ("/v1/entries", "application/x-ndjson", b'{"a":"CANARY%s"}' % (b"x" * 66_000)),
    "not UTF-8": ("/v1/entries", "application/x-ndjson", b'{"a":"CANARY\xff"}'),
    "OTLP that is no JSON": ("/v1/logs", "application/json", b'{"resourceLogs": CANARY}'),
    "OTLP of the wrong type": ("/v1/logs", "application/json", b'{"resourceLogs": "CANARY"}'),
    "OTLP that is no protobuf": ("/v1/logs", "application/x-protobuf", b"CANARY"),
    "OTLP of a type of nobody": ("/v1/logs", "text/CANARY", b"{}"),
    "a request for a certificate that is none": ("/v1/certificate", "application/pkcs10", b"CANARY"),
    "a key in the place of it": (
        "/v1/certificate",
        "application/pkcs10",
        b"-----BEGIN PRIVATE KEY-----\nCANARY==\n-----END PRIVATE KEY-----\n",
    ),
    "a batch id of 4,000 characters": ("/v1/entries", "application/x-ndjson", b"{}"),
    "a query that is none": ("/v1/entries?partial=CANARY", "application/x-ndjson", b"{}"),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_what_is_refused_is_not_quoted(tree: Deployment, me: Member, name: str) -> None:
    """Whatever a body, a query or a header holds: none of it comes back, or is logged."""
    path, kind, body = NONSENSE[name]
    headers = tree.bearer(me) | {"Content-Type": kind}
    if "batch" in name:
        headers["Sentinel-Batch-Id"] = MARK * 600
    with case("HTTP", f"not quoted: {name}", GATEWAY, 400) as tried:
        answer = me.client.ask("POST", path, body, headers)
        tried.refused(answer, f"POST {path.partition('?')[0]}")
        tried.holds(MARK.encode() not in answer.body, f"{answer.body!r}")


def test_half_of_a_request_is_none(tree: Deployment, me: Member) -> None:
    """A client that hangs up in the middle has stored nothing, and costs nobody anything."""
    auth = f"Authorization: {tree.bearer(me)['Authorization']}"
    halves = {
        "nothing at all": b"",
        "half a line": b"POST /v1/en",
        "half a head": request("POST", "/v1/entries", HOST, auth)[:-6],
        "half a body": request("POST", "/v1/entries", HOST, auth, "Content-Length: 999", body=ENTRY),
        "half a chunk": request(
            "POST", "/v1/entries", HOST, auth, "Transfer-Encoding: chunked", body=b"ff\r\n{"
        ),
        "no last chunk": request(
            "POST", "/v1/entries", HOST, auth, "Transfer-Encoding: chunked", body=CHUNKED[:-5]
        ),
    }
    entries = _entries(tree)
    for name, data in halves.items():
        with case("HTTP", f"half-closed behind {name}", GATEWAY, TLS, 400) as tried:
            for client in (me.client, tree.client(hooks=True)):
                tried.refused(client.one(data, half=True))
            tried.holds(_entries(tree) == entries, "something was stored")
            tried.holds(me.client.ask("GET", "/healthz").status == 200, "others are not served")
