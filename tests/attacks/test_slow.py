"""Connections that never get on: the honest are served within a bound, however many of these there are."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
import uuid
from collections.abc import Callable, Iterator

import pytest

from tests.attacks.deployment import SOURCE, Deployment, Member
from tests.attacks.record import case
from tests.attacks.wire import Client, request
from tests.webhooks.test_standard import sign

GATEWAY = "gateway"
BOUND = 3.0  # seconds for one honest request, with its own handshake, and ten times what it takes in peace
HOST = "Host: localhost"
LARGE = b'{"text":"%s"}' % (b"x" * 100_000)

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("attacks")]
Open = Callable[[int], socket.socket]


@pytest.fixture(autouse=True)
def _many_files() -> Iterator[None]:
    """Let this process have as many connections open as an attacker would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def stalled(port: int, data: bytes) -> Open:
    """Begin a handshake, or nothing at all, and stop."""

    def begin(_: int) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", port), timeout=60)
        connection.sendall(data)
        return connection

    return begin


def trickling(client: Client, data: Callable[[int], bytes]) -> Open:
    """Send a part of a request and stop."""

    def begin(number: int) -> socket.socket:
        connection = client.connect()
        connection.sendall(data(number))
        return connection

    return begin


def webhook(number: int, size: int, sent: int) -> bytes:
    """Return the begin of a webhook's message, each of another webhook that is not there."""
    path = f"/hooks/{SOURCE}/nobodys-{number}"
    return request("POST", path, HOST, f"Content-Length: {size}", body=b"x" * sent)


@contextlib.contextmanager
def held(count: int, begin: Open) -> Iterator[None]:
    """Hold so many connections open."""
    with contextlib.ExitStack() as stack:
        for number in range(count):
            stack.callback(begin(number).close)
        yield


def honest(tree: Deployment, victim: Member) -> dict[str, float]:
    """Return how long honest requests take, each on a new connection; all have to be served."""
    took = {}
    for name, body in (("entries", b'{"a":1}'), ("webhook", b"{}"), ("large webhook", LARGE)):
        began = time.monotonic()
        if name == "entries":
            client = tree.client(victim.held)
            answer = client.ask("POST", "/v1/entries", body, tree.bearer(victim))
        else:
            client = tree.client(hooks=True)
            headers = sign(body, tree.hook_secret, uuid.uuid4().hex, int(time.time()))
            answer = client.ask("POST", f"/hooks/{SOURCE}/bills", body, headers)
        client.close()
        took[name] = time.monotonic() - began
        assert answer.status == 200, f"{name}: {answer}"
    return took


def test_the_slow_keep_nobody_waiting(tree: Deployment, me: Member, victim: Member) -> None:
    """Handshakes, heads, bodies, large bodies: many of each, without a certificate or with one."""
    auth = f"Authorization: {tree.bearer(me)['Authorization']}"
    head = request("POST", "/v1/entries", HOST, auth)[:-2]
    body = request("POST", "/v1/entries", HOST, auth, "Content-Length: 99999", body=b"{")
    anybody = tree.client(hooks=True)
    attacks: dict[str, tuple[int, Open]] = {
        "400 handshakes that never begin": (400, stalled(tree.port, b"")),
        "400 handshakes that stop": (400, stalled(tree.hooks_port, b"\x16\x03\x01\x02\x00\x01\x00")),
        "200 heads that never end": (200, trickling(me.client, lambda _: head + b"X-")),
        "300 heads that never end, webhooks": (300, trickling(anybody, lambda _: b"POST /hooks/")),
        "100 bodies that never end": (100, trickling(me.client, lambda _: body)),
        "600 bodies that never end, webhooks": (600, trickling(anybody, lambda n: webhook(n, 999, 1))),
        "200 large bodies that never end, webhooks": (
            200,
            trickling(anybody, lambda n: webhook(n, 900_000, 70_000)),
        ),
    }
    for name, (count, begin) in attacks.items():
        peace = honest(tree, victim)  # a busy machine is slow by itself
        with case("slow", name, GATEWAY) as tried, held(count, begin):
            for _ in range(3):
                for what, seconds in honest(tree, victim).items():
                    tried.holds(seconds < BOUND + 10 * peace[what], f"{what} took {seconds:.1f} s")
