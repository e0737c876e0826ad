"""A server on loopback that answers bytes as a test says, and keeps the very bytes that it was sent."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress

Answer = Callable[[socket.socket], bool]


class Wire:
    """A server that answers each request by a function of the socket, and keeps what it was sent.

    The function returns whether the connection goes on.
    """

    def __init__(self, answer: Answer | bytes, context: ssl.SSLContext | None = None) -> None:
        self._answer = answer
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.requests: list[bytes] = []
        self.connections: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
            self.connections.append(connection)
            going = True
            while going:
                request = _read(connection)
                if not request:
                    break
                self.requests.append(request)
                if isinstance(self._answer, bytes):
                    connection.sendall(self._answer)
                else:
                    going = self._answer(connection)
            connection.close()

    def answer_with(self, data: bytes, *, hang_up: bool = False) -> None:
        """Answer these bytes from now on, and hang up behind them if told."""

        def answer(connection: socket.socket) -> bool:
            connection.sendall(data)
            return not hang_up

        self._answer = answer

    def close(self) -> None:
        """Stop listening and hang up on everybody."""
        for each in [self._listener, *self.connections]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


def _read(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65_536)
        if not more:
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), 0)
    while len(body) < length:
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body
