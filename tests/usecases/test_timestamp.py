"""Timestamps: an authority of OpenSSL's answers over a socket; `openssl ts -verify` takes what is kept."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import pytest

from sentinel.adapters.hosts import Hosts
from sentinel.adapters.http import HttpClient
from sentinel.adapters.log_folder import FolderNotes, FolderTiles
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.core import der, timestamps
from sentinel.errors import Malformed, Unavailable
from sentinel.usecases.cosign import Cosigner
from sentinel.usecases.seal import SECOND, Sealed, Sealer
from sentinel.usecases.timestamp import Stamper
from tests.chains import grow
from tests.loopback import Asked, Loopback, Told
from tests.witnesses import Signer

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not on this machine")

CHAIN = "checkout/0"
SEGMENTS = grow(CHAIN, [[b"{}"] * 10] * 4)
NOW = 1_790_000_000  # whatever it is: the clocks here are in the hand of the tests
CONFIG = """
oid_section = oids
[oids]
policy = 1.2.3.4.1
[req]
distinguished_name = name
prompt = no
[name]
CN = a test authority
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[stamping]
extendedKeyUsage = critical, timeStamping
[server]
extendedKeyUsage = serverAuth
[tsa]
default_tsa = authority
[authority]
serial = serial
signer_cert = {name}.pem
signer_key = {name}.key
signer_digest = {digest}
default_policy = policy
digests = sha256
accuracy = secs:1
ordering = yes
tsa_name = yes
ess_cert_id_alg = {ess}
"""
KINDS = {
    "rsa": ("rsa:2048", "sha256", "sha256"),
    "ec": ("ec", "sha384", "sha1"),
}


@dataclass
class Authority:
    """A timestamp authority in a folder: `ca.pem` is its root, `kind` names its key."""

    home: Path
    kind: str

    def run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = ["openssl", *arguments]
        return subprocess.run(command, cwd=self.home, capture_output=True, timeout=60, check=False)

    def made(self, section: str = "stamping") -> Authority:
        key, digest, ess = KINDS[self.kind]
        (self.home / "tsa.cnf").write_text(CONFIG.format(name="tsa", digest=digest, ess=ess))
        (self.home / "serial").write_text("01\n")
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        new = curve if key == "ec" else ["-newkey", key]
        request, authority = ("req", "-config", "tsa.cnf", "-nodes"), ("-x509", "-extensions", "ca")
        for command in (
            (*request, *curve, *authority, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2"),
            (*request, *new, "-subj", "/CN=tsa", "-keyout", "tsa.key", "-out", "tsa.csr"),
            ("x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
             "-out", "tsa.pem", "-days", "2", "-extfile", "tsa.cnf", "-extensions", section),
        ):  # fmt: skip
            done = self.run(*command)
            assert done.returncode == 0, done.stderr
        return self

    def reply(self, query: bytes) -> bytes:
        (self.home / "query").write_bytes(query)
        done = self.run("ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", "reply")
        assert done.returncode == 0, done.stderr
        return (self.home / "reply").read_bytes()

    def answer(self, asked: Asked) -> Told:
        assert (asked.method, asked.headers["Content-Type"]) == ("POST", "application/timestamp-query")
        return Told(200, self.reply(asked.body), {"Content-Type": "application/timestamp-reply"})

    def verifies(self, data: bytes, reply: bytes) -> bool:
        (self.home / "data").write_bytes(data)
        (self.home / "kept").write_bytes(reply)
        done = self.run("ts", "-verify", "-data", "data", "-in", "kept", "-CAfile", "ca.pem")
        return done.returncode == 0 and b"Verification: OK" in done.stdout


@pytest.fixture(scope="module", params=KINDS)
def authority(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority with keys of one kind."""
    return Authority(tmp_path_factory.mktemp(request.param), request.param).made()


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return one authority."""
    return Authority(tmp_path_factory.mktemp("one"), "ec").made()


Start = Callable[[Callable[[Asked], Told]], tuple[Loopback, Stamper]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return what starts a server, and gives what asks it."""
    servers: list[Loopback] = []
    http = HttpClient(Hosts(["127.0.0.1"], private=True), max_answer=timestamps.MOST + 1)

    def serve(answer: Callable[[Asked], Told]) -> tuple[Loopback, Stamper]:
        server = Loopback(answer)
        servers.append(server)
        url = f"http://127.0.0.1:{server.port}/tsa"
        return server, Stamper(url, FolderNotes(tmp_path), http, lambda size: b"\x80" + bytes(size - 1))

    yield serve
    http.close()
    for server in servers:
        server.stop()


def _sealer(home: Path) -> Sealer:
    clock = lambda: NOW * SECOND  # noqa: E731 - short
    return Sealer(
        SqliteLedger(":memory:"), FolderNotes(home), FolderTiles(home), Signer(1), "log.example", clock
    )


def _grown(sealer: Sealer, *segments: int) -> Sealed:
    for each in segments:
        sealer.ledger.append(SEGMENTS[each])
    return sealer.seal(CHAIN)


def _cosigner(stamper: Stamper, clock: list[int] | None = None) -> Cosigner:
    times = clock or [NOW * SECOND]
    return Cosigner((), stamper.notes, lambda: times[0], 0, stamper)


def test_openssl_takes_what_is_kept(authority: Authority, start: Start, tmp_path: Path) -> None:
    """`openssl ts -verify` takes what is attached, with the stored checkpoint and with nothing else."""
    server, stamper = start(authority.answer)
    sealer = _sealer(tmp_path)
    sealed = _grown(sealer, 0)
    assert _cosigner(stamper).offer(sealed).stamped
    kept, stored = sealer.notes.attached(CHAIN, 0)["timestamp"], sealer.notes.get(CHAIN, 0)
    assert stored is not None
    assert authority.verifies(stored, kept)
    assert not authority.verifies(stored[:-1], kept)
    done = authority.run("ts", "-query", "-in", "query", "-text")
    assert b"Certificate required: yes" in done.stdout
    nonce = int.from_bytes(b"\x80" + bytes(15), "big")
    found = timestamps.check(kept, sha256(stored).digest(), nonce)
    assert abs(found.seconds - time.time()) < 600
    assert len(server.asked) == 1


def test_only_grown_trees_are_stamped(one: Authority, start: Start, tmp_path: Path) -> None:
    """A resting tree is not stamped again, nor by a new process; one that was missed is, at the next seal."""
    server, stamper = start(one.answer)
    sealer = _sealer(tmp_path)
    clock = [NOW * SECOND]
    cosigner = _cosigner(stamper, clock)
    told = [cosigner.offer(_grown(sealer, *each)).stamped for each in ((0,), (), (1,))]
    server.answer = lambda _: Told(500)
    told.append(cosigner.offer(_grown(sealer, 2)).stamped)
    server.answer = one.answer
    clock[0] += SECOND
    told.append(cosigner.offer(_grown(sealer)).stamped)
    fresh = Stamper(stamper.url, stamper.notes, stamper.http, stamper.nonce)
    told += [_cosigner(fresh).offer(_grown(sealer, *each)).stamped for each in ((), (3,))]
    assert told == [True, False, True, False, True, False, True]
    assert len(server.asked) == 5


def _asked(one: Authority) -> tuple[bytes, bytes, int]:
    digest, nonce = sha256(b"data").digest(), 2**127 + 1
    return one.reply(timestamps.query(digest, nonce)), digest, nonce


def test_answers_to_other_questions(one: Authority, tmp_path: Path) -> None:
    """Another imprint, another nonce, none at all, no certificate, a refusal: all are refused by name."""
    answer, digest, nonce = _asked(one)
    timestamps.check(answer, digest, nonce)
    for other in ((sha256(b"x").digest(), nonce), (digest, nonce + 1), (digest, -nonce)):
        with pytest.raises(Malformed):
            timestamps.check(answer, *other)
    bare = der.write(der.SEQUENCE, der.integer(1), timestamps._imprint(digest))
    with pytest.raises(Malformed, match="certificate"):
        timestamps.check(one.reply(bare), digest, nonce)
    signed = der.write(der.SEQUENCE, der.integer(1), timestamps._imprint(digest), der.write(1, b"\xff"))
    with pytest.raises(Malformed, match="nonce"):
        timestamps.check(one.reply(signed), digest, nonce)
    enveloped = answer.replace(der.oid("1.2.840.113549.1.7.2"), der.oid("1.2.840.113549.1.7.4"), 1)
    with pytest.raises(Malformed, match="no signed data"):
        timestamps.check(enveloped, digest, nonce)
    with pytest.raises(Malformed, match="status is 2"):
        timestamps.check(one.reply(b"noise"), digest, nonce)


def test_a_changed_answer_says_the_same_or_nothing(authority: Authority) -> None:
    """Whatever byte of an answer is changed or cut, it is refused by name, or says what it said."""
    answer, digest, nonce = _asked(authority)
    good = timestamps.check(answer, digest, nonce)
    kept = 0  # of CMS: two versions, the list of hashes, and a digest's parameters are covered by nothing
    for at in range(0, len(answer), 2):
        for changed in (answer[:at] + bytes([answer[at] ^ 0x11]) + answer[at + 1 :], answer[:at]):
            try:
                assert timestamps.check(changed, digest, nonce) == good
                kept += 1
            except Malformed:
                pass
    assert kept < 20


@pytest.mark.parametrize(
    ("section", "options", "told"),
    [
        ("stamping", (), ""),
        ("server", (), "not one for timestamps alone"),
        ("ca", (), "certificate is not one that can be read"),
        ("stamping", ("-nocerts",), "one signer and its certificate"),
        ("stamping", ("-econtent_type", "1.2.840.113549.1.7.1"), "no timestamp"),
        ("stamping", ("-econtent_type", "1.2.840.113549.1.9.16.1.2"), "another type of content"),
        ("stamping", ("-signer", "ca.pem", "-inkey", "ca.key"), "one signer"),
        ("stamping", ("-md", "sha1"), "none of SHA-256"),
        ("stamping", ("-keyid",), ""),
        ("bare", (), "bound to no certificate"),
    ],
)
def test_signed_by_openssl_cms(section: str, options: tuple[str, ...], told: str, one: Authority) -> None:
    """A token by OpenSSL's CMS is taken where it is what RFC 3161 says; others have their refusals."""
    answer, digest, nonce = _asked(one)
    other = "1.2.840.113549.1.9.16.1.2"  # as long as the right one
    content = der.read(answer).parts(der.SEQUENCE).left[1].parts(der.SEQUENCE).left[1]
    encapsulated = der.read(content.value).parts(der.SEQUENCE).left[2].parts(der.SEQUENCE).left[1]
    (one.home / "info").write_bytes(der.read(encapsulated.value).value)
    names = "stamping" if section == "bare" else section
    issue: tuple[str, ...] = (
        "x509",
        "-req",
        "-in",
        "tsa.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
    )
    issue += ("-out", "other.pem", "-days", "2", "-extfile", "tsa.cnf", "-extensions", names)
    sign = [
        "cms",
        "-sign",
        "-binary",
        "-nodetach",
        "-nosmimecap",
        "-in",
        "info",
        "-outform",
        "DER",
        "-out",
        "cms",
    ]
    sign += ["-signer", "other.pem", "-inkey", "tsa.key", *(["-cades"] if section != "bare" else [])]
    if "-econtent_type" not in options:
        sign += ["-econtent_type", "1.2.840.113549.1.9.16.1.4"]
    for command in (issue, (*sign, *options)):
        done = one.run(*command)
        assert done.returncode == 0, done.stderr
    granted = der.write(der.SEQUENCE, der.integer(0))
    cms = (one.home / "cms").read_bytes()
    if other in options:  # what the signature says to be over is then another type than what stands there
        cms = cms.replace(der.oid(other), der.oid("1.2.840.113549.1.9.16.1.4"), 1)
    made = der.write(der.SEQUENCE, granted, cms)
    if told:
        with pytest.raises(Malformed, match=told):
            timestamps.check(made, digest, nonce)
    else:
        assert (
            timestamps.check(made, digest, nonce).seconds == timestamps.check(answer, digest, nonce).seconds
        )


@pytest.mark.parametrize(
    "told",
    [
        Told(200, b""),
        Told(200, b"\x30\x80\x00\x00"),
        Told(200, b"\x30" * 5_000),
        Told(200, b"\x30\x03\x02\x01\x00"),
        Told(200, b"x" * (timestamps.MOST + 10)),
        Told(302, b"", {"Location": "http://127.0.0.1:1/"}),
        Told(404),
        Told(lost=True),
    ],
)
def test_errors_never_stop_sealing(told: Told, start: Start, tmp_path: Path) -> None:
    """An authority that fails, or answers with noise, leaves a checkpoint without a timestamp, no more."""
    _, stamper = start(lambda _: told)
    sealed = _grown(_sealer(tmp_path), 0)
    assert not _cosigner(stamper).offer(sealed).stamped
    assert stamper.notes.attached(CHAIN, 0) == {}


def test_a_good_answer_with_a_bad_status(one: Authority, start: Start, tmp_path: Path) -> None:
    """What does not come as an answer is none, whatever its body is."""
    _, stamper = start(lambda asked: replace(one.answer(asked), status=500))
    assert not _cosigner(stamper).offer(_grown(_sealer(tmp_path), 0)).stamped


class _Failing(FolderNotes):
    def get(self, chain: str, number: int) -> bytes | None:
        raise Unavailable("no answer")


def test_a_store_that_fails(one: Authority, start: Start, tmp_path: Path) -> None:
    """Where it cannot be read whether a stamp is due, none is asked for; the next checkpoint looks again."""
    server, stamper = start(one.answer)
    sealer = _sealer(tmp_path)
    _grown(sealer, 0)
    sealed = _grown(sealer, 1)
    stamper.notes = _Failing(tmp_path)
    assert not _cosigner(stamper).offer(sealed).stamped
    assert server.asked == []
    stamper.notes = FolderNotes(tmp_path)
    assert _cosigner(stamper).offer(sealed).stamped
