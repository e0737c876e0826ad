"""`sentinel witness` as a process: its statuses over a socket, and kill -9 at the worst moment."""

from __future__ import annotations

import http.client
import ipaddress
import os
import random
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from sentinel.cli.main import run
from sentinel.core import notes, witnessing
from sentinel.core.notes import ED25519, Key
from tests import pki
from tests.sampling import thorough
from tests.witnesses import Running, Signer, Tree, cosigned_by_hand, running

TREE = Tree()
FORK = Tree(history="other")
DEPLOYMENT = Key("log.example", ED25519, TREE.signer.public_key()).vkey


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run a witness of one deployment."""
    with running(tmp_path_factory.mktemp("witness") / "home", DEPLOYMENT) as found:
        yield found


def _ask(
    port: int, body: bytes, path: str = "/add-checkpoint", method: str = "POST"
) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body if method == "POST" else None)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read()
    finally:
        connection.close()


def test_the_specifications_statuses(one: Running) -> None:
    """400, 403, 404, 409 with the size in its own type, 422 and 200, over one connection that is kept."""
    tree = Tree("log.example/statuses/0")
    key = Key.read(one.vkey)
    connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=20)
    plain = "text/plain; charset=utf-8"
    kept = None
    for body, status, kind, told in [
        (b"old 0\n\nno note", 400, plain, None),
        (tree.body(5, 5).replace(b"old 5", b"old 6"), 400, plain, None),
        (Tree("elsewhere.example/a/0").body(0, 5), 404, plain, None),
        (Tree(tree.origin, signer=Signer(2)).body(0, 5), 403, plain, None),
        (tree.body(3, 5), 409, witnessing.SIZE_TYPE, b"0\n"),
        (tree.body(0, 5), 200, plain, None),
        (tree.body(0, 5), 409, witnessing.SIZE_TYPE, b"5\n"),
        (Tree(tree.origin, "other").body(5, 5), 409, witnessing.SIZE_TYPE, b"5\n"),
        (Tree(tree.origin, "other").body(5, 9), 422, plain, None),
        (tree.body(5, 9), 200, plain, None),
    ]:
        connection.request("POST", "/add-checkpoint", body)
        answer = connection.getresponse()
        said = answer.read()
        assert (answer.status, answer.headers["Content-Type"]) == (status, kind)
        assert told is None or said == told
        kept = kept or connection.sock
        assert connection.sock is kept, "the connection was not kept"
        if status == 200:
            size = int(notes.read(body.partition(b"\n\n")[2]).text.split("\n")[1])
            assert abs(cosigned_by_hand(said.decode(), key, tree.note(size).text) - time.time()) < 600
    connection.close()


def test_what_can_be_looked_at(one: Running) -> None:
    """The key, and the newest checkpoint of a log with its cosignature; nothing of others."""
    tree = Tree("log.example/a%2Fb/0")  # in a path it is encoded once more
    assert _ask(one.port, b"", "/", "GET") == (200, "text/plain; charset=utf-8", one.vkey.encode() + b"\n")
    assert _ask(one.port, tree.body(0, 5))[0] == 404, "it is not the one form of an origin"
    tree = Tree("log.example/a%2Bb/0")
    _, _, line = _ask(one.port, tree.body(0, 5))
    status, _, note = _ask(one.port, b"", "/checkpoint/log.example/a%252Bb/0", "GET")
    assert (status, note) == (200, tree.note(5).bytes + line)
    for path, method, expected in [
        ("/checkpoint/log.example/nothing/0", "GET", 404),
        ("/checkpoint/%ff%00", "GET", 404),
        ("/other", "GET", 404),
        ("/", "POST", 405),
        ("/add-checkpoint", "GET", 405),
    ]:
        assert _ask(one.port, b"", path, method)[0] == expected


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (
            b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n" + bytes(200_000),
            b"413",
        ),
        (b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x00\xff", b"400"),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", b"400"),
    ],
)
def test_hostile_requests(one: Running, raw: bytes, status: bytes) -> None:
    """What is no request, or too large, is refused, and the witness goes on."""
    with socket.create_connection(("127.0.0.1", one.port), 20) as peer:
        try:
            peer.sendall(raw)
        except ConnectionError:
            pass  # it has heard enough
        else:
            peer.settimeout(20)
            assert peer.recv(1_000).split(b" ")[1] == status
    assert _ask(one.port, b"", "/", "GET")[0] == 200


def test_slow_callers_keep_nobody_waiting(one: Running) -> None:
    """Hundreds of connections that say half a body each do not keep a log from its cosignature."""
    tree = Tree("log.example/slow/0")
    head = b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nold"
    peers = []
    try:
        for _ in range(300):
            peer = socket.create_connection(("127.0.0.1", one.port), 20)
            peers.append(peer)
            peer.sendall(head)
        assert _ask(one.port, tree.body(0, 5))[0] == 200
    finally:
        for peer in peers:
            peer.close()


def test_many_at_once(one: Running) -> None:
    """Of many that submit from the same size at once one is cosigned; the others are told its size."""
    tree = Tree("log.example/race/0")
    found: list[tuple[int, bytes, int]] = []

    def ask(size: int) -> None:
        status, _, body = _ask(one.port, tree.body(0, size))
        found.append((status, body, size))

    threads = [threading.Thread(target=ask, args=(size,)) for size in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = [size for status, _, size in found if status == 200]
    assert len(won) == 1
    assert {body for status, body, _ in found if status == 409} == {f"{won[0]}\n".encode()}


def test_over_tls(tmp_path: Path) -> None:
    """With a certificate it speaks TLS alone: a log that trusts it is answered, plain HTTP is not."""
    key, now = pki.p256(), int(time.time())
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    name, public = pki.name("witness"), key.public_key()
    made = pki.build(name, name, public, key, [(address, False)], since=now - 600, until=now + pki.DAY)
    certificate, secret = tmp_path / "tls.pem", tmp_path / "tls.key"
    certificate.write_text(pki.pem(made))
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain))
    more = ("--tls-cert", str(certificate), "--tls-key", str(secret))
    with running(tmp_path / "home", DEPLOYMENT, more=more) as found:
        assert found.url == f"https://127.0.0.1:{found.port}"
        context = ssl.create_default_context(cafile=str(certificate))
        connection = http.client.HTTPSConnection("127.0.0.1", found.port, context=context, timeout=20)
        connection.request("POST", "/add-checkpoint", TREE.body(0, 5))
        line = connection.getresponse().read().decode()
        cosigned_by_hand(line, Key.read(found.vkey), TREE.note(5).text)
        connection.close()
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            _ask(found.port, TREE.body(5, 5))


_KILLED = """
import os, signal, sys
from sentinel.adapters import sqlite_witness
kept = sqlite_witness.SqliteWitnessed.advance
def advance(self, origin, decide):
    kept(self, origin, decide)
    if os.path.exists(sys.argv[0] + ".kill"):
        os.kill(os.getpid(), signal.SIGKILL)
sqlite_witness.SqliteWitnessed.advance = advance
from sentinel.cli.main import run
raise SystemExit(run(sys.argv[1:]))
"""


def test_killed_between_storing_and_answering(tmp_path: Path) -> None:
    """What was stored when the process was killed is what the next one knows; the key stays, and private."""
    home, program = tmp_path / "home", tmp_path / "witness.py"
    program.write_text(_KILLED)
    (tmp_path / "witness.py.kill").touch()
    command = [sys.executable, str(program), "witness", "--name", "witness.example/w1", "--home", str(home)]
    process = subprocess.Popen(
        [*command, "--port", "0", "--log", DEPLOYMENT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    vkey = process.stdout.readline().decode().strip()
    port = int(process.stdout.readline().split(b":")[2].split(b",")[0])
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        _ask(port, TREE.body(0, 8))
    assert process.wait(60) == -signal.SIGKILL
    process.stdout.close()
    assert stat.S_IMODE((home / "witness.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    with running(home, DEPLOYMENT) as again:
        assert again.vkey == vkey
        assert _ask(again.port, FORK.body(0, 9))[:1] == (409,)
        assert _ask(again.port, TREE.body(0, 8))[2] == b"8\n"
        assert _ask(again.port, TREE.body(8, 8))[0] == 200
    log = tmp_path / "home.log"
    assert b"Traceback" not in log.read_bytes()


def test_killed_under_load(tmp_path: Path) -> None:
    """However often it is killed, no size that was cosigned is ever forgotten, and none is made up."""
    rng, given, asked = random.Random(7), 0, 0
    for _ in range(30 if thorough() else 3):
        with running(tmp_path / "home", DEPLOYMENT) as found:
            status, _, told = _ask(found.port, TREE.body(asked + 1, asked + 1))
            assert (status, given <= int(told) <= asked) == (409, True), told
            given = int(told)
            killer = threading.Timer(rng.uniform(0.01, 0.2), found.process.kill)
            killer.start()
            try:
                while given < 4_000:
                    asked = given + 1
                    assert _ask(found.port, TREE.body(given, asked))[0] == 200
                    given = asked
            except (http.client.HTTPException, ConnectionError):
                pass
            killer.join()
            assert found.process.wait(60) == -signal.SIGKILL
    assert given > 0


def test_what_it_is_told_wrongly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Keys and names that are none, half of TLS and a key file that others can read end it with a reason."""
    base = ["witness", "--port", "0", "--home", str(tmp_path / "h")]
    mask = os.umask(0o077)
    try:
        for more, code, told in [
            (["--name", "w"], 2, "--log"),
            (["--name", "w", "--log", "x"], 1, "verifier key"),
            (["--name", "a+b", "--log", DEPLOYMENT], 1, "verifier key"),
            (["--name", "w", "--log", DEPLOYMENT, "--tls-cert", __file__], 2, "--tls-key"),
            (
                ["--name", "w", "--log", DEPLOYMENT, "--tls-cert", __file__, "--tls-key", __file__],
                3,
                "files of TLS",
            ),
            (["--name", "w", "--log", DEPLOYMENT, "--host", "192.0.2.1"], 3, "192.0.2.1"),
            (["--name", "w", "--log", DEPLOYMENT], 1, "chmod 600"),
            (["--name", "w", "--log", DEPLOYMENT], 1, "has forgotten"),
        ]:
            if told == "has forgotten":
                (tmp_path / "h" / "witness.db").unlink()
            if told == "chmod 600":
                (tmp_path / "h" / "witness.key").chmod(0o644)
            assert run([*base, *more]) == code
            assert told in capsys.readouterr().err
    finally:
        os.umask(mask)
