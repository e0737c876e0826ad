"""Splunk's Event Collector of a running tree: what Docker's driver does, through lost replies and kill -9."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.trees import Tree, sentinel, until, up

EVENTS = "/services/collector/event/1.0"
BATCH = 20  # events of a request


def made(home: Path, *options: str) -> str:
    """Make a service and its webhook `docker`; return the token that is printed once."""
    if not options:
        assert sentinel("services", "add", "shop", "--tier", "high", home=home).returncode == 0
    name = "docker" if not options else "other"
    done = sentinel("hooks", "add", name, "--service", "shop", "--source", "splunk-hec", *options, home=home)
    assert done.returncode == 0, done.stderr.decode()
    assert b"the token of /services/collector" in done.stderr
    return done.stdout.decode().strip()


def ask(
    tree: Tree, method: str, path: str, body: bytes = b"", token: str = "", **headers: str
) -> tuple[int, dict[str, Any]]:
    """Send one request to the webhook API; return status and answer."""
    parts = urlsplit(tree.hooks)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=15)
    told = {"Authorization": f"Splunk {token}"} if token else {}
    try:
        connection.request(method, path, body, {**told, **headers})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tree, str]]:
    """A tree with a webhook that Docker's driver may send to, and its token."""
    home = tmp_path_factory.mktemp("collector") / "home"
    with up(home) as tree:
        yield tree, made(home)


@pytest.mark.nightly
@pytest.mark.slow
def test_what_dockers_driver_does(running: tuple[Tree, str]) -> None:
    """It asks OPTIONS without a token, then posts JSON without anything between, packed or not."""
    tree, token = running
    assert token.startswith("docker.")
    assert ask(tree, "OPTIONS", EVENTS)[0] == 200
    assert ask(tree, "GET", "/services/collector/health/1.0", token=token)[1]["code"] == 17
    body = b"".join(b'{"event":{"line":"%d","source":"stdout"},"time":"%d.5"}' % (n, n) for n in range(1_000))
    assert ask(tree, "POST", EVENTS, body, token) == (200, {"text": "Success", "code": 0})
    packed = {"Content-Encoding": "gzip"}
    assert ask(tree, "POST", EVENTS, gzip.compress(body), token, **packed)[0] == 200  # the same: stored once
    lines = [each["event"]["line"] for each in stored(tree.home) if "time" in each]
    assert lines == [str(number) for number in range(1_000)]
    assert ask(tree, "POST", EVENTS, body, token[:-1])[0] == 403
    assert ask(tree, "GET", EVENTS, token=token)[0] == 405


@pytest.mark.nightly
@pytest.mark.slow
def test_bodies_that_are_larger_than_a_webhooks(running: tuple[Tree, str]) -> None:
    """Up to 5,000,000 bytes, as forwarders send them; over it is 413; a webhook's own bound stays."""
    tree, token = running
    line = b'{"event":"%s"}' % (b"x" * 988)
    assert ask(tree, "POST", "/services/collector", b'{"event":"first"}', token)[0] == 200
    before = len(stored(tree.home))
    assert ask(tree, "POST", "/services/collector", line * 4_900, token)[0] == 200
    assert len(stored(tree.home)) == before + 4_900
    assert ask(tree, "POST", "/services/collector", line * 5_001, token)[0] == 413
    assert ask(tree, "POST", "/hooks/generic/x", line * 1_100)[0] == 413


@pytest.mark.nightly
@pytest.mark.slow
def test_a_guid_is_a_token_where_the_webhook_is_named_so(running: tuple[Tree, str]) -> None:
    """One that is made, one that forwarders have already, and a rotated one."""
    home = running[0].home

    def hooks(*words: str, stdin: bytes | None = None) -> str:
        done = sentinel("hooks", *words, home=home, stdin=stdin)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    about = ("--service", "shop", "--source", "splunk-hec")
    tokens = [hooks("add", "1a2b3c4d", *about), hooks("rotate", "1a2b3c4d")]
    taken = "b5a79aad-d822-46cc-80d1-819f80d7bfb0"
    hooks("add", "b5a79aad", *about, "--secret-stdin", stdin=taken.encode())
    assert all(len(token) == 36 and token.startswith("1a2b3c4d-") for token in tokens)
    for token in (*tokens, taken):
        assert ask(running[0], "POST", EVENTS, b'{"event":"a"}', token)[0] == 200
    wrong = sentinel("hooks", "add", "deadbeef", *about, "--option", "nope=1", home=home)
    assert wrong.returncode == 2


def stored(home: Path) -> list[dict[str, Any]]:
    """Return the service's entries in order, after verifying them."""
    done = sentinel("export", "--chain", "shop/0", home=home)
    assert done.returncode == 0, done.stderr.decode()
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [json.loads(entry) for line in lines for entry in line["entries"]]


class Forwarder:
    """Sends batches one after the other, each until it is answered with 200; every third reply is lost."""

    def __init__(self, number: int, token: str) -> None:
        self.number, self.token = number, token
        self.hooks = ""
        self.acknowledged: list[int] = []
        self.again = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        batch = 0
        while not self.ended.is_set():
            body = b"".join(
                json.dumps(
                    {"event": f"{self.number}-{batch}-{at}", "time": f"{1_700_000_000 + batch}.{at:06}"}
                ).encode()
                for at in range(BATCH)
            )
            tries = 0
            while not self._sent(body, lose=batch % 3 == 0 and tries == 0):
                tries += 1
                self.again += 1
                if self.ended.is_set():
                    return
                time.sleep(0.05)
            self.acknowledged.append(batch)
            batch += 1

    def _sent(self, body: bytes, lose: bool) -> bool:
        parts = urlsplit(self.hooks)
        head = f"POST {EVENTS} HTTP/1.1\r\nHost: x\r\nAuthorization: Splunk {self.token}\r\n"
        head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        address = (parts.hostname or "", parts.port or 0)
        with contextlib.suppress(OSError), socket.create_connection(address, timeout=10) as wire:
            wire.sendall(head.encode() + body)
            if lose:
                time.sleep(0.03)
                return False
            return wire.makefile("rb").read().startswith(b"HTTP/1.1 200 ")
        return False


@pytest.mark.nightly
@pytest.mark.slow
def test_killing_everything_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    """Lost replies, and kill -9 of all under load: every acknowledged event is there, and each only once."""
    home = tmp_path / "home"
    with up(home):
        token = made(home)
    senders = [Forwarder(number, token) for number in range(3)]

    def reach(more: int) -> None:
        wanted = sum(len(each.acknowledged) for each in senders) + more
        until(lambda: sum(len(each.acknowledged) for each in senders) >= wanted, "too slow", 60)

    found: Counter[str] = Counter()
    for run in range(3):
        with up(home) as tree:
            for each in senders:
                each.hooks = tree.hooks
                if run == 0:
                    each.thread.start()
            reach(30)
            if run < 2:
                tree.kill()
                continue
            for each in senders:
                each.ended.set()
                each.thread.join(timeout=30)
            found.update(each["event"] for each in stored(home))
    wanted = {
        f"{each.number}-{batch}-{at}"
        for each in senders
        for batch in each.acknowledged
        for at in range(BATCH)
    }
    assert wanted <= set(found)
    assert max(found.values()) == 1
    assert sum(each.again for each in senders) > 10
    assert sentinel("verify", home=home).returncode == 0
