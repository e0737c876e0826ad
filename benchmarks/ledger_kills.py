"""Entries that are lost or doubled while the local runner is killed with -9 under load, a part of it or all.

`sentinel up` runs on a folder, and a process that seals its chains beside it. Producers send batches under
their ids until each is acknowledged, some of them over a relay whose connections die within a random request
or answer. At random moments one process is killed: mostly the gateway, but also the feeds, Valkey, a worker,
the sealer, or the whole tree at once, as a power cut would; Valkey is emptied, too. What dies starts again
over the same folder.

*Lost* are acknowledged entries that are not where their receipt says, *doubled* entries that are there more
than once, *contradicted* checkpoints that are not of the chain as it is at last, or smaller than one before.
`unannounced` are entries that are there without an acknowledgement: none, once all was sent to its end.
An entry in a hundred sets off a task; `untold` and `told_twice` count those in the file that it writes.

    python -m benchmarks.ledger_kills [--json] [--kills 200]
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.report import report
from sentinel.adapters.redis_streams import connect
from sentinel.bootstrap import App
from sentinel.core.verify import Verifier
from sentinel.local import valkey
from sentinel.settings import Settings
from tests.clients.relay import FLAPPING, Relay
from tests.e2e.trees import Tree, alerts, environment, until

ROOT = Path(__file__).resolve().parents[1]
SERVICE, CHAIN = "kills", "kills/0"
BATCH = 20
RULE = """
title: Boom
name: boom
logsource: {category: application}
detection: {sel: {kind: boom}, condition: sel}
level: high
"""
SINKS = "sinks: {file: {kind: file, path: alerts.ndjson}}"
RECIPE = """
id: tell
on: {rule: boom}
steps: [{id: tell, uses: siem.send, with: {to: [file]}}]
retry: {attempts: 100, backoff: 100ms..1s}
"""
TARGETS: dict[str, dict[str, float]] = {
    name: {"at_most": 0} for name in ("lost", "doubled", "contradicted", "unannounced", "untold", "told_twice")
}
# What is killed in turns; the whole tree each tenth time.
VICTIMS = ("gateway", "sealer", "gateway", "feeds", "gateway", "sealer", "work_siem", "gateway", "valkey", "tree")


class Producer(threading.Thread):
    """Sends numbered batches to a port, each again until it is acknowledged."""

    def __init__(self, number: int, port: int) -> None:
        super().__init__(daemon=True)
        self.number, self.port = number, port
        self.receipts: dict[str, dict[str, Any]] = {}
        self.sends = 0
        self.ended = threading.Event()

    def run(self) -> None:
        """See the class."""
        since = "0"
        while not self.ended.is_set():
            name = f"{self.number}-{len(self.receipts)}"
            boom = len(self.receipts) % 5 == 0
            lines = [
                json.dumps({"kind": "boom" if boom and at == 0 else "calm", "id": f"{name}-{at}"}) for at in range(BATCH)
            ]
            told = {"Sentinel-Service": SERVICE, "Sentinel-Batch-Id": name, "Sentinel-Since": since}
            while (receipt := self._send("\n".join(lines).encode(), told)) is None:
                time.sleep(0.02)
            self.receipts[name] = receipt
            time.sleep(0.02)  # the processors are for what is killed
            since = f"{receipt['first'] + receipt['count']} {receipt['chain']}"

    def _send(self, body: bytes, headers: dict[str, str]) -> dict[str, Any] | None:
        self.sends += 1
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", "/v1/entries", body, headers)
            answer = connection.getresponse()
            raw = answer.read()
            found: dict[str, Any] | None = json.loads(raw) if answer.status == 200 else None
        except (OSError, ValueError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return found


@dataclass
class Runner:
    """The tree and the sealer, on one folder and one port."""

    home: Path
    port: int
    rng: random.Random
    killed: Counter[str] = field(default_factory=Counter)
    tree: Tree | None = None
    sealer: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start what does not run."""
        if self.tree is None:
            process = self._started("tree", str(self.port))
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, "the tree did not come up"
            self.tree = Tree(process, json.loads(line)["url"], self.home)
        if self.sealer is None:
            self.sealer = self._started("seal")

    def _started(self, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "benchmarks.ledger_kills_child", words[0], str(self.home), *words[1:]]
        return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(), cwd=ROOT)

    def kill(self, victim: str) -> None:
        """Kill one, a random moment after it can be found, and let it start again."""
        assert self.tree is not None
        assert self.sealer is not None
        time.sleep(self.rng.uniform(0, 0.3))
        if victim == "tree":
            self.tree.kill()
            _close(self.tree.process)
            self.tree = None
        elif victim == "sealer":
            self.sealer.kill()
            _close(self.sealer)
            self.sealer = None
        else:
            os.kill(until(lambda: self._child(victim), f"no {victim}"), signal.SIGKILL)
        self.killed[victim] += 1
        self.start()

    def _child(self, name: str) -> int | None:
        assert self.tree is not None
        with contextlib.suppress(StopIteration, OSError):
            return self.tree.child({"valkey": "valkey-server"}.get(name, f"child\0{name}"))
        return None

    def flush(self) -> None:
        """Empty Valkey, where it answers."""
        if valkey.answers(valkey.socket_path(self.home)):
            client = connect(valkey.url(self.home))
            with contextlib.suppress(Exception):  # it may be killed at this moment
                client.flushall()
            client.close()

    def stop(self) -> int:
        """End both; return the tree's exit code."""
        assert self.tree is not None
        assert self.sealer is not None
        self.sealer.kill()
        _close(self.sealer)
        code = self.tree.stop()
        _close(self.tree.process)
        return code


def _close(process: subprocess.Popen[bytes]) -> None:
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def judged(app: App, receipts: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Compare what was acknowledged with what is in the ledger, after verifying it, and its checkpoints."""
    checked, ids, roots = Verifier(CHAIN), list[str](), {0: Verifier(CHAIN).root}
    heads: dict[int, str] = {}
    for segment in app.ledger.read(CHAIN):
        checked.check(segment)
        roots[checked.next], heads[checked.next] = checked.root, segment.head.hex()
        ids += [json.loads(entry)["id"] for entry in segment.opened.entries]
    lost = 0
    for name, receipt in receipts.items():
        first, end = receipt["first"], receipt["first"] + receipt["count"]
        there = ids[first:end] == [f"{name}-{at}" for at in range(BATCH)] and heads.get(end) == receipt["head"]
        lost += 0 if there else BATCH
    acknowledged = {f"{name}-{at}" for name in receipts for at in range(BATCH)}
    newest = app.sealer.newest(CHAIN)
    sizes, contradicted = [0], 0
    for number in range(newest.number + 1 if newest else 0):
        point = app.sealer.keys.read(CHAIN, number, app.notes.get(CHAIN, number) or b"").checkpoint
        contradicted += roots.get(point.size) != point.root or point.size < sizes[-1]
        sizes.append(point.size)
    return {
        "acknowledged": len(acknowledged),
        "found": len(ids),
        "lost": lost,
        "doubled": sum(count - 1 for count in Counter(ids).values()),
        "unannounced": len(set(ids) - acknowledged),
        "checkpoints": len(sizes) - 1,
        "contradicted": contradicted,
    }


def run(home: Path, kills: int, seed: int = 7, producers: int = 3) -> dict[str, float]:
    """Kill so many processes; return the figures."""
    rng = random.Random(seed)
    app = App(Settings(home=str(home)))
    for kind, name, body in (("rule", "boom", RULE), ("sink", "sinks", SINKS), ("recipe", "tell", RECIPE)):
        app.catalog.push(kind, name, body.encode())
    runner = Runner(home, _free_port(), rng)
    relay = Relay(runner.port, rng)
    relay.mode = FLAPPING
    load = [Producer(number, relay.port if number % 2 else runner.port) for number in range(producers)]
    try:
        runner.start()
        for each in load:
            each.start()
        until(lambda: all(each.receipts for each in load), "no load")
        for kill in range(kills):
            before = sum(len(each.receipts) for each in load)
            until(lambda: sum(len(each.receipts) for each in load) > before + 1, "no load")  # noqa: B023 - used here
            runner.kill(VICTIMS[kill % len(VICTIMS)])
            if kill % 7 == 3:
                runner.flush()
        for each in load:
            each.ended.set()
        for each in load:
            each.join(timeout=60)
            assert not each.is_alive(), "a batch was never acknowledged"
        receipts = {name: receipt for each in load for name, receipt in each.receipts.items()}
        app.sealer.seal(CHAIN)
        figures: dict[str, float] = {"kills": kills, **{f"kills_{name}": n for name, n in sorted(runner.killed.items())}}
        figures |= judged(app, receipts) | _told(home, receipts)
        figures |= {"sent_again": sum(each.sends for each in load) - len(receipts), "connections_cut": relay.cut}
        assert runner.stop() == 0
    finally:
        relay.close()
        for process in (runner.tree.process if runner.tree else None, runner.sealer):
            if process is not None and process.poll() is None:
                process.kill()
                _close(process)
    return figures


def _told(home: Path, receipts: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Wait for the tasks that were set off; return how many are missing or there twice."""
    booms = {f"{name}-0" for name in receipts if int(name.partition("-")[2]) % 5 == 0}
    with contextlib.suppress(AssertionError):  # then they are told as missing
        until(lambda: {each["entry"]["id"] for each in alerts(home)} >= booms, "not all were told", 60)
    told = Counter(each["entry"]["id"] for each in alerts(home))
    return {
        "told": len(told),
        "untold": len(booms - told.keys()),
        "told_twice": sum(count > 1 for count in told.values()),
    }


def _free_port() -> int:
    """Return a free port whose next one is free, too: the webhook API has that."""
    while True:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                two.bind(("127.0.0.1", port + 1))
                return port


def main() -> int:
    """Run the benchmark; 0 where the targets are met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print a line of JSON, last")
    parser.add_argument("--kills", type=int, default=200, help="processes to kill")
    kills = parser.parse_args().kills
    folder = Path(tempfile.mkdtemp(prefix="sentinel-kills-"))
    begun = time.monotonic()
    try:
        figures = run(folder / "home", kills)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    figures["seconds"] = round(time.monotonic() - begun, 1)
    return 0 if report("ledger_kills", figures, TARGETS) else 1


if __name__ == "__main__":
    sys.exit(main())
