"""`sentinel up` with its doors, as real processes: from an empty folder to verified chains."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import shutil
import signal
import ssl
import stat
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from sentinel.adapters.sqlite_registry import SqliteRegistry
from sentinel.bootstrap import App, application
from sentinel.cli.clients import local_credentials
from sentinel.cli.door import Credentials, Door
from sentinel.core import tokens
from sentinel.core.access import Service
from sentinel.core.certificates import read
from sentinel.core.lanes import LEASE
from sentinel.core.ring import Ring
from sentinel.core.tokens import Rules
from sentinel.errors import Unauthenticated, Unavailable
from sentinel.usecases import records
from sentinel.usecases.receive import MAX_BODY as HOOK_BODY
from tests.e2e.trees import ROOT, Tree, environment, sentinel, until, up

SECONDS = 2  # SENTINEL_DOOR_SECONDS of the trees here
SETTINGS = {"SENTINEL_DOOR_SECONDS": str(SECONDS)}
LONG = 60.0  # seconds that an answer may take on a busy machine


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """One tree with doors for all tests that leave it as it was; each uses services of its own."""
    with up(tmp_path_factory.mktemp("doors") / "home", insecure=False, settings=SETTINGS) as running:
        yield running


_OPEN: list[Door] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Close the connections of a test."""
    yield
    while _OPEN:
        _OPEN.pop().close()


def opened(tree: Tree, service: str, credentials: Credentials | None) -> Door:
    """Return a client that is closed with the test."""
    _OPEN.append(Door(tree.url, service, credentials))
    return _OPEN[-1]


def enrolled(tree: Tree, service: str) -> Door:
    """Return a client of a service that is made if it is new."""
    return opened(tree, service, local_credentials(tree.home, tree.url, service, lambda _: None))


def post(door: Door, count: int = 1) -> int:
    """Store entries; return the status."""
    return door.request("POST", "/v1/entries", b'{"a":1}\n' * count).status


@dataclass
class Plain:
    """A client that knows nothing of ours: it sends what it is told over one connection."""

    tree: Tree
    credentials: Credentials | None = None

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        hooks: bool = False,
    ) -> tuple[int, dict[str, str], Any]:
        """Send one request; the answer's headers are in lower case."""
        parts = urlsplit(self.tree.hooks if hooks else self.tree.url)
        context = ssl.create_default_context(cafile=self.tree.home / "ca" / "roots.pem")
        if self.credentials is not None:
            context.load_cert_chain(self.credentials.certificate, self.credentials.key)
        host, port = parts.hostname or "", parts.port
        with closing(http.client.HTTPSConnection(host, port, timeout=LONG, context=context)) as connection:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            got = {name.lower(): value for name, value in answer.getheaders()}
            raw = answer.read()
            told: Any = json.loads(raw) if got["content-type"].startswith("application/json") else raw
            return answer.status, got, told


def commands(tree: Tree, *arguments: str) -> Any:
    """Run a command on the tree's home; return what it printed as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "sentinel.cli.main", *arguments, "--home", str(tree.home), "--json"],
        capture_output=True,
        env=environment(**SETTINGS),
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_the_whole_journey_by_hand(tree: Tree, tmp_path: Path) -> None:
    """A service is added and certified by commands, gets a token by mere HTTP, and its chain is whole."""
    added = commands(tree, "services", "add", "journey", "--tier", "standard")
    key = added["api_key"]
    made = commands(tree, "certs", "issue", "journey")
    credentials = Credentials(Path(made["certificate"]), Path(made["key"]), tmp_path / "none")
    client = Plain(tree, credentials)
    grant = b"grant_type=client_credentials"
    status, headers, told = client.ask("POST", "/v1/token", _basic("journey", key), grant)
    assert (status, told["token_type"], headers["cache-control"]) == (200, "Bearer", "no-store")
    assert told["expires_in"] == 900
    bearer = {"Authorization": f"Bearer {told['access_token']}"}
    status, headers, told = client.ask("POST", "/v1/entries", bearer, b'{"n":1}\n{"n":2}')
    assert (status, told["chain"], told["count"]) == (200, "journey/0", 2)
    assert "ratelimit" in headers
    assert client.ask("GET", "/v1/chains", bearer)[2]["chains"][0]["entries"] == 2
    assert client.ask("GET", "/v1/tasks", bearer)[2] == {"tasks": []}
    status, _, told = client.ask("GET", "/v1/services", bearer)
    assert (status, told["error"]) == (403, "Forbidden")
    assert client.ask("GET", "/.well-known/jwks.json")[2]["keys"]
    status, _, told = client.ask("POST", "/v1/token", _basic("journey", f"{key[:-43]}{'A' * 43}"), grant)
    assert (status, told["error"]) == (401, "invalid_client")
    (verified,) = commands(tree, "verify", "--chain", "journey/0")
    assert verified["verified"]
    exported = sentinel("export", "--chain", "journey/0", home=tree.home).stdout
    context = json.loads(json.loads(exported)["context"])
    thumbprint = read(Path(made["certificate"]).read_text()).thumbprint
    assert (context["subject"], context["certificate"]) == ("journey", thumbprint)


def _basic(service: str, key: str) -> dict[str, str]:
    proof = b64encode(f"{service}:{key}".encode()).decode()
    return {"Authorization": f"Basic {proof}", "Content-Type": "application/x-www-form-urlencoded"}


def test_ingest_enrols_a_new_service_and_says_so(tree: Tree, tmp_path: Path) -> None:
    """At the gateway of one's own home a new service needs no preparation; later nothing is told."""
    log = tmp_path / "a.log"
    log.write_text("one\ntwo\n")
    first = sentinel("ingest", str(log), "--service", "fresh", "--json", home=tree.home)
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["entries"] == 2
    assert b"added the service fresh" in first.stderr
    again = sentinel("ingest", str(log), "--service", "fresh", "--json", home=tree.home)
    assert (again.returncode, again.stderr) == (0, b"")
    assert json.loads(again.stdout)["sent"] == 0


def test_another_home_brings_its_files(tree: Tree, tmp_path: Path) -> None:
    """Elsewhere a producer names its files; without them it is told which, and no secret is an argument."""
    enrolled(tree, "remote")
    for name in ("certificate.pem", "key.pem", "api-key"):
        shutil.copy(tree.home / "clients" / "remote" / name, tmp_path / name)
    shutil.copy(tree.home / "tls" / "roots.pem", tmp_path / "roots.pem")
    log = tmp_path / "a.log"
    log.write_text("one\n")
    ingest = ("ingest", str(log), "--service", "remote", "--url", tree.url, "--patience", "0.1", "--json")
    alone = sentinel(*ingest, home=tmp_path / "other")
    assert alone.returncode == 3
    assert "--cert" in json.loads(alone.stderr)["hint"]
    files = (
        "--cert",
        "certificate.pem",
        "--key",
        "key.pem",
        "--api-key-file",
        "api-key",
        "--ca",
        "roots.pem",
    )
    named = [each if each.startswith("--") else str(tmp_path / each) for each in files]
    assert sentinel(*ingest, *named, home=tmp_path / "other").returncode == 0
    assert sentinel(*ingest, *named[:2], home=tmp_path / "other").returncode == 2
    (tmp_path / "api-key").write_text("sk_" + "0" * 16 + "_" + "A" * 43)
    refused = sentinel(*ingest, *named, home=tmp_path / "other")
    assert json.loads(refused.stderr)["error"] == "Unauthenticated"
    assert b"AAAA" not in refused.stderr
    strangers = [*named[:-1], str(_stranger(tmp_path))]
    refused = sentinel(*ingest, *strangers, home=tmp_path / "other")
    assert "not to be trusted" in json.loads(refused.stderr)["message"]


def _stranger(folder: Path) -> Path:
    from tests.throwaway import make

    return make(folder, "stranger").pem


def test_a_name_in_a_header_is_nobodys(tree: Tree) -> None:
    """Behind the doors the service is the certificate's and the token's, whatever headers say."""
    door = enrolled(tree, "honest")
    other = enrolled(tree, "victim")
    assert other.credentials is not None
    victims = ssl.PEM_cert_to_DER_cert(other.credentials.certificate.read_text())
    lies = {
        "Sentinel-Service": "victim",
        "Client-Cert": f":{b64encode(victims).decode()}:",
        "X-Forwarded-Client-Cert": 'Cert="x"',
    }
    answer = door.request("POST", "/v1/entries", b'{"a":1}', lies)
    assert (answer.status, answer.told["chain"]) == (200, "honest/0")


def test_a_stolen_token_is_worth_nothing_on_another_connection(tree: Tree) -> None:
    """The same token over another service's certificate is refused, also while its decision is kept."""
    owner, thief = enrolled(tree, "owner"), enrolled(tree, "thief")
    assert post(owner) == 200
    stolen = {"Authorization": f"Bearer {owner.token()}"}
    assert thief.credentials is not None
    for _ in range(3):
        assert Plain(tree, owner.credentials).ask("GET", "/v1/chains", stolen)[0] == 200
        status, headers, told = Plain(tree, thief.credentials).ask("GET", "/v1/chains", stolen)
        assert (status, told["error"]) == (401, "Unauthenticated")
        assert headers["www-authenticate"] == "Bearer"


def test_a_service_is_held_to_its_tier(tree: Tree) -> None:
    """Past the burst of its tier a service gets 429 and when to come back; another one does not notice."""
    commands(tree, "services", "add", "small", "--tier", "trial")
    small, other = enrolled(tree, "small"), enrolled(tree, "large")
    # Of 500 entries a second: a busy machine could hardly send more than 5 requests in one.
    assert [post(small), post(small, 10_000)] == [200, 200]
    answer = small.request("POST", "/v1/entries", b'{"a":1}')
    assert post(other) == 200
    assert answer.status == 429
    assert answer.told["error"] == "Limited"
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["ratelimit"].startswith('"entries";r=0;')


def test_a_service_is_spread_over_its_own_lanes(tree: Tree) -> None:
    """`services add --lanes` reaches the gateway: instances spread, each in its lane, no number is missing.

    A change of the number moves instances to other lanes, from when it counts, and what was stored before
    it is not stored again.
    """
    commands(tree, "services", "add", "wide", "--tier", "high", "--lanes", "4")
    wide = enrolled(tree, "wide")

    def lanes_of(sequence: int) -> list[str]:
        found = []
        for number in range(12):
            named = {"Sentinel-Instance": f"pod-{number}", "Sentinel-Producer": f"pod-{number}"}
            named["Sentinel-Sequence"] = str(sequence)
            answer = wide.request("POST", "/v1/entries", b'{"a":1}', named)
            assert answer.status == 200
            found.append(str(answer.told["chain"]))
        return found

    first = lanes_of(0)
    assert set(first) == {f"wide/{lane}" for lane in range(4)}
    assert lanes_of(1) == first
    named = {f"pod-{number}": {"Sentinel-Batch-Id": f"once-{number}"} for number in range(12)}

    def once() -> list[object]:
        sent = [({"Sentinel-Instance": pod, **more}, b'{"once":1}') for pod, more in named.items()]
        return [wide.request("POST", "/v1/entries", body, headers).told for headers, body in sent]

    stored = once()
    told = commands(tree, "services", "change", "wide", "--lanes", "2")
    assert told["lanes_before"][0]["until"] > time.time() + LEASE
    assert lanes_of(2) == first
    registry = SqliteRegistry(tree.home / "registry.db")
    known, version = records.load(registry, Service, "wide")
    assert known is not None
    counts = ((4, int(time.time()) + 1),)  # as if the ten minutes had passed
    assert records.save(registry, replace(known, lanes_before=counts), version)
    registry.close()
    time.sleep(SECONDS + 1.5)
    assert once() == stored
    lanes_of(3)  # the first ones close the lanes that they leave
    assert set(lanes_of(4)) == {"wide/0", "wide/1"}
    assert once() == stored
    told = commands(tree, "producers", "--service", "wide")
    assert [each["next"] for each in told["producers"]] == [5] * 12
    assert {each["repeated"] for each in told["producers"]} == {0}
    assert told["whole"]


def test_webhooks_have_a_port_of_their_own(tree: Tree) -> None:
    """The webhook API asks for no certificate and has no route of the service API, nor that of its."""
    anybody = Plain(tree)
    assert anybody.ask("GET", "/.well-known/jwks.json", hooks=True)[0] == 200
    assert anybody.ask("POST", "/v1/entries", {}, b"{}", hooks=True)[0] == 404
    assert anybody.ask("POST", "/v1/token", hooks=True)[0] == 404
    assert anybody.ask("POST", "/hooks/sentry/none", {}, b"{}", hooks=True)[0] in {401, 404}
    # A stranger's body is not read where it is over what a webhook's may be: here none of it was sent.
    too_much = {"Content-Length": str(HOOK_BODY + 1)}
    assert anybody.ask("POST", "/hooks/standard-webhooks/none", too_much, hooks=True)[0] == 413
    member = Plain(tree, enrolled(tree, "hooked").credentials)
    assert member.ask("POST", "/hooks/sentry/none", {}, b"{}")[0] == 404
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
        anybody.ask("GET", "/healthz")


def test_everything_secret_is_its_owners(tree: Tree) -> None:
    """The home is for its owner alone, and so is every file in it that holds a secret."""
    assert stat.S_IMODE(tree.home.stat().st_mode) == 0o700
    enrolled(tree, "private")
    secret = [tree.home / "tls" / "server.key", *(tree.home / "doors").iterdir()]
    secret += [path for path in (tree.home / "ca").iterdir() if path.suffix != ".pem"]
    secret += [*(tree.home / "clients").glob("*/key.pem"), *(tree.home / "clients").glob("*/api-key")]
    assert len(secret) > 5
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret if path.is_file()} == {0o600}


@pytest.mark.parametrize("how", ["certs revoke", "services disable"])
def test_who_is_shut_out_is_out_within_door_seconds(tree: Tree, how: str) -> None:
    """A revoked certificate and a disabled service count within SENTINEL_DOOR_SECONDS, wherever it is."""
    service = how.split(maxsplit=1)[0]
    door = enrolled(tree, service)
    assert door.credentials is not None
    assert post(door) == 200
    bearer = {"Authorization": f"Bearer {door.token()}"}
    commands(tree, *how.split(), service)
    began = time.monotonic()
    parts = urlsplit(tree.url)
    context = door.credentials.context()
    with closing(
        http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=LONG, context=context)
    ) as connection:

        def status() -> int:
            connection.request("GET", "/v1/chains", headers=bearer)
            answer = connection.getresponse()
            answer.read()
            return answer.status

        # What counts is when a question began: a busy machine may be long about an answer.
        asked = time.monotonic()
        while status() == 200:
            assert asked < began + SECONDS, "it is still let in"
            time.sleep(0.02)
            asked = time.monotonic()
        assert status() == (401 if service == "certs" else 403)
    with pytest.raises(Unauthenticated):
        opened(tree, service, door.credentials).request("GET", "/v1/chains")


def test_what_was_revoked_is_not_made_anew_behind_its_owners_back(tree: Tree, tmp_path: Path) -> None:
    """`ingest` says that the certificate was revoked in place of taking another one."""
    enrolled(tree, "gone")
    commands(tree, "certs", "revoke", "gone")
    log = tmp_path / "a.log"
    log.write_text("one\n")
    done = sentinel("ingest", str(log), "--service", "gone", "--json", home=tree.home)
    assert done.returncode == 1
    told = json.loads(done.stderr)
    assert told["error"] == "Unauthenticated"
    assert "revoked" in told["message"]
    commands(tree, "certs", "issue", "gone")
    assert sentinel("ingest", str(log), "--service", "gone", home=tree.home).returncode == 0


class Flow:
    """Requests that never stop: each worker takes a new connection and a new token now and then."""

    def __init__(self, tree: Tree, service: str, workers: int = 3) -> None:
        self.failures: list[object] = []
        self.done = 0
        self.ended = threading.Event()
        self.tree, self.service = tree, service
        self.credentials = enrolled(tree, service).credentials
        self.threads = [threading.Thread(target=self._run) for _ in range(workers)]

    def __enter__(self) -> Flow:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *about: object) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join()

    def more(self, count: int) -> None:
        """Wait for so many more requests."""
        wanted = self.done + count
        until(lambda: self.done >= wanted or self.failures, "no request flows")

    def _run(self) -> None:
        while not self.ended.is_set():
            door = Door(self.tree.url, self.service, self.credentials)
            for _ in range(5):
                try:
                    status = post(door)
                except (Unauthenticated, Unavailable) as error:
                    status = 0
                    self.failures.append(str(error))
                if status == 200:
                    self.done += 1
                elif status:
                    self.failures.append(status)
            door.close()


@pytest.mark.nightly
def test_everything_rotates_under_load_without_a_failed_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """API key, signing keys, the server's certificate, the client's, and the CA: not one request fails."""
    with up(tmp_path / "home", insecure=False, settings=SETTINGS) as tree, Flow(tree, "busy") as flow:
        app = _app(tree)
        flow.more(20)
        before = (tree.home / "clients" / "busy" / "api-key").read_text()
        commands(tree, "services", "rotate", "busy")
        flow.more(20)
        enrolled(tree, "busy")  # the new key is written down; both count
        assert (tree.home / "clients" / "busy" / "api-key").read_text() != before
        flow.more(20)
        old = Ring.decode(app.door_secrets.value(app.settings.signing_secret)).keys
        commands(tree, "rotate", "signing-keys")
        ring = Ring.decode(app.door_secrets.value(app.settings.signing_secret)).keys
        assert {key.id for key in old} < {key.id for key in ring}
        _until_both_keys_count(tree, app, ring)
        flow.more(20)
        serial = _server_serial(tree)
        _renew_server(app)
        until(lambda: _server_serial(tree) != serial, "the server's certificate is the old one")
        flow.more(20)
        commands(tree, "ca", "rollover", "--lead", str(SECONDS + 1))
        time.sleep(SECONDS + 1.5)
        commands(tree, "certs", "issue", "busy")
        issuer = commands(tree, "certs", "ls", "busy")[-1]["root"]
        assert issuer != commands(tree, "certs", "ls", "busy")[0]["root"]
        flow.more(40)
        assert flow.failures == []
    assert sentinel("verify", home=tree.home).returncode == 0


def _app(tree: Tree) -> App:
    return application(str(tree.home))


def _until_both_keys_count(tree: Tree, app: App, ring: tuple[Any, ...]) -> None:
    """Tokens of the old and of the new signing key are taken: both are published before one is used."""
    credentials = enrolled(tree, "busy").credentials
    assert credentials is not None
    thumbprint = read(credentials.certificate.read_text()).thumbprint
    rules = Rules(app.settings.issuer, app.settings.audience, ours=True)
    for key in ring:
        claims = tokens.access_claims(
            rules, "busy", frozenset({"ingest"}), thumbprint, int(time.time()), f"j-{key.id}"
        )
        bearer = {"Authorization": f"Bearer {tokens.sign(claims, tokens.signing_key(key))}"}
        client = Plain(tree, credentials)
        until(lambda: client.ask("GET", "/v1/chains", bearer)[0] == 200, key.id)  # noqa: B023


def _server_serial(tree: Tree) -> int:
    from cryptography import x509

    parts = urlsplit(tree.hooks)
    pem = ssl.get_server_certificate((parts.hostname or "", parts.port or 0))
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def _renew_server(app: App) -> None:
    from sentinel.local.certificates import server_certificate

    (app.home / "tls" / "server.pem").unlink()
    server_certificate(app)


@pytest.mark.nightly
def test_nothing_secret_is_logged(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With every log line wanted, none has a key, a token, a certificate's key, a passphrase or an entry."""
    settings = {"SENTINEL_LOG_LEVEL": "DEBUG", **SETTINGS}
    with up(tmp_path / "home", "--verbose", insecure=False, settings=settings) as tree:
        door = enrolled(tree, "shy")
        assert door.request("POST", "/v1/entries", b'{"a":"hunter2"}').status == 200
        token = door.token()
        for headers in ({"Authorization": f"Bearer {token}x"}, {"Authorization": "Basic aHVudGVyMg=="}):
            assert Plain(tree, door.credentials).ask("GET", "/v1/chains", headers)[0] == 401
        assert Plain(tree, door.credentials).ask("POST", "/v1/token", _basic("shy", "hunter2"))[0] in {
            400,
            401,
        }
        key = (tree.home / "clients" / "shy" / "api-key").read_text()
        passphrase = _app(tree).door_secrets.value("ca-passphrase")
        assert tree.stop() == 0
    told = "".join(capfd.readouterr())
    assert "DEBUG" in told
    for secret in (
        token,
        token.split(".")[2],
        key,
        key[-43:],
        passphrase,
        "PRIVATE KEY",
        "hunter2",
        "aHVudGVy",
    ):
        assert secret not in told


@pytest.mark.nightly
def test_a_second_start_makes_nothing_anew(tmp_path: Path) -> None:
    """CA, server's certificate, signing keys and clients are those of the first start, and they work."""
    home = tmp_path / "home"
    names = ("ca/roots.pem", "tls/server.pem", "tls/roots.pem", "doors/signing-keys.json")
    with up(home, insecure=False) as tree:
        door = enrolled(tree, "again")
        assert post(door) == 200
        assert tree.stop() == 0
    before = [(home / name).read_bytes() for name in names]
    began = time.monotonic()
    with up(home, insecure=False) as tree:
        assert time.monotonic() - began < 10
        assert [(home / name).read_bytes() for name in names] == before
        assert post(opened(tree, "again", door.credentials)) == 200


@pytest.mark.nightly
def test_a_gateway_that_dies_comes_back_behind_its_doors(tmp_path: Path) -> None:
    """After kill -9 of the gateway clients go on with the tokens they have, and still nobody else gets in."""
    with up(tmp_path / "home", insecure=False) as tree:
        door = enrolled(tree, "steady")
        assert post(door) == 200
        os.kill(tree.child("child\0gateway"), signal.SIGKILL)

        def back() -> bool:
            try:
                return post(door) == 200
            except Unavailable:
                return False

        until(back, "the gateway is away")
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
            Plain(tree).ask("GET", "/v1/chains")


@pytest.mark.nightly
def test_insecure_is_loud_and_for_this_machine_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """`--insecure` warns on standard error, says so in JSON, listens on 127.0.0.1 and makes no keys."""
    with up(tmp_path / "home") as tree:
        assert "WARNING" in capfd.readouterr().err
        assert json.loads((tmp_path / "home" / "endpoint.json").read_text())["insecure"] is True
        for url in (tree.url, tree.hooks):
            assert _listening(urlsplit(url).port or 0) == {"0100007F"}
        assert not (tmp_path / "home" / "ca").exists()
        for method, path in (
            ("POST", "/v1/token"),
            ("POST", "/v1/certificate"),
            ("GET", "/.well-known/jwks.json"),
        ):
            assert tree.request(method, path, b"{}")[0] == 404
        assert tree.request("GET", "/v1/services")[0] == 403
        tree.post([{"a": 1}], "anybody")


def test_the_curl_commands_of_the_documentation_work(tree: Tree, tmp_path: Path) -> None:
    """docs/local.md shows how any program comes in by the doors; run as they stand, the commands do."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed here")
    found = re.search(r"```sh\n(.*?)```", (ROOT / "docs" / "local.md").read_text(), re.DOTALL)
    assert found is not None
    script = found[1].replace("https://127.0.0.1:8787", tree.url).replace(".sentinel", str(tree.home))
    program = shlex.join([sys.executable, "-m", "sentinel.cli.main"])
    script = script.replace("sentinel ingest", f"{program} ingest --home {shlex.quote(str(tree.home))}")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    receipt, chains = (json.loads(line) for line in done.stdout.decode().splitlines()[-2:])
    assert receipt["count"] == 1
    assert [each["chain"] for each in chains["chains"]] == ["laptop/0"]


def test_secure_listens_on_this_machine_alone(tree: Tree) -> None:
    """Both ports of the secure mode are on 127.0.0.1, and it is what `up` does by itself."""
    for url in (tree.url, tree.hooks):
        assert url.startswith("https://127.0.0.1:")
        assert _listening(urlsplit(url).port or 0) == {"0100007F"}


def _listening(port: int) -> set[str]:
    """Return the addresses, in the kernel's hex, on which somebody listens at a port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    found = (row[1].split(":") for row in rows if row[3] == "0A")
    return {address for address, number in found if int(number, 16) == port}
