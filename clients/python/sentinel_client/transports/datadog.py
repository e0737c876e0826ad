"""To Datadog: `POST /api/v2/logs` (Logs API, "Send logs").

The intake has no batch ids. A batch whose answer was lost is sent again, so its logs can be there twice.
"""

from __future__ import annotations

import json
import socket
import zlib
from pathlib import Path
from typing import Any

from sentinel_client._connection import Connection, Shut, Unreachable
from sentinel_client._types import Batch, Later, Outcome, Refused, Sent, TooLarge

SITES = (
    "datadoghq.com",
    "us3.datadoghq.com",
    "us5.datadoghq.com",
    "datadoghq.eu",
    "ap1.datadoghq.com",
    "ap2.datadoghq.com",
    "uk1.datadoghq.com",
    "ddog-gov.com",
    "us2.ddog-gov.com",
)
_HERE = ("localhost", "127.0.0.1", "::1")  # who may be asked in the clear
SHUT_AFTER = 60.0
MAX_AFTER = 300.0


class DatadogTransport:
    """Sends logs to a site's intake. The API key is read from `api_key_file` for each batch.

    Of the limits (1,000 logs, 5 MB unpacked, 1 MB a log) there is room left for what is put round an entry.
    Fields of the entry stay attributes; `level` is Datadog's `status`, `time` its `timestamp`.
    """

    max_entries = 1_000
    max_bytes = 4_000_000

    def __init__(
        self,
        api_key_file: Path,
        *,
        site: str = "datadoghq.com",
        service: str = "",
        source: str = "sentinel",
        tags: str = "",
        hostname: str = "",
        endpoint: str = "",
        name: str = "datadog",
    ) -> None:
        if not endpoint and site not in SITES:
            raise ValueError(f"there is no Datadog site {site!r}; they are {', '.join(SITES)}")
        self.name = name
        self._api_key_file = api_key_file
        self._connection = Connection(endpoint or f"https://http-intake.logs.{site}")
        if not self._connection.secure and self._connection.host not in _HERE:
            raise ValueError("endpoint begins with https://: the API key does not go in the clear")
        told = {"service": service, "ddsource": source, "ddtags": tags}
        self._told = {name: value for name, value in told.items() if value}
        self._hostname = hostname or socket.gethostname()

    def send(self, batch: Batch, timeout: float) -> Outcome:
        """Send a batch. See `Transport`."""
        if not batch.entries:
            return Sent()
        try:
            key = self._api_key_file.read_text().strip()
        except (OSError, UnicodeDecodeError):
            return Later(f"{self._api_key_file} cannot be read", SHUT_AFTER)
        logs = [self._log(entry) for entry in batch.entries]
        body = zlib.compress(json.dumps(logs, ensure_ascii=False, separators=(",", ":")).encode(), 1, 31)
        headers = {"DD-API-KEY": key, "Content-Type": "application/json", "Content-Encoding": "gzip"}
        try:
            answer = self._connection.exchange("POST", "/api/v2/logs", body, headers, timeout)
        except Unreachable as error:
            return Later(str(error))
        except Shut as error:
            return Later(str(error), SHUT_AFTER)
        return _outcome(answer.status, answer.after(MAX_AFTER))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _log(self, entry: bytes) -> dict[str, Any]:
        text = entry.decode(errors="replace")
        try:
            told = json.loads(text)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            return {"message": text, "hostname": self._hostname, **self._told}
        if "level" in told:
            told["status"] = told.pop("level")
        moment = told.pop("time", None)
        if isinstance(moment, int | float) and not isinstance(moment, bool):
            told["timestamp"] = int(moment * 1000)
        return {"hostname": self._hostname, **told, **self._told}


def _outcome(status: int, after: float) -> Outcome:
    if 200 <= status < 300:
        return Sent()
    if status == 413:
        return TooLarge("Datadog answers 413")
    if status == 400:
        return Refused("400")
    if status in {401, 403}:
        return Later(f"Datadog answers {status}: the API key is not accepted", max(after, SHUT_AFTER))
    return Later(f"Datadog answers {status}", after)
