"""Sends batches to a gateway over one kept connection, and tries again what may pass by itself.

The batch id makes trying again safe: a batch that was stored, though its reply was lost, is recognised. 429,
502, 503, 504 and lost connections are tried again with growing, jittered pauses, or after what `Retry-After`
says, until `patience` seconds have passed without a batch being taken.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from sentinel.errors import Conflict, Forbidden, Malformed, Rejected, Unauthenticated, Unavailable

TIMEOUT = 35.0  # seconds; the gateway gives up after 29
AGAIN = frozenset({429, 502, 503, 504})
_REFUSALS: Mapping[int, type[Rejected]] = {401: Unauthenticated, 403: Forbidden, 409: Conflict}


@dataclass(slots=True)
class Producer:
    """One connection to `url` as `service`. Not for several threads."""

    url: str
    service: str
    patience: float = 30.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    uniform: Callable[[], float] = random.random
    _connection: http.client.HTTPConnection | None = field(default=None, init=False)

    def send(self, body: bytes, batch_id: str, headers: Mapping[str, str]) -> dict[str, Any]:
        """Send a batch; return its receipt. Lines that are refused are in its `problems`, counted from 1.

        Raises `Malformed` with `problems` where every line is refused, other `Rejected` where the whole
        batch is, and `Unavailable` when the patience is over.
        """
        told = {"Sentinel-Batch-Id": batch_id, "Content-Type": "application/x-ndjson", **headers}
        return self._request("POST", "/v1/entries?partial=true", body, told)

    def chains(self) -> dict[str, int]:
        """Return the number of entries of each of the service's chains."""
        found = self._request("GET", "/v1/chains", b"", {})
        return {each["chain"]: each["entries"] for each in found["chains"]}

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _request(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        end = self.clock() + self.patience
        attempt = 0
        while True:
            attempt += 1
            status, wish, answer = self._once(method, path, body, headers)
            if status == 200:
                return answer
            if status not in AGAIN and status != 0:
                raise _refusal(status, answer)
            pause = max(wish, min(5.0, 0.1 * 2 ** min(attempt, 8)) * (0.5 + self.uniform() / 2))
            if self.clock() + pause > end:
                why = f"answers {status}" if status else "does not answer"
                raise Unavailable(f"{self.url} {why}; `sentinel up` starts a gateway on this machine")
            self.sleep(pause)

    def _once(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, float, dict[str, Any]]:
        """Send a request once; return status (0: no answer), the wished pause in seconds, and the answer."""
        try:
            if self._connection is None:
                self._connection = self._connect()
            sent = {"Sentinel-Service": self.service, "User-Agent": "sentinel-cli", **headers}
            self._connection.request(method, path, body, sent)
            response = self._connection.getresponse()
            raw = response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            return 0, 0.0, {}
        wish = 0.0
        with contextlib.suppress(ValueError):
            wish = min(60.0, float(response.headers.get("Retry-After", "0")))
        return response.status, wish, _object(raw)

    def _connect(self) -> http.client.HTTPConnection:
        try:
            parts = urlsplit(self.url)
            port = parts.port
        except ValueError:
            raise Malformed("the gateway's address is no URL, or its port no port") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Malformed("the gateway's address begins with http:// or https://")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(parts.hostname, port, timeout=TIMEOUT)


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _refusal(status: int, answer: dict[str, Any]) -> Rejected:
    message = str(answer.get("message") or f"the gateway answers {status}")
    return _REFUSALS.get(status, Malformed)(message, answer.get("problems") or ())
