"""`python -m sentinel_client doctor`: what can be wrong is told in words, and no secret with it."""

from __future__ import annotations

import email.utils
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sentinel_client import _doctor
from sentinel_client._doctor import diagnose
from sentinel_client._findings import Finding, as_text
from tests.loopback import Asked, Loopback, Told
from tests.throwaway import Made, make

SECRET = "sk_0011223344556677_" + "S" * 43


@dataclass
class World:
    """A service's files and a server that does as it is told."""

    folder: Path
    ca: Made
    client: Made
    served: list[Loopback] = field(default_factory=list)

    def serve(
        self,
        answer: Callable[[Asked], Told] | None = None,
        server: Made | None = None,
        clients: Made | None = None,
        tls: bool = True,
    ) -> Loopback:
        """Run a server with a certificate, which takes clients of a CA."""
        context = None
        if tls:
            server = server or make(self.folder, "server", self.ca, server=True)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(server.pem, server.secret)
            context.load_verify_locations((clients or self.ca).pem)
            context.verify_mode = ssl.CERT_REQUIRED
        made = Loopback(answer or good, context)
        self.served.append(made)
        return made

    def options(self, port: int, **changes: Any) -> dict[str, Any]:
        """Return options for a server on a port."""
        told = {
            "url": f"https://127.0.0.1:{port}",
            "service": "shop",
            "certificate": str(self.client.pem),
            "certificate_key": str(self.client.secret),
            "api_key_file": str(self.folder / "api-key"),
            "roots": str(self.ca.pem),
            "directory": str(self.folder / "log"),
            "disk_mb": 1,
            **changes,
        }
        return {name: value for name, value in told.items() if value is not None}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Make a service's files."""
    ca = make(tmp_path, "ca", days=(-1, 100))
    made = World(tmp_path, ca, make(tmp_path, "shop", ca, days=(-1, 100)))
    key = tmp_path / "api-key"
    key.write_text(SECRET + "\n")
    for path in (key, made.client.secret):
        path.chmod(0o600)
    yield made
    for each in made.served:
        each.stop()


def good(asked: Asked) -> Told:
    """Answer as a gateway does."""
    if asked.path == "/v1/token":
        return Told(body=json.dumps({"access_token": "t", "expires_in": 900}).encode())
    return Told(body=b'{"keys": []}')


def refusing(status: int, **told: str) -> Callable[[Asked], Told]:
    """Answer as a gateway that gives no token."""

    def answer(asked: Asked) -> Told:
        return Told(status, json.dumps(told).encode()) if asked.path == "/v1/token" else good(asked)

    return answer


def states(found: list[Finding]) -> dict[str, str]:
    """Return the worst that was found of each check."""
    worst: dict[str, str] = {}
    for each in found:
        rank = ["ok", "skipped", "warning", "failed"]
        if rank.index(each.state) >= rank.index(worst.get(each.check, "ok")):
            worst[each.check] = each.state
    return worst


def wrong(found: list[Finding]) -> Finding:
    """Return the one finding that failed."""
    (failed,) = (each for each in found if each.state == "failed")
    assert failed.do
    assert SECRET not in as_text(found, colour=False)
    return failed


def look(told: dict[str, Any], **environ: str) -> list[Finding]:
    """Let the doctor look."""
    return list(diagnose(told, environ))


def test_a_world_that_is_right_is_said_to_be(world: World) -> None:
    """Everything is looked at, and nothing is left in the folder."""
    found = look(world.options(world.serve().port))
    told = states(found)
    assert set(told) == {
        *("options", "directory", "disk", "certificate", "key", "api key", "roots"),
        *("dns", "tcp", "tls", "clock", "token"),
    }
    assert set(told.values()) == {"ok"}
    assert SECRET not in as_text(found, colour=True)
    assert not (world.folder / "log").exists()
    assert not list(world.folder.glob(".sentinel*"))


def test_options_that_are_wrong_end_it(world: World) -> None:
    """The first thing that has to be right are the options, policy included."""
    cases: tuple[dict[str, Any], ...] = (
        {"srvice": "x"},
        {"privacy": {"detector": {}}},
        {"sampling": [{"rate": 3}]},
        {"transports": ["x"]},
    )
    for told in cases:
        found = look(world.options(1, **told))
        assert [each.check for each in found] == ["options"]
        wrong(found)


def test_names_that_are_nearly_options_are_told(world: World) -> None:
    """The client passes them over, so that nobody else would say it."""
    found = look(world.options(world.serve().port), SENTINEL_SERVCE="x", SENTINEL_HOME="y")
    assert [each.says for each in found if each.state == "warning"] == ["SENTINEL_SERVCE is no option"]


def test_a_folder_of_somebody_else_or_open_to_all_is_told(world: World) -> None:
    """The write-ahead log holds what was logged: only its owner may write there."""
    folder = world.folder / "log"
    folder.mkdir()
    folder.chmod(0o777)
    port = world.serve().port
    assert "others may write" in wrong(look(world.options(port))).says
    folder.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(folder, 12345, -1)
        assert wrong(look(world.options(port))).says == f"{folder} is uid 12345's, and this is uid 0"
        os.chown(folder, 0, -1)
    file = world.folder / "file"
    file.write_text("x")
    assert "is no folder" in wrong(look(world.options(port, directory=str(file)))).says
    found = look(world.options(port, disk_mb=1_000_000))
    assert "less than the budget" in next(each.says for each in found if each.state == "warning")


@pytest.mark.parametrize("doing", ["fsync", "flock"])
def test_a_disk_that_cannot_sync_or_lock_is_told(
    world: World, doing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is worth nothing there."""
    import errno
    import fcntl

    def fails(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(os if doing == "fsync" else fcntl, doing, fails)
    found = wrong(look(world.options(world.serve().port)))
    assert (found.check, found.says.split()[0]) == ("disk", doing)


def test_files_that_are_missing_or_not_what_they_should_be_are_told(world: World) -> None:
    """Each by its own words; without them nothing is sent to the server but a hello."""
    port = world.serve().port
    empty, words = world.folder / "empty", world.folder / "words"
    empty.touch(mode=0o600)
    words.write_text("two words")
    words.chmod(0o600)
    none = str(world.folder / "none")
    cases = {
        "certificate": (none, "No such file"),
        "certificate_key": (none, "No such file"),
        "api_key_file": (none, "No such file"),
        "roots": (str(empty), "holds no certificate"),
    }
    for name, (path, says) in cases.items():
        found = [each for each in look(world.options(port, **{name: path})) if each.state == "failed"]
        assert says in found[0].says, name
    assert "is empty" in wrong(look(world.options(port, api_key_file=str(empty)))).says
    assert "more than one word" in wrong(look(world.options(port, api_key_file=str(words)))).says
    assert "no certificate" in wrong(look(world.options(port, certificate=str(words)))).says
    assert "no private key" in wrong(look(world.options(port, certificate_key=str(words)))).says
    assert not world.served[0].asked


def test_a_certificate_that_counts_no_more_is_told(world: World) -> None:
    """Before the server says it in its own way; one that ends soon is a warning."""
    port = world.serve().port
    for days, says in (((-9, -1), "ran out on"), ((1, 9), "counts from")):
        made = make(world.folder, "shop", world.ca, days=days)
        made.secret.chmod(0o600)
        found = wrong(look(world.options(port)))
        assert (found.check, says in found.says) == ("certificate", True)
    make(world.folder, "shop", world.ca, days=(-1, 3)).secret.chmod(0o600)
    assert states(look(world.options(port)))["certificate"] == "warning"


def test_files_that_do_not_belong_together_are_told(world: World) -> None:
    """A key of another certificate, and a certificate of another service."""
    port = world.serve().port
    other = make(world.folder, "other", world.ca, days=(-1, 100))
    other.secret.chmod(0o600)
    assert "is not the key of" in wrong(look(world.options(port, certificate_key=str(other.secret)))).says
    told = world.options(port, certificate=str(other.pem), certificate_key=str(other.secret))
    assert wrong(look(told)).says == "it is other's, and the service is shop"


def test_secrets_that_others_may_read_are_told(world: World) -> None:
    """As warnings: it works."""
    (world.folder / "api-key").chmod(0o644)
    found = look(world.options(world.serve().port))
    assert [each.check for each in found if each.state == "warning"] == ["api key"]


def test_a_server_that_is_not_there_is_told(world: World) -> None:
    """By name, and by port."""
    assert wrong(look(world.options(1, url="https://no-such-host.invalid"))).check == "dns"
    with socket.socket() as taken:  # bound and not listening: nobody else can
        taken.bind(("127.0.0.1", 0))
        found = wrong(look(world.options(taken.getsockname()[1])))
    assert (found.check, "refused" in found.says) == ("tcp", True)


def test_a_server_that_is_not_to_be_trusted_is_told(world: World) -> None:
    """Of another root, run out, or without TLS."""
    stranger = make(world.folder, "stranger", days=(-1, 100))
    theirs = world.serve(server=make(world.folder, "server", stranger, server=True))
    found = wrong(look(world.options(theirs.port)))
    assert (found.check, "SENTINEL_ROOTS" in found.do) == ("tls", True)
    old = world.serve(server=make(world.folder, "server", world.ca, server=True, days=(-9, -1)))
    assert "expired" in wrong(look(world.options(old.port))).says
    plain = world.serve(tls=False)
    assert "speaks no TLS" in wrong(look(world.options(plain.port))).says


def test_a_server_with_another_name_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the names that its certificate is for."""
    port = world.serve().port
    real = socket.getaddrinfo

    def resolved(host: str, *more: Any, **named: Any) -> Any:
        return real("127.0.0.1" if host == "gateway.test" else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    found = wrong(look(world.options(port, url=f"https://gateway.test:{port}")))
    assert found.says == "the server's certificate is not for gateway.test, but for localhost, 127.0.0.1"


def test_a_server_that_refuses_the_certificate_is_told(world: World) -> None:
    """It takes certificates of another CA."""
    stranger = make(world.folder, "stranger", days=(-1, 100))
    found = wrong(look(world.options(world.serve(clients=stranger).port)))
    assert (found.check, "refuses the client certificate" in found.says) == ("tls", True)


def test_clocks_that_differ_are_told(world: World) -> None:
    """By the server's Date, as a warning."""
    there = email.utils.formatdate(time.time() + 3600, usegmt=True)

    def late(asked: Asked) -> Told:
        told = good(asked)
        return Told(told.status, told.body, {"Date": there})

    (found,) = (each for each in look(world.options(world.serve(late).port)) if each.check == "clock")
    assert (found.state, "behind the server" in found.says) == ("warning", True)


@pytest.mark.parametrize(
    ("status", "told", "says"),
    [
        (401, {"error": "invalid_client", "error_description": "nothing fits"}, "invalid_client"),
        (403, {"error": "access_denied"}, "access_denied"),
        (404, {}, "token"),
        (500, {}, "500"),
    ],
)
def test_a_token_that_is_not_given_is_told(
    world: World, status: int, told: dict[str, str], says: str
) -> None:
    """With the server's reason, and with what to look at."""
    found = wrong(look(world.options(world.serve(refusing(status, **told)).port)))
    assert (found.check, says in found.says) == ("token", True), found


def test_the_command_prints_words_or_json_and_has_exit_codes(world: World) -> None:
    """0 where nothing is wrong, 1 where something is, 2 where the options are."""
    options = world.options(world.serve().port)
    environ = {f"SENTINEL_{name.upper()}": str(value) for name, value in options.items()}

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sentinel_client", "doctor", *arguments],
            env={**os.environ, **environ, **more},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("all is well\n")
    done = run("--json", SENTINEL_CERTIFICATE="/none")
    found = json.loads(done.stdout)
    assert (done.returncode, found["ok"]) == (1, False)
    assert SECRET not in done.stdout
    assert run("--url", "ftp://x").returncode == 2


def test_other_transports_need_no_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Then options and folder are all."""
    config = tmp_path / "c.json"
    config.write_text(
        json.dumps({"transports": ["console"], "service": "x", "directory": str(tmp_path), "disk_mb": 1})
    )
    assert _doctor.main(["--config", str(config)]) == 0
    assert "by console" in capsys.readouterr().out
