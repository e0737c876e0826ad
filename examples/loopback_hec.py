"""A Splunk HTTP Event Collector on this machine that refuses what the real one refuses.

For trying Sentinel without Splunk and for its tests: it checks tokens, indexes, gzip, concatenated JSON,
blank events, indexed fields and times, answers with HEC's own codes and `invalid-event-number`, and keeps
what it took in memory. `Trouble` makes it busy, full or forgetful of its replies.

    python -m examples.loopback_hec --port 8088 --token TOKEN
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATHS = frozenset({"/services/collector", "/services/collector/event", "/services/collector/event/1.0"})
HEALTH = "/services/collector/health"
MAX_BODY = 1_000_000
MAX_DECODED = 8_000_000
_EXPONENT = re.compile(r'"time"\s*:\s*"?-?[0-9.]+[eE]')
_KNOWN = frozenset({"time", "host", "source", "sourcetype", "index", "event", "fields"})

STATUS_TEXT = {
    0: (200, "Success"),
    1: (403, "Token disabled"),
    2: (401, "Token is required"),
    3: (401, "Invalid authorization"),
    4: (403, "Invalid token"),
    5: (400, "No data"),
    6: (400, "Invalid data format"),
    7: (400, "Incorrect index"),
    8: (500, "Internal server error"),
    9: (503, "Server is busy"),
    12: (400, "Event field is required"),
    13: (400, "Event field cannot be blank"),
    15: (400, "Error in handling indexed fields"),
    17: (200, "HEC is healthy"),
    23: (503, "Server is shutting down"),
    24: (200, "Queue is approaching capacity"),
    26: (429, "Queue is at capacity"),
}


@dataclass
class Trouble:
    """What goes wrong next: each number counts down the requests that it still happens to.

    `lost_replies` takes the events and closes the connection; `codes` are answered instead of taking
    anything; `slow_down` answers code 24 in the place of 0; `retry_after` goes with the busy codes.
    """

    lost_replies: int = 0
    slow_down: int = 0
    codes: list[int] = field(default_factory=list)
    retry_after: str = ""
    html: int = 0


class Refusal(Exception):
    """An answer other than success: HEC's code, and the number of the event that it minds."""

    def __init__(self, code: int, number: int | None = None) -> None:
        super().__init__(STATUS_TEXT[code][1])
        self.code = code
        self.number = number


class Collector:
    """The state of one collector: its token and indexes, what it took, how many requests came."""

    def __init__(self, token: str, *, indexes: frozenset[str] = frozenset({"main", "security"})) -> None:
        self.token = token
        self.indexes = indexes
        self.enabled = True
        self.events: list[dict[str, Any]] = []
        self.requests: list[int] = []  # the number of events in each request that was read
        self.trouble = Trouble()
        self.lock = threading.Lock()

    def take(self, authorization: str | None, body: bytes) -> int:
        """Read one request; return its code. Raises `Refusal`; events before a bad one are kept."""
        self._authorize(authorization)
        if self.trouble.codes:
            raise Refusal(self.trouble.codes.pop(0))
        if not body.strip():
            raise Refusal(5)
        number = -1
        try:
            for number, (text, event) in enumerate(_objects(body.decode())):
                self._check(number, text, event)
                self.events.append(event)
        except (ValueError, UnicodeDecodeError):
            raise Refusal(6, number + 1) from None
        finally:
            self.requests.append(number + 1)
        if self.trouble.slow_down:
            self.trouble.slow_down -= 1
            return 24
        return 0

    def _authorize(self, authorization: str | None) -> None:
        if not authorization:
            raise Refusal(2)
        scheme, _, token = authorization.partition(" ")
        if scheme not in {"Splunk", "Bearer"}:
            raise Refusal(3)
        if token != self.token:
            raise Refusal(4)
        if not self.enabled:
            raise Refusal(1)

    def _check(self, number: int, text: str, event: dict[str, Any]) -> None:
        if "event" not in event:
            raise Refusal(12, number)
        if event["event"] in (None, "", {}, []) or not str(event["event"]).strip():
            raise Refusal(13, number)
        if _EXPONENT.search(text.partition('"event"')[0]):
            raise Refusal(15, number)
        fields = event.get("fields", {})
        if not isinstance(fields, dict) or not all(map(_flat, fields.values())):
            raise Refusal(15, number)
        if "index" in event and event["index"] not in self.indexes:
            raise Refusal(7, number)
        if set(event) - _KNOWN or not isinstance(event.get("time", 0), int | float | str):
            raise Refusal(6, number)


def _flat(value: object) -> bool:
    several = value if isinstance(value, list) else [value]
    return all(isinstance(each, str) for each in several)


def _objects(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the concatenated JSON objects of a body with their text. Raises `ValueError`."""
    decoder = json.JSONDecoder()
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        found, end = decoder.raw_decode(text, at)
        if not isinstance(found, dict):
            raise ValueError("not an object")  # noqa: TRY004 - it is the input that is wrong
        yield text[at:end], found
        at = end


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self._body()
        collector = self.server.collector
        if self.path not in PATHS:
            self._answer(404, b"<html>Not Found</html>", "text/html")
            return
        if body is None:
            self._answer(413, b"<html>Request Entity Too Large</html>", "text/html")
            return
        with collector.lock:
            if collector.trouble.html:
                collector.trouble.html -= 1
                self._answer(200, b"<html>Sign in</html>", "text/html")
                return
            try:
                code, number = collector.take(self.headers.get("Authorization"), body), None
            except Refusal as refusal:
                code, number = refusal.code, refusal.number
            if collector.trouble.lost_replies:
                collector.trouble.lost_replies -= 1
                self.close_connection = True
                return
        self._code(code, number)

    def do_GET(self) -> None:
        if self.path == HEALTH:
            self._code(17, None)
        else:
            self._answer(404, b"<html>Not Found</html>", "text/html")

    def _body(self) -> bytes | None:
        length = int(self.headers.get("Content-Length", "0"))
        raw = self.rfile.read(length)
        if self.headers.get("Content-Encoding") == "gzip":
            decoder = zlib.decompressobj(wbits=31)
            try:
                raw = decoder.decompress(raw, MAX_DECODED)
            except zlib.error:
                return b"\0"
        return raw if len(raw) <= MAX_BODY else None

    def _code(self, code: int, number: int | None) -> None:
        status, text = STATUS_TEXT[code]
        told: dict[str, object] = {"text": text, "code": code}
        if number is not None:
            told["invalid-event-number"] = number
        self._answer(status, json.dumps(told).encode(), "application/json")

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if status in {429, 503} and self.server.collector.trouble.retry_after:
            self.send_header("Retry-After", self.server.collector.trouble.retry_after)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: the caller prints what it wants to."""


class Server(ThreadingHTTPServer):
    """The collector behind a socket on 127.0.0.1; `port` 0 takes a free one."""

    daemon_threads = True

    def __init__(self, collector: Collector, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.collector = collector

    @property
    def url(self) -> str:
        """Where events are sent."""
        return f"http://127.0.0.1:{self.server_address[1]}/services/collector/event"

    def start(self) -> None:
        """Serve in a thread until `shutdown`."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


def main(argv: list[str] | None = None) -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m examples.loopback_hec", description=__doc__)
    parser.add_argument("--port", type=int, default=8088)
    parser.add_argument("--token", required=True, help="the token that clients must send")
    parser.add_argument("--index", action="append", help="an index that exists; main and security by default")
    chosen = parser.parse_args(argv)
    indexes = frozenset(chosen.index or ("main", "security"))
    server = Server(Collector(chosen.token, indexes=indexes), chosen.port)
    sys.stdout.write(f"HEC on {server.url}\n")
    sys.stdout.flush()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.stdout.write(f"{len(server.collector.events)} events taken\n")
    finally:
        server.server_close()


if __name__ == "__main__":
    main()
