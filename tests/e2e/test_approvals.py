"""Approvals in a real tree: by key, by link and by word; refused, expired, and void after a change."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from sentinel.local import author_key
from tests.e2e.test_task_control import RULE, Desk
from tests.e2e.trees import LOOPBACK, Tree, alerts, push, sentinel, until, up

SINKS = "sinks: {out: {kind: file, path: PATH}}\n"


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Serve."""
    with Desk() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def _recipe(desk: Desk, asks: str) -> str:
    url = f"http://127.0.0.1:{desk.server_address[1]}/"
    return (
        f"id: ask\non: {{rule: Boom}}\nsteps:\n  - {{id: ask, uses: approval, with: {{{asks}}}}}\n"
        f"  - {{id: act, uses: http.call, with: {{url: '{url}'}}}}\n"
        "  - {id: tell, uses: siem.send, with: {to: [out]}}\n"
    )


def _keygen(name: str, folder: Path) -> Path:
    key = folder / f"{name}.pem"
    (folder / f"{name}.pub").write_text(author_key.make(key))
    return key


@pytest.fixture
def tree(tmp_path: Path, desk: Desk) -> Iterator[Tree]:
    """Run a tree whose recipe asks two of alice, the team and dave; bob is of the team, dave has no key."""
    home = tmp_path / "home"
    for name, groups in (("alice", ()), ("bob", ("--group", "team"))):
        _keygen(name, tmp_path)
        public = str(tmp_path / f"{name}.pub")
        assert sentinel("authors", "add", name, "--key", public, *groups, home=home).returncode == 0
    asks = "by: [alice, team, dave], needs: 2, message: Really"
    sinks = SINKS.replace("PATH", "alerts.ndjson")
    push(home, tmp_path / "docs", rule=RULE, recipe=_recipe(desk, asks), sinks=sinks)
    with up(home, settings=LOOPBACK) as running:
        running.post([{"kind": "boom"}])
        yield running


def _run(tree: Tree, *words: str) -> tuple[int, dict[str, Any]]:
    done = sentinel("tasks", *words, "--json", home=tree.home)
    return done.returncode, json.loads(done.stdout or done.stderr)


def _task(tree: Tree, state: str) -> str:
    def found() -> Any:
        told = json.loads(sentinel("tasks", "--json", "--state", state, home=tree.home).stdout)
        return told[0]["id"] if told else None

    task: str = until(found, f"no task is {state}")
    return task


def _say(tree: Tree, verdict: str, task: str, *words: str) -> tuple[int, dict[str, Any]]:
    digest = _run(tree, "approval", task)[1]["digest"]
    return _run(tree, verdict, task, "--digest", digest, "--why", "as agreed", *words)


def _key(tree: Tree, name: str) -> tuple[str, str]:
    return "--key", str(tree.home.parent / f"{name}.pem")


def _hooks(tree: Tree, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    parts = urlsplit(tree.hooks)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    connection.request("POST", "/approve", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found


def test_two_approve_and_it_is_done_once(tree: Tree, desk: Desk) -> None:
    """By key and by word; the lineage keeps the signature, and `tasks show` checks it."""
    task = _task(tree, "awaiting-approval")
    shown = _run(tree, "approval", task)[1]
    assert [each["id"] for each in shown["shown"]["steps"]] == ["act", "tell"]
    assert desk.asked == 0
    assert _say(tree, "approve", task, "--who", "alice")[1]["error"] == "Forbidden"
    assert _say(tree, "approve", task, "--who", "erin")[1]["error"] == "Forbidden"
    assert _say(tree, "approve", task, *_key(tree, "alice")) == (
        0,
        {
            "task": task,
            "state": "awaiting-approval",
            "approved_by": ["alice"],
            "missing": "1 more of alice, team, dave",
        },
    )
    assert _say(tree, "approve", task, "--who", "dave")[1]["state"] == "queued"
    assert _task(tree, "succeeded") == task
    assert (desk.asked, len(alerts(tree.home))) == (1, 1)
    told = _run(tree, "show", task)[1]
    events = [each for each in told["lineage"] if each.get("verdict")]
    assert [(each["who"], each["how"]) for each in events] == [("alice", "signed"), ("dave", "operator")]
    assert told["signatures"] == {str(events[0]["seq"]): "verifies: alice"}
    text = sentinel("tasks", "show", task, home=tree.home).stdout.decode()
    assert "signature=verifies: alice" in text
    assert "envelope" not in text


@pytest.mark.nightly
def test_one_refuses(tree: Tree, desk: Desk) -> None:
    """The task fails with the reason, and nothing is done."""
    task = _task(tree, "awaiting-approval")
    assert _say(tree, "refuse", task, *_key(tree, "bob"))[1]["state"] == "failed"
    assert _run(tree, "show", task)[1]["reason"] == "refused by bob: as agreed"
    assert desk.asked == 0


@pytest.mark.nightly
def test_a_link_is_used_once(tree: Tree, desk: Desk) -> None:
    """Made for bob by command; the second use is refused, and the other approval is alice's."""
    task = _task(tree, "awaiting-approval")
    code, made = _run(tree, "link", task, "--for", "bob", "--within", "10m")
    assert (code, made["for"]) == (0, "bob")
    address, _, token = made["url"].partition("#")
    assert address == f"{tree.hooks}/approve"
    status, told = _hooks(tree, {"token": token, "look": True})
    assert (status, told["for"], told["state"]) == (200, "bob", "awaiting-approval")
    said = {"token": token, "verdict": "approve", "why": "from my phone"}
    status, told = _hooks(tree, said)
    assert (status, told["approved_by"]) == (200, ["bob"])
    assert _hooks(tree, said)[0] == 409
    assert _say(tree, "approve", task, *_key(tree, "alice"))[0] == 0
    assert _task(tree, "succeeded") == task
    assert _hooks(tree, said)[0] == 409
    assert desk.asked == 1


@pytest.mark.nightly
def test_what_changed_is_asked_again(tree: Tree, desk: Desk, tmp_path: Path) -> None:
    """A sink that got another address after the approval is asked about before it is told of anything."""
    task = _task(tree, "awaiting-approval")
    old = _run(tree, "approval", task)[1]["digest"]
    assert _say(tree, "approve", task, *_key(tree, "alice"))[0] == 0
    desk.status = 503  # the first step waits for ten minutes, and the rest with it
    assert _say(tree, "approve", task, *_key(tree, "bob"))[0] == 0
    assert _task(tree, "waiting") == task
    push(tree.home, tmp_path / "docs", sinks=SINKS.replace("PATH", "elsewhere.ndjson"))
    desk.status = 200
    until(lambda: _run(tree, "retry", task, "--why", "the desk is back")[0] == 0, "it does not wait")
    assert _task(tree, "awaiting-approval") == task
    told = _run(tree, "approval", task)[1]
    assert (told["approvals"], told["asked"] != old) == ([], True)
    assert [each["id"] for each in told["shown"]["steps"]] == ["tell"]
    assert not alerts(tree.home)
    assert not alerts(tree.home, "elsewhere.ndjson")
    code, refused = _run(tree, "approve", task, "--digest", old, *_key(tree, "alice"))
    assert (code, refused["error"]) == (1, "Conflict")
    for name in ("alice", "bob"):
        assert _say(tree, "approve", task, *_key(tree, name))[0] == 0
    assert _task(tree, "succeeded") == task
    assert (len(alerts(tree.home)), len(alerts(tree.home, "elsewhere.ndjson"))) == (0, 1)


@pytest.mark.nightly
def test_what_nobody_answers_expires(tmp_path: Path, desk: Desk) -> None:
    """The task's own deadline ends the wait for people too."""
    home = tmp_path / "home"
    recipe = _recipe(desk, "by: [dave]") + "timeout: 3s\n"
    push(home, tmp_path / "docs", rule=RULE, recipe=recipe, sinks=SINKS.replace("PATH", "a.ndjson"))
    with up(home, settings=LOOPBACK) as tree:
        tree.post([{"kind": "boom"}])
        task = _task(tree, "awaiting-approval")
        assert _task(tree, "expired") == task
        code, told = _run(tree, "approve", task, "--who", "dave", "--digest", "0" * 64)
        assert (code, told["error"]) == (1, "Conflict")
        assert desk.asked == 0


def test_an_approval_nobody_can_give_is_not_pushed(tmp_path: Path, desk: Desk) -> None:
    """`recipes check` knows the authors: two of a group of one can never be reached."""
    home = tmp_path / "home"
    _keygen("bob", tmp_path)
    public = str(tmp_path / "bob.pub")
    assert sentinel("authors", "add", "bob", "--key", public, "--group", "team", home=home).returncode == 0
    docs = tmp_path / "docs"
    docs.mkdir()
    recipe = _recipe(desk, "by: [bob, team], needs: 2")
    for name, text in (("rule", RULE), ("recipe", recipe), ("sinks", SINKS.replace("PATH", "a.ndjson"))):
        (docs / f"{name}.yaml").write_text(text)
    done = sentinel("recipes", "check", str(docs), "--json", home=home)
    assert done.returncode == 1
    assert "2 of 1 approvers can never be reached" in done.stderr.decode()
