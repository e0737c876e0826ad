"""`sentinel trace` and `verify --tasks` on a real tree: from a request to its targets, and back."""

from __future__ import annotations

import json
import os
import socketserver
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples import check_trace
from tests.e2e.trees import LOOPBACK, ROOT, Tree, environment, push, sentinel, until, up

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
RULE = "title: Boom\nid: 0e0a6e1f-6f0b-4a55-9a4e-5f4d1c1f0b01\nlogsource: {product: any}\n"
RULE += "detection: {selection: {kind: boom}, condition: selection}\n"


class Desk(socketserver.ThreadingTCPServer):
    """An HTTP server that keeps the heads of the requests it answers."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        self.heads: list[dict[str, str]] = []
        super().__init__(("127.0.0.1", 0), _Answer)


class _Answer(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        desk: Any = self.server
        head = self.request.recv(65_536).partition(b"\r\n\r\n")[0].decode()
        pairs = (line.partition(": ") for line in head.split("\r\n")[1:])
        desk.heads.append({name.lower(): value for name, _, value in pairs})
        self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """Serve."""
    with Desk() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, desk: Desk) -> Iterator[Tree]:
    """Run a tree whose recipe tells a file and asks the desk, and let one entry set it off."""
    folder = tmp_path_factory.mktemp("trace")
    url = f"http://127.0.0.1:{desk.server_address[1]}/"
    recipe = "id: ask\non: {rule: Boom}\nsteps:\n"
    recipe += "  - {id: tell, uses: siem.send, with: {to: [main]}}\n"
    recipe += f"  - {{id: ask, uses: http.call, with: {{url: '{url}'}}}}\n"
    sinks = "sinks: {main: {kind: file, path: alerts.ndjson}}"
    push(folder / "home", folder / "docs", rule=RULE, recipe=recipe, sinks=sinks)
    with up(folder / "home", settings=LOOPBACK) as running:
        running.post([{"kind": "fine"}])
        entry = {"kind": "boom", "trace_id": TRACE, "span_id": SPAN, "secret": "canary-77"}
        running.post([{"kind": "fine"}, entry], traceparent=f"00-{'9' * 32}-{'8' * 16}-01")
        until(lambda: _task(running), "no task has succeeded")
        yield running


def _task(tree: Tree) -> str:
    found = json.loads(sentinel("tasks", "--json", "--state", "succeeded", home=tree.home).stdout)
    return found[0]["id"] if found else ""


def traced(home: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code and the JSON of a trace."""
    done = sentinel("trace", *arguments, "--json", home=home)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_trace_is_checked_by_hashlib_alone(tree: Tree) -> None:
    """What the command prints goes through the example's checker, a process that imports nothing of ours."""
    done = sentinel("trace", _task(tree), "--json", home=tree.home)
    assert b"canary-77" not in done.stdout
    command = [sys.executable, "-I", str(ROOT / "examples" / "check_trace.py")]
    checked = subprocess.run(command, input=done.stdout, capture_output=True, timeout=30, check=False)
    assert checked.returncode == 0, checked.stderr
    assert b"test/0 entry 2: in the chain, up to head" in checked.stdout
    told = json.loads(done.stdout)
    told["runs"][0]["segments"][0]["leaves"][0] = "0" * 64
    bad = json.dumps(told).encode()
    checked = subprocess.run(command, input=bad, capture_output=True, timeout=30, check=False)
    assert (checked.returncode, checked.stderr.startswith(b"broken: ")) == (1, True)


def test_the_trace_goes_from_the_entry_to_the_targets(tree: Tree, desk: Desk) -> None:
    """The desk gets a traceparent of the entry's trace, the file its ids, and the lineage tells the span."""
    (head,) = desk.heads
    version, trace, span, flags = head["traceparent"].split("-")
    assert (version, trace, flags) == ("00", TRACE, "01")
    _, told = traced(tree.home, f"{_task(tree)}/ask")
    (effect,) = [it for it in told["tasks"][0]["effects"] if it["step"] == "ask"]
    assert effect["decided"]["span"] == span
    assert head["idempotency-key"] == f'"{effect["key"]}"'
    (line,) = (tree.home / "files" / "alerts.ndjson").read_bytes().splitlines()
    assert json.loads(line)["trace"] == {"id": TRACE}
    assert json.loads(line)["span"] == {"id": told["tasks"][0]["span"]}


@pytest.mark.nightly
def test_every_way_to_ask_leads_to_the_same_task(tree: Tree, desk: Desk) -> None:
    """By task, by effect key, by step, by entry in both spellings."""
    task = _task(tree)
    key = desk.heads[0]["idempotency-key"].strip('"')
    for arguments in ((task,), (key,), (f"{task}/ask",), ("test/0:2",), ("test/0", "2")):
        code, told = traced(tree.home, *arguments)
        assert (code, [it["id"] for it in told["tasks"]]) == (0, [task])
        check_trace.check(told)


@pytest.mark.nightly
def test_entries_are_told_on_demand(tree: Tree) -> None:
    """`--entries` tells the entry, and proves its bytes."""
    _, told = traced(tree.home, _task(tree), "--entries")
    assert json.loads(told["entries"][0]["entry"])["secret"] == "canary-77"
    check_trace.check(told)


def test_a_trace_leads_to_written_heads(tree: Tree, tmp_path: Path) -> None:
    """What `chains --json` printed is a head that the proof leads to; a false one is told and exits 1."""
    heads = json.loads(sentinel("chains", "--json", home=tree.home).stdout)
    path = tmp_path / "heads.json"
    path.write_text(json.dumps(heads))
    code, told = traced(tree.home, _task(tree), "--against", str(path))
    assert (code, told["runs"][0]["linked"], told["runs"][0]["head"]) == (0, "written", heads[0]["head"])
    path.write_text(json.dumps([{**heads[0], "head": "00" * 32}]))
    code, told = traced(tree.home, _task(tree), "--against", str(path))
    assert (code, told["damage"][0]["kind"]) == (1, "rewritten")


@pytest.mark.nightly
def test_the_picture_fits_its_terminal(tree: Tree) -> None:
    """Without a terminal it is 80 columns without colours; ASCII where the output is ASCII."""
    command = [sys.executable, "-m", "sentinel.cli.main", "trace", _task(tree), "--home", str(tree.home)]
    for encoding, columns in (("utf-8", "80"), ("ascii", "80"), ("utf-8", "120"), ("latin-1", "60")):
        told = environment(PYTHONIOENCODING=encoding, COLUMNS=columns)
        done = subprocess.run(command, capture_output=True, timeout=60, env=told, check=False)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.decode(encoding).splitlines()
        assert max(map(len, lines)) <= max(int(columns), 80)
        assert ("├─" in done.stdout.decode(encoding)) is (encoding == "utf-8")
        assert b"\x1b" not in done.stdout


def test_the_api_tells_a_service_its_own(tree: Tree) -> None:
    """`GET /v1/tasks/{task}/trace` is the same JSON; to a service with no entry in it a 404."""
    task = _task(tree)
    status, _, body = tree.request("GET", f"/v1/tasks/{task}/trace", headers={"Sentinel-Service": "test"})
    assert status == 200
    assert json.loads(body) == traced(tree.home, task)[1]
    for service, asked in (("other", task), ("test", "a" * 26), ("test", "x")):
        status, _, body = tree.request(
            "GET", f"/v1/tasks/{asked}/trace", headers={"Sentinel-Service": service}
        )
        assert (status, json.loads(body)["error"]) == (404, "Missing")


def test_spans_are_printed(tree: Tree) -> None:
    """`--otlp` prints the task and its steps as spans of the entry's trace."""
    done = sentinel("trace", _task(tree), "--otlp", home=tree.home)
    (scope,) = json.loads(done.stdout)["resourceSpans"][0]["scopeSpans"]
    assert [it["name"] for it in scope["spans"]] == ["ask", "tell siem.send", "ask http.call"]
    assert {it["traceId"] for it in scope["spans"]} == {TRACE}
    assert scope["spans"][0]["parentSpanId"] == SPAN


@pytest.mark.parametrize("what", ["nonsense", "a" * 25, "0" * 63, "test/0", "test/0:x", "../etc:1"])
def test_what_is_no_id_is_wrong_usage(tree: Tree, what: str) -> None:
    """What is neither a task, an effect nor an entry exits 2 and says what there is."""
    done = sentinel("trace", what, home=tree.home)
    assert done.returncode == 2
    assert b"is no task" in done.stderr


def test_verify_counts_tasks_and_finds_damage(tree: Tree, tmp_path: Path) -> None:
    """`verify --tasks` verifies chains and tasks; a turned bit of an event makes it and `trace` exit 1."""
    task = _task(tree)
    done = sentinel("verify", "--tasks", "--json", home=tree.home)
    told = json.loads(done.stdout)
    assert (done.returncode, told["tasks"]["tasks"], told["tasks"]["effects"]) == (0, 1, 2)
    assert told["chains"][0]["verified"]
    assert b"whole    tasks: 1 tasks" in sentinel("verify", "--tasks", home=tree.home).stdout
    home = tmp_path / "copy"
    home.mkdir()
    for name in ("ledger.db", "tasks.db", "catalog.db"):
        with sqlite3.connect(tree.home / name) as source, sqlite3.connect(home / name) as copy:
            source.backup(copy)
    with sqlite3.connect(home / "tasks.db") as copy:
        ((entry,),) = copy.execute("SELECT entry FROM events WHERE seq = 2").fetchall()
        copy.execute(
            "UPDATE events SET entry = ? WHERE seq = 2", (entry[:-2] + bytes([entry[-2] ^ 1]) + entry[-1:],)
        )
    done = sentinel("verify", "--tasks", home=home)
    assert done.returncode == 1
    assert f"task/{task} at event 2: hash".encode() in done.stdout
    code, told = traced(home, task)
    assert (code, told["damage"][0]["seq"]) == (1, 2)
    done = sentinel("trace", task, home=home)
    assert (done.returncode, b"damaged in 1 place" in done.stdout) == (1, True)
    assert os.environ.get("NO_COLOR") or b"\x1b" not in done.stdout
