"""A tree of `sentinel up` to measure: documents in, entries posted, and what its store says of the tasks."""

from __future__ import annotations

import http.client
import json
import random
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sentinel.bootstrap import App
from sentinel.local.supervisor import Supervisor, settings_for
from sentinel.settings import Settings

SERVICE = "bench"
RULE = b"""
title: Boom
name: boom
logsource: {category: application}
detection: {it: {message|contains: boom}, condition: it}
level: high
"""


class Target(ThreadingHTTPServer):
    """A server that a step calls. It remembers when each number came under which key, in epoch ns.

    It answers after up to `slow` seconds, a random part of them.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, slow: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.slow = slow
        self.arrived: dict[int, list[tuple[str, int]]] = {}
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_port}/"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def hold(self, number: int) -> None:
        """Let a request wait."""
        del number
        time.sleep(random.uniform(0, self.slow))

    def close(self) -> None:
        """Stop."""
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that were killed."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        now = time.time_ns()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert isinstance(self.server, Target)
        with self.server.lock:
            came = self.server.arrived.setdefault(json.loads(body)["n"], [])
            came.append((self.headers["Idempotency-Key"], now))
        self.server.hold(json.loads(body)["n"])
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@dataclass
class Running:
    """A tree that runs, and one connection to its gateway. `places` are the numbers of what was posted."""

    tree: Supervisor
    app: App
    told: list[str]
    places: dict[tuple[str, int], int] = field(default_factory=dict)
    _connection: http.client.HTTPConnection | None = None

    def post(self, count: int) -> int:
        """Store entries that each set off a task; return when the receipt was there, in epoch ns."""
        numbers = range(len(self.places), len(self.places) + count)
        body = b"\n".join(b'{"message": "boom", "n": %d}' % number for number in numbers)
        try:
            receipt, now = self._send(body)
        except (OSError, http.client.HTTPException):  # the gateway closes what was idle for half a minute
            self.close()
            receipt, now = self._send(body)
        for at, number in enumerate(numbers):
            self.places[receipt["chain"], receipt["first"] + at] = number
        return now

    def _send(self, body: bytes) -> tuple[dict[str, Any], int]:
        if self._connection is None:
            parts = urlsplit(self.tree.url)
            self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        told = {"Sentinel-Service": SERVICE, "Sentinel-Batch-Id": f"from-{len(self.places)}"}
        self._connection.request("POST", "/v1/entries", body, told)
        answer = self._connection.getresponse()
        raw = answer.read()
        now = time.time_ns()
        if answer.status != 200:
            raise SystemExit(f"a batch was not taken: {answer.status} {raw[:200]!r}")
        return json.loads(raw), now

    def close(self) -> None:
        """Let go of the gateway."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def states(self) -> dict[str, int]:
        """Count the tasks by state."""
        with _reading(self.tree.home) as db:
            return dict(db.execute("SELECT state, count(*) FROM tasks GROUP BY state").fetchall())

    def last_change(self) -> int:
        """Return when a task changed last, in epoch ns."""
        with _reading(self.tree.home) as db:
            return int(db.execute("SELECT max(changed) FROM tasks").fetchone()[0])

    def wait(self, succeeded: int, seconds: float) -> None:
        """Wait until so many tasks have succeeded, and give the run up where that takes too long."""
        end = time.monotonic() + seconds
        while self.states().get("succeeded", 0) < succeeded:
            if time.monotonic() > end:
                raise SystemExit(f"after {seconds:.0f} s the tasks are {self.states()}, not {succeeded} done")
            time.sleep(0.05)


@contextmanager
def _reading(home: Path) -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(f"file:{home / 'tasks.db'}?mode=ro", uri=True, timeout=10)
    try:
        yield db
    finally:
        db.close()


@contextmanager
def running(home: Path, recipe: str, sinks: str = "", **changes: Any) -> Iterator[Running]:
    """Run a tree with one rule and one recipe on a new home; it may call this machine."""
    plain = Settings(log_level="ERROR", http_hosts="127.0.0.1", http_private=True)
    settings = settings_for(home, plain)
    app = App(settings)
    documents: Mapping[str, bytes] = {"rule": RULE, "recipe": recipe.encode(), "sinks": sinks.encode()}
    for kind, body in documents.items():
        if body:
            app.catalog.push(kind.removesuffix("s"), kind, body)
    told: list[str] = []
    with Supervisor(settings, 0, insecure=True, tell=told.append, **changes) as tree:
        watching = threading.Thread(target=tree.watch)
        watching.start()
        run = Running(tree, app, told)
        try:
            yield run
        finally:
            run.close()
            tree.stop.set()
            watching.join()
