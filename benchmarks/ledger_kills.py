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
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.ledger_kills_load import CHAIN, Producer, judged
from benchmarks.report import report
from sentinel.adapters.redis_streams import connect
from sentinel.bootstrap import App
from sentinel.local import valkey
from sentinel.settings import Settings
from tests.clients.relay import FLAPPING, Relay
from tests.e2e.trees import Tree, alerts, environment, until

ROOT = Path(__file__).resolve().parents[1]
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
    name: {"at_most": 0}
    for name in ("lost", "doubled", "contradicted", "unannounced", "untold", "told_twice")
}
PATIENCE = 60.0  # seconds that anything may take on a machine that does much else
# What is killed in turns; the whole tree each tenth time.
VICTIMS = (
    "gateway",
    "sealer",
    "gateway",
    "feeds",
    "gateway",
    "sealer",
    "work_siem",
    "gateway",
    "valkey",
    "tree",
)


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
        command = [
            sys.executable,
            "-m",
            "benchmarks.ledger_kills_child",
            words[0],
            str(self.home),
            *words[1:],
        ]
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
            os.kill(until(lambda: self._child(victim), f"no {victim}", PATIENCE), signal.SIGKILL)
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

    def close(self) -> None:
        """Kill what runs."""
        for process in (self.tree.process if self.tree else None, self.sealer):
            if process is not None and process.poll() is None:
                process.kill()
                _close(process)

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
        receipts = _killed(runner, load, kills)
        app.sealer.seal(CHAIN)
        figures: dict[str, float] = {"kills": kills}
        figures |= {f"kills_{name}": count for name, count in sorted(runner.killed.items())}
        figures |= judged(app, receipts) | _told(home, receipts)
        figures["sent_again"] = sum(each.sends for each in load) - len(receipts)
        figures["connections_cut"] = relay.cut
        if runner.stop() != 0:
            raise SystemExit("the tree did not come to a clean end")
    finally:
        relay.close()
        runner.close()
    return figures


def _killed(runner: Runner, load: Sequence[Producer], kills: int) -> dict[str, dict[str, Any]]:
    """Kill under load, each after some batches that were acknowledged since the last; return all receipts."""

    def acknowledged() -> int:
        return sum(len(each.receipts) for each in load)

    for each in load:
        each.start()
    for kill in range(kills):
        wanted = acknowledged() + 2
        until(lambda wanted=wanted: acknowledged() >= wanted, "no load", PATIENCE)  # type: ignore[misc]
        runner.kill(VICTIMS[kill % len(VICTIMS)])
        if kill % 7 == 3:
            runner.flush()
    for each in load:
        each.ended.set()
    for each in load:
        each.join(timeout=PATIENCE)
        if each.is_alive():
            raise SystemExit("a batch was never acknowledged")
    return {name: receipt for each in load for name, receipt in each.receipts.items()}


def _told(home: Path, receipts: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Wait for the tasks that were set off; return how many are missing or there twice."""
    booms = {f"{name}-0" for name in receipts if int(name.partition("-")[2]) % 5 == 0}
    with contextlib.suppress(AssertionError):  # then they are told as missing
        until(lambda: {each["entry"]["id"] for each in alerts(home)} >= booms, "not all were told", PATIENCE)
    told = Counter(each["entry"]["id"] for each in alerts(home))
    return {
        "told": len(told),
        "untold": len(booms - told.keys()),
        "told_twice": sum(count > 1 for count in told.values()),
    }


def _free_port() -> int:
    """Return a free port whose next one is free, too: the webhook API has that.

    It is none of those that the system gives to whoever connects: nobody has it while the tree is dead.
    """
    given = Path("/proc/sys/net/ipv4/ip_local_port_range")
    end = int(given.read_text().split()[0]) if given.exists() else 32_768
    while True:
        port = random.randrange(min(10_000, end // 2), end - 1)
        with socket.socket() as one, socket.socket() as two, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
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
