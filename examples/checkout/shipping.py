"""Python's logging, shipped to Sentinel: a handler that posts NDJSON batches from a thread of its own.

It never blocks or breaks the program that logs: the queue is bounded, what does not fit is counted and told
with the next entry that does, and a batch keeps its id however often it is sent. It comes in by the doors:
with the service's client certificate, and with an access token that it fetches for its API key.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
import traceback
from collections.abc import Iterator
from types import TracebackType
from uuid import uuid4

from sentinel.cli.door import Credentials, Door
from sentinel.errors import Rejected, Unavailable

MAX_QUEUED = 10_000
MAX_BATCH = 200
MAX_FRAMES = 20  # of an exception, the innermost
MAX_VARS = 20  # of a frame
MAX_VALUE = 200  # characters of one
EVERY = 0.1  # seconds
_PLAIN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class SentinelHandler(logging.Handler):
    """Ships records to the gateway at `url` as `service`, which `credentials` prove."""

    def __init__(self, url: str, service: str, credentials: Credentials | None = None) -> None:
        super().__init__()
        self._door = Door(url, service, credentials)
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
                "frames": list(_frames(trace)),
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
        self._door.close()

    def _ship(self, body: bytes, count: int) -> None:
        headers = {"Sentinel-Batch-Id": uuid4().hex}
        for attempt in range(8):
            try:
                status = self._door.request("POST", "/v1/entries?partial=true", body, headers).status
            except Unavailable:
                status = 503
            except Rejected:
                status = 401
            if status == 200:
                self.stored += count
                return
            if status not in {429, 502, 503, 504}:
                break
            time.sleep(min(2.0, 0.1 * 2**attempt))
        self.dropped += count


def _frames(trace: TracebackType | None) -> Iterator[dict[str, object]]:
    """Yield the frames of an exception, the outermost first, with their variables as they print."""
    for frame, line in list(traceback.walk_tb(trace))[-MAX_FRAMES:]:
        told = {name: repr(value)[:MAX_VALUE] for name, value in list(frame.f_locals.items())[:MAX_VARS]}
        code = frame.f_code
        yield {"file": code.co_filename, "function": code.co_name, "line": line, "vars": told}
