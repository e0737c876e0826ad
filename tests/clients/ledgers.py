"""The server's own ingest code behind a loopback server: what a client sends is stored in a real ledger.

`alter` and `rewrite` change what is stored and answered: what a server that is not to be trusted does.
`answer` may stand in for the server: one that is down, slow, throttling or broken. `lose` loses answers.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.core.verify import Verifier
from sentinel.entrypoints.web import error_response
from sentinel.errors import SentinelError
from sentinel.usecases.append import Appender
from sentinel.usecases.ingest import Ingest, Origin, decompress
from tests.loopback import Asked, Loopback, Told

SERVICE = "checkout"
Alter = Callable[[list[bytes]], list[bytes]]


class Ledger:
    """A gateway without doors over one SQLite ledger. `stored` has what the ledger holds, verified."""

    def __init__(self, path: str = ":memory:") -> None:
        self.ledger = SqliteLedger(path)
        self.ingest = Ingest(
            Appender(self.ledger, time.time_ns, os.urandom, random.random, time.sleep), lanes=1
        )
        self.alter: Alter = lambda entries: entries
        self.rewrite: Callable[[dict[str, Any]], dict[str, Any]] = lambda receipt: receipt
        self.answer: Callable[[int, Asked], Told | None] = lambda _number, _asked: None
        self.lose: Callable[[int], bool] = lambda _number: False
        self._number = itertools.count()
        self._lock = threading.Lock()
        self.server = Loopback(self._answer)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server.port}"

    def stored(self, chain: str = f"{SERVICE}/0") -> list[bytes]:
        """Return a chain's entries, after verifying it."""
        verifier, found = Verifier(chain), []
        for segment in self.ledger.read(chain):
            verifier.check(segment)
            found += segment.opened.entries
        return found

    def batches(self) -> list[Asked]:
        """Return the requests that arrived."""
        return list(self.server.asked)

    def stop(self) -> None:
        """Stop answering."""
        self.server.stop()

    def _answer(self, asked: Asked) -> Told:
        with self._lock:
            number = next(self._number)
        told = self.answer(number, asked)
        if told is not None:
            return told
        headers = {name.lower(): value for name, value in asked.headers.items()}
        told = self._store(asked, headers)
        return Told(lost=True) if self.lose(number) else told

    def _store(self, asked: Asked, headers: dict[str, str]) -> Told:
        plain = decompress(asked.body, headers.pop("content-encoding", ""))
        body = b"\n".join(self.alter(plain.split(b"\n")))
        # What reads the head here takes it for Latin-1; the gateway reads UTF-8.
        service = headers.get("sentinel-service", "local").encode("latin-1").decode()
        instance = headers.get("sentinel-instance", "")
        origin = Origin(service, "/v1/entries", "r", instance=instance, encryption="store")
        try:
            receipt = self.ingest.entries(origin, body, headers, partial="partial=true" in asked.path)
        except SentinelError as error:
            response = error_response(error)
            return Told(response.status, response.body, response.headers)
        return Told(200, json.dumps(self.rewrite(receipt)).encode())
