"""Alerts in a real tree of `sentinel up`: from a webhook's message to the record of its problem."""

from __future__ import annotations

import http.client
import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.trees import Tree, sentinel, until, up
from tests.webhooks.test_standard import sign

PLACES = ("title", "severity", "status", "fingerprint", "started", "updated", "resource")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the tree."""
    return tmp_path_factory.mktemp("alerts") / "home"


@pytest.fixture(scope="module")
def tree(home: Path) -> Iterator[Tree]:
    """Run a tree without rules."""
    with up(home) as running:
        yield running


@pytest.fixture(scope="module")
def secret(tree: Tree) -> str:
    """Add a webhook of the service shop; return its secret."""
    assert sentinel("services", "add", "shop", home=tree.home).returncode == 0
    options = [each for name in PLACES for each in ("--option", f"{name}={name}")]
    hook = ("hooks", "add", "disks", "--service", "shop", "--source", "standard-webhooks", *options)
    done = sentinel(*hook, home=tree.home)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


def tell(tree: Tree, secret: str, name: str = "", **told: Any) -> int:
    """Send a message as the sender does; return the status."""
    body = json.dumps({"title": "Disk full", "severity": "high", "resource": "db-1", **told}).encode()
    parts = urlsplit(tree.hooks)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    headers = sign(body, secret, name or uuid.uuid4().hex, int(time.time()))
    connection.request("POST", "/hooks/standard-webhooks/disks", body, headers)
    status = connection.getresponse().status
    connection.close()
    return status


def listed(tree: Tree, *words: str) -> list[dict[str, Any]]:
    """Return what the command lists."""
    done = sentinel("alerts", *words, "--json", home=tree.home)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def asked(tree: Tree, path: str, service: str = "shop") -> tuple[int, Any]:
    """Return what the API answers."""
    status, _, raw = tree.request("GET", path, headers={"Sentinel-Service": service})
    return status, json.loads(raw)


def test_firing_then_resolved_is_one_alert(tree: Tree, secret: str) -> None:
    """Four messages, one of them sent twice and one late, are one record with its history."""
    now = int(time.time())
    first: dict[str, Any] = {"fingerprint": "disk-7", "started": now - 60, "updated": now - 60}
    assert tell(tree, secret, "m1", **first, status="firing") == 200
    assert tell(tree, secret, "m1", **first, status="firing") == 200
    assert tell(tree, secret, **{**first, "updated": now - 10}, status="resolved") == 200
    assert tell(tree, secret, **{**first, "updated": now - 30}, status="firing", severity="critical") == 200
    assert tell(tree, secret, fingerprint="disk-8", status="firing", severity="low") == 200
    until(lambda: [each["messages"] for each in listed(tree)] == [1, 3], "they are not folded")
    (found,) = listed(tree, "--status", "resolved", "--severity", "error", "--service", "shop")
    assert (found["title"], found["highest"], found["resource"]) == ("Disk full", "critical", "db-1")
    assert (found["started"], found["ended"]) == ((now - 60) * 10**9, (now - 10) * 10**9)
    assert [each["fingerprint"] for each in listed(tree, "--status", "firing")] == ["disk-8"]
    assert listed(tree, "--service", "nobody") == []

    shown = sentinel("alerts", "show", found["id"], home=tree.home).stdout.decode()
    lines = [line.split() for line in shown.splitlines()[-3:]]
    assert [(line[2], line[3], line[-1]) for line in lines] == [
        ("firing", "critical", "(late)"),
        ("resolved", "error", lines[1][-1]),
        ("firing", "error", lines[2][-1]),
    ]
    assert "standard-webhooks/disks of shop" in shown
    table = sentinel("alerts", home=tree.home).stdout.decode().splitlines()
    assert table[0].split()[:3] == ["ALERT", "STATUS", "SEVERITY"]
    assert len(table) == 3

    status, page = asked(tree, "/v1/alerts?status=resolved")
    assert (status, page["alerts"]) == (200, [found])
    status, one = asked(tree, f"/v1/alerts/{found['id']}")
    assert (status, len(one["history"])) == (200, 3)
    chain, seq = one["history"][-1]["chain"], one["history"][-1]["seq"]
    exported = sentinel("export", "--chain", chain, home=tree.home).stdout.splitlines()
    entries = [entry for line in exported for entry in json.loads(line)["entries"]]
    assert json.loads(entries[seq])["alert"]["fingerprint"] == "disk-7"
    assert asked(tree, f"/v1/alerts/{found['id']}", "other")[0] == 404
    assert asked(tree, "/v1/alerts", "other")[1] == {"alerts": []}


def test_what_a_service_writes_itself_is_no_alert(tree: Tree, secret: str) -> None:
    """The same entry by the service's own door is sealed, and changes no record."""
    entry = {
        "webhook": {"source": "standard-webhooks", "hook": "disks", "id": "m", "alert": 0},
        "alert": {"title": "Mine", "severity": "info", "status": "resolved", "fingerprint": "disk-9"},
    }
    receipt = tree.post([entry], "shop")
    assert receipt["count"] == 1
    assert tell(tree, secret, fingerprint="disk-9", status="firing") == 200
    until(lambda: any(each["fingerprint"] == "disk-9" for each in listed(tree)), "it is not folded")
    (found,) = (each for each in listed(tree) if each["fingerprint"] == "disk-9")
    assert (found["title"], found["messages"], found["status"]) == ("Disk full", 1, "firing")


@pytest.mark.nightly
def test_a_lost_store_is_filled_again_from_the_ledger(home: Path, tree: Tree, secret: str) -> None:
    """The records are made of the ledger alone: `sentinel detect --from` makes the same ones again."""
    now = int(time.time())
    for age, status in ((30, "firing"), (20, "resolved"), (10, "firing")):
        assert tell(tree, secret, fingerprint="disk-6", status=status, updated=now - age) == 200
    until(lambda: any(each["episodes"] == 2 for each in listed(tree)), "it is not folded")
    before = listed(tree)
    shown = asked(tree, f"/v1/alerts/{before[0]['id']}")
    assert tree.stop() == 0
    for file in home.glob("alerts.db*"):
        file.unlink()
    assert listed(tree) == []
    for changed in (len(before), 0):
        done = sentinel("detect", "--from", "2020-01-01", "--json", home=home)
        assert (done.returncode, json.loads(done.stdout)["alerts"]) == (0, changed)
        assert listed(tree) == before
    again = json.loads(sentinel("alerts", "show", before[0]["id"], "--json", home=home).stdout)
    assert again == shown[1]


def test_what_is_not_there_is_said(tree: Tree) -> None:
    """Bad names and ids end with words and the exit code of their kind."""
    for words, code in ((("--status", "on"), 1), (("show", "a" * 26), 1), (("--limit", "0"), 2)):
        done = sentinel("alerts", *words, "--json", home=tree.home)
        assert (done.returncode, json.loads(done.stderr)["code"]) == (code, code)
