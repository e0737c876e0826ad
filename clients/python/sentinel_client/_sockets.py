"""Sockets that count down to a deadline."""

from __future__ import annotations

import io
import select
import socket
from collections.abc import Callable
from typing import Any

_PIECE = 1 << 16


class Unusable(ValueError):
    """An answer that is none to us."""


class Timed:
    """What `http.client` takes for a socket: each call may take what is left until `end`."""

    def __init__(self, made: socket.socket, clock: Callable[[], float], end: float = 0.0) -> None:
        self._socket = made
        self._clock = clock
        self.end = end

    def sendall(self, data: Any) -> None:
        """Send all of it, piece by piece: TLS counts its time-out for each record."""
        view = memoryview(data).cast("B")
        for at in range(0, len(view), _PIECE):
            self._socket.settimeout(left(self.end, self._clock))
            self._socket.sendall(view[at : at + _PIECE])

    def receive(self, room: Any) -> int:
        """Receive something."""
        self._socket.settimeout(left(self.end, self._clock))
        return self._socket.recv_into(room)

    def makefile(self, *_: object) -> io.BufferedReader:
        """Return what an answer is read from."""
        return io.BufferedReader(_Reader(self))

    def ended(self) -> bool:
        """Whether the other side has closed, or said something that nobody asked for."""
        try:
            return bool(select.select([self._socket], [], [], 0)[0])
        except (OSError, ValueError):  # over 1,024 files are open: then the answer will show it
            return False

    def close(self) -> None:
        """Close it."""
        self._socket.close()


class _Reader(io.RawIOBase):
    def __init__(self, timed: Timed) -> None:
        super().__init__()
        self._timed = timed

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int:
        return self._timed.receive(room)


def left(end: float, clock: Callable[[], float]) -> float:
    """Return the seconds that are left until `end`. Raises `TimeoutError` where none are."""
    left = end - clock()
    if left <= 0:
        raise TimeoutError
    return left


def connected(host: str, port: int, end: float, clock: Callable[[], float]) -> socket.socket:
    """Connect to the first address that answers. Raises `OSError`."""
    failed: OSError = OSError("no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        made = socket.socket(family, kind, protocol)
        try:
            made.settimeout(left(end, clock))
            made.connect(address)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            made.close()
            failed = error
        else:
            return made
    raise failed
