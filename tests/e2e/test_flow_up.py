"""Limits, pauses and purges by command, in a real tree of `sentinel up`."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.trees import LOOPBACK, Tree, push, sentinel, until, up

RULE = "title: Boom\nid: 0e0a6e1f-6f0b-4a55-9a4e-5f4d1c1f0b01\nlogsource: {product: any}\n"
RULE += "detection: {selection: {kind: boom}, condition: selection}\n"
ACT = ("--why", "as agreed", "--who", "ann", "--json")


class Desk(socketserver.ThreadingTCPServer):
    """An HTTP server that takes its time, and knows how many it served at once."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.going: dict[str, int] = {}
        self.highest: dict[str, int] = {}
        self.served = 0
        super().__init__(("127.0.0.1", 0), _Answer)


class _Answer(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        desk: Any = self.server
        path = self.request.recv(65_536).split(b" ")[1].decode()
        with desk.lock:
            desk.going[path] = desk.going.get(path, 0) + 1
            desk.highest[path] = max(desk.highest.get(path, 0), desk.going[path])
        time.sleep(0.05)
        with desk.lock:
            desk.going[path] -= 1
            desk.served += 1
        self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Serve."""
    with Desk() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def tree(tmp_path: Path, desk: Desk) -> Iterator[Tree]:
    """Run a tree with a recipe of which one task goes at a time, and one that goes as it likes."""
    home = tmp_path / "home"
    recipes = {
        name: f"id: {name}\non: {{rule: Boom}}\n{flow}steps:\n  - id: ask\n    uses: http.call\n"
        f"    with: {{url: 'http://127.0.0.1:{desk.server_address[1]}/{name}'}}\n"
        for name, flow in (("one", "concurrency: [{most: 1}]\n"), ("free", ""))
    }
    push(home, tmp_path / "docs", rule=RULE, **recipes)
    with up(home, settings=LOOPBACK) as running:
        yield running


def _queues(tree: Tree, *words: str) -> dict[str, Any]:
    done = sentinel("queues", *words, *(ACT if words else ("--json",)), home=tree.home)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.nightly
def test_a_limit_of_one_never_overlaps(tree: Tree, desk: Desk) -> None:
    """Of twenty tasks with a limit of one no two are at the target at once, and all of them get there."""
    for _ in range(4):
        tree.post([{"kind": "boom"}] * 5)
    until(lambda: desk.served == 40, "not all tasks were done", 60)
    assert desk.highest["/one"] == 1
    until(lambda: not _queues(tree)["streams"], "tasks are left")
    assert _queues(tree)["dead_letters"] == 0


@pytest.mark.nightly
def test_a_queue_is_paused_purged_and_resumed(tree: Tree, desk: Desk) -> None:
    """While a recipe is paused its tasks wait and say why; a resume starts them; a purge ends them."""
    assert _queues(tree, "pause", "recipe:one", "--for", "2h")["who"] == "ann"
    time.sleep(2.1)
    tree.post([{"kind": "boom"}] * 3)
    until(lambda: _queues(tree)["recipes"].get("one") == {"waiting": 3}, "they are not held")
    told = sentinel("tasks", "--state", "waiting", home=tree.home).stdout.decode()
    assert told.count("held: recipe one is paused by ann: as agreed") == 3
    shown = sentinel("queues", home=tree.home).stdout.decode()
    assert "paused: recipe:one since " in shown
    assert "by ann: as agreed" in shown
    until(lambda: desk.served == 3, "the others do not go on")
    assert _queues(tree, "purge", "service:nobody")["cancelled"] == 0
    assert _queues(tree, "resume", "recipe:one")["woken"] == 3
    until(lambda: desk.served == 6, "they do not go on")
    assert desk.highest["/one"] == 1
    _queues(tree, "pause", "all")
    time.sleep(2.1)
    tree.post([{"kind": "boom"}] * 2)
    until(lambda: _queues(tree)["streams"].get("action") == {"waiting": 4}, "they are not held")
    assert _queues(tree, "purge", "all", "--dry-run")["cancelled"] == 4
    assert _queues(tree, "purge", "all")["cancelled"] == 4
    assert _queues(tree)["streams"] == {}
    assert sentinel("queues", "pause", "nothing", *ACT, home=tree.home).returncode == 1
    assert sentinel("queues", "resume", "siem", *ACT, home=tree.home).returncode == 1
