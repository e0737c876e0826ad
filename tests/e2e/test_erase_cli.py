"""`sentinel erase`, `services encryption`, `rotate data-keys` as they are typed; the door without doors."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner

from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.bootstrap import App, application
from sentinel.cli.main import cli as commands
from sentinel.cli.main import run
from sentinel.core.access import Service, encode
from sentinel.entrypoints.feeds import detect
from sentinel.errors import Unavailable
from sentinel.local.door import OpenDoor
from sentinel.local.feeds import ledger_changes
from sentinel.local.refusals import Refusal
from sentinel.ports_doors import Record
from sentinel.usecases.ingest import Origin
from tests.e2e.trees import push, sentinel, until, up
from tests.scenario import recipe, rule

Ran = tuple[int, str, str]
RULE = rule("boom", "boom").decode()
RECIPE = recipe("tell", "boom", "siem.send", step="with: {to: [out]}").decode()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, and an environment without settings of ours."""
    for name in list(os.environ):
        if name.startswith("SENTINEL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SENTINEL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def cli(home: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a command line; return its exit code, output and errors."""
    del home

    def call(*arguments: str) -> Ran:
        code = run(arguments)
        return code, *capfd.readouterr()

    return call


@pytest.fixture
def app(home: Path) -> App:
    """The application of that folder, with three entries of an encrypted service in one segment."""
    found = application(str(home))
    found.registry.put(Record(Service.KIND, "shop", encode(Service("shop", encryption="own"))))
    origin = Origin("shop", "/v1/entries", uuid4().hex, encryption="own")
    found.ingest.entries(origin, b'{"message":"boom"}\n{"n":1}\n{"n":2}', {})
    return found


def test_erasing_asks_and_says_what_stays(app: App, cli: Callable[..., Ran]) -> None:
    """Without --yes it asks, says that guesses can be tested, and a no changes nothing."""
    asked = ["erase", "--chain", "shop/0", "--entries", "1", "--reason", "request 12"]
    said = CliRunner().invoke(commands, asked, input="n\n")
    assert said.exit_code == 1
    assert "entries 1 to 1 of shop/0: 1 in all" in said.output
    assert "--whole-segments erases them, too" in said.output
    assert app.inspect.head("shop/0").entries == 3
    code, out, err = cli(*asked, "--yes")
    assert code == 1  # the data key may be in use
    assert out.splitlines()[:2] == ["erased entries 1 to 1 of shop/0", "entry 3 records it"]
    assert "unfinished: data key" in err
    (line,) = [json.loads(each) for each in cli("export", "--chain", "shop/0")[1].splitlines()][:1]
    assert [isinstance(each, dict) for each in line["entries"]] == [False, True, False]
    assert cli("verify")[0] == 0


@pytest.mark.parametrize("span", ["", "1-", "2-1", "0-9"])
def test_a_range_is_two_numbers_that_are_there(app: App, cli: Callable[..., Ran], span: str) -> None:
    """Anything else is refused, and nothing is changed."""
    code, _, err = cli("erase", "--chain", "shop/0", f"--entries={span}", "--reason", "r", "--yes")
    assert code in {1, 2}
    assert "error" in err
    assert app.inspect.head("shop/0").entries == 3


def test_a_policy_is_changed_by_name_and_never_back_by_accident(cli: Callable[..., Ran]) -> None:
    """Going back says what it means, and is to be asked for twice."""
    assert cli("services", "add", "shop", "--encryption", "own")[0] == 0
    assert cli("services", "show", "shop")[1].split()[13:15] == ["encryption", "own"]
    code, _, err = cli("services", "encryption", "shop", "store")
    assert (code, "--in-the-clear" in err) == (1, True)
    assert json.loads(cli("services", "encryption", "shop", "own", "--json")[1])["encryption"] == "own"
    assert cli("services", "encryption", "shop", "store", "--in-the-clear")[0] == 0
    assert cli("services", "show", "shop")[1].split()[13:15] == ["encryption", "store"]
    assert cli("services", "encryption", "shop", "none")[0] == 2


def test_data_keys_are_wrapped_anew(app: App, home: Path, cli: Callable[..., Ran]) -> None:
    """The file of the wrapping key is another one, and the chain can be read as before."""
    before = (home / "data.key").read_bytes()
    assert cli("rotate", "data-keys")[:2] == (0, "1 data keys are wrapped by a new key\n")
    assert (home / "data.key").read_bytes() != before
    assert cli("verify")[0] == 0
    assert [each.count for each in application(str(home)).ledger.read("shop/0")] == [3]
    assert app.inspect.verify("shop/0").entries == 3


def test_without_the_wrapping_key_nothing_is_told_as_whole(
    app: App, home: Path, cli: Callable[..., Ran]
) -> None:
    """A copy without it is no damage; it cannot be checked, and says why. No new key takes its place."""
    app.ingest.entries(Origin("clear", "/v1/entries", uuid4().hex, encryption="store"), b"{}", {})
    (home / "data.key").unlink()
    code, out, _ = cli("verify")
    assert code == 1
    (clear, _, shop) = out.splitlines()
    assert clear.startswith("whole    clear/0: 1 entries")  # and is not kept waiting by another's keys
    assert shop.startswith("unread   shop/0: forbidden: the wrapping key ")
    assert "data.key is not there: restore it" in shop
    assert not (home / "data.key").exists()
    assert [each["verified"] for each in json.loads(cli("verify", "--json")[1])] == [True, False]


def test_what_stands_beside_the_archive_is_told_by_verify(home: Path, cli: Callable[..., Ran]) -> None:
    """A segment in the table where another was archived is no part of the chain, and does not stay unseen."""
    found = application(str(home))
    for n in range(3):
        origin = Origin("shop", "/v1/entries", uuid4().hex, encryption="store")
        found.ingest.entries(origin, b'{"n":%d}' % n, {})
    rows = list(found.segments.read("shop/0"))
    found.archive.store("shop/0", rows[:2])
    assert cli("verify")[0] == 0
    with sqlite3.connect(home / "ledger.db") as db:
        db.execute("UPDATE segments SET head = zeroblob(32) WHERE first = 1")
    db.close()
    code, out, _ = cli("verify")
    assert code == 1
    assert out.startswith("damaged  shop/0 at entry 1: stray: stands in the table")


def test_detection_reads_what_is_encrypted(app: App) -> None:
    """The change feed's segments are opened, and rules match their entries."""
    app.catalog.push("rule", "boom", rule("boom", "boom"))
    app.catalog.push("recipe", "tell", recipe("tell", "boom", "siem.send", step="with: {to: [x]}"))
    assert isinstance(app.segments, SqliteLedger)
    changes = ledger_changes(app.segments)(0, 100)
    assert detect(app, [each.record for each in changes if each.record]) == 1
    (task,) = app.tasks.listing()
    assert task.cause["entries"] == [{"chain": "shop/0", "seq": 0}]


def test_the_open_door_says_what_a_service_s_policy_is(app: App) -> None:
    """It is the registry's word; where that is away, nobody is let in."""
    request = SimpleNamespace(headers={"Sentinel-Service": "shop"})
    call: Any = SimpleNamespace(route=SimpleNamespace(door="token"), request=request)

    def policy(service: str) -> dict[str, str]:
        known = app.directory.service(service)
        return {"encryption": known.encryption if known else "store"}

    told = asyncio.run(OpenDoor(policy).admit(call))
    assert told is not None
    assert told["encryption"] == "own"

    def away(_: str) -> dict[str, str]:
        raise Unavailable("away")

    with pytest.raises(Refusal) as refused:
        asyncio.run(OpenDoor(away).admit(call))
    assert refused.value.status == 503


@pytest.mark.nightly
def test_a_real_tree_encrypts_detects_and_lets_erase(home: Path, tmp_path: Path) -> None:
    """Through the gateway, the feeds and a worker of `sentinel up`; then somebody erases while it runs."""
    assert sentinel("services", "add", "shop", "--encryption", "own", home=home).returncode == 0
    documents = {"rule": RULE, "recipe": RECIPE, "sinks": "sinks: {out: {kind: file, path: out.ndjson}}\n"}
    push(home, tmp_path / "documents", **documents)
    with up(home) as tree:
        body = b'{"message":"boom xyzzy"}\n{"n":1}'
        assert tree.request("POST", "/v1/entries", body, {"Sentinel-Service": "shop"})[0] == 200
        out = home / "files" / "out.ndjson"
        until(lambda: out.exists() and b"xyzzy" in out.read_bytes(), "the worker did not tell the sink")
        app = application(str(home))
        assert [bool(each.key) for each in app.segments.read("shop/0")] == [True]
        until(lambda: all(task.state.ended for task in app.tasks.listing()), "the task does not end")
        span = ("--chain", "shop/0", "--entries", "0", "--reason", "request 12", "--yes", "--json")
        done = sentinel("erase", *span, home=home)
        assert done.returncode == 1, done.stderr  # the gateway may use the data key for an hour
        told = json.loads(done.stdout)
        assert told["forgotten"]["tasks"] == 1
        assert all("data key" in each for each in told["unfinished"])
        assert tree.request("POST", "/v1/entries", b'{"n":2}', {"Sentinel-Service": "shop"})[0] == 200
        assert sentinel("verify", home=home).returncode == 0
        assert tree.stop() == 0
