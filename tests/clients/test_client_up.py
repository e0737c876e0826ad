"""The whole Python client against the real local gateway with all its doors: what is logged is stored."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sentinel_client
from sentinel.bootstrap import application
from sentinel.cli.clients import local_credentials
from tests.e2e.trees import ROOT, Tree, environment, until, up


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """Run one tree with all doors."""
    with up(tmp_path_factory.mktemp("clients") / "home", insecure=False) as running:
        yield running


def options(tree: Tree, service: str, folder: Path) -> dict[str, Any]:
    """Return the options of a service that the tree knows."""
    found = local_credentials(tree.home, tree.url, service, lambda _: None)
    assert found is not None
    return {
        "url": tree.url,
        "service": service,
        "certificate": str(found.certificate),
        "certificate_key": str(found.key),
        "api_key_file": str(found.api_key),
        "roots": str(found.roots),
        "directory": str(folder),
    }


def stored(tree: Tree, service: str) -> list[dict[str, Any]]:
    """Return the entries of a service that the ledger has, its chains verified."""
    app = application(str(tree.home))
    found = []
    for head in app.inspect.heads():
        if head.chain.startswith(f"{service}/"):
            app.inspect.verify(head.chain)
            for segment in app.inspect.export(head.chain):
                held: Any = segment["entries"]
                found += [json.loads(entry) for entry in held]
    return found


def test_what_is_logged_is_in_the_ledger_with_a_checked_receipt(tree: Tree, tmp_path: Path) -> None:
    """Native calls and records, masked, once each; the receipt fits what was sent, and is kept."""
    client = sentinel_client.install(**options(tree, "shop", tmp_path / "log"), fields={"env": "test"})
    try:
        log = sentinel_client.get_logger("shop.native")
        with sentinel_client.context(request_id="r-1"):
            log.info("paid", order=7, card="4111 1111 1111 1111")
            logging.getLogger("shop.records").warning("declined %s", "card", extra={"order": 8})
        try:
            dict[str, int]()["price"]
        except KeyError:
            log.exception("failed")
        assert client.flush(30), client.stats()
        (sent,) = client.stats()["transports"]
        assert (sent["sent"], sent["altered"], sent["refused"], sent["why"]) == (3, 0, 0, "")
    finally:
        sentinel_client.uninstall()
    entries = stored(tree, "shop")
    assert [each["message"] for each in entries] == ["paid", "declined card", "failed"]
    assert all((each["env"], each.get("request_id", "r-1")) == ("test", "r-1") for each in entries)
    assert "4111" not in json.dumps(entries)
    assert entries[0]["card"].startswith("[[card:")
    assert entries[2]["exception"]["frames"][-1]["function"].startswith("test_what_is_logged")
    receipts = (tmp_path / "log" / "receipts.ndjson").read_text().splitlines()
    assert sum(json.loads(each)["count"] for each in receipts) == 3


SCRIPT = """
import logging, os, sys
import sentinel_client
client = sentinel_client.install()
log = sentinel_client.get_logger("program")
log.info("parent", n=1)
child = os.fork()
if child == 0:
    log.info("child", n=2)
    logging.getLogger("records").info("child", extra={"n": 3})
    client.close(20)
    os._exit(0)
os.waitpid(child, 0)
log.info("parent", n=4)
if sys.argv[1] == "kill":
    os.kill(os.getpid(), 9)
raise ValueError("end")
"""


def test_a_program_that_ends_or_is_killed_loses_nothing(tree: Tree, tmp_path: Path) -> None:
    """What a killed program left is sent by the next; a forked child has its own log; nothing is doubled."""
    told = {
        f"SENTINEL_{name.upper()}": value for name, value in options(tree, "forks", tmp_path / "log").items()
    }
    for how in ("kill", "end"):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, how],
            env=environment(**told, SENTINEL_EXIT_SECONDS="20", PYTHONPATH=os.environ.get("PYTHONPATH", "")),
            cwd=ROOT / "clients" / "python",
            capture_output=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == (-9 if how == "kill" else 1), done.stderr
    log = sentinel_client.Client(**options(tree, "forks", tmp_path / "log"))
    try:
        until(lambda: len(stored(tree, "forks")) >= 9 or log.flush(1) is None, "not all arrived")
    finally:
        log.close()
    found = sorted((each["message"], each.get("n", 0)) for each in stored(tree, "forks"))
    once = [("child", 2), ("child", 3), ("parent", 1), ("parent", 4)]
    assert found == sorted([*once, *once, ("uncaught exception", 0)])


def test_a_gateway_that_is_away_costs_a_call_nothing(tmp_path: Path) -> None:
    """Nobody listens: calls return at once, `flush` says no in its time, and the entry stays on disk."""
    client = sentinel_client.Client(url="http://127.0.0.1:9", service="s", directory=tmp_path / "log")
    before = time.monotonic()
    client.log("INFO", "kept")
    assert client.flush(0.3) is False
    assert client.close(0.3) is False
    assert time.monotonic() - before < 20
    assert client.stats()["counts"] == {}
    (segment,) = (tmp_path / "log").glob("*/*.wal")
    assert b'"message":"kept"' in segment.read_bytes()
