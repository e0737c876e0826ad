"""What a person does to tasks by command, in a real tree: resolve, retry, redrive, cancel."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.trees import LOOPBACK, Tree, push, sentinel, until, up

RULE = "title: Boom\nid: 0e0a6e1f-6f0b-4a55-9a4e-5f4d1c1f0b01\nlogsource: {product: any}\n"
RULE += "detection: {selection: {kind: boom}, condition: selection}\n"


class Desk(socketserver.ThreadingTCPServer):
    """An HTTP server that answers with `status`, or with 0 hangs up on what it has read."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        self.status = 200
        self.asked = 0
        super().__init__(("127.0.0.1", 0), _Answer)


class _Answer(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        desk: Any = self.server
        self.request.recv(65_536)
        desk.asked += 1
        if desk.status:
            head = (f"HTTP/1.1 {desk.status} X", "Content-Length: 0", "Connection: close", "Retry-After: 600")
            self.request.sendall("\r\n".join((*head, "", "")).encode())


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Serve."""
    with Desk() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def tree(tmp_path: Path, desk: Desk) -> Iterator[Tree]:
    """Run a tree whose one recipe asks the desk, at most once."""
    home = tmp_path / "home"
    url = f"http://127.0.0.1:{desk.server_address[1]}/"
    recipe = "id: ask\non: {rule: Boom}\nsteps:\n"
    recipe += f"  - {{id: ask, uses: http.call, effect: at-most-once, with: {{url: '{url}'}}}}\n"
    push(home, tmp_path / "docs", rule=RULE, recipe=recipe)
    with up(home, settings=LOOPBACK) as running:
        yield running


def _task(tree: Tree, state: str) -> dict[str, Any]:
    def found() -> Any:
        told = json.loads(sentinel("tasks", "--json", "--state", state, home=tree.home).stdout)
        return told[0] if told else None

    task: dict[str, Any] = until(found, f"no task is {state}")
    return task


def _act(tree: Tree, *words: str) -> tuple[int, dict[str, Any]]:
    done = sentinel("tasks", *words, "--why", "as agreed", "--who", "ann", "--json", home=tree.home)
    return done.returncode, json.loads(done.stdout or done.stderr)


def _dead(tree: Tree) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(sentinel("tasks", "dead", "--json", home=tree.home).stdout)
    return found


def _last(tree: Tree, task: str) -> dict[str, Any]:
    shown = json.loads(sentinel("tasks", "show", task, "--json", home=tree.home).stdout)
    event: dict[str, Any] = [each for each in shown["lineage"] if each.get("who")][-1]
    return event


@pytest.mark.nightly
def test_an_ambiguous_task_is_resolved(tree: Tree, desk: Desk) -> None:
    """A server that hangs up leaves a doubt; a person has it done again, and the lineage tells who."""
    desk.status = 0
    tree.post([{"kind": "boom"}])
    task = _task(tree, "ambiguous")["id"]
    assert desk.asked == 1
    code, told = _act(tree, "retry", task)
    assert (code, told["error"]) == (1, "Conflict")
    desk.status = 200
    assert _act(tree, "resolve", task, "again")[0] == 0
    assert _task(tree, "succeeded")["id"] == task
    assert desk.asked == 2
    event = _last(tree, task)
    assert (event["who"], event["why"], event["verdict"]) == ("ann", "as agreed", "again")


@pytest.mark.nightly
def test_a_waiting_task_is_retried_and_a_failed_one_redriven(tree: Tree, desk: Desk) -> None:
    """What waits ten minutes is tried at once; what failed goes on from the step that failed."""
    desk.status = 503
    tree.post([{"kind": "boom"}])
    task = _task(tree, "waiting")["id"]
    desk.status = 404
    assert _act(tree, "retry", task)[0] == 0
    assert _task(tree, "failed")["id"] == task
    (letter,) = _dead(tree)
    assert (letter["task"], letter["state"]) == (task, "failed")
    assert "404" in letter["reason"]
    assert "redrive" in sentinel("tasks", "dead", home=tree.home).stdout.decode()
    desk.status = 200
    assert _act(tree, "redrive", task)[0] == 0
    assert _task(tree, "succeeded")["id"] == task
    assert desk.asked == 3
    assert [each["state"] for each in _dead(tree)] == ["succeeded"]


@pytest.mark.nightly
def test_a_task_is_cancelled(tree: Tree, desk: Desk) -> None:
    """A cancelled task asks nobody any more, and cannot be cancelled twice; unknown tasks are missing."""
    desk.status = 503
    tree.post([{"kind": "boom"}])
    task = _task(tree, "waiting")["id"]
    code, told = _act(tree, "cancel", task)
    assert (code, told["state"]) == (0, "cancelled")
    assert _act(tree, "cancel", task)[0] == 1
    assert _act(tree, "retry", task)[0] == 1
    assert _act(tree, "cancel", "a" * 26)[1]["error"] == "Missing"
    assert desk.asked == 1
