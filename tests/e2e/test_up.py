"""`sentinel up` as real processes: from an entry to its effects, through kills, and to a clean end."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from examples.loopback_hec import Collector, Server
from sentinel.bootstrap import application
from tests.e2e.trees import LOOPBACK, Tree, alerts, environment, gone, push, sentinel, until, up

RULE = """
title: Boom
id: 6f2f3a53-5d2c-4c35-9b0e-0f5c6f5f1dff
logsource: {product: test}
detection: {sel: {kind: boom}, condition: sel}
level: high
"""
SINKS = "sinks: {file: {kind: file, path: alerts.ndjson}}"
RECIPE = """
id: tell
on: {rule: Boom}
steps: [{id: tell, uses: siem.send, with: {to: [file]}}]
retry: {attempts: 20, backoff: 100ms..1s}
"""


def _export(home: Path, chain: str) -> list[dict[str, Any]]:
    done = sentinel("export", "--chain", chain, home=home)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [json.loads(entry) for line in lines for entry in line["entries"]]


def _tasks(home: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        sentinel("tasks", "--json", "--limit", "100000", home=home).stdout
    )
    return found


def _unsealed(home: Path) -> list[str]:
    """Return the chains of which the newest checkpoint does not have all entries."""
    app = application(str(home))
    heads = app.inspect.heads()
    assert heads
    return [
        each.chain for each in heads if app.prove_chain.checkpoint(each.chain).checkpoint.size != each.entries
    ]


def test_an_entry_leads_to_its_effects_and_a_second_up_goes_on(tmp_path: Path) -> None:
    """A stored entry that a rule matches reaches the file and the collector once; the next `up` continues.

    When it has ended, all that was stored is sealed.
    """
    home = tmp_path / "home"
    hec = Server(Collector("token-of-the-test"))
    hec.start()
    (home / "secrets").mkdir(parents=True, mode=0o700)
    (home / "secrets" / "hec").touch(mode=0o600)
    (home / "secrets" / "hec").write_text("token-of-the-test")
    sinks = SINKS.removesuffix("}") + f", hec: {{kind: splunk, url: '{hec.url}', token: hec}}}}"
    push(home, tmp_path / "docs", rule=RULE, sinks=sinks, recipe=RECIPE.replace("[file]", "[file, hec]"))
    try:
        with up(home, settings=LOOPBACK) as tree:
            receipt = tree.post([{"kind": "calm"}, {"kind": "boom", "n": 1}])
            until(lambda: alerts(home) and hec.collector.events, "nothing was delivered")
            [told] = alerts(home)
            assert (told["chain"], told["seq"], told["entry"]) == ("test/0", 1, {"kind": "boom", "n": 1})
            assert hec.collector.events[0]["event"] == {"kind": "boom", "n": 1}
            task = until(
                lambda: [each for each in _tasks(home) if each["state"] == "succeeded"], "not ended"
            )[0]
            shown = json.loads(sentinel("tasks", "show", task["id"], "--json", home=home).stdout)
            assert shown["cause"]["entries"] == [{"chain": "test/0", "seq": 1}]
            assert sentinel("verify", home=home).returncode == 0
            pids = tree.pids()
            assert len(pids) == 8
            assert tree.stop() == 0
            assert gone(pids)
            assert not (home / "endpoint.json").exists()
            assert _unsealed(home) == []
        with up(home, settings=LOOPBACK) as tree:
            assert tree.post([{"kind": "boom", "n": 2}])["first"] == receipt["first"] + 2
            until(
                lambda: len(alerts(home)) == 2 and len(hec.collector.events) == 2, "the second was not told"
            )
            assert [each["entry"]["n"] for each in alerts(home)] == [1, 2]
            assert tree.stop() == 0
            assert _unsealed(home) == []
    finally:
        hec.shutdown()
        hec.server_close()


@pytest.mark.nightly
def test_a_step_starts_well_within_a_second_of_the_acknowledgement(tmp_path: Path) -> None:
    """From the receipt to the started step it takes a moment: the median of ten is under 150 ms."""
    home = tmp_path / "home"
    push(home, tmp_path / "docs", rule=RULE, sinks=SINKS, recipe=RECIPE)
    with up(home) as tree:
        waits = []
        for number in range(11):
            acknowledged = tree.post([{"kind": "boom", "n": number}])
            _told(home, number + 1)
            assert acknowledged["count"] == 1
        sealed = {segment["first"]: segment["t"] for segment in _segments(home)}
        inspect = application(str(home)).inspect
        for task in _tasks(home):
            shown: Any = inspect.task(None, task["id"])
            started = next(each["t"] for each in shown["lineage"] if each["event"] == "running")
            waits.append((started - sealed[shown["cause"]["entries"][0]["seq"]]) / 1e6)
        assert sorted(waits)[5] < 150, waits


def _told(home: Path, count: int) -> None:
    until(lambda: len(alerts(home)) == count, f"there are {len(alerts(home))} alerts, not {count}")


def _segments(home: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line) for line in sentinel("export", "--chain", "test/0", home=home).stdout.splitlines()
    ]


@pytest.mark.nightly
def test_two_on_one_home_are_refused(tmp_path: Path) -> None:
    """A second `up` on a folder in use says who has it, harms nothing, and works once the first is gone."""
    with up(tmp_path) as tree:
        second = sentinel("up", "--port", "0", "--json", home=tmp_path)
        assert second.returncode == 1
        told = json.loads(second.stderr)
        assert told["error"] == "Conflict"
        assert str(tree.process.pid) in told["message"]
        tree.post([{"a": 1}])
    with up(tmp_path) as tree:
        assert tree.post([{"a": 2}])["first"] == 1


@pytest.mark.nightly
def test_a_taken_port_is_said_in_a_line(tmp_path: Path) -> None:
    """A port in use is an error of two lines with exit code 3, and nothing is left running."""
    with up(tmp_path / "one") as tree:
        port = tree.url.rpartition(":")[2]
        done = sentinel("up", "--port", port, home=tmp_path / "two")
        assert done.returncode == 3
        assert b"--port" in done.stderr
        assert b"Traceback" not in done.stderr


def test_killing_the_supervisor_leaves_no_orphans(tmp_path: Path) -> None:
    """When the supervisor dies by kill -9, everything it started is gone at once, Valkey too."""
    with up(tmp_path) as tree:
        pids = tree.pids()
        os.kill(tree.process.pid, signal.SIGKILL)
        tree.process.wait()
        until(lambda: gone(pids), "orphans are left")


@pytest.mark.nightly
def test_a_child_that_dies_is_started_again(tmp_path: Path) -> None:
    """Whichever process is killed, entries are taken and told afterwards."""
    home = tmp_path / "home"
    push(home, tmp_path / "docs", rule=RULE, sinks=SINKS, recipe=RECIPE)
    with up(home) as tree:
        for count, word in enumerate(("gateway", "valkey-server", "feeds", "work_siem"), 1):
            victim = tree.child(word)
            os.kill(victim, signal.SIGKILL)
            tree.post([{"kind": "boom", "n": count}])
            _told(home, count)
            assert gone([victim])
        assert tree.stop() == 0


def test_a_second_signal_hurries(tmp_path: Path) -> None:
    """A second Ctrl-C does not wait for a child that hangs."""
    with up(tmp_path) as tree:
        pids = tree.pids()
        os.kill(tree.child("feeds"), signal.SIGSTOP)
        tree.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert tree.process.poll() is None
        tree.process.send_signal(signal.SIGINT)
        assert tree.process.wait(timeout=12) == 0  # without hurry it would be killed after 15
        until(lambda: gone(pids), "left behind")


class Load:
    """Producers that post numbered entries, each batch again under its id until it is acknowledged."""

    def __init__(self, producers: int = 3) -> None:
        self.acknowledged: dict[str, dict[str, Any]] = {}
        self.tree: Tree | None = None
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(each,)) for each in range(producers)]

    def reach(self, count: int) -> None:
        """Wait until so many batches are acknowledged."""
        until(lambda: len(self.acknowledged) > count, "no load")

    def _run(self, producer: int) -> None:
        number = 0
        while not self.ended.is_set():
            batch_id = f"{producer}-{number}"
            entries: list[object] = [
                {"kind": "boom" if number % 5 == 0 and at == 0 else "calm", "id": f"{batch_id}-{at}"}
                for at in range(20)
            ]
            while True:
                tree = self.tree
                try:
                    assert tree is not None
                    self.acknowledged[batch_id] = tree.post(entries, Sentinel_Batch_Id=batch_id)
                    break
                except (OSError, AssertionError, ValueError, http.client.HTTPException):
                    if self.ended.is_set():
                        return
                    time.sleep(0.02)
            number += 1


@pytest.mark.nightly  # what `tests/faults/test_runner_kill.py` tries by day, and the end of every task
def test_killing_everything_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """After kill -9 of all under load: every acknowledged entry is there once, every task ends, told once."""
    home = tmp_path / "home"
    push(home, tmp_path / "docs", rule=RULE, sinks=SINKS, recipe=RECIPE)
    load = Load()
    for thread in load.threads:
        thread.daemon = True
        thread.start()
    for _ in range(2):
        with up(home) as tree:
            load.tree = tree
            before = len(load.acknowledged)
            load.reach(before + 40)
            tree.kill()
    with up(home) as tree:
        load.tree = tree
        before = len(load.acknowledged)
        load.reach(before + 20)
        load.ended.set()
        for thread in load.threads:
            thread.join(timeout=30)
        ids = [entry["id"] for entry in _export(home, "test/0")]
        assert max(Counter(ids).values()) == 1
        places = dict(zip(ids, range(len(ids)), strict=True))
        for batch_id, receipt in load.acknowledged.items():
            found = [places[f"{batch_id}-{at}"] for at in range(receipt["count"])]
            assert found == list(range(receipt["first"], receipt["first"] + receipt["count"]))
        booms = {each["id"] for each in _export(home, "test/0") if each["kind"] == "boom"}
        until(lambda: {each["entry"]["id"] for each in alerts(home)} >= booms, "not all were told", 60)
        until(lambda: all(each["state"] == "succeeded" for each in _tasks(home)), "tasks are left", 60)
        told = Counter(each["entry"]["id"] for each in alerts(home))
        assert set(told) == booms
        assert max(told.values()) == 1
        assert sentinel("verify", home=home).returncode == 0
        assert tree.stop() == 0


@pytest.mark.nightly
def test_a_home_with_a_long_path_works(tmp_path: Path) -> None:
    """A path too long for a unix socket's address is no hindrance."""
    home = tmp_path / ("long-" * 20) / ("longer-" * 10)
    push(home, tmp_path / "docs", rule=RULE, sinks=SINKS, recipe=RECIPE)
    with up(home) as tree:
        tree.post([{"kind": "boom", "n": 1}])
        _told(home, 1)
        assert tree.stop() == 0


def test_data_in_aws_is_refused(tmp_path: Path) -> None:
    """`up` is for local data: with a table of AWS set it says so in place of mixing the two."""
    done = subprocess.run(
        [sys.executable, "-m", "sentinel.cli.main", "up", "--home", str(tmp_path)],
        env=environment(SENTINEL_LEDGER_TABLE="ledger"),
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert b"SENTINEL_LEDGER_TABLE" in done.stderr
