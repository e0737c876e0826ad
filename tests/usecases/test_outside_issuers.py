"""Outside issuers: discovery from a real HTTPS server on loopback, and what a bad one can do."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest

from sentinel.adapters.hosts import Hosts
from sentinel.adapters.http import HttpClient
from sentinel.core import tokens
from sentinel.core.access import Alias, Service
from sentinel.core.certificates import thumbprint
from sentinel.core.issuers import Issuers, parse_issuers
from sentinel.core.ring import Key, Ring
from sentinel.errors import Malformed, Unauthenticated, Unavailable
from sentinel.ports import HttpRequest, HttpResponse
from sentinel.usecases.outside_issuers import OutsideIssuers
from tests.doors import NOW, Clock, World, private_key
from tests.throwaway import make

Answer = tuple[int, dict[str, str], bytes]
DISCOVERY = "/realm/.well-known/openid-configuration"


class Issuer:
    """An issuer's server: what it answers by path, and what it was asked."""

    def __init__(self, folder: Path) -> None:
        ca = make(folder, "ca")
        server = make(folder, "server", ca, server=True)
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                status, headers, body = issuer.answers.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_about: object) -> None:
                """Keep quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server.pem, server.secret)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.asked: list[str] = []
        self.answers: dict[str, Answer] = {}
        self.base = f"https://localhost:{self.server.server_port}"
        self.name = f"{self.base}/realm"
        self.trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.trust.load_verify_locations(ca.pem)
        self.ring = Ring((Key("o1", private_key()),))
        self.publish()

    def publish(self, age: str = "max-age=300", **changes: Any) -> None:
        """Publish the discovery document, with changes, and the keys."""
        told = {"issuer": self.name, "jwks_uri": f"{self.base}/keys", **changes}
        self.answers[DISCOVERY] = (200, {}, orjson.dumps(told))
        self.answers["/keys"] = (200, {"Cache-Control": age}, orjson.dumps(tokens.jwks(self.ring, NOW)))

    def token(self, **changes: Any) -> str:
        """Return a token of this issuer; None takes a claim away."""
        told = {"iss": self.name, "aud": "api", "sub": "build", "iat": NOW, "exp": NOW + 600, **changes}
        claims = {name: value for name, value in told.items() if value is not None}
        return tokens.sign(claims, tokens.signing_key(self.ring.keys[-1]))


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[Issuer]:
    """Serve an issuer on loopback."""
    made = Issuer(tmp_path)
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.fixture
def client(issuer: Issuer) -> Iterator[HttpClient]:
    """Make the real client that the deployment uses."""
    made = HttpClient(Hosts(["localhost"], private=True), context=issuer.trust)
    yield made
    made.close()


@pytest.fixture
def world(issuer: Issuer, client: HttpClient) -> World:
    """A deployment that takes this issuer's tokens of the subject `build` for checkout."""
    made = World(issuers=f"{issuer.name}=api", http=client)
    made.put(Alias(f"oidc:{issuer.name}#build", "checkout"))
    return made


def test_an_outside_token_comes_in_with_the_certificate_of_its_service(world: World, issuer: Issuer) -> None:
    """Its subject stands for a service by an alias, whose own certificate has to come with it."""
    grant = world.admit(issuer.token())
    assert (grant.service.id, grant.subject) == ("checkout", f"oidc:{issuer.name}#build")
    assert grant.scopes == {"ingest", "tasks:read"}  # it names none: what the registry has
    assert world.admit(issuer.token(scope="openid ingest")).scopes == {"ingest"}
    assert world.admit(issuer.token(scope="openid")).scopes == frozenset()
    assert issuer.asked == [DISCOVERY, "/keys"]
    world.put(Service("billing"))
    with pytest.raises(Unauthenticated, match="same service"):
        world.admit(issuer.token(), world.leaf("/service/billing"))


def test_an_outside_binding_has_to_match(world: World, issuer: Issuer) -> None:
    """Where the token has a cnf, it counts; where it has one of another kind, it is refused."""
    assert world.admit(issuer.token(cnf={"x5t#S256": world.thumbprint}))
    other = thumbprint(world.leaf())
    for cnf in ({"x5t#S256": other}, {"jkt": "x" * 43}, {}):
        with pytest.raises(Unauthenticated):
            world.admit(issuer.token(cnf=cnf))


def test_only_listed_issuers_audiences_and_subjects(world: World, issuer: Issuer) -> None:
    """Another issuer is refused before anybody is asked; so is a subject that stands for nobody."""
    changes: list[dict[str, Any]] = [
        {"iss": f"{issuer.name}/"},
        {"iss": issuer.base},
        {"iss": "https://evil.example"},
    ]
    for change in changes:
        with pytest.raises(Unauthenticated, match="not taken here"):
            world.admit(issuer.token(**change))
    assert issuer.asked == []
    more: list[dict[str, Any]] = [{"aud": "sentinel"}, {"aud": None}, {"sub": "other"}, {"exp": NOW - 31}]
    for change in more:
        with pytest.raises(Unauthenticated):
            world.admit(issuer.token(**change))


def test_an_outside_issuer_cannot_speak_for_us(world: World, issuer: Issuer) -> None:
    """Its key signs nothing of ours, even under the id of our own key; nor ours anything of its."""
    issuer.ring = Ring((Key("k1", private_key()),))
    issuer.publish()
    signing = tokens.signing_key(issuer.ring.keys[0])
    with pytest.raises(Unauthenticated, match="does not verify"):
        world.admit(tokens.sign(world.claims(), signing))
    with pytest.raises(Unauthenticated, match="does not verify"):
        world.admit(world.token(iss=issuer.name, aud="api", sub="build"))


def test_keys_are_kept_as_their_headers_allow(world: World, issuer: Issuer) -> None:
    """For max-age, but a minute at least and a day at most; then they are fetched again."""
    for age, kept in (("max-age=300", 300), ("max-age=1", 60), ("no-store", 60), ("max-age=9999999", 86_400)):
        issuer.publish(age)
        issuer.asked.clear()
        world.outside._known[issuer.name].until = 0.0
        world.outside._known[issuer.name].tried = float("-inf")
        key = world.outside.key(issuer.name, "o1")
        assert key is not None
        world.monotonic.now += kept - 1
        world.outside.key(issuer.name, "o1")
        assert issuer.asked == [DISCOVERY, "/keys"]
        world.monotonic.now += 1
        world.outside.key(issuer.name, "o1")
        assert len(issuer.asked) == 4


def test_an_unknown_kid_is_looked_up_once_in_a_while(world: World, issuer: Issuer) -> None:
    """A new key is found at once the first time; a flood of invented ones asks once in 30 seconds."""
    world.admit(issuer.token())
    world.later(30)
    issuer.ring = issuer.ring.rotated(Key("o2", private_key()), NOW, lead=0, overlap=600)
    issuer.publish()
    assert world.admit(issuer.token(exp=NOW + 900))
    asked = len(issuer.asked)
    issuer.ring = Ring((Key("invented", private_key()),))
    for _ in range(20):
        with pytest.raises(Unauthenticated, match="not known"):
            world.admit(issuer.token())
    assert len(issuer.asked) == asked
    world.later(30)
    with pytest.raises(Unauthenticated):
        world.admit(issuer.token())
    assert len(issuer.asked) == asked + 2


def test_kept_keys_outlive_an_issuer_that_is_away_for_an_hour(world: World, issuer: Issuer) -> None:
    """After that nobody comes in by it, and it is asked again once in a while."""
    world.admit(issuer.token())
    issuer.answers.clear()
    world.monotonic.now += 300 + 3_599
    assert world.admit(issuer.token())
    world.monotonic.now += 1
    with pytest.raises(Unavailable):
        world.admit(issuer.token())
    asked = len(issuer.asked)
    with pytest.raises(Unavailable):
        world.admit(issuer.token())
    assert len(issuer.asked) == asked  # not at every call
    issuer.publish()
    world.monotonic.now += 30
    assert world.admit(issuer.token())


BAD: dict[str, Callable[[Issuer], dict[str, Answer]]] = {
    "another issuer in its document": lambda it: {DISCOVERY: document(it, issuer=it.base)},
    "no issuer in its document": lambda it: {DISCOVERY: document(it, issuer=None)},
    "keys elsewhere": lambda it: {DISCOVERY: document(it, jwks_uri="https://evil.example/keys")},
    "keys at the metadata address": lambda it: {
        DISCOVERY: document(it, jwks_uri="https://169.254.169.254/x")
    },
    "keys in plain HTTP": lambda it: {DISCOVERY: document(it, jwks_uri=it.base.replace("https", "http"))},
    "keys in a file": lambda it: {DISCOVERY: document(it, jwks_uri="file:///etc/passwd")},
    "keys with a user": lambda it: {DISCOVERY: document(it, jwks_uri="https://localhost@evil.example/")},
    "no address of keys": lambda it: {DISCOVERY: document(it, jwks_uri=None)},
    "a redirect": lambda it: {DISCOVERY: (302, {"Location": f"{it.base}/elsewhere"}, b"")},
    "a redirect of the keys": lambda it: {"/keys": (307, {"Location": f"{it.base}/elsewhere"}, b"")},
    "no JSON": lambda _: {DISCOVERY: (200, {}, b"<html>")},
    "an array": lambda _: {"/keys": (200, {}, b"[]")},
    "no key set": lambda _: {"/keys": (200, {}, b'{"keys": {}}')},
    "too many keys": lambda _: {"/keys": (200, {}, orjson.dumps({"keys": [{}] * 101}))},
    "too much": lambda _: {"/keys": (200, {}, b'{"keys": []' + b" " * 300_000 + b"}")},
    "an error": lambda _: {"/keys": (500, {}, b"")},
    "too busy": lambda _: {DISCOVERY: (429, {}, b"")},
}


def document(of: Issuer, **changes: Any) -> Answer:
    """Return a discovery document with changes."""
    return 200, {}, orjson.dumps({"issuer": of.name, "jwks_uri": f"{of.base}/keys", **changes})


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_bad_issuer_lets_nobody_in(
    world: World, issuer: Issuer, bad: Callable[[Issuer], dict[str, Answer]]
) -> None:
    """Whatever it answers, nobody comes in by it, nothing else is asked, and our own tokens go on."""
    issuer.answers |= bad(issuer)
    with pytest.raises(Unavailable):
        world.admit(issuer.token())
    assert set(issuer.asked) <= {DISCOVERY, "/keys"}
    assert world.admit(world.token())


def test_an_issuer_without_a_certificate_that_counts_lets_nobody_in(issuer: Issuer) -> None:
    """TLS is verified: a server of an unknown CA is not believed."""
    stranger = HttpClient(Hosts(["localhost"], private=True))
    world = World(issuers=f"{issuer.name}=api", http=stranger)
    with pytest.raises(Unavailable, match="certificate does not verify"):
        world.admit(issuer.token())
    assert issuer.asked == []


def test_weak_and_foreign_keys_of_an_issuer_are_left_out(world: World, issuer: Issuer) -> None:
    """A set with HMAC keys, keys for encryption and private members in it: the good key counts, alone."""
    [good] = tokens.jwks(issuer.ring, NOW)["keys"]
    keys = [
        {"kty": "oct", "kid": "o1", "k": "AAAA"},
        {**good, "kid": "o2", "use": "enc"},
        {**good, "d": "AAAA"},
    ]
    issuer.answers["/keys"] = (200, {}, orjson.dumps({"keys": keys}))
    assert world.admit(issuer.token())
    assert world.outside.key(issuer.name, "o2") is None


class Slow:
    """Answers for an issuer, after everybody has come."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = threading.Event()
        self.keys = orjson.dumps(tokens.jwks(Ring((Key("o1", private_key()),)), NOW))

    def send(self, request: HttpRequest) -> HttpResponse:
        """Answer once the gate is open."""
        self.asked.append(request.url)
        assert self.gate.wait(60)
        told = orjson.dumps({"issuer": "https://id.example", "jwks_uri": "https://id.example/keys"})
        return HttpResponse(200, {}, self.keys if request.url.endswith("/keys") else told)


def test_many_at_once_ask_once() -> None:
    """Threads that need the keys at the same moment wait for one of them to fetch."""
    slow = Slow()
    outside = OutsideIssuers(Issuers({"https://id.example": "api"}), slow, Clock(0.0))
    found: list[object] = []
    threads = [
        threading.Thread(target=lambda: found.append(outside.key("https://id.example", "o1")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    slow.gate.set()
    for thread in threads:
        thread.join()
    assert len(slow.asked) == 2
    assert len(found) == 8
    assert None not in found


@pytest.mark.parametrize(
    "text",
    [
        "https://id.example",
        "https://id.example=",
        "http://id.example=api",
        "id.example=api",
        "https://id.example?x=api",
        "https://id.example#x=api",
        "https://a:b@id.example=api",
        "https://id.example=api,https://id.example=other",
        "=api",
    ],
)
def test_what_is_no_list_of_issuers_is_malformed(text: str) -> None:
    """The setting names https issuers, each with one audience, each once."""
    with pytest.raises(Malformed):
        parse_issuers(text)


def test_the_list_of_issuers() -> None:
    """Several, with blanks between them; none."""
    found = parse_issuers("https://id.example/a=api, https://id.example/b=x=y ,https://other.example=api,")
    assert found.audiences["https://id.example/b"] == "x=y"
    assert found.hosts == ["id.example", "other.example"]
    assert parse_issuers("").audiences == {}
