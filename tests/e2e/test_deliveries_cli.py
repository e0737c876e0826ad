"""`sentinel deliveries` on an application as `bootstrap` wires it: what each is at, what died, redriving."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from sentinel.bootstrap import App, application
from sentinel.cli.main import run
from sentinel.core.tasks import SECOND
from sentinel.usecases.ingest import Origin
from tests.siem_targets import Elastic

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def elastic() -> Iterator[Elastic]:
    """Serve an Elasticsearch on this machine."""
    found = Elastic("ApiKey canary-k")
    yield found
    found.server.stop()


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """Run a command line in this process; no output may hold the token."""
    for name in list(os.environ):
        if name.startswith("SENTINEL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SENTINEL_HTTP_HOSTS", "127.0.0.1")
    monkeypatch.setenv("SENTINEL_HTTP_PRIVATE", "true")

    def call(*words: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = run([*words, "--home", str(tmp_path / "home")])
        out, err = capfd.readouterr()
        assert "canary" not in out + err
        return code, out, err

    return call


@pytest.fixture
def app(tmp_path: Path, cli: Cli, elastic: Elastic) -> Iterator[App]:
    """Give an application with ten entries, a sink and a delivery, both pushed by the command."""
    home = tmp_path / "home"
    folder = tmp_path / "documents"
    folder.mkdir()
    sink = {"kind": "elastic", "url": elastic.url, "token": "key"}
    (folder / "sinks.yaml").write_text(json.dumps({"sinks": {"es": sink}}))
    plan = {"to": "es", "since": "beginning"}
    (folder / "deliveries.yaml").write_text(json.dumps({"deliveries": {"all": plan}}))
    log(home, [b'{"n":%d}' % number for number in range(10)])
    (home / "secrets").mkdir(mode=0o700, exist_ok=True)
    (home / "secrets" / "key").write_text("canary-k")
    (home / "secrets" / "key").chmod(0o600)
    code, _, err = cli("recipes", "push", str(folder))
    assert code == 0, err
    found = application(str(home))
    yield found
    found.http.close()  # type: ignore[attr-defined]


def log(home: Path, lines: Sequence[bytes]) -> None:
    """Store entries without a server."""
    origin = Origin("shop", "/v1/entries", uuid4().hex, encryption="store")
    application(str(home)).ingest.entries(origin, b"\n".join(lines), {})


def deliver(app: App, done: Callable[[], bool]) -> None:
    """Run what the process has until it is done."""
    until = time.time_ns() + 30 * SECOND
    app.deliverer.run(until, done)
    assert time.time_ns() < until


def test_the_commands_tell_what_a_delivery_is_at(app: App, cli: Cli, elastic: Elastic) -> None:
    """List, show, dead and redrive, for people and as JSON, before and after the delivery."""
    assert json.loads(cli("deliveries", "--json")[1])[0]["state"] == "idle"
    elastic.trouble.odd = frozenset({3})
    deliver(app, lambda: len(elastic.documents) == 9)
    found = json.loads(cli("deliveries", "--json")[1])
    assert len(found) == 1
    told = {key: found[0][key] for key in ("delivery", "sink", "lag", "delivered", "dead", "breaker")}
    assert told == {
        "delivery": "all",
        "sink": "es",
        "lag": 0,
        "delivered": 9,
        "dead": 1,
        "breaker": "closed",
    }
    assert "closed" in cli("deliveries")[1]
    assert cli("deliveries", "ls")[1] == cli("deliveries")[1]
    assert json.loads(cli("deliveries", "show", "all", "--json")[1])["chains"][0]["next"] == 10
    assert "shop/" in cli("deliveries", "show", "all")[1]
    dead = json.loads(cli("deliveries", "dead", "all", "--json")[1])
    assert [(each["first"], each["last"], each["reason"]) for each in dead] == [
        (3, 3, "document parsing (400)")
    ]
    assert "document parsing (400)" in cli("deliveries", "dead", "all")[1]
    elastic.trouble.odd = frozenset()
    again = ("deliveries", "redrive", "all", "--reason", "document parsing (400)")
    assert cli(*again)[1] == "1 entries of all are sent again\n"
    deliver(app, lambda: len(elastic.documents) == 10)
    assert cli("deliveries", "dead", "all")[1] == "none is dead\n"
    assert json.loads(cli("deliveries", "redrive", "all", "--json")[1]) == {"delivery": "all", "again": 0}


def test_a_name_that_is_not_there_is_told_with_those_that_are(app: App, cli: Cli) -> None:
    """An unknown delivery is an error that says what there is."""
    del app
    code, out, err = cli("deliveries", "show", "most")
    assert (code, out) == (1, "")
    assert "there is no delivery most; in force: all" in err


def test_a_sink_that_is_waited_for_is_told_with_how_long(app: App, cli: Cli) -> None:
    """State, lag, reason and the seconds left, in the list and for the one; the hint names a command here."""
    (Path(app.settings.home) / "secrets" / "key").unlink()
    deliver(app, lambda: json.loads(cli("deliveries", "--json")[1])[0]["breaker"] == "open")
    listed, shown = cli("deliveries")[1], cli("deliveries", "show", "all")[1]
    for words in ("waiting", "10", "open for ", " s", "there is no secret key"):
        assert words in listed
        assert words in shown
    assert "`sentinel deliveries` shows them" in cli("deliveries", "show", "most")[2]


def test_the_last_delivery_ends_by_a_document_without_any(app: App, cli: Cli, tmp_path: Path) -> None:
    """`deliveries: {}` is a document; pushed in the place of an earlier one it ends what that one had."""
    del app
    path = tmp_path / "documents" / "deliveries.yaml"
    path.write_text("deliveries: {}\n")
    assert cli("recipes", "push", str(path))[0] == 0
    assert "no delivery is in force" in cli("deliveries")[1]


def test_documents_in_one_file_are_told_apart(cli: Cli, tmp_path: Path) -> None:
    """Sinks and deliveries in one file are refused with what to do about it."""
    path = tmp_path / "all.yaml"
    path.write_text("sinks:\n  a: {kind: file, path: a.ndjson}\ndeliveries:\n  all: {to: a}\n")
    code, _, err = cli("recipes", "check", str(path))
    assert code == 1
    assert "accounts, deliveries, repositories and models have files of their own" in err


def test_nothing_in_force_is_said(cli: Cli, tmp_path: Path) -> None:
    """Without a document the list says what to push."""
    log(tmp_path / "home", [b"{}"])
    assert "no delivery is in force" in cli("deliveries")[1]
