"""The socket of `http`: one deadline over whatever is sent and read, and one buffer for all answers."""

from __future__ import annotations

import io
import select
import socket
import ssl
from collections.abc import Callable
from typing import Any

from sentinel.errors import Cause, TimedOut, Unavailable

_CHUNK = 65_536
KEEP_ALIVE = 60  # seconds without a byte after which TCP asks whether the other end is there

Clock = Callable[[], float]

# OpenSSL's X509_V_ERR_*: not yet valid, expired; another host, another address.
_TIMES = frozenset({9, 10})
_NAMES = frozenset({62, 64})


def why(error: Exception) -> str:
    """Say what happened without quoting what a server sent."""
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not verify ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return "TLS failed"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return type(error).__name__


def unsent(told: str, error: Exception | None, otherwise: Cause = Cause.CONNECT) -> Unavailable:
    """Return the failure of a connection that was never made or trusted. `error` None: no time was left."""
    kind = TimedOut if error is None or isinstance(error, TimeoutError) else Unavailable
    failure = kind(told)
    failure.unsent = True
    failure.cause = Cause.SILENT if error is None else _cause(error, otherwise)
    return failure


def broken(told: str, kind: type[Unavailable]) -> Unavailable:
    """Return the failure of an exchange that had begun."""
    failure = kind(told)
    failure.cause = Cause.SILENT if kind is TimedOut else Cause.ANSWER
    return failure


def _cause(error: Exception, otherwise: Cause) -> Cause:
    if isinstance(error, ssl.SSLCertVerificationError):
        code = error.verify_code
        return Cause.EXPIRED if code in _TIMES else Cause.OTHER_NAME if code in _NAMES else Cause.AUTHORITY
    if isinstance(error, TimeoutError) and otherwise is not Cause.CONNECT:
        return Cause.SILENT
    return otherwise


class Wire:
    """A socket with one deadline: as much of `socket.socket` as `http.client` uses."""

    def __init__(self, sock: socket.socket, deadline: float, clock: Clock) -> None:
        self.sock = sock
        self.deadline = deadline
        self._clock = clock
        self._raw = _Reader(self)
        self._reader = _Kept(self._raw, _CHUNK)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A model may think for minutes before its first byte; gateways forget what is quiet for six.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), KEEP_ALIVE)

    def arm(self) -> None:
        """Give the socket the time that is left. Raises `TimeoutError` where none is."""
        left = self.deadline - self._clock()
        if left <= 0:
            raise TimeoutError("timed out")
        self.sock.settimeout(left)

    def secured(self, context: ssl.SSLContext, host: str) -> Wire:
        """Speak TLS from here on; return the same wire."""
        self.arm()
        self.sock = context.wrap_socket(self.sock, server_hostname=host)
        return self

    def sendall(self, data: bytes) -> None:
        """Send all of it within the deadline."""
        for start in range(0, len(data), _CHUNK):
            self.arm()
            self.sock.sendall(data[start : start + _CHUNK])

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return the one reader of this connection."""
        return self._reader

    def quiet(self) -> bool:
        """Say whether the server has neither closed the connection nor said anything unasked."""
        self._raw.muted = True
        buffered = self._reader.peek(1)
        self._raw.muted = False
        if buffered:
            return False
        waiting = select.poll()
        waiting.register(self.sock, select.POLLIN)
        return not waiting.poll(0)

    def close(self) -> None:
        """Do nothing: `http.client` closes its socket before the body is read. See `hang_up`."""

    def hang_up(self) -> None:
        """Close the socket."""
        self.sock.close()


class _Kept(io.BufferedReader):
    """One buffer for all answers of a connection, so that bytes nobody asked for are not lost but noticed."""

    def close(self) -> None:
        """Do nothing: the end of an answer is not the end of the connection."""


class _Reader(io.RawIOBase):
    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire
        self.muted = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.muted:
            return None
        self._wire.arm()
        return self._wire.sock.recv_into(buffer)
