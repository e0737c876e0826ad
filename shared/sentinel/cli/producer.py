"""Sends batches to a gateway through its doors, and tries again what may pass by itself.

The batch id makes trying again safe: a batch that was stored, though its reply was lost, is recognised. 429,
502, 503, 504 and lost connections are tried again with growing, jittered pauses, or after what `Retry-After`
says, until `patience` seconds have passed without a batch being taken.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from sentinel.cli.door import Answer, Credentials, Door
from sentinel.errors import Conflict, Forbidden, Malformed, Rejected, Unauthenticated, Unavailable

AGAIN = frozenset({429, 502, 503, 504})
_REFUSALS: Mapping[int, type[Rejected]] = {401: Unauthenticated, 403: Forbidden, 409: Conflict}


@dataclass(slots=True)
class Producer:
    """One connection to `url` as `service`; `credentials` open its doors. Not for several threads."""

    url: str
    service: str
    patience: float = 30.0
    credentials: Credentials | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    uniform: Callable[[], float] = random.random
    _door: Door = field(init=False)

    def __post_init__(self) -> None:
        self._door = Door(self.url, self.service, self.credentials)

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
        self._door.close()

    def _way_out(self) -> str:
        """Say what helps on this machine; whoever runs a gateway elsewhere is not known here."""
        here = urlsplit(self.url).hostname in {"localhost", "127.0.0.1", "::1"}
        return "; `sentinel up` starts a gateway on this machine" if here else ""

    def _request(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        end = self.clock() + self.patience
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = self._door.request(method, path, body, headers)
                if answer.status == 200:
                    return answer.told
                if answer.status not in AGAIN:
                    raise _refusal(answer)
                why, wish = f"{self.url} answers {answer.status}", answer.wait
            except Unavailable as error:
                why, wish = str(error), error.retry_after if error.retry_after > 1 else 0.0
            pause = max(wish, min(5.0, 0.1 * 2 ** min(attempt, 8)) * (0.5 + self.uniform() / 2))
            if self.clock() + pause > end:
                raise Unavailable(f"{why}{self._way_out()}")
            self.sleep(pause)


def _refusal(answer: Answer) -> Rejected:
    told = answer.told
    message = str(told.get("message") or f"the gateway answers {answer.status}")
    return _REFUSALS.get(answer.status, Malformed)(message, told.get("problems") or ())
