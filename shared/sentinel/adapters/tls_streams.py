"""`ports_sinks.Streams` on a socket: one TLS connection for each call, ended in order.

The end is what tells a receiver that took all from one that hung up in the middle: after the last byte this
side says that it is done, and reads until the other side is done too or its time is up. A receiver that
leaves its end open, as many do, is taken at its word once the bytes are with its machine.
"""

from __future__ import annotations

import socket
import ssl
import time
from typing import TYPE_CHECKING

from sentinel.adapters.http_wire import Clock, Wire, broken, unsent, why
from sentinel.errors import BadAnswer, Cause, Malformed, TimedOut
from sentinel.ports_sinks import StreamSend

if TYPE_CHECKING:
    from sentinel.adapters.hosts import Hosts

CONNECT_SECONDS = 5.0
PARTING_SECONDS = 1.0


class TlsStreams:
    """Sends for one deployment; safe to share between threads. `context` replaces the system's trust."""

    def __init__(
        self, hosts: Hosts, *, context: ssl.SSLContext | None = None, clock: Clock = time.monotonic
    ) -> None:
        self._hosts = hosts
        self._context = context
        self._clock = clock

    def send(self, request: StreamSend) -> None:
        """Send all bytes once; see `ports_sinks.Streams`."""
        context = self._trust(request.ca)
        deadline = self._clock() + request.timeout
        wire = self._connected(request, deadline, context)
        try:
            wire.sendall(request.data)
            self._part(wire, deadline)
        except (OSError, ValueError) as error:
            kind = TimedOut if isinstance(error, TimeoutError) else BadAnswer
            raise broken(f"{request.host} broke the stream off: {why(error)}", kind) from None
        finally:
            wire.hang_up()

    def _trust(self, ca: str) -> ssl.SSLContext:
        if not ca:
            return self._context or ssl.create_default_context()
        try:
            return ssl.create_default_context(cadata=ca)
        except (ssl.SSLError, ValueError):
            raise Malformed("the authority of the receiver's certificate is not in PEM") from None

    def _connected(self, request: StreamSend, deadline: float, context: ssl.SSLContext) -> Wire:
        last: Exception | None = None
        for address in self._hosts.addresses(request.host, request.port):
            left = min(CONNECT_SECONDS, deadline - self._clock())
            if left <= 0:
                break
            try:
                connection = socket.create_connection((address, request.port), left)
            except OSError as error:
                last = error
                continue
            wire = Wire(connection, deadline, self._clock)
            try:
                return wire.secured(context, request.host)
            except (OSError, ValueError) as error:
                wire.hang_up()
                told = f"{request.host} cannot be trusted or reached: {why(error)}"
                raise unsent(told, error, Cause.TLS) from None
        told = why(last) if last else "no time left"
        raise unsent(f"{request.host} cannot be reached: {told}", last)

    def _part(self, wire: Wire, deadline: float) -> None:
        """End the connection. Raises `OSError` where the other side has cut it, and has not all of it."""
        wire.deadline = min(deadline, self._clock() + PARTING_SECONDS)
        wire.arm()
        sock = wire.sock
        try:
            if isinstance(sock, ssl.SSLSocket):
                sock.unwrap()
        except (TimeoutError, ssl.SSLError):
            return  # it is still there and only does not say goodbye, or says it in plain
