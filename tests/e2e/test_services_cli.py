"""`sentinel services`, `hooks` and `rotate`: what they print, and that secrets are printed once."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sentinel.bootstrap import application
from sentinel.cli.main import run
from sentinel.core import api_keys
from sentinel.core.lanes import MARGIN
from sentinel.core.ring import Ring
from sentinel.errors import Forbidden
from sentinel.local.clients import enrol

Ran = tuple[int, str, str]


@pytest.fixture
def cli(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ran]:
    """Run a command line on a home folder of its own; return its exit code, output and errors."""
    for name in list(os.environ):
        if name.startswith("SENTINEL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SENTINEL_HOME", str(tmp_path / "home"))

    def call(*arguments: str) -> Ran:
        code = run(arguments)
        out, err = capfd.readouterr()
        return code, out, err

    return call


@pytest.fixture
def secrets(tmp_path: Path) -> Callable[[str], str]:
    """Read a secret of the home folder."""
    return application(str(tmp_path / "home")).door_secrets.value


def test_add_prints_the_key_alone(cli: Callable[..., Ran], secrets: Callable[[str], str]) -> None:
    """The key is standard output's one line, so that it can go into a file; the note is on standard error."""
    code, out, err = cli("services", "add", "checkout")
    key = out.strip()
    assert code == 0
    assert out.count("\n") == 1
    api_keys.parse(key)
    assert key == secrets("services.checkout")
    assert "services.checkout" in err
    assert key not in err
    for command in (("services", "ls"), ("services", "show", "checkout"), ("services", "ls", "--json")):
        code, out, err = cli(*command)
        assert code == 0
        assert "checkout" in out
        assert api_keys.parse(key)[1] not in out + err


def test_add_as_json(cli: Callable[..., Ran], secrets: Callable[[str], str]) -> None:
    """With `--json` the key, its service and its secret's name are one object, for ids in any script too."""
    code, out, err = cli("services", "add", "決済", "--json")
    told = json.loads(out)
    assert (code, err) == (0, "")
    assert told == {
        "service": "決済",
        "secret": "services.=5rG65riI",
        "api_key": secrets("services.=5rG65riI"),
    }


def test_the_life_of_a_service(cli: Callable[..., Ran]) -> None:
    """Added with its rights, changed, disabled and enabled; each command tells what is so then."""
    mesh = "spiffe://mesh.example/ns/shop/sa/checkout"
    added = ("--tier", "trial", "--scope", "ingest", "--scope", "admin", "--lanes", "3", "--identity", mesh)
    assert cli("services", "add", "checkout", *added)[0] == 0

    def told(*command: str) -> Any:
        code, out, _ = cli("services", *command, "--json")
        assert code == 0
        return json.loads(out)

    shown = told("show", "checkout")
    assert (shown["tier"], shown["scopes"], shown["lanes"]) == ("trial", ["ingest", "admin"], 3)
    assert (shown["identities"], shown["disabled"], len(shown["keys"])) == ([mesh], False, 1)
    assert "usage" not in shown
    changed = told("change", "checkout", "--tier", "high", "--no-identities")
    assert changed == shown | {"tier": "high", "identities": []}
    before = int(time.time())
    fewer = told("change", "checkout", "--scope", "ingest", "--lanes", "0")
    assert (fewer["scopes"], fewer["lanes"]) == (["ingest"], 1)
    [earlier] = fewer["lanes_before"]
    until = earlier["until"]
    assert (earlier["lanes"], until > before + MARGIN) == (3, True)
    assert " 3, then 1\n" in cli("services", "ls")[1]
    when = f"{datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M:%S} UTC"
    assert f"3 until {when}" in cli("services", "show", "checkout")[1]
    assert told("disable", "checkout")["disabled"]
    assert told("ls")[0]["disabled"]
    assert "disabled" in cli("services", "ls")[1]
    assert not told("enable", "checkout")["disabled"]
    for wrong in (("--tier", "gold"), ("--scope", "root"), ("--no-identities", "--identity", mesh)):
        assert cli("services", "change", "checkout", *wrong)[0] == 2
    assert cli("services", "change", "checkout", "--lanes", "65")[0] == 2
    assert cli("services", "add", "checkout")[0] == 1
    assert cli("services", "show", "nope")[0] == 1


@pytest.mark.parametrize("command", [("services", "rotate", "checkout"), ("rotate", "services", "checkout")])
def test_rotate_an_api_key(
    cli: Callable[..., Ran], secrets: Callable[[str], str], command: tuple[str, ...]
) -> None:
    """A new key is printed, and the old one has an end: in a day, or now."""
    old = cli("services", "add", "checkout")[1].strip()
    code, out, _ = cli(*command)
    assert code == 0
    assert out.strip() == secrets("services.checkout") != old
    keys = json.loads(cli("services", "show", "checkout", "--json")[1])["keys"]
    ends = {key["id"]: key["until"] - key["since"] for key in keys if key["until"]}
    assert set(ends) == {api_keys.parse(old)[0]}
    assert 86_400 <= ends[api_keys.parse(old)[0]] <= 86_500
    assert cli(*command, "--at-once")[0] == 0
    keys = json.loads(cli("services", "show", "checkout", "--json")[1])["keys"]
    assert sorted(bool(key["until"]) for key in keys) == [False, True, True]
    assert max(key["until"] - key["since"] for key in keys) < 100
    assert cli(*command[:-1], "nope")[0] == 1


@pytest.mark.parametrize("command", [("services", "rotate"), ("rotate", "services")])
def test_a_rotated_key_is_in_the_services_folder(
    cli: Callable[..., Ran], tmp_path: Path, command: tuple[str, ...]
) -> None:
    """A program that reads its key from there is not shut out by `--at-once`; others get no folder by it."""
    home = tmp_path / "home"
    for service in ("checkout", "elsewhere"):
        cli("services", "add", service)
    enrol(application(str(home)), "checkout", print)
    kept = home / "clients" / "checkout" / "api-key"
    _, out, _ = cli(*command, "checkout", "--at-once")
    assert kept.read_text() == out.strip()
    assert cli(*command, "elsewhere")[0] == 0
    assert not (home / "clients" / "elsewhere").exists()
    cli("services", "disable", "checkout")
    _, out, _ = cli(*command, "checkout")
    assert kept.read_text() == out.strip()


def test_a_disabled_service_is_told_so(cli: Callable[..., Ran], tmp_path: Path) -> None:
    """Whoever owns the home learns why a service does not come in, and what lets it."""
    cli("services", "add", "checkout")
    cli("services", "disable", "checkout")
    with pytest.raises(Forbidden, match="sentinel services enable"):
        enrol(application(str(tmp_path / "home")), "checkout", print)
    assert not (tmp_path / "home" / "clients" / "checkout").exists()


def test_the_life_of_a_webhook(cli: Callable[..., Ran], secrets: Callable[[str], str]) -> None:
    """Its secret is printed once, and again a new one when it rotates; the old one counts on."""
    cli("services", "add", "checkout")
    code, out, err = cli("hooks", "add", "alerts", "--service", "checkout", "--source", "standard-webhooks")
    first = out.strip()
    assert code == 0
    assert first.startswith("whsec_")
    assert "/hooks/standard-webhooks/alerts" in err
    assert first not in err
    for rotate in (("hooks", "rotate", "alerts"), ("rotate", "hooks", "alerts")):
        code, out, _ = cli(*rotate)
        assert code == 0
        values = [key.value for key in Ring.decode(secrets("hooks.alerts")).keys]
        assert values[0] == first
        assert values[-1] == out.strip() != first
    code, out, _ = cli("hooks", "rotate", "alerts", "--at-once", "--json")
    assert [key.value for key in Ring.decode(secrets("hooks.alerts")).accepted(2**40)] == [
        json.loads(out)["secret"]
    ]
    assert json.loads(cli("hooks", "disable", "alerts", "--json")[1])["disabled"]
    shown = {"id": "alerts", "service": "checkout", "source": "standard-webhooks", "disabled": True}
    assert json.loads(cli("hooks", "ls", "--json")[1]) == [shown]
    assert cli("hooks", "enable", "alerts")[1] == "alerts is enabled\n"
    assert "alerts" in cli("hooks", "ls")[1]
    assert cli("hooks", "add", "b", "--service", "nope", "--source", "standard-webhooks")[0] == 1
    assert cli("hooks", "add", "b", "--service", "checkout", "--source", "nope")[0] == 2
    assert cli("hooks", "rotate", "nope")[0] == 1


def test_a_webhook_has_the_options_of_its_source(cli: Callable[..., Ran], tmp_path: Path) -> None:
    """Given by name or from a file, checked when they are given, and shown."""
    cli("services", "add", "checkout")
    to = ("--service", "checkout", "--source", "crowdstrike")
    (tmp_path / "title").write_text("data.summary|=unknown")
    options = ("--option", "order=ts_body", "--option", f"title=@{tmp_path / 'title'}")
    assert cli("hooks", "add", "falcon", *to, *options)[0] == 0
    assert json.loads(cli("hooks", "ls", "--json")[1])[0]["options"] == {
        "order": "ts_body",
        "title": "data.summary|=unknown",
    }
    for wrong in ("order=no", "nope=1", "order", "=x", "title=@/none/there", "title="):
        code, _, err = cli("hooks", "add", "other", *to, "--option", wrong)
        assert code == 2, wrong
        assert "--option" in err
    assert cli("hooks", "add", "other", *to, "--option", "order=ts_body", "--option", "order=body_ts")[0] == 2
    assert len(json.loads(cli("hooks", "ls", "--json")[1])) == 1


def test_the_secret_of_a_source_comes_by_standard_input(
    cli: Callable[..., Ran], secrets: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No secret is ever an argument, which a shell would remember; one that was given is not printed."""
    cli("services", "add", "checkout")
    monkeypatch.setattr("sys.stdin", io.StringIO("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"))
    command = (
        "hooks",
        "add",
        "alerts",
        "--service",
        "checkout",
        "--source",
        "standard-webhooks",
        "--secret-stdin",
    )
    code, out, err = cli(*command)
    assert code == 0
    assert "chosen" not in out + err
    assert Ring.decode(secrets("hooks.alerts")).keys[0].value == "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert cli(*command)[0] == 2


@pytest.mark.parametrize("chosen", ["tooshort", "whsec_AAAA", "not base64 at all, and long enough for a key"])
def test_a_secret_that_opens_nothing_is_refused(
    cli: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, chosen: str
) -> None:
    """Whoever adds the webhook learns of it, and not from messages that are all refused."""
    cli("services", "add", "checkout")
    monkeypatch.setattr("sys.stdin", io.StringIO(chosen))
    to = ("--service", "checkout", "--source", "standard-webhooks", "--secret-stdin")
    code, _, err = cli("hooks", "add", "alerts", *to)
    assert code == 2
    assert "too short" in err
    assert chosen not in err
    assert json.loads(cli("hooks", "ls", "--json")[1]) == []


def test_an_error_that_names_a_command_has_no_other_hint(cli: Callable[..., Ran]) -> None:
    """One way out is told, not two that disagree."""
    cli("services", "add", "checkout")
    for command in (("services", "add", "checkout"), ("services", "show", "nobody")):
        _, _, err = cli(*command)
        assert err.count("\n") == 1
        assert json.loads(cli(*command, "--json")[2])["hint"] == ""


def test_rotate_the_signing_keys(cli: Callable[..., Ran], secrets: Callable[[str], str]) -> None:
    """The first call makes the first key, the next ones add one each."""
    for count in (1, 2, 3):
        code, out, _ = cli("rotate", "signing-keys")
        assert code == 0
        assert len(Ring.decode(secrets("signing-keys")).keys) == count
        assert "PRIVATE" not in out
