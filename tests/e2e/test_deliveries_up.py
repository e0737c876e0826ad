"""Deliveries in a real tree of `sentinel up`: pushed while it runs, killed, and gone on with."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.trees import Tree, push, sentinel, until, up

DOCUMENTS = {
    "sinks": "sinks: {out: {kind: file, path: out.ndjson}}\n",
    "deliveries": "deliveries: {all: {to: out, services: [shop], since: beginning}}\n",
}
LEASE = 60.0  # seconds: the lease of one that was killed has to run out before another goes on


def numbers(home: Path) -> list[int]:
    """Return the numbers that the file has, in its order."""
    path = home / "files" / "out.ndjson"
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [json.loads(line)["entry"]["n"] for line in lines]


def send(tree: Tree, first: int, many: int, service: str = "shop") -> None:
    """Send numbered entries."""
    body = b"\n".join(b'{"n":%d}' % number for number in range(first, first + many))
    assert tree.request("POST", "/v1/entries", body, {"Sentinel-Service": service})[0] == 200


def told(home: Path) -> dict[str, Any]:
    """Return what the command says of the one delivery."""
    done = sentinel("deliveries", "--json", home=home)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


@pytest.mark.nightly
def test_a_delivery_hands_on_what_comes(tmp_path: Path) -> None:
    """Entries from before and after the push arrive in order, once, also over a kill -9 and a new start."""
    home = tmp_path / "home"
    with up(home) as tree:
        send(tree, 0, 50)
        send(tree, 0, 5, "other")
        push(home, tmp_path / "documents", **DOCUMENTS)
        until(lambda: len(numbers(home)) == 50, "the first entries are not there")
        os.kill(tree.child("deliver"), signal.SIGKILL)
        send(tree, 50, 50)
        until(lambda: len(numbers(home)) == 100, "nobody goes on", LEASE)
        until(lambda: told(home)["lag"] == 0, "the cursor stays behind")
        assert told(home)["state"] == "running"
    assert numbers(home) == list(range(100))
    with up(home) as tree:
        send(tree, 100, 10)
        until(lambda: len(numbers(home)) == 110, "the next start does not go on", LEASE)
    assert numbers(home) == list(range(110))
