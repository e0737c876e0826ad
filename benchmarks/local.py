"""Acknowledged entries per second over HTTP, all of `sentinel up` running, against plain inserts into SQLite.

Eight producers with a connection each, in a process of their own, post batches of 500 entries of about 300
bytes to the gateway, which seals them into chains in SQLite (WAL, synchronous FULL) on this repository's
disk. In the same run the same lines go into a SQLite table of the same settings, one row a line, in
transactions of 500. The rounds alternate, and the medians count. Detection runs behind the posts, with no
rules in force; it is waited for before each round of inserts. Afterwards every chain is verified.

The entries are those of `benchmarks.lines`, and it says where they come from.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.lines import entries
from benchmarks.report import report
from sentinel.adapters.sqlite_cursors import SqliteCursors
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.bootstrap import App
from sentinel.local.home import FEEDS_DB
from sentinel.local.supervisor import Supervisor, settings_for
from sentinel.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
LINES = 20_000
BATCH = 500
PRODUCERS = 8
BATCHES = 200  # a round: 100,000 entries
ROUNDS = 3
TARGETS: dict[str, dict[str, float]] = {"ratio_to_plain_inserts": {"at_least": 0.5}}


def batches() -> list[bytes]:
    """Return the bodies that are posted."""
    found, _ = entries(LINES)
    return [b"\n".join(found[at : at + BATCH]) for at in range(0, len(found), BATCH)]


def produce(url: str) -> None:
    """Be the load generator: for every line on standard input, post a round and print its seconds."""
    bodies = batches()
    connections = [_connect(url) for _ in range(PRODUCERS)]
    for _ in sys.stdin:
        todo = iter(range(BATCHES))
        lock = threading.Lock()
        threads = [
            threading.Thread(target=_producer, args=(number, connection, bodies, todo, lock))
            for number, connection in enumerate(connections)
        ]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(time.perf_counter() - began, flush=True)


def _connect(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    return http.client.HTTPConnection(parts.hostname or "", parts.port)


def _producer(
    number: int,
    connection: http.client.HTTPConnection,
    bodies: list[bytes],
    todo: Iterator[int],
    lock: threading.Lock,
) -> None:
    headers = {"Sentinel-Service": f"bench-{number}", "Content-Type": "application/x-ndjson"}
    while True:
        with lock:
            at = next(todo, None)
        if at is None:
            return
        connection.request("POST", "/v1/entries", bodies[at % len(bodies)], headers)
        answer = connection.getresponse()
        raw = answer.read()
        if answer.status != 200 or json.loads(raw)["count"] != BATCH:
            print(f"a batch was not acknowledged: {answer.status}", file=sys.stderr, flush=True)
            os._exit(1)


class Plain:
    """The comparison: one row a line."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("CREATE TABLE lines (id INTEGER PRIMARY KEY, line BLOB NOT NULL)")

    def round(self, rows: list[bytes]) -> float:
        """Insert as many lines as a round posts; return the seconds."""
        began = time.perf_counter()
        for batch in range(BATCHES):
            at = batch * BATCH % len(rows)
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "INSERT INTO lines (line) VALUES (?)", [(row,) for row in rows[at : at + BATCH]]
            )
            self._db.execute("COMMIT")
        return time.perf_counter() - began


def main() -> int:
    """Run, print, and return 0 when the target is met."""
    folder = Path(tempfile.mkdtemp(prefix=".bench-", dir=ROOT))
    try:
        return measured(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def quiet(tree: Supervisor) -> None:
    """Wait until detection has read everything, so that it takes no time from the comparison."""
    ledger = SqliteLedger(tree.home / "ledger.db")
    cursors = SqliteCursors(tree.home / FEEDS_DB)
    while ledger.changes(cursors.cursor("detect"), 1):
        time.sleep(0.02)


def measured(folder: Path) -> int:
    """Run the rounds in a folder."""
    rows, source = entries(LINES)
    print(f"entries: {source}")
    settings = settings_for(folder / "home", Settings(log_level="WARNING"))
    plain = Plain(folder / "plain.db")
    ours, theirs = [], []
    with Supervisor(settings, 0, insecure=True) as tree:
        command = [sys.executable, "-m", "benchmarks.local", "--produce", tree.url]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        ) as generator:
            assert generator.stdin is not None
            assert generator.stdout is not None
            for _ in range(ROUNDS + 1):
                print("go", file=generator.stdin, flush=True)
                ours.append(float(generator.stdout.readline()))
                quiet(tree)
                theirs.append(plain.round(rows))
            generator.stdin.close()
    app = App(settings)
    verified = [app.inspect.verify(head.chain) for head in app.inspect.heads()]
    stored = sum(chain.entries for chain in verified)
    size = BATCH * BATCHES
    rate, inserts = (size / statistics.median(those[1:]) for those in (ours, theirs))
    figures = {
        "entry_bytes": sum(map(len, rows)) / len(rows),
        "entries_per_second": rate,
        "plain_inserts_per_second": inserts,
        "ratio_to_plain_inserts": rate / inserts,
        "verified_entries": stored,
    }
    whole = stored == size * (ROUNDS + 1)
    if not whole:
        print("NOT EVERY ENTRY IS THERE")
    return 0 if report("local", figures, TARGETS, met=None if whole else False) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--produce"]:
        produce(sys.argv[2])
    else:
        raise SystemExit(main())
