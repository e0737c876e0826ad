"""Sockets that count down to a deadline, and the way through a proxy."""

from __future__ import annotations

import io
import select
import socket
from collections.abc import Callable
from typing import Any

MAX_HEAD = 16_384  # bytes of a proxy's answer to CONNECT
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


def proxy_of(host: str) -> tuple[str, int, str] | None:
    """Return host, port and credentials of the proxy for https, as `HTTPS_PROXY` and `NO_PROXY` say it."""
    import urllib.request
    from urllib.parse import unquote, urlsplit

    url = urllib.request.getproxies_environment().get("https", "")
    bypass = urllib.request.proxy_bypass_environment  # type: ignore[attr-defined] # typeshed has it not
    if not url or bypass(host):
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise Unusable("is behind a proxy that is none by HTTP")
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else ""
    return parts.hostname, parts.port or 80, user


def tunnel(timed: Timed, host: str, port: int, user: str) -> None:
    """Ask a proxy for a way through (RFC 9110, 9.3.6). Raises `OSError`."""
    from base64 import b64encode

    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    head = f"CONNECT {name} HTTP/1.1\r\nHost: {name}\r\n"
    if user:
        head += f"Proxy-Authorization: Basic {b64encode(user.encode()).decode()}\r\n"
    timed.sendall(f"{head}\r\n".encode("latin-1"))
    found, room = b"", bytearray(1)
    while not found.endswith(b"\r\n\r\n"):
        if len(found) >= MAX_HEAD or not timed.receive(room):
            raise Unusable("is behind a proxy that answers with no HTTP")
        found += room
    status = found.split(b" ", 2)[1:2]
    if status != [b"200"]:
        raise Unusable(f"is behind a proxy that answers {status[0][:3].decode('latin-1') if status else ''}")
