"""A target on loopback that behaves as a test says: it keeps what it was sent and answers by a function."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def nobody() -> Iterator[int]:
    """Give a port of 127.0.0.1 where everybody is refused: it is held, or another test might get it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Told:
    """What is answered; `lost` hangs up in the place of the answer, after what was asked is done."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    lost: bool = False


class Loopback(ThreadingHTTPServer):
    """`answer` says what becomes of a request; `asked` are those that arrived, in order."""

    def __init__(self, answer: Callable[[Asked], Told], context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.answer = answer
        self.asked: list[Asked] = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def stop(self) -> None:
        """Stop answering."""
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """Say nothing of callers that hang up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits 40 ms for the acknowledgement of its headers
    server: Loopback

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        asked = Asked(self.command, self.path, dict(self.headers), body)
        self.server.asked.append(asked)
        told = self.server.answer(asked)
        if told.lost:
            self.close_connection = True
            return
        self.send_response(told.status)
        for name, value in {"Content-Length": str(len(told.body)), **told.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(told.body)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve  # noqa: N815 - the base class's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""
