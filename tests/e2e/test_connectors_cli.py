"""`sentinel connectors`: what it lists, what it says is wrong, and by what it exits."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.loopback_hec import Collector, Server
from sentinel.bootstrap import application
from sentinel.cli.hooks import THEIRS
from sentinel.cli.main import run
from sentinel.siem import SINKS
from sentinel.usecases.ingest import Origin
from sentinel.webhooks import COLLECTORS, SOURCES
from tests.alert_chains import SECOND
from tests.falcon_target import CLIENT, SECRET, Falcon
from tests.loopback import nobody
from tests.webhooks.senders import NOW, first

Ran = tuple[int, str, str]
KEY = "canary-4f6d1c"


@pytest.fixture
def cli(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ran]:
    """Run a command line on a home folder of its own, with this machine allowed; no secret may be printed."""
    for name in list(os.environ):
        if name.startswith("SENTINEL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SENTINEL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SENTINEL_HTTP_HOSTS", "127.0.0.1, down.invalid")
    monkeypatch.setenv("SENTINEL_HTTP_PRIVATE", "true")

    def call(*arguments: str) -> Ran:
        code = run(arguments)
        out, err = capfd.readouterr()
        assert "canary" not in out + err
        return code, out, err

    return call


@pytest.fixture
def collector(cli: Callable[..., Ran], tmp_path: Path) -> Iterator[Server]:
    """Start a collector, and set up sinks: one that works, and others in the ways of what is wrong."""
    server = Server(Collector(KEY))
    server.start()
    with nobody() as closed:
        _write_sinks(cli, tmp_path, server.url.removesuffix("/services/collector/event"), closed)
        yield server


def _write_sinks(cli: Callable[..., Ran], tmp_path: Path, url: str, closed: int) -> None:
    sinks = tmp_path / "sinks.yaml"
    sinks.write_text(f"""
sinks:
  good: {{kind: splunk, url: "{url}", token: hec}}
  down: {{kind: splunk, url: "http://127.0.0.1:{closed}", token: hec}}
  unnamed: {{kind: elastic, url: "https://down.invalid", token: hec}}
  bare: {{kind: splunk, url: "https://127.0.0.1", token: none}}
  both: {{kind: file, path: alerts.ndjson}}
""")
    assert cli("recipes", "push", str(sinks))[0] == 0
    secrets = tmp_path / "home" / "secrets"
    secrets.mkdir(exist_ok=True)
    (secrets / "hec").write_text(KEY)
    (secrets / "hec").chmod(0o600)


def test_an_empty_home_says_what_to_do(cli: Callable[..., Ran]) -> None:
    """Nothing is set up: the commands that set something up are named; as JSON it is an empty list."""
    code, out, _ = cli("connectors", "ls")
    assert code == 0
    assert "sentinel recipes push" in out
    assert "sentinel hooks add" in out
    assert cli("connectors", "ls", "--json")[:2] == (0, "[]\n")


def test_kinds_are_listed(cli: Callable[..., Ran]) -> None:
    """All kinds of both directions, whether anything is set up or not."""
    told = json.loads(cli("connectors", "ls", "--kinds", "--json")[1])
    assert {each["kind"] for each in told if each["direction"] == "out"} == set(SINKS)
    assert {each["kind"] for each in told if each["direction"] == "in"} == {*SOURCES, *COLLECTORS}
    assert all(each["testable"] for each in told if each["direction"] != "account")
    out = cli("connectors", "ls", "--kinds")[1]
    assert all(kind in out for kind in (*SINKS, *SOURCES))


def test_a_webhook_of_a_collector_is_tested_like_any_other(cli: Callable[..., Ran]) -> None:
    """It is listed at the collector's path, no alert is waited for, and its token's form is looked at."""
    add = ("hooks", "add", "docker", "--service", "shop", "--source", "splunk-hec")
    assert "`sentinel services add shop` adds it" in cli(*add)[2]
    assert cli("services", "add", "shop")[0] == 0
    assert cli(*add)[0] == 0
    (told,) = json.loads(cli("connectors", "ls", "--json")[1])
    assert (told["target"], told["secret"], told["state"]) == ("/services/collector", "yes", "")
    code, out, _ = cli("connectors", "test", "docker")
    assert code == 0
    assert "good: log events are taken that bring its token" in out
    assert cli("hooks", "disable", "docker")[0] == 0
    assert cli("connectors", "test", "docker")[0] == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "bring its secret, by x-sentinel-key or authorization"),
        (("auth=oauth2",), "bring a token that its secret buys at /oauth/token, by authorization"),
        (
            ("auth=jwt", "issuer=https://idp.example.com", "audience=a", "parties=b"),
            "bring a token of the issuer in its options, by authorization",
        ),
    ],
)
def test_a_webhook_says_what_proves_its_messages(
    cli: Callable[..., Ran], options: tuple[str, ...], said: str
) -> None:
    """The secret itself, a token that it buys, or somebody else's: none of them is a signature."""
    assert cli("services", "add", "shop")[0] == 0
    add = ("hooks", "add", "am", "--service", "shop", "--source", "alertmanager")
    assert cli(*add, *(word for each in options for word in ("--option", each)))[0] == 0
    assert said in cli("connectors", "test", "am")[1]


@pytest.mark.parametrize("source", sorted(THEIRS))
def test_a_sender_that_makes_its_secret_itself_is_told_of(cli: Callable[..., Ran], source: str) -> None:
    """A secret of ours is of no use to it, unless the webhook takes the secret itself."""
    assert cli("services", "add", "shop")[0] == 0
    add = ("hooks", "add", "--service", "shop", "--source", source)
    assert "--secret-stdin" in cli(*add, "one")[2]
    assert "--secret-stdin" not in cli(*add, "two", "--option", "auth=secret")[2]


def test_connectors_are_listed_with_where_they_lead(cli: Callable[..., Ran], collector: Server) -> None:
    """Sinks and webhooks by name: kind, target, and whether the secret is there."""
    assert cli("services", "add", "shop")[0] == 0
    assert cli("hooks", "add", "errors", "--service", "shop", "--source", "sentry")[0] == 0
    told = {each["name"]: each for each in json.loads(cli("connectors", "ls", "--json")[1])}
    assert told["good"] == {
        "name": "good",
        "direction": "out",
        "kind": "splunk",
        "target": f"127.0.0.1:{collector.server_address[1]}",
        "secret": "yes",
        "state": "",
    }
    assert told["bare"]["secret"] == "no"
    assert told["both"]["secret"] == "none needed"
    assert (told["errors"]["direction"], told["errors"]["target"]) == ("in", "/hooks/sentry/errors")
    out = cli("connectors", "ls")[1]
    assert all(name in out for name in told)
    (Path(os.environ["SENTINEL_HOME"]) / "secrets" / "hec").chmod(0o644)
    told = {each["name"]: each for each in json.loads(cli("connectors", "ls", "--json")[1])}
    assert told["good"]["secret"] == "unreadable"


def test_accounts_are_listed_and_asked(cli: Callable[..., Ran], tmp_path: Path) -> None:
    """Where an account leads is listed, whether its secret is there or not; it is tested like a sink."""
    falcon = Falcon()
    document = tmp_path / "accounts.yaml"
    document.write_text(f"""
accounts:
  edr: {{kind: falcon, url: "{falcon.url}", token: edr}}
  dd: {{kind: datadog, site: datadoghq.eu, token: none}}
""")
    assert cli("recipes", "push", str(document))[0] == 0
    told = {each["name"]: each for each in json.loads(cli("connectors", "ls", "--json")[1])}
    assert (told["dd"]["target"], told["dd"]["secret"]) == ("api.datadoghq.eu", "no")
    assert (told["edr"]["direction"], told["edr"]["target"]) == ("account", f"127.0.0.1:{falcon.server.port}")
    secret = tmp_path / "home" / "secrets" / "edr"
    secret.parent.mkdir(exist_ok=True)
    for text, code, said in [
        (f"{CLIENT}:{SECRET}", 0, "good: it may read alerts"),
        (f"{CLIENT}:{SECRET}-other", 1, "wrong: credentials"),
        ("canary", 1, "is not CLIENT_ID:CLIENT_SECRET"),
    ]:
        secret.write_text(text)
        secret.chmod(0o600)
        found = cli("connectors", "test", "edr")
        assert (found[0], found[2]) == (code, "")
        assert said in found[1]
    assert cli("connectors", "test", "dd")[0] == 1
    listed = json.loads(cli("connectors", "ls", "--kinds", "--json")[1])
    assert all(each["testable"] for each in listed)
    falcon.server.stop()


def test_the_breaker_of_a_sink_is_listed_as_deliveries_tell_it(
    cli: Callable[..., Ran], collector: Server, tmp_path: Path
) -> None:
    """Both commands agree on what is wrong with a sink that deliveries hold back from."""
    plan = tmp_path / "plan.yaml"
    plan.write_text("deliveries: {all: {to: down}}")
    assert cli("recipes", "push", str(plan))[0] == 0
    app = application(str(tmp_path / "home"))
    assert list(app.ledger.chains()) == []  # and there is a ledger

    def listed() -> tuple[str, str, str]:
        sinks = {each["name"]: each["state"] for each in json.loads(cli("connectors", "ls", "--json")[1])}
        delivery = json.loads(cli("deliveries", "--json")[1])[0]
        assert sinks["good"] == ""
        return sinks["down"], delivery["breaker"], delivery["reason"]

    assert listed() == ("", "closed", "")
    app.breakers.parked("down", "the token is refused", "setup")
    assert listed() == ("breaker open: the token is refused", "open", "the token is refused")
    assert "breaker open: the token is refused" in cli("connectors", "ls")[1]
    app.breakers.succeeded("down")
    assert listed() == ("", "closed", "")


def test_a_test_says_what_is_wrong_and_exits_by_it(cli: Callable[..., Ran], collector: Server) -> None:
    """0 where it works, 1 where a person has to mend it, 3 where nothing answers; words and JSON agree."""
    for name, exits, level in [
        ("good", 0, ""),
        ("both", 0, ""),
        ("down", 3, "connect"),
        ("unnamed", 3, "name"),
        ("bare", 1, "secret"),
    ]:
        code, out, err = cli("connectors", "test", name)
        assert (code, err) == (exits, "")
        assert (f"wrong: {level}" if level else "good") in out
        code, out, _ = cli("connectors", "test", name, "--json")
        told = json.loads(out)[0]
        assert (code, told["good"], told.get("level", "")) == (exits, not level, level)
        assert told["words"]
        assert ("hint" in told) is bool(level)
    assert collector.collector.events == []
    collector.collector.enabled = False
    assert cli("connectors", "test", "good")[0] == 1
    collector.shutdown()
    collector.server_close()


def test_a_name_that_is_none_and_one_that_is_two(cli: Callable[..., Ran], collector: Server) -> None:
    """What is not there is said with where to look; a name that a sink and a webhook have tests both."""
    code, _, err = cli("connectors", "test", "nope")
    assert code == 1
    assert "`sentinel connectors ls` lists them" in err
    cli("services", "add", "shop")
    cli("hooks", "add", "both", "--service", "shop", "--source", "sentry")
    code, out, _ = cli("connectors", "test", "both", "--json")
    assert code == 0
    assert [each["direction"] for each in json.loads(out)] == ["out", "in"]
    cli("hooks", "disable", "both")
    assert cli("connectors", "test", "both")[0] == 1


def test_a_webhook_is_examined_from_this_side(cli: Callable[..., Ran], tmp_path: Path) -> None:
    """How messages prove themselves, when the last alert came; disabled, or without a secret, it is wrong."""
    for service in ("shop", "gone"):
        cli("services", "add", service)
    cli("hooks", "add", "errors", "--service", "shop", "--source", "sentry")
    cli("hooks", "add", "shown", "--service", "shop", "--source", "alertmanager")
    cli("hooks", "add", "gone", "--service", "gone", "--source", "alertmanager")
    cli("services", "disable", "gone")
    code, out, _ = cli("connectors", "test", "errors")
    assert code == 0
    assert "signed, by sentry-hook-signature" in out
    assert "no alert has come" in out
    code, out, _ = cli("connectors", "test", "shown")
    assert code == 0
    assert "x-sentinel-key" in out
    for name, change, said in [
        ("errors", ("hooks", "disable", "errors"), "hooks enable errors"),
        ("gone", (), "its service gone is disabled"),
    ]:
        if change:
            cli(*change)
        code, out, _ = cli("connectors", "test", name)
        assert code == 1
        assert said in out
    assert json.loads(cli("connectors", "ls", "--json")[1])[0]["state"] == "disabled"


def test_the_last_alert_of_a_webhook_is_told(cli: Callable[..., Ran], tmp_path: Path) -> None:
    """Once a message has come, both commands say when."""
    cli("services", "add", "shop")
    cli("hooks", "add", "am", "--service", "shop", "--source", "alertmanager")
    app = application(str(tmp_path / "home"))
    body = first("alertmanager")
    headers = {"x-sentinel-key": app.services.hook_secret("am")}
    proven = app.receiver.admit("alertmanager", "am", headers, body)
    app.receiver.store(proven, Origin("", "/hooks/alertmanager/am", "r"))
    app.detect_again.over(0, 2 * NOW * SECOND)
    assert "last alert 20" in cli("connectors", "ls")[1]
    assert "its last alert came at 20" in cli("connectors", "test", "am")[1]
