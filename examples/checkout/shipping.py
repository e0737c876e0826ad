"""Python's logging, shipped to Sentinel: a handler that posts NDJSON batches from a thread of its own.

It never blocks or breaks the program that logs: the queue is bounded, what does not fit is counted and told
with the next entry that does, and a batch keeps its id however often it is sent.
"""

from __future__ import annotations

import http.client
import json
import logging
import queue
import threading
import time
import traceback
import urllib.error
import urllib.request
from uuid import uuid4

MAX_QUEUED = 10_000
MAX_BATCH = 200
EVERY = 0.1  # seconds
_PLAIN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class SentinelHandler(logging.Handler):
    """Ships records to the gateway at `url` as `service`."""

    def __init__(self, url: str, service: str) -> None:
        super().__init__()
        self._url = f"{url}/v1/entries?partial=true"
        self._service = service
        self._instance = (
            f"{service}-{uuid4().hex[:8]}"  # one run of the program: what it does wrong is its own
        )
        self._queue: queue.Queue[bytes | None] = queue.Queue(MAX_QUEUED)
        self.dropped = 0
        self.stored = 0
        self._thread = threading.Thread(target=self._run, name="sentinel", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record, or count it where the queue is full."""
        try:
            self._queue.put_nowait(self._entry(record))
        except queue.Full:
            self.dropped += 1
        except Exception:  # noqa: BLE001 - logging must not break what logs
            self.handleError(record)

    def flush(self, seconds: float = 10.0) -> None:
        """Wait until what is queued now is shipped or given up, for so many seconds at most."""
        end = time.monotonic() + seconds
        while self._queue.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.01)

    def close(self) -> None:
        """Ship what is queued and end."""
        self._queue.put(None)
        self._thread.join(timeout=10)
        super().close()

    def _entry(self, record: logging.LogRecord) -> bytes:
        told: dict[str, object] = {
            "time": round(record.created, 6),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "instance": self._instance,
        }
        told |= {name: value for name, value in vars(record).items() if name not in _PLAIN}
        if record.exc_info and record.exc_info[0]:
            kind, error, trace = record.exc_info
            told["exception"] = {
                "type": kind.__name__,
                "message": str(error),
                "stack": "".join(traceback.format_tb(trace))[-8000:],
            }
        if self.dropped:
            told["dropped_before"] = self.dropped
        return json.dumps(told, default=str).encode()

    def _run(self) -> None:
        more = True
        while more:
            time.sleep(EVERY)
            batch: list[bytes] = []
            while len(batch) < MAX_BATCH:
                try:
                    entry = self._queue.get_nowait()
                except queue.Empty:
                    break
                if entry is None:
                    more = False
                    break
                batch.append(entry)
            if batch:
                self._ship(b"\n".join(batch), len(batch))
            for _ in batch:
                self._queue.task_done()

    def _ship(self, body: bytes, count: int) -> None:
        headers = {"Sentinel-Service": self._service, "Sentinel-Batch-Id": uuid4().hex}
        for attempt in range(8):
            request = urllib.request.Request(self._url, body, headers, method="POST")
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    answer.read()
            except urllib.error.HTTPError as error:
                if error.code not in {429, 502, 503, 504}:
                    break
            except (OSError, http.client.HTTPException):
                pass
            else:
                self.stored += count
                return
            time.sleep(min(2.0, 0.1 * 2**attempt))
        self.dropped += count
