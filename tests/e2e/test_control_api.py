"""A service's people at the API of a tree with its doors: list, cancel, fork, redrive many."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sentinel.cli.clients import local_credentials
from sentinel.cli.door import Door
from tests.e2e.test_task_control import RULE
from tests.e2e.trees import LOOPBACK, Tree, push, sentinel, until, up

SCOPES = ("ingest", "tasks:read", "tasks:control", "recipes:write")


class Desk(ThreadingHTTPServer):
    """Answers with `status` what is asked, once it may; notes the paths."""

    daemon_threads = True

    def __init__(self) -> None:
        self.status = 200
        self.asked: list[str] = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        super().__init__(("127.0.0.1", 0), _Answer)


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        desk: Any = self.server
        desk.asked.append(self.path)
        assert desk.may_answer.wait(30)
        with contextlib.suppress(BrokenPipeError):
            self.send_response(desk.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Serve."""
    with Desk() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.may_answer.set()
        server.shutdown()


@pytest.fixture
def tree(tmp_path: Path, desk: Desk) -> Iterator[Tree]:
    """Run a tree with doors whose one recipe asks the desk twice."""
    home = tmp_path / "home"
    url = f"http://127.0.0.1:{desk.server_address[1]}"
    recipe = "id: ask\non: {rule: Boom}\nretry: {attempts: 1, backoff: 1s..2s}\nsteps:\n"
    recipe += f"  - {{id: ask, uses: http.call, with: {{method: GET, url: '{url}/ask', timeout: 25s}}}}\n"
    recipe += f"  - {{id: tell, uses: http.call, with: {{method: GET, url: '{url}/tell'}}}}\n"
    push(home, tmp_path / "docs", rule=RULE, recipe=recipe)
    with up(home, insecure=False, settings={**LOOPBACK, "SENTINEL_DOOR_SECONDS": "1"}) as running:
        yield running


_OPEN: list[Door] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Close everybody's connections."""
    yield
    while _OPEN:
        _OPEN.pop().close()


class Person:
    """Somebody of a service: asks with its certificate and a token."""

    def __init__(self, tree: Tree, service: str) -> None:
        proof = local_credentials(tree.home, tree.url, service, lambda _: None)
        scopes = [each for scope in SCOPES for each in ("--scope", scope)]
        done = sentinel("services", "change", service, *scopes, "--tier", "high", home=tree.home)
        assert done.returncode == 0, done.stderr.decode()
        self.door = Door(tree.url, service, proof)
        _OPEN.append(self.door)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send a request; return status and answer."""
        raw = b"" if body is None else json.dumps(body).encode()
        answer = self.door.request(method, path, raw)
        return answer.status, json.loads(answer.body)

    def boom(self) -> None:
        """Set a task off."""
        assert self.door.request("POST", "/v1/entries", b'{"kind": "boom"}').status == 200

    def task(self, state: str, but: tuple[str, ...] = ()) -> dict[str, Any]:
        """Wait for a task of one's own in a state, and return it."""

        def found() -> Any:
            status, told = self.ask("GET", f"/v1/tasks?state={state}")
            assert status == 200, told
            return next((each for each in told["tasks"] if each["id"] not in but), None)

        task: dict[str, Any] = until(found, f"no task is {state}")
        return task


@pytest.mark.nightly
@pytest.mark.slow
def test_the_journey_of_a_task_in_peoples_hands(tree: Tree, desk: Desk) -> None:
    """A hanging step is cancelled and nothing follows it; its fork goes on; many are redriven at once."""
    ann, bob = Person(tree, "shop"), Person(tree, "other")
    desk.may_answer.clear()
    ann.boom()
    running = ann.task("running")
    until(lambda: desk.asked == ["/ask"], "the desk is not asked")
    assert bob.ask("GET", "/v1/tasks") == (200, {"tasks": []})
    assert bob.ask("POST", f"/v1/tasks/{running['id']}/cancel", {"why": "not mine"})[0] == 404
    status, told = ann.ask("POST", f"/v1/tasks/{running['id']}/cancel", {"why": "it hangs"})
    assert (status, told["state"]) == (200, "cancelled")
    assert "may have happened" in told["reason"]
    desk.may_answer.set()  # now the step succeeds, and its worker finds that nobody wants that any more
    desk.status = 404
    order = {"why": "again", "inputs": {"ask": {"expect": [200]}}, "request": "first"}
    status, fork = ann.ask("POST", f"/v1/tasks/{running['id']}/fork", order)
    assert (status, fork["fork_of"]) == (200, running["id"])
    assert ann.ask("POST", f"/v1/tasks/{running['id']}/fork", order)[1]["id"] == fork["id"]
    assert ann.task("failed")["id"] == fork["id"]
    assert desk.asked == ["/ask", "/ask"]
    assert ann.ask("GET", f"/v1/tasks/{running['id']}")[1]["state"] == "cancelled"
    ann.boom()
    second = ann.task("failed", (fork["id"],))
    desk.status = 200
    bulk = {"act": "redrive", "filter": {"recipe": "ask"}, "why": "the desk is back"}
    assert bob.ask("POST", "/v1/tasks/bulk", bulk)[1]["matched"] == 0
    assert ann.ask("POST", "/v1/tasks/bulk", {**bulk, "dry_run": True})[1]["done"] == 2
    status, told = ann.ask("POST", "/v1/tasks/bulk", bulk)
    assert (status, told) == (200, {"matched": 2, "done": 2, "not_possible": {}, "more": False})
    for task in (fork, second):
        until(lambda: ann.ask("GET", f"/v1/tasks/{task['id']}")[1]["state"] == "succeeded", "it fails")  # noqa: B023
        shown = ann.ask("GET", f"/v1/tasks/{task['id']}")[1]
        acts = [(each["who"], each["why"]) for each in shown["lineage"] if "who" in each]
        assert acts[-1] == ("service/shop", "the desk is back")
    assert len(ann.ask("GET", "/v1/tasks")[1]["tasks"]) == 3
    assert ann.ask("GET", f"/v1/tasks/{running['id']}")[1]["forks"] == [fork["id"]]


def _command(tree: Tree, *words: str) -> Any:
    done = sentinel("tasks", *words, "--json", home=tree.home)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@pytest.mark.nightly
@pytest.mark.slow
def test_the_same_by_command(tree: Tree, desk: Desk) -> None:
    """`tasks fork` and `tasks bulk` do on the machine what the API does, and filters find the tasks."""
    ann = Person(tree, "shop")
    desk.status = 404
    ann.boom()
    task = ann.task("failed")
    why = ("--why", "as agreed", "--who", "ann")
    order = ("fork", task["id"], "--set", "ask.expect=[404]", "--set", "tell.expect=[404]", "--request", "x")
    fork = _command(tree, *order, *why)
    assert _command(tree, *order, *why)["id"] == fork["id"]
    until(lambda: _command(tree, "show", fork["id"])["state"] == "succeeded", "the fork does not succeed")
    assert _command(tree, "show", task["id"])["forks"] == [fork["id"]]
    shown = sentinel("tasks", "show", fork["id"], home=tree.home).stdout.decode()
    assert f"fork of  {task['id']}" in shown
    assert "input    ask.expect = [404]" in shown
    refused = sentinel("tasks", "fork", task["id"], "--set", "ask.verb=GET", *why, "--json", home=tree.home)
    assert refused.returncode != 0
    assert "verb" in json.loads(refused.stderr)["message"]
    assert sentinel("tasks", "fork", task["id"], "--set", "ask", *why, home=tree.home).returncode == 2
    told = _command(tree, "bulk", "redrive", "--recipe", "ask", "--reason", "404", "--dry-run", *why)
    assert (told["matched"], told["done"]) == (1, 1)
    desk.status = 200
    words = ("--service", "shop", "--state", "failed", "--created-after", "2020-01-01", "--limit", "5")
    assert _command(tree, "bulk", "redrive", *words, *why)["done"] == 1
    until(lambda: _command(tree, "show", task["id"])["state"] == "succeeded", "the task does not succeed")
    told = sentinel("tasks", "bulk", "redrive", *why, home=tree.home).stdout.decode()
    assert told == "0 matched, 0 were redriven\n"
    by_service = _command(tree, "--service", "shop", "--recipe", "ask")
    assert {each["id"] for each in by_service} == {task["id"], fork["id"]}
    assert _command(tree, "--service", "other") == []
