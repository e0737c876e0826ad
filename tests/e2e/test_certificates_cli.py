"""`sentinel certs` and `sentinel ca` on a folder of one's own, and the certificates that it keeps fresh."""

from __future__ import annotations

import json
import shutil
import ssl
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from sentinel.adapters import whole_files
from sentinel.bootstrap import App
from sentinel.cli import main
from sentinel.core.access import Issued, Service, decode, encode
from sentinel.core.certificates import ClientCertificate, read
from sentinel.errors import Forbidden, Malformed, Missing
from sentinel.local import certificates
from sentinel.local.certificates import enrol, server_certificate
from sentinel.local.key_pair import KeyPair
from sentinel.ports_doors import Record
from sentinel.settings import Settings
from tests import pki
from tests.pki import DAY, Ca, pem


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home folder with one service."""
    app = App(Settings(home=str(tmp_path)))
    app.registry.put(Record(Service.KIND, "checkout", encode(Service("checkout"))))
    return tmp_path


@pytest.fixture
def app(home: Path) -> App:
    """Give an application on the home folder."""
    return App(Settings(home=str(home)))


@pytest.fixture
def call(home: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command; return its exit code, its JSON answer and its JSON error."""

    def call(*arguments: str) -> tuple[int, Any, Any]:
        code = main.run([*arguments, "--home", str(home), "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else None, json.loads(err) if err else None

    return call


def certificate_in(folder: Path) -> ClientCertificate:
    """Read the certificate of a folder, whose key has to fit."""
    ssl.create_default_context().load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return read((folder / "certificate.pem").read_text())


def test_issue_makes_the_ca_the_key_and_the_certificate(home: Path, call: Any) -> None:
    """One command from nothing; private files are their owner's, and the passphrase is not beside the key."""
    code, told, _ = call("certs", "issue", "checkout")
    assert code == 0
    folder = home / "clients" / "checkout"
    made = certificate_in(folder)
    assert told["thumbprint"] == made.thumbprint
    assert told["renew"] == made.renewable_from()
    assert told["certificate"] == str(folder / "certificate.pem")
    for private in (folder / "key.pem", home / "ca" / "root-1"):
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert (home / "ca" / "roots.pem").read_text().count("BEGIN CERTIFICATE") == 1
    assert sorted(each.name for each in folder.iterdir()) == ["certificate.pem", "key.pem"]


def test_issue_for_a_request_leaves_the_key_where_it_is(home: Path, tmp_path: Path, call: Any) -> None:
    """With --csr no key is made; --out says where the certificate goes."""
    key, out = pki.p256(), tmp_path / "out"
    (tmp_path / "a.csr").write_bytes(pki.request(key))
    code, told, _ = call("certs", "issue", "checkout", "--csr", str(tmp_path / "a.csr"), "--out", str(out))
    assert code == 0
    assert "key" not in told
    assert [each.name for each in out.iterdir()] == ["certificate.pem"]
    made = x509.load_pem_x509_certificate((out / "certificate.pem").read_bytes())
    assert made.public_key() == key.public_key()


def test_an_unknown_service_leaves_nothing_behind(home: Path, call: Any) -> None:
    """Two lines say what to do; no folder and no key are made."""
    code, told, error = call("certs", "issue", "nobody")
    assert (code, told) == (1, None)
    assert "sentinel services add" in error["message"]
    assert not (home / "clients" / "nobody").exists()


@pytest.mark.parametrize("service", ["../x", "a/b", ".", "..", ""])
def test_a_service_is_no_path(home: Path, service: str) -> None:
    """What is no service id is refused before any folder is made."""
    assert main.run(["certs", "issue", "--home", str(home), "--", service]) == 1
    assert not (home / "clients").exists()


def test_renewing_too_early_says_when_and_changes_nothing(home: Path, call: Any) -> None:
    """The files stay as they are, both of them; who runs it daily has no failure of it."""
    call("certs", "issue", "checkout")
    before = certificate_in(home / "clients" / "checkout")
    code, told, _ = call("certs", "renew", "checkout")
    assert code == 0
    assert told == {
        "thumbprint": before.thumbprint,
        "until": before.not_after,
        "renew": before.renewable_from(),
    }
    assert certificate_in(home / "clients" / "checkout") == before


def test_renewing_in_time(home: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """From day 60 on there is a new key with a new certificate, and the list has both."""
    call("certs", "issue", "checkout")
    before = certificate_in(home / "clients" / "checkout")
    _later(monkeypatch, 60 * DAY)
    code, told, _ = call("certs", "renew", "checkout")
    assert code == 0
    after = certificate_in(home / "clients" / "checkout")
    assert told["thumbprint"] == after.thumbprint != before.thumbprint
    _, listed, _ = call("certs", "ls", "checkout")
    assert [each["id"] for each in listed] == [before.thumbprint, after.thumbprint]


@pytest.mark.parametrize("begin", ["-", "--", "-h", "--reason"])
def test_a_thumbprint_that_begins_with_a_dash(home: Path, app: App, call: Any, begin: str) -> None:
    """One thumbprint in 64 looks like an option; it is taken for what it is, wherever it stands."""
    thumbprint = begin + "x" * (43 - len(begin))
    now = int(time.time())
    issued = Issued(thumbprint, "checkout", "00", "root", now, now + DAY)
    app.registry.put(Record(issued.KIND, issued.id, encode(issued)))
    for words in (["--reason", "lost", thumbprint], [thumbprint, "--reason", "lost"]):
        code, told, _ = call("certs", "revoke", *words)
        assert (code, [(each["id"], each["reason"]) for each in told]) == (0, [(thumbprint, "lost")])
    assert main.run(["certs", "revoke", "--home", str(home), "--json", "--", thumbprint]) == 0
    assert call("certs", "revoke", "-" + "y" * 42)[0] == 1, "nobody has this one"


def test_revoking(home: Path, call: Any) -> None:
    """By file, by serial number and by service; what is none of them is an error."""
    call("certs", "issue", "checkout")
    path = home / "clients" / "checkout" / "certificate.pem"
    serial = certificate_in(path.parent).serial
    _, told, _ = call("certs", "revoke", str(path), "--reason", "lost")
    assert told[0]["reason"] == "lost"
    assert call("certs", "revoke", serial)[1] == told
    assert call("certs", "revoke", "checkout")[1] == told
    assert call("certs", "revoke", "nobody")[0] == 1
    now = int(time.time())
    mesh = Ca(domain="cluster.local", since=now, until=now + DAY)
    names = pki.changed(x509.SubjectAlternativeName, pki.names(pki.uri("spiffe://cluster.local/a")))
    (home / "mesh.pem").write_text(pem(mesh.leaf(names, since=now, until=now + DAY)))
    code, told, _ = call("certs", "revoke", str(home / "mesh.pem"))
    assert (code, told) == (0, [read((home / "mesh.pem").read_text()).thumbprint])


def test_what_the_ca_has_no_record_of_can_be_revoked(home: Path, app: App, call: Any) -> None:
    """A certificate that was signed with our key behind our back counts at the doors: it can be denied."""
    call("certs", "issue", "checkout")
    path = home / "clients" / "checkout" / "certificate.pem"
    made = certificate_in(path.parent)
    app.registry.drop(Issued.KIND, made.thumbprint)
    code, told, _ = call("certs", "revoke", str(path))
    assert (code, told) == (0, [made.thumbprint])
    assert app.authority.is_revoked(made.thumbprint)


def test_the_life_of_a_ca(home: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish, show, roll over, show again; a mesh's root comes and goes; the file has what is in force."""
    assert call("ca", "show")[1] == []
    _, told, _ = call("ca", "publish")
    assert call("ca", "publish")[1] == told
    (first,) = call("ca", "show")[1]
    assert first["signs"]
    _, fresh, _ = call("ca", "rollover", "--lead", "0")
    assert fresh["key"] == "root-2"
    assert call("ca", "rollover", "--lead", "-1")[0] == 1
    _later(monkeypatch, 2)
    shown = {each["id"]: each["signs"] for each in call("ca", "show")[1]}
    assert shown == {first["id"]: False, fresh["id"]: True}
    mesh = Ca(domain="cluster.local", since=int(time.time()), until=int(time.time()) + 90 * DAY)
    (home / "mesh.pem").write_text(pem(mesh.certificate))
    _, root, _ = call("ca", "trust", "cluster.local", str(home / "mesh.pem"))
    roots = home / "ca" / "roots.pem"
    assert roots.read_text().count("BEGIN CERTIFICATE") == 3
    assert call("ca", "distrust", root["id"])[0] == 0
    assert roots.read_text().count("BEGIN CERTIFICATE") == 2
    _later(monkeypatch, 91 * DAY)
    call("ca", "publish")
    assert roots.read_text().count("BEGIN CERTIFICATE") == 1


def test_the_same_for_people(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --json there are lines and tables, and control characters of a reason are shown as escapes."""
    for arguments, expected in (
        (["certs", "issue", "checkout"], "renew it from"),
        (["certs", "revoke", "checkout", "--reason", "a\x1b[31m"], "\\x1b[31m"),
        (["certs", "ls"], "revoked"),
        (["ca", "show"], "signs"),
        (["ca", "rollover"], "signs from"),
        (["ca", "show"], "signs later"),
        (["ca", "publish"], "published 2 roots"),
    ):
        assert main.run([*arguments, "--home", str(home)]) == 0
        out = capsys.readouterr().out
        assert expected in out
        assert "\x1b" not in out


def test_in_aws_the_ca_is_one_of_kms(home: Path) -> None:
    """A sealed file would be in a container that is gone tomorrow."""
    from dataclasses import replace

    app = App(Settings(home=str(home)))
    app.settings = replace(app.settings, ledger_table="ledger")
    with pytest.raises(Malformed, match="SENTINEL_CA_KEY"):
        certificates.new_key(app)


def test_enrolling_does_nothing_twice(app: App, home: Path) -> None:
    """What is good for a month stays as it is."""
    folder = enrol(app, "checkout")
    assert folder == home / "clients" / "checkout"
    before = certificate_in(folder)
    assert enrol(app, "checkout") == folder
    assert certificate_in(folder) == before
    assert len(app.authority.issued()) == 1
    with pytest.raises(Missing):
        enrol(app, "nobody")


@pytest.mark.parametrize(("days", "renewed"), [(59, False), (60, True), (95, True)])
def test_enrolling_renews_from_day_60_on(
    app: App, monkeypatch: pytest.MonkeyPatch, days: int, renewed: bool
) -> None:
    """Also when the old one has run out meanwhile: this machine's own runner may issue anew."""
    before = certificate_in(enrol(app, "checkout"))
    _later(monkeypatch, days * DAY)
    after = certificate_in(enrol(App(app.settings), "checkout"))
    assert (after != before) is renewed
    assert after.not_after > time.time() + 30 * DAY


@pytest.mark.parametrize(
    "damage", ["revoked", "certificate", "key", "other key", "other service", "readable"]
)
def test_enrolling_mends(app: App, home: Path, damage: str) -> None:
    """What is revoked, gone, damaged or not of one piece is issued anew."""
    folder = enrol(app, "checkout")
    before = certificate_in(folder)
    pair = KeyPair(folder)
    if damage == "revoked":
        app.authority.revoke("checkout")
    elif damage == "certificate":
        pair.certificate.write_text("x")
    elif damage == "key":
        pair.key.unlink()
    elif damage == "other key":
        KeyPair(home / "x").begin()
        (home / "x" / "key.pem.new").replace(pair.key)
    elif damage == "other service":
        app.registry.put(Record(Service.KIND, "other", encode(Service("other"))))
        shutil.rmtree(folder)
        shutil.copytree(enrol(app, "other"), folder)
    else:
        pair.key.chmod(0o644)
        with pytest.raises(Forbidden, match="chmod 600"):
            enrol(app, "checkout")
        pair.key.chmod(0o600)
        assert certificate_in(enrol(app, "checkout")) == before
        return
    after = certificate_in(enrol(app, "checkout"))
    assert after.thumbprint != before.thumbprint
    assert after.spiffe == "spiffe://sentinel.local/service/checkout"


def test_a_disabled_service_is_not_enrolled(app: App) -> None:
    """What it has runs out."""
    enrol(app, "checkout")
    record = app.registry.get(Service.KIND, "checkout")
    assert record is not None
    body = encode(Service("checkout", disabled=True))
    app.registry.put(Record(Service.KIND, "checkout", body, record.version))
    app.authority.revoke("checkout")
    with pytest.raises(Forbidden):
        enrol(app, "checkout")


def test_of_several_who_enrol_one_issues(home: Path) -> None:
    """Runner and command line at once: one CA, one certificate."""
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: enrol(App(Settings(home=str(home))), "checkout"), range(6)))
    app = App(Settings(home=str(home)))
    assert len(app.authority.issued()) == 1
    assert len(app.authority.roots()) == 1
    certificate_in(home / "clients" / "checkout")


def test_the_servers_certificate(app: App, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For localhost and both loopback addresses; kept until day 60, and while its root is in force."""
    pair = server_certificate(app)
    assert pair == (home / "tls" / "server.pem", home / "tls" / "server.key")
    before = pair[0].read_text()
    assert stat.S_IMODE(pair[1].stat().st_mode) == 0o600
    server_certificate(app)
    assert pair[0].read_text() == before
    assert app.authority.issued() == []
    _later(monkeypatch, 60 * DAY)
    app = App(app.settings)
    server_certificate(app)
    renewed = pair[0].read_text()
    assert renewed != before
    app.authority.rollover("root-2", app.trust_store.publish, lead=0, overlap=0)
    _later(monkeypatch, 5)
    server_certificate(App(app.settings))
    assert pair[0].read_text() != renewed


def test_both_certificates_make_a_connection(app: App, home: Path) -> None:
    """TLS 1.3 with client certificates over a real socket: who they are is known on both sides."""
    import socket

    folder, (server_pem, server_key) = enrol(app, "checkout"), server_certificate(app)
    roots = home / "ca" / "roots.pem"
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.minimum_version = ssl.TLSVersion.TLSv1_3
    server.load_cert_chain(server_pem, server_key)
    server.load_verify_locations(roots)
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=roots)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    client.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    ours, theirs = socket.socketpair()
    seen: list[bytes | None] = []

    def serve() -> None:
        with server.wrap_socket(theirs, server_side=True) as peer:
            seen.append(peer.getpeercert(binary_form=True))
            peer.sendall(b"hello")

    thread = threading.Thread(target=serve)
    thread.start()
    with client.wrap_socket(ours, server_hostname="localhost") as connection:
        assert connection.recv(5) == b"hello"
    thread.join()
    assert seen == [certificate_in(folder).der]


@pytest.mark.parametrize("stop", range(1, 5))
def test_a_change_that_is_cut_off_is_finished_or_forgotten(
    app: App, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    """At each of its four steps: key and certificate fit afterwards, and what was issued is not lost."""
    folder = enrol(app, "checkout")
    before, pair, steps = certificate_in(folder), KeyPair(folder), 0
    real_replace, real_write = Path.replace, whole_files.replace

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == stop:
            raise KeyboardInterrupt

    def moved(path: Path, target: Path) -> Path:
        if path.name.endswith(".new"):
            step()
        return real_replace(path, target)

    def written(path: Path, data: bytes, mode: int = 0o600) -> None:
        real_write(path, data, mode)
        step()

    monkeypatch.setattr(Path, "replace", moved)
    monkeypatch.setattr(whole_files, "replace", written)
    with pytest.raises(KeyboardInterrupt):
        pair.finish(app.authority.issue("checkout", pair.begin()))
    monkeypatch.undo()
    with pair.locked():
        pass
    after = certificate_in(folder)
    assert (after == before) is (stop == 1)
    assert sorted(each.name for each in folder.iterdir()) == ["certificate.pem", "key.pem"]


def test_every_certificate_has_its_record(app: App) -> None:
    """What is on record is what is in the files."""
    made = certificate_in(enrol(app, "checkout"))
    record = app.registry.get(Issued.KIND, made.thumbprint)
    assert record is not None
    assert decode(Issued, made.thumbprint, record.body).serial == made.serial


def _later(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + seconds)
